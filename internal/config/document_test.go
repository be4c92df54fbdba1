package config

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

//go:generate go test -run ^TestSettingsAreDocumented$ . -update

var update = flag.Bool("update", false, "write the generated part of docs/config.md anew")

// documented is one section of the table of settings. The rows name settings by
// their key, or by their variable where they have no key; names in all layers
// come from the tables that Load works with.
type documented struct {
	title string
	rows  []documentedRow
}

type documentedRow struct {
	name, standard, meaning string
}

func documentation() []documented {
	d := Defaults()
	return []documented{
		{"What to scale", []documentedRow{
			{"app-name", "", "The app. A `*` stands for any characters and makes it every app of `org` that matches: `worker-*`."},
			{"org", "", "The organization of the app. Needed when `app-name` has a `*`."},
			{"process-group", "`app`", "The process group whose Machines are counted and scaled. Those of other groups are left alone."},
			{"targets", "", "Several apps or process groups, each with settings of its own: see [Targets](#targets)."},
		}},
		{"How many Machines", []documentedRow{
			{"started-machine-count", "", "Run exactly this many: start and stop Machines that exist. An [expression](expressions.md)."},
			{"min-started-machine-count", "", "Run at least this many: start Machines, stop none for it."},
			{"max-started-machine-count", "", "Run at most this many: stop Machines, start none for it."},
			{"created-machine-count", "", "Have exactly this many: create and destroy Machines."},
			{"min-created-machine-count", "", "Have at least this many: create Machines, destroy none for it."},
			{"max-created-machine-count", "", "Have at most this many: destroy Machines, create none for it."},
			{"initial-machine-state", "`started`", "`started` boots a created Machine at once; `stopped` leaves it for a start, by the autoscaler or Fly Proxy."},
			{keyRegions, "the regions in use", "Where Machines may be created: spread evenly, the next one where one is full. Without it they are created where the one that is cloned is. In the file a list; elsewhere `iad,ord`."},
		}},
		{"How they are followed", []documentedRow{
			{"profile", "", "A set of rules to begin with, for `web`, `queue` or `batch`: see [the rules](#rules). Targets without one have that of the top level."},
			{"FAS_PAUSE", "", "What every target is kept from, whatever its own `limits.pause`: `none`, `up`, `down` or `all`."},
		}},
		{"What the expressions know", []documentedRow{
			{keyCollectors, "", "The metrics: see [Metrics](#metrics)."},
			{"FAS_PROMETHEUS_METRIC_NAME", "", "One metric without a file: its name in expressions."},
			{"FAS_PROMETHEUS_ADDRESS", "", "Its server, such as `https://api.fly.io/prometheus/my-org`."},
			{"FAS_PROMETHEUS_QUERY", "", "Its query, in PromQL, with one number as the answer. `$APP_NAME` stands for the app."},
			{"FAS_PROMETHEUS_GROUP_BY", "", "The label that tells the rows of its query apart by app."},
			{"FAS_PROMETHEUS_TOKEN", "the API token, for Fly's own server", "Its token."},
		}},
		{"Access", []documentedRow{
			{"api-token", "`FLY_ACCESS_TOKEN`, then `FLY_API_TOKEN`", "The token that Machines are read and scaled with. No flag, so that it is in no list of processes."},
			{"FLY_FLAPS_BASE_URL", "`" + d.MachinesURL + "`", "The Machines API, to run against something else, such as [flysim](flysim.md)."},
			{"FLY_API_BASE_URL", "`" + d.GraphQLURL + "`", "The GraphQL API."},
		}},
		{"How it runs", []documentedRow{
			{"interval", "`" + d.Interval.String() + "`", "The time between two passes over a target, 100ms to 1h."},
			{"timeout", "`" + d.Timeout.String() + "`", "The longest time for one pass, 1s to 10m. Metrics have two thirds of it, one interval, or ten seconds, whichever is least."},
			{"concurrency", fmt.Sprintf("`%d`", d.Concurrency), "How many targets have a pass at the same time, 1 to 1000."},
			{"app-list-refresh-interval", "`" + short(d.AppListRefreshInterval) + "`", "How often to ask which apps a `*` matches, 1s to 24h."},
			{"dry-run", "`false`", "Decide and log, but change no Machine."},
			{"listen", "`" + d.Listen + "`", "Where `/metrics`, `/healthz`, `/readyz` and the JSON API are served."},
			{"store-dir", "none: in memory", "A folder for memory and [journal](journal.md), on a volume, so that a restart forgets nothing. Each process has one of its own."},
			{"journal-retention", "`168h`", "How long entries of the journal are kept in `store-dir`, 1h to 8760h (a year). Without a folder they are kept for a day at most."},
			{"journal-entries", fmt.Sprintf("`%d`", d.JournalEntries), fmt.Sprintf("How many at most, 100 to %d, in about 1.5 kB each. Without a folder 5000 at most.", MaxJournalEntries)},
			{"log-format", "`" + d.LogFormat + "`", "`text` or `json`."},
			{"log-level", "`" + strings.ToLower(d.LogLevel.String()) + "`", "`debug`, `info`, `warn` or `error`. `debug` logs every pass, `info` what changes."},
			{"verbose", "`false`", "The same as `log-level: debug`."},
			{envConfig, "", "The YAML file itself."},
		}},
	}
}

// names are what a setting is called in each layer; "" where there is no name.
type names struct{ yaml, env, flag string }

// allSettings returns every setting by its key, or its variable if it has none.
func allSettings() map[string]names {
	all := map[string]names{
		keyRegions:    {keyRegions, envRegions, flagRegions},
		keyCollectors: {keyCollectors, "", ""},
		keyTargets:    {keyTargets, "", ""},
		envConfig:     {"", envConfig, flagConfig},
	}
	add := func(n names) {
		name := n.yaml
		if name == "" {
			name = n.env
		}
		all[name] = n
	}
	for _, s := range scalars {
		add(names{s.yaml, s.env, s.flag})
	}
	for _, c := range countSettings {
		add(names{c.yaml, c.env, c.flag})
	}
	return all
}

const (
	generatedFrom = "<!-- generated by go generate ./internal/config: do not edit by hand -->\n"
	generatedTo   = "<!-- end of the generated part -->\n"
)

func TestSettingsAreDocumented(t *testing.T) {
	all := allSettings()
	code := func(s, prefix string) string {
		if s == "" {
			return "–"
		}
		return "`" + prefix + s + "`"
	}
	var b strings.Builder
	for _, section := range documentation() {
		fmt.Fprintf(&b, "\n### %s\n\n| key | variable | flag | default | meaning |\n|---|---|---|---|---|\n", section.title)
		for _, row := range section.rows {
			n, ok := all[row.name]
			if !ok {
				t.Errorf("%s is documented, and there is no such setting", row.name)
			}
			delete(all, row.name)
			standard := row.standard
			if standard == "" {
				standard = "–"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(n.yaml, ""), code(n.env, ""), code(n.flag, "-"), standard, row.meaning)
		}
	}
	writeRules(t, &b)
	b.WriteString("\n")
	for name := range all {
		t.Errorf("%s is not documented: add it to documentation()", name)
	}
	if t.Failed() {
		return
	}

	const path = "../../docs/config.md"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), generatedFrom)
	_, after, ok2 := strings.Cut(rest, generatedTo)
	if !ok || !ok2 {
		t.Fatalf("%s has no generated part between %q and %q", path, generatedFrom, generatedTo)
	}
	want := before + generatedFrom + b.String() + generatedTo + after
	if want == string(content) {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: go generate ./internal/config", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The bounds and the lists of keys that docs/config.md tells are those in force.
func TestDocumentedBounds(t *testing.T) {
	load := func(env ...string) error {
		_, _, err := Load(Input{Environ: append([]string{"FAS_APP_NAME=a", "FAS_STARTED_MACHINE_COUNT=1"}, env...)})
		return err
	}
	for _, bound := range []struct {
		name       string
		low, high  string
		below, top string
	}{
		{"FAS_INTERVAL", "100ms", "1h", "99ms", "1h1s"},
		{"FAS_TIMEOUT", "1s", "10m", "999ms", "10m1s"},
		{"FAS_CONCURRENCY", "1", "1000", "0", "1001"},
		{"FAS_APP_LIST_REFRESH_INTERVAL", "1s", "24h", "999ms", "24h1s"},
	} {
		for _, value := range []string{bound.low, bound.high} {
			if err := load(bound.name + "=" + value); err != nil {
				t.Errorf("%s=%s: %v", bound.name, value, err)
			}
		}
		for _, value := range []string{bound.below, bound.top} {
			if err := load(bound.name + "=" + value); err == nil {
				t.Errorf("%s=%s is accepted", bound.name, value)
			}
		}
	}
	if d := Defaults(); d.Timeout*2/3 < 10*time.Second {
		t.Errorf("with the default timeout of %s metrics have less than the ten seconds that are documented", d.Timeout)
	}
	content, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	behavior, err := os.ReadFile("../../docs/behavior.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range scheduleKeys {
		if !strings.Contains(string(behavior), "`"+k.yaml+"`") {
			t.Errorf("docs/behavior.md does not tell of the key %s", k.yaml)
		}
	}
	var keys []string
	for _, k := range rateKeys {
		keys = append(keys, k.yaml)
	}
	for _, k := range collectorKeys {
		keys = append(keys, k.yaml)
	}
	for _, k := range targetKeys {
		keys = append(keys, k.yaml)
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if !strings.Contains(string(content), "`"+key+"`") {
			t.Errorf("docs/config.md does not tell of the key %s", key)
		}
	}
}
