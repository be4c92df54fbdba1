package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// origin is where a value was written.
type origin struct {
	file         string
	path         string
	line, column int // 0 in the environment and flags

	source *source    // the YAML text; nil elsewhere
	node   *yaml.Node // the scalar in it
	lead   int        // bytes of white space trimmed from the value's front
	value  string     // the whole value, outside YAML
}

// at returns the place of a byte offset into the trimmed value.
func (o origin) at(offset int) (line, column int) {
	if o.source != nil {
		return o.source.locate(o.node, offset+o.lead)
	}
	before := o.value[:min(offset+o.lead, len(o.value))]
	start := strings.LastIndexByte(before, '\n') + 1
	return 1 + strings.Count(before, "\n"), 1 + len([]rune(before[start:]))
}

// text is one scalar as written, before it means anything. An absent one and an
// empty one are the same.
type text struct {
	value string // trimmed, variables expanded
	// expanded is set when value took in a variable. Such a value is never
	// quoted, because the variable may be a secret.
	expanded bool
	origin   origin
}

func (t text) set() bool { return t.value != "" }

// newText is for values from outside YAML.
func newText(file, path, value string) text {
	trimmed := strings.TrimSpace(value)
	return text{
		value:  trimmed,
		origin: origin{file: file, path: path, value: value, lead: strings.Index(value, trimmed)},
	}
}

// quoted returns the value for a message.
func (t text) quoted() string {
	if t.expanded {
		return "the value"
	}
	return `"` + shorten(t.value) + `"`
}

// shorten bounds what messages repeat of the configuration.
func shorten(s string) string {
	const most = 60
	if v := []rune(s); len(v) > most {
		return string(v[:most]) + "…"
	}
	return s
}

// rawGroup is the three counts of created, or of started, Machines.
type rawGroup struct{ exact, lowest, highest text }

func (g rawGroup) set() bool { return g.exact.set() || g.lowest.set() || g.highest.set() }

// rawCollector is one element of metric-collectors.
type rawCollector struct {
	origin origin

	kind, metricName, address, query, groupBy, apiToken text
	byMachine, onEmpty, maxAge                          text
}

// rawTarget is one target, or the top level in its part as a target.
type rawTarget struct {
	origin           origin
	appName          text
	org              text
	processGroup     text
	initialState     text
	profile          text
	apiToken         text
	created, started rawGroup
	regions          []text
	collectors       []rawCollector
	rules            rawRules
}

// declared reports whether the top level is a target of its own.
func (t rawTarget) declared() bool {
	return t.appName.set() || t.created.set() || t.started.set()
}

// raw is one layer, or several merged.
type raw struct {
	flat    rawTarget
	targets []rawTarget

	concurrency, interval, timeout, refresh text
	verbose, listen, dryRun                 text
	logFormat, logLevel                     text
	machinesURL, graphQLURL                 text
	pause                                   text // of all targets
	storeDir, journalAge, journalEntries    text

	// prometheus is the collector of the environment and flags.
	prometheus rawCollector
}

// merge lays b over a.
func merge(a, b raw) raw {
	out := a
	for _, s := range scalars {
		if v := *s.field(&b); v.set() {
			*s.field(&out) = v
		}
	}
	out.flat.created = mergeCounts(a.flat.created, b.flat.created)
	out.flat.started = mergeCounts(a.flat.started, b.flat.started)
	if len(b.flat.regions) > 0 {
		out.flat.regions = b.flat.regions
	}
	if b.flat.collectors != nil {
		out.flat.collectors = b.flat.collectors
	}
	if len(b.flat.rules) > 0 {
		out.flat.rules = b.flat.rules
	}
	if b.targets != nil {
		out.targets = b.targets
	}
	// A level of a lower layer does not undo -verbose.
	if verbose, _ := parseBool(b.verbose.value); verbose && !b.logLevel.set() {
		out.logLevel = text{}
	}
	return out
}

// mergeCounts lays b over a. An exact count is both bounds, so that it replaces
// whatever is below it, and gives way as a whole to any bound above it. A bound
// does not undo the other one: a maximum that guards against a runaway stays,
// wherever the minimum comes from.
func mergeCounts(a, b rawGroup) rawGroup {
	switch {
	case b.exact.set():
		return b
	case !b.set():
		return a
	case !b.lowest.set():
		b.lowest = a.lowest
	case !b.highest.set():
		b.highest = a.highest
	}
	return b
}
