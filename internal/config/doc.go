// Package config turns what the user wrote into Settings. It reads four layers,
// each above the one before: the defaults, a YAML file, the environment (FAS_*
// and the FLY_* variables of the official clients), and command-line flags.
//
// Load has no side effects. It opens no file (but the database of time zones) and
// reads no process state: the content of the file and the environment are arguments,
// so that serve, eval, validate, a reload and the tests all load the same way.
//
// Every problem is reported in one run, each with its place and, where it is
// known, what would be right. Problems and warnings never hold a secret: the
// values of tokens and addresses, and of anything that took in ${VARIABLES}, are
// not quoted. (The name of a metric is no secret.)
//
// How layers meet: a value of a higher layer replaces that of a lower one. The
// three created counts are one value for this, and so are the three started
// counts, so that FAS_STARTED_MACHINE_COUNT replaces the minimum and maximum of
// the file. The collector that FAS_PROMETHEUS_* and -prometheus.* declare
// replaces the collector of the same metric name, or is added.
//
// What it does not do: ask the platform or a metrics server whether the names
// exist. That is what eval is for.
package config
