package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ok is a target that nothing is wrong with.
const ok = "app-name: a\nstarted-machine-count: 1\n"

func TestProblems(t *testing.T) {
	const collector = ok + "metric-collectors:\n- type: prometheus\n  metric-name: m\n  address: http://x\n  query: q\n"
	for _, test := range []struct {
		name string
		in   input
		want string // one problem per line
	}{
		// The text.
		{"not YAML", input{yaml: "a: b: c\n"}, "f.yml:1:5: the file is not valid YAML: mapping values are not allowed in this context"},
		{"open list", input{yaml: ok + "regions: [iad\n"}, "f.yml:4:1: the file is not valid YAML: did not find expected ',' or ']'"},
		{"unknown anchor", input{yaml: ok + "api-token: *hunter2\n"}, "f.yml:3:12: the file is not valid YAML: *name without the &name it refers to before it"},
		{"control character", input{yaml: ok + "org: \x00\n"}, "f.yml: the file is not valid YAML"},
		{"not text", input{yaml: "app-name: \xff\n"}, "f.yml: the file is not UTF-8 text"},
		{"second document", input{yaml: ok + "---\n" + ok}, "f.yml:3:1: a second YAML document, keep one, and list several apps under targets"},
		{"a list", input{yaml: "- a\n"}, "f.yml:1:1: want keys with values, got a list"},
		{"one word", input{yaml: "hello\n"}, "f.yml:1:1: want keys with values, got one value"},
		{"too large", input{yaml: ok + strings.Repeat("#", 1<<20)}, "f.yml: the file is larger than 1048576 bytes"},
		{"tag", input{yaml: ok + "org: !env ORG\n"}, "f.yml:3:6: org: a tag has no meaning here, remove the word that starts with !"},

		// Keys.
		{"unknown key", input{yaml: ok + "intervall: 15s\n"}, `f.yml:3:1: intervall: unknown key, did you mean "interval"?`},
		{"underscores", input{yaml: "app_name: a\nstarted-machine-count: 1\n"}, "f.yml:1:1: app_name: unknown key, did you mean \"app-name\"?\nf.yml:2:24: started-machine-count: there is no app-name, say which app: app-name (FAS_APP_NAME, -app)"},
		{
			"unknown key of a collector",
			input{yaml: strings.Replace(collector, "query", "qurey", 1)},
			"f.yml:4:3: metric-collectors[0]: query is required\nf.yml:7:3: metric-collectors[0].qurey: unknown key, did you mean \"query\"?",
		},
		{"strange key", input{yaml: "targets:\n- {app-name: a, started-machine-count: 1, interval: 3s}\n"}, "f.yml:2:43: targets[0].interval: unknown key, known here: api-token, app-name, behavior, created-machine-count, initial-machine-state, limits, max-created-machine-count, max-started-machine-count, metric-collectors, min-created-machine-count, min-started-machine-count, on-loss, org, process-group, profile, regions, scale-in, scale-to-zero, schedules, started-machine-count"},
		{"key twice", input{yaml: ok + "app-name: b\n"}, "f.yml:3:1: app-name: the key is there twice, first in line 1"},
		{"list as key", input{yaml: ok + "? [a]\n: 1\n"}, "f.yml:3:3: want a key, got a list"},

		// Kinds.
		{"list for a value", input{yaml: ok + "org: [a]\n"}, "f.yml:3:6: org: want one value, got a list"},
		{"keys for a value", input{yaml: ok + "api-token: {a: b}\n"}, "f.yml:3:12: api-token: want one value, got keys with values"},
		{"value for a list", input{yaml: ok + "metric-collectors: x\n"}, `f.yml:3:20: metric-collectors: want a list, got one value, start each element with "- "`},
		{"value for a target", input{yaml: "targets: [a]\n"}, "f.yml:1:11: targets[0]: there is no app-name, say which app: app-name (FAS_APP_NAME, -app)\nf.yml:1:11: targets[0]: there is no count, set started-machine-count or created-machine-count, or their min- and max- forms\nf.yml:1:11: targets[0]: want keys with values, got one value"},

		// Values.
		{"no unit", input{yaml: ok + "interval: 15\n"}, `f.yml:3:11: interval: "15" is not a duration, did you mean "15s"?`},
		{"bad unit", input{yaml: ok + "timeout: 15x\n"}, `f.yml:3:10: timeout: "15x" is not a duration, want a number with its unit, such as "15s" or "1m30s"`},
		{"interval bounds", input{yaml: ok + "interval: 99ms\n"}, `f.yml:3:11: interval: "99ms" is out of range, want 100ms to 1h`},
		{"timeout bounds", input{yaml: ok + "timeout: 11m\n"}, `f.yml:3:10: timeout: "11m" is out of range, want 1s to 10m`},
		{"refresh bounds", input{yaml: ok + "app-list-refresh-interval: -1s\n"}, `f.yml:3:28: app-list-refresh-interval: "-1s" is out of range, want 1s to 24h`},
		{"concurrency", input{yaml: ok + "concurrency: 0\n"}, `f.yml:3:14: concurrency: "0" is not valid, want a whole number from 1 to 1000`},
		{"boolean", input{yaml: ok + "dry-run: maybe\n"}, `f.yml:3:10: dry-run: "maybe" is neither true nor false`},
		{"log format", input{yaml: ok + "log-format: jsn\n"}, `f.yml:3:13: log-format: "jsn" is not valid, did you mean "json"?`},
		{"log level", input{yaml: ok + "log-level: loud\n"}, `f.yml:3:12: log-level: "loud" is not valid, want one of debug, info, warn, error`},
		{"initial state", input{yaml: ok + "initial-machine-state: paused\n"}, `f.yml:3:24: initial-machine-state: "paused" is not valid, want started or stopped`},
		{"journal entries", input{yaml: ok + "journal-entries: 99\n"}, `f.yml:3:18: journal-entries: "99" is not valid, want a whole number from 100 to 300000`},
		{"journal retention", input{yaml: ok + "journal-retention: 1m\n"}, `f.yml:3:20: journal-retention: "1m" is out of range, want 1h to 8760h`},
		{"listen", input{yaml: ok + "listen: 9090\n"}, `f.yml:3:9: listen: "9090" is not an address to listen on, want host:port, such as ":9090" or "127.0.0.1:9090"`},
		{"regions", input{yaml: ok + "regions: [iad, Ord, \"\"]\n"}, "f.yml:3:16: regions[1]: \"Ord\" is not a region, want three lower-case letters, such as \"iad\"\nf.yml:3:21: regions[2]: the region is empty"},
		{"regions in one value", input{yaml: ok + "regions: iad, virginia\n"}, `f.yml:3:15: regions: "virginia" is not a region, want three lower-case letters, such as "iad"`},
		{"app name", input{yaml: "app-name: a/b\nstarted-machine-count: 1\n"}, `f.yml:1:12: app-name: "a/b" is not an app name, which is letters, digits and '-'`},
		{"process group", input{yaml: ok + "process-group: a b\n"}, `f.yml:3:17: process-group: "a b" is not a process group, which is letters, digits and '-'`},
		{"two lines", input{yaml: ok + "org: x\nlisten: \"a\\nb\"\n"}, `f.yml:4:9: listen: "a b" is not an address to listen on, want host:port, such as ":9090" or "127.0.0.1:9090"`},

		// Targets.
		{"empty file", input{yaml: "# nothing\n"}, "f.yml:1:1: there is no app to scale, set app-name (FAS_APP_NAME, -app) and a count such as started-machine-count (FAS_STARTED_MACHINE_COUNT, -expr)"},
		{"nothing at all", input{}, "FAS_APP_NAME: there is no app to scale, set app-name (FAS_APP_NAME, -app) and a count such as started-machine-count (FAS_STARTED_MACHINE_COUNT, -expr)"},
		{"no app", input{env: []string{"FAS_STARTED_MACHINE_COUNT=1"}}, "FAS_STARTED_MACHINE_COUNT: there is no app-name, say which app: app-name (FAS_APP_NAME, -app)"},
		{"no count", input{yaml: "app-name: a\n"}, "f.yml:1:11: app-name: there is no count, set started-machine-count or created-machine-count, or their min- and max- forms"},
		{"wildcard without org", input{yaml: "app-name: a-*\nstarted-machine-count: 1\n"}, "f.yml:1:11: app-name: a '*' needs an organization, set org (FAS_ORG, -org)"},
		{"exact and bound", input{yaml: ok + "max-started-machine-count: 3\n"}, "f.yml:3:28: max-started-machine-count: cannot be combined with started-machine-count, which is both minimum and maximum: keep one of them"},
		{
			"exact and bound in a target",
			input{yaml: "targets:\n- app-name: a\n  created-machine-count: 1\n  min-created-machine-count: 1\n"},
			"f.yml:4:30: targets[0].min-created-machine-count: cannot be combined with created-machine-count, which is both minimum and maximum: keep one of them",
		},
		{"minimum over maximum", input{yaml: "app-name: a\nmin-created-machine-count: 5\nmax-created-machine-count: 2 + 2\n"}, "f.yml:3:28: max-created-machine-count: the maximum 4 is below the minimum 5, raise it, or lower min-created-machine-count"},
		{"same target", input{yaml: ok + "targets:\n- {app-name: a, started-machine-count: 2}\n- {app-name: a, process-group: w, started-machine-count: 2}\n"}, "f.yml:4:14: targets[0].app-name: another target scales the same process group of this app, keep one of them"},

		// Collectors.
		{"empty collector", input{yaml: ok + "metric-collectors:\n- {}\n"}, "f.yml:4:3: metric-collectors[0]: address is required\nf.yml:4:3: metric-collectors[0]: metric-name is required\nf.yml:4:3: metric-collectors[0]: query is required\nf.yml:4:3: metric-collectors[0]: type is required, there is prometheus"},
		{"type", input{yaml: strings.Replace(collector, "prometheus", "prometeus", 1)}, `f.yml:4:9: metric-collectors[0].type: "prometeus" is not valid, did you mean "prometheus"?`},
		{"metric name", input{yaml: strings.Replace(collector, "metric-name: m", "metric-name: max", 1)}, `f.yml:5:16: metric-collectors[0].metric-name: "max" is a function of the expression language`},
		{"metric name twice", input{yaml: collector + "- {type: prometheus, metric-name: m, address: http://x, query: q}\n"}, `f.yml:8:35: metric-collectors[1].metric-name: "m" is already the name of another metric, see f.yml:5:16`},
		{"group-by", input{yaml: collector + "  group-by: app-name\n"}, `f.yml:8:13: metric-collectors[0].group-by: "app-name" is not the name of a label, such as "app"`},
		{"group-by with the app", input{yaml: strings.Replace(collector, "query: ", "query: $APP_NAME", 1) + "  group-by: app\n"}, `f.yml:8:13: metric-collectors[0].group-by: group-by goes with a query about all apps at once, and this one names $APP_NAME, leave one of the two out: sum by (app) (queue_depth)`},
		{"address", input{yaml: strings.Replace(collector, "http://x", "u:p@x/y", 1)}, `f.yml:6:12: metric-collectors[0].address: this is not an absolute http or https URL, want one such as "https://api.fly.io/prometheus/my-org"`},
		{
			"collector of the environment",
			input{yaml: ok, env: []string{"FAS_PROMETHEUS_ADDRESS=api.fly.io"}},
			"FAS_PROMETHEUS_ADDRESS: FAS_PROMETHEUS_METRIC_NAME is required\nFAS_PROMETHEUS_ADDRESS: FAS_PROMETHEUS_QUERY is required\nFAS_PROMETHEUS_ADDRESS: this is not an absolute http or https URL, want one such as \"https://api.fly.io/prometheus/my-org\"",
		},
		{"collector of the flags", input{yaml: ok, flags: []string{"-prometheus.address", "http://x", "-prometheus.query", "q"}}, "-prometheus.address: -prometheus.metric-name is required"},

		// Expressions.
		{"unknown metric", input{yaml: strings.Replace(collector, "count: 1", "count: ceil(n / 10)", 1)}, `f.yml:2:29: started-machine-count: unknown name "n", did you mean m?`},
		{"no metric", input{yaml: "app-name: a\nstarted-machine-count: queue\n"}, `f.yml:2:24: started-machine-count: unknown name "queue", no metric is declared; created, started, starting, stopped, suspended are always known`},
		{"no value", input{yaml: "app-name: a\nstarted-machine-count: 5000000\n"}, "f.yml:2:24: started-machine-count: the expression never has a value: the result 5e+06 is beyond 1000000"},
		{"environment", input{env: []string{"FAS_APP_NAME=a", "FAS_STARTED_MACHINE_COUNT= 1 + nope"}}, `FAS_STARTED_MACHINE_COUNT: column 6: unknown name "nope", no metric is declared; created, started, starting, stopped, suspended are always known`},
		{"second line", input{env: []string{"FAS_APP_NAME=a", "FAS_STARTED_MACHINE_COUNT=1 +\n 'x'"}}, "FAS_STARTED_MACHINE_COUNT: line 2, column 2: text is not part of the language, which is about numbers"},
		{"flag", input{flags: []string{"-app", "a", "-expr", "max(1, cel(2))"}}, `-expr: column 8: unknown function "cel", did you mean ceil?`},

		// Variables.
		{"unknown variable", input{yaml: ok + "org: x-${NOPE}\n"}, "f.yml:3:8: org: the environment has no variable NOPE, set it, or write $${ for the characters ${"},
		{"app name elsewhere", input{yaml: ok + "org: ${APP_NAME}\n"}, "f.yml:3:6: org: the environment has no variable APP_NAME, ${APP_NAME} is known in queries only"},
		{"variable in an expression", input{yaml: "app-name: a\nstarted-machine-count: ${E}\n", env: []string{"E=hunter2"}}, "f.yml:2:24: started-machine-count: the expression is not valid with its variables filled in, write it without ${…} to see why"},
		{"variable in a value", input{yaml: ok + "interval: ${E}\nlog-level: ${E}\nregions: ['${E}']\n", env: []string{"E=hunter2"}}, "f.yml:3:11: interval: the value is not a duration, want a number with its unit, such as \"15s\" or \"1m30s\"\nf.yml:4:12: log-level: the value is not valid, want one of debug, info, warn, error\nf.yml:5:11: regions[0]: the value is not a region, want three lower-case letters, such as \"iad\""},

		{"bounds of two layers", input{env: []string{"FAS_APP_NAME=a", "FAS_MAX_STARTED_MACHINE_COUNT=5"}, flags: []string{"-expr", "1000"}}, "FAS_MAX_STARTED_MACHINE_COUNT: the maximum 5 is below the minimum 1000, raise it, or lower -expr"},

		// All of them, in order.
		{
			"several layers",
			input{yaml: "timeout: 1\napp-name: a b\nmin-started-machine-count: 1 +\n", env: []string{"FAS_INTERVAL=1", "FAS_CONCURRENCY=x", "FAS_REGIONS=iad,x"}, flags: []string{"-listen", "x", "-dry-run=x"}},
			`f.yml:1:10: timeout: "1" is not a duration, did you mean "1s"?
f.yml:2:12: app-name: "a b" is not an app name, which is letters, digits and '-'
f.yml:3:30: min-started-machine-count: unexpected token EOF
FAS_CONCURRENCY: "x" is not valid, want a whole number from 1 to 1000
FAS_INTERVAL: "1" is not a duration, did you mean "1s"?
FAS_REGIONS: column 5: "x" is not a region, want three lower-case letters, such as "iad"
-dry-run: "x" is neither true nor false
-listen: "x" is not an address to listen on, want host:port, such as ":9090" or "127.0.0.1:9090"`,
		},
	} {
		_, _, err := test.in.load(t)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(strings.Split(test.want, "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("%s: want -, got +\n%s", test.name, diff)
		}
	}
}

// The place of a mistake in an expression is found in every way to write one.
// The mistake is the name "bad".
func TestExpressionPositions(t *testing.T) {
	for name, yaml := range map[string]string{
		"plain":             "x: 1 + bad",
		"single quotes":     "x: '1 + bad'",
		"double quotes":     `x: "1 + bad"`,
		"escapes":           `x: "\x31\t+\u0020\U00000031 + bad"`,
		"quotes in comment": "x: '/* it''s ü */ 1 + bad'",
		"escaped line end":  "x: \"1 + \\\n  bad\"",
		"two lines":         "x: 1 +\n  bad",
		"quoted two lines":  "x: '1 +\n\n\n   2 + bad'",
		"literal":           "x: |\n  1 +\n\n    bad\n",
		"literal comment":   "x: | # why\n  // first\n  1 + bad\n",
		"literal indicator": "x: |2-\n    1 +\n    bad\n",
		"literal empty":     "x: |\n\n\n  1 + bad\n",
		"folded":            "x: >-\n  1 +\n  2 +\n\n  bad\n",
		"folded indented":   "x: >\n  1 +\n    2 +\n    bad\n  + 1\n",
		"trailing spaces":   "x: '1 +   \n   bad'",
		"anchor":            "x: &here 1 + bad",
		"tag":               "x: !!str 1 + bad",
		"tag and anchor":    "x: !!str &here '1 + bad'",
		"leading space":     "x: '   1 + bad'",
		"wide":              "x: 1 /* ü世 */ + bad",
		"spaces inside":     "x: 1    +    bad",
		"windows":           "x: |\r\n  1 +\r\n  bad\r\n",
	} {
		yaml = strings.Replace(yaml, "x:", "started-machine-count:", 1) + "\napp-name: a\n"
		before, _, _ := strings.Cut(yaml, "bad")
		line := 1 + strings.Count(before, "\n")
		column := 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
		problems := problemsOf(t, input{yaml: yaml})
		if len(problems) != 1 || problems[0].Line != line || problems[0].Column != column {
			t.Errorf("%s: got %v, want line %d, column %d", name, problems, line, column)
		}
	}
}

// Aliases that stand for more and more end with one problem.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString(ok + "metric-collectors:\n- &c {type: prometheus, metric-name: m, address: http://x, query: q}\n")
	for range 30_000 {
		b.WriteString("- *c\n")
	}
	problems := problemsOf(t, input{yaml: b.String()})
	if len(problems) == 0 || len(problems) > 100 {
		t.Fatalf("got %d problems, want 1 to 100", len(problems))
	}
	if got := problems[0].String(); got != "f.yml: the aliases stand for too much" {
		t.Errorf("got %s", got)
	}

	circle := problemsOf(t, input{yaml: "targets:\n- &a\n  <<: *a\n  app-name: x\n  started-machine-count: 1\n"})
	if len(circle) != 1 || circle[0].Message != "<< goes too deep" {
		t.Errorf("got %v, want that << goes too deep", circle)
	}
}
