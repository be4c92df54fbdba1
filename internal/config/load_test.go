package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// input is what a test loads: the three layers as text.
type input struct {
	yaml  string
	env   []string
	flags []string
}

func (in input) load(t testing.TB) (*config.Settings, []config.Warning, error) {
	t.Helper()
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	flags := config.RegisterFlags(fs)
	if err := fs.Parse(in.flags); err != nil {
		t.Fatalf("parse flags: %v", err)
	}
	arg := config.Input{Environ: in.env, Flags: flags}
	if in.yaml != "" {
		arg.Path, arg.File = "f.yml", []byte(in.yaml)
	}
	return config.Load(arg)
}

func (in input) mustLoad(t testing.TB) *config.Settings {
	t.Helper()
	s, _, err := in.load(t)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return s
}

// programs compares expressions by their source.
var programs = cmp.Comparer(func(a, b *expr.Program) bool {
	return (a == nil) == (b == nil) && (a == nil || a.String() == b.String())
})

func compile(t testing.TB, src string, metrics ...string) *expr.Program {
	t.Helper()
	p, err := expr.Compile(src, metrics)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What was published for earlier versions keeps its meaning.
func TestPublishedConfigurations(t *testing.T) {
	t.Run("flags", func(t *testing.T) {
		got := input{
			env: []string{"FLY_ACCESS_TOKEN=FlyV1 abc"},
			flags: []string{
				"-org", "MYORG", "-app", "MYAPP", "-prometheus.address", "https://api.fly.io/prometheus/MYORG",
				"-prometheus.query", "sum(fly_instance_up{app='MYAPP'})", "-prometheus.metric-name", "instance_up",
				"-expr", "max(instance_up, 5)",
			},
		}.mustLoad(t)
		want := config.Defaults()
		want.Org = "MYORG"
		want.Sources = []string{"flags"}
		want.Targets = []config.Target{{
			Name: "flat", AppPattern: "MYAPP", Org: "MYORG", Group: "app", APIToken: "FlyV1 abc", Launch: true,
			MinStarted: compile(t, "max(instance_up, 5)", "instance_up"),
			Collectors: []config.Collector{{
				Type: "prometheus", MetricName: "instance_up", Address: "https://api.fly.io/prometheus/MYORG",
				Query: "sum(fly_instance_up{app='MYAPP'})", Token: "FlyV1 abc",
			}},
		}}
		if diff := cmp.Diff(&want, got, programs); diff != "" {
			t.Errorf("want -, got +\n%s", diff)
		}
	})
	t.Run("environment", func(t *testing.T) {
		env := []string{
			"FAS_APP_NAME=TARGET_APP_NAME", "FAS_STARTED_MACHINE_COUNT=ceil(queue_depth / 10)",
			"FAS_PROMETHEUS_ADDRESS=https://example.workers.dev:443/https/api.fly.io/prometheus/MY_ORG",
			"FAS_PROMETHEUS_METRIC_NAME=queue_depth", "FAS_PROMETHEUS_QUERY=sum(queue_depth)",
			"FAS_API_TOKEN=FlyV1 scale", "FAS_PROMETHEUS_TOKEN=FlyV1 read",
		}
		got := input{env: env}.mustLoad(t)
		want := config.Defaults()
		want.Sources = []string{"environment"}
		started := compile(t, "ceil(queue_depth / 10)", "queue_depth")
		want.Targets = []config.Target{{
			Name: "flat", AppPattern: "TARGET_APP_NAME", Group: "app", APIToken: "FlyV1 scale", Launch: true,
			MinStarted: started, MaxStarted: started,
			Collectors: []config.Collector{{
				Type: "prometheus", MetricName: "queue_depth", Address: "https://example.workers.dev:443/https/api.fly.io/prometheus/MY_ORG",
				Query: "sum(queue_depth)", Token: "FlyV1 read",
			}},
		}}
		if diff := cmp.Diff(&want, got, programs); diff != "" {
			t.Errorf("want -, got +\n%s", diff)
		}
		again := input{env: append(env, "FAS_STARTED_MACHINE_COUNT=queue_depth")}.mustLoad(t)
		if got := again.Targets[0].MinStarted.String(); got != "queue_depth" {
			t.Errorf("with another count: got %q, want queue_depth", got)
		}
	})
	t.Run("many apps", func(t *testing.T) {
		got := input{env: []string{
			"FAS_ORG=my-org", "FAS_APP_NAME=my-app-*", "FAS_API_TOKEN=FlyV1 x", "FAS_STARTED_MACHINE_COUNT=connection_count",
			"FAS_PROMETHEUS_ADDRESS=https://api.fly.io/prometheus/my-org", "FAS_PROMETHEUS_METRIC_NAME=connection_count",
			"FAS_PROMETHEUS_QUERY=sum(connection_count{app='$APP_NAME'})",
		}}.mustLoad(t).Targets[0]
		if !got.Wildcard() || got.Org != "my-org" || got.Collectors[0].Query != "sum(connection_count{app='$APP_NAME'})" {
			t.Errorf("got %+v", got)
		}
	})
}

const everyKey = `
app-name: my-app
org: my-org
regions: [iad, ord]
process-group: worker
min-created-machine-count: 1
max-created-machine-count: 10
initial-machine-state: stopped
started-machine-count: ceil(queue_depth / 10)
concurrency: 5
interval: 20s
timeout: 1m
app-list-refresh-interval: 5m
api-token: ${TOKEN}
listen: 127.0.0.1:0
store-dir: /data
journal-retention: 48h
journal-entries: 5000
dry-run: true
log-format: json
log-level: warn
metric-collectors:
  - type: prometheus
    metric-name: queue_depth
    address: http://prometheus.internal:9090/
    query: sum(queue_depth{app='$APP_NAME'})
    token: $METRICS_TOKEN
targets:
  - app-name: web-*
    created-machine-count: 3
  - app-name: other
    org: other-org
    api-token: other-token
    regions: fra, ams
    max-started-machine-count: load
    metric-collectors:
      - {type: prometheus, metric-name: load, address: "https://api.fly.io/prometheus/x", query: load}
`

func TestEveryKey(t *testing.T) {
	got := input{yaml: everyKey, env: []string{"TOKEN=t1", "METRICS_TOKEN=t2"}}.mustLoad(t)
	started := compile(t, "ceil(queue_depth / 10)", "queue_depth")
	created := compile(t, "3")
	shared := []config.Collector{{
		Type: "prometheus", MetricName: "queue_depth", Address: "http://prometheus.internal:9090",
		Query: "sum(queue_depth{app='$APP_NAME'})", Token: "t2",
	}}
	want := &config.Settings{
		Org: "my-org", MachinesURL: "https://api.machines.dev", GraphQLURL: "https://api.fly.io",
		Interval: 20 * time.Second, Timeout: time.Minute, AppListRefreshInterval: 5 * time.Minute, Concurrency: 5,
		StoreDir: "/data", JournalRetention: 48 * time.Hour, JournalEntries: 5000,
		Listen: "127.0.0.1:0", DryRun: true, LogFormat: "json", LogLevel: slog.LevelWarn, Sources: []string{"f.yml"},
		Targets: []config.Target{
			{
				Name: "flat", AppPattern: "my-app", Org: "my-org", Group: "worker", APIToken: "t1", Regions: []scale.Region{"iad", "ord"},
				MinCreated: compile(t, "1"), MaxCreated: compile(t, "10"), MinStarted: started, MaxStarted: started, Collectors: shared,
			},
			{
				Name: "targets[0]", AppPattern: "web-*", Org: "my-org", Group: "app", APIToken: "t1", Launch: true,
				MinCreated: created, MaxCreated: created, Collectors: shared,
			},
			{
				Name: "targets[1]", AppPattern: "other", Org: "other-org", Group: "app", APIToken: "other-token", Launch: true,
				Regions: []scale.Region{"fra", "ams"}, MaxStarted: compile(t, "load", "load"),
				Collectors: []config.Collector{{
					Type: "prometheus", MetricName: "load", Address: "https://api.fly.io/prometheus/x", Query: "load", Token: "other-token",
				}},
			},
		},
	}
	if diff := cmp.Diff(want, got, programs); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

// every variable, and every flag over it.
func TestEveryVariableAndFlag(t *testing.T) {
	env := []string{
		"FAS_APP_NAME=env-app", "FAS_ORG=env-org", "FAS_REGIONS= iad , ord,", "FAS_PROCESS_GROUP=env-group",
		"FAS_MIN_CREATED_MACHINE_COUNT=1", "FAS_MAX_CREATED_MACHINE_COUNT=9", "FAS_MIN_STARTED_MACHINE_COUNT=2",
		"FAS_MAX_STARTED_MACHINE_COUNT=3", "FAS_INITIAL_MACHINE_STATE=stopped", "FAS_CONCURRENCY=2", "FAS_INTERVAL=1s",
		"FAS_TIMEOUT=2s", "FAS_APP_LIST_REFRESH_INTERVAL=3s", "FAS_API_TOKEN=env-token", "FAS_PROMETHEUS_ADDRESS=http://env",
		"FAS_PROMETHEUS_METRIC_NAME=m", "FAS_PROMETHEUS_QUERY=env_query", "FAS_PROMETHEUS_TOKEN=env-metrics", "FAS_LISTEN=:1",
		"FAS_DRY_RUN=true", "FAS_LOG_FORMAT=json", "FAS_LOG_LEVEL=error", "FAS_CONFIG=x.yml",
		"FAS_STORE_DIR=/env", "FAS_JOURNAL_RETENTION=2h", "FAS_JOURNAL_ENTRIES=200",
		"FLY_API_BASE_URL=http://127.0.0.1:1/", "FLY_FLAPS_BASE_URL=http://127.0.0.1:2",
	}
	two, three := compile(t, "2"), compile(t, "3")
	want := &config.Settings{
		Org: "env-org", GraphQLURL: "http://127.0.0.1:1", MachinesURL: "http://127.0.0.1:2",
		Interval: time.Second, Timeout: 2 * time.Second, AppListRefreshInterval: 3 * time.Second, Concurrency: 2,
		StoreDir: "/env", JournalRetention: 2 * time.Hour, JournalEntries: 200,
		Listen: ":1", DryRun: true, LogFormat: "json", LogLevel: slog.LevelError, Sources: []string{"environment"},
		Targets: []config.Target{{
			Name: "flat", AppPattern: "env-app", Org: "env-org", Group: "env-group", APIToken: "env-token",
			Regions: []scale.Region{"iad", "ord"}, MinCreated: compile(t, "1"), MaxCreated: compile(t, "9"), MinStarted: two, MaxStarted: three,
			Collectors: []config.Collector{{Type: "prometheus", MetricName: "m", Address: "http://env", Query: "env_query", Token: "env-metrics"}},
		}},
	}
	if diff := cmp.Diff(want, input{env: env}.mustLoad(t), programs); diff != "" {
		t.Errorf("environment: want -, got +\n%s", diff)
	}

	flags := []string{
		"-app", "flag-app", "--org", "flag-org", "-process-group=flag-group", "-regions", "fra", "-concurrency", "3", "-interval", "4s",
		"-timeout", "5s", "-listen", ":2", "-store-dir", "/flag", "-dry-run=false", "-log-format", "text", "-log-level", "debug", "-expr", "m",
		"-prometheus.address", "http://flag", "-prometheus.query", "flag_query", "-prometheus.metric-name", "m",
		"-prometheus.token", "flag-metrics",
	}
	want.Org, want.Interval, want.Timeout, want.Concurrency = "flag-org", 4*time.Second, 5*time.Second, 3
	want.StoreDir = "/flag"
	want.Listen, want.DryRun, want.LogFormat, want.LogLevel = ":2", false, "text", slog.LevelDebug
	want.Sources = []string{"environment", "flags"}
	target := &want.Targets[0]
	target.AppPattern, target.Org, target.Group, target.Regions = "flag-app", "flag-org", "flag-group", []scale.Region{"fra"}
	target.MinStarted = compile(t, "m", "m") // and the maximum of the environment stays
	target.Collectors = []config.Collector{{Type: "prometheus", MetricName: "m", Address: "http://flag", Query: "flag_query", Token: "flag-metrics"}}
	if diff := cmp.Diff(want, input{env: env, flags: flags}.mustLoad(t), programs); diff != "" {
		t.Errorf("flags over environment: want -, got +\n%s", diff)
	}
}

func TestLayers(t *testing.T) {
	counts := func(t config.Target) string {
		var b strings.Builder
		for _, p := range []*expr.Program{t.MinCreated, t.MaxCreated, t.MinStarted, t.MaxStarted} {
			if p == nil {
				b.WriteString("- ")
			} else {
				b.WriteString(p.String() + " ")
			}
		}
		return strings.TrimSpace(b.String())
	}
	base := "app-name: a\nmin-started-machine-count: 1\nmax-started-machine-count: 2\ncreated-machine-count: 3\n"
	for _, test := range []struct {
		name string
		in   input
		want string // the counts: min and max created, min and max started
	}{
		{"file", input{yaml: base}, "3 3 1 2"},
		{"exact over bounds", input{yaml: base, env: []string{"FAS_STARTED_MACHINE_COUNT=7"}}, "3 3 7 7"},
		{"bound over bounds", input{yaml: base, env: []string{"FAS_MAX_STARTED_MACHINE_COUNT=7"}}, "3 3 1 7"},
		{"bounds over exact", input{yaml: base, env: []string{"FAS_MIN_CREATED_MACHINE_COUNT=7"}}, "7 - 1 2"},
		{"bounds over bounds", input{yaml: base, env: []string{"FAS_MIN_STARTED_MACHINE_COUNT=7", "FAS_MAX_STARTED_MACHINE_COUNT=8"}}, "3 3 7 8"},
		{"exact over all below", input{yaml: base, env: []string{"FAS_MAX_STARTED_MACHINE_COUNT=7", "FAS_CREATED_MACHINE_COUNT=4"}}, "4 4 1 7"},
		{"bound over exact over bounds", input{yaml: base, env: []string{"FAS_STARTED_MACHINE_COUNT=7"}, flags: []string{"-expr", "5"}}, "3 3 5 -"},
		{"expr under a maximum", input{yaml: base, flags: []string{"-expr", "0"}}, "3 3 0 2"},
		{"expr and the environment's maximum", input{env: []string{"FAS_APP_NAME=a", "FAS_MAX_STARTED_MACHINE_COUNT=5"}, flags: []string{"-expr", "started + 1000"}}, "- - started + 1000 5"},
		{"flag over environment", input{env: []string{"FAS_APP_NAME=a", "FAS_STARTED_MACHINE_COUNT=7"}, flags: []string{"-expr", "5"}}, "- - 5 -"},
		{"empty is absent", input{yaml: base, env: []string{"FAS_STARTED_MACHINE_COUNT= "}}, "3 3 1 2"},
	} {
		if got := counts(test.in.mustLoad(t).Targets[0]); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}

	for _, test := range []struct {
		name string
		in   input
		want slog.Level
	}{
		{"default", input{}, slog.LevelInfo},
		{"verbose", input{yaml: "verbose: true\n"}, slog.LevelDebug},
		{"level beside verbose", input{yaml: "verbose: true\nlog-level: warn\n"}, slog.LevelWarn},
		{"verbose over level", input{yaml: "log-level: warn\n", flags: []string{"-verbose"}}, slog.LevelDebug},
		{"level over verbose", input{env: []string{"FAS_VERBOSE=yes"}, flags: []string{"-log-level=error"}}, slog.LevelError},
		{"not verbose over level", input{yaml: "log-level: warn\n", env: []string{"FAS_VERBOSE=false"}}, slog.LevelWarn},
	} {
		test.in.env = append(test.in.env, "FAS_APP_NAME=a", "FAS_STARTED_MACHINE_COUNT=1")
		if got := test.in.mustLoad(t).LogLevel; got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// The collector of the environment replaces its namesake in the file and stands
// beside the others.
func TestPrometheusOverFile(t *testing.T) {
	yaml := `
app-name: a
started-machine-count: x + y
metric-collectors:
  - {type: prometheus, metric-name: x, address: http://file, query: x, token: file}
  - {type: prometheus, metric-name: y, address: http://file, query: y}
`
	for name, want := range map[string]string{"x": "x@env y@file", "z": "x@file y@file z@env"} {
		env := []string{"FAS_PROMETHEUS_ADDRESS=http://env", "FAS_PROMETHEUS_QUERY=q", "FAS_PROMETHEUS_METRIC_NAME=" + name}
		var got []string
		for _, c := range (input{yaml: yaml, env: env}).mustLoad(t).Targets[0].Collectors {
			got = append(got, c.MetricName+"@"+strings.TrimPrefix(c.Address, "http://"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := (input{yaml: yaml, env: []string{"FAS_PROMETHEUS_TOKEN=t"}}).mustLoad(t).Targets[0].Collectors; len(got) != 2 {
		t.Errorf("a token alone declares a collector: %+v", got)
	}
}

func TestAPIToken(t *testing.T) {
	const file = "app-name: a\nstarted-machine-count: 1\n"
	for _, test := range []struct {
		name string
		in   input
		want scale.Secret
	}{
		{"none", input{yaml: file}, ""},
		{"file", input{yaml: file + "api-token: f\n", env: []string{"FLY_ACCESS_TOKEN=x", "FLY_API_TOKEN=y"}}, "f"},
		{"environment", input{yaml: file + "api-token: f\n", env: []string{"FAS_API_TOKEN=e"}}, "e"},
		{"access token", input{yaml: file, env: []string{"FLY_ACCESS_TOKEN=x", "FLY_API_TOKEN=y"}}, "x"},
		{"api token", input{yaml: file, env: []string{"FLY_API_TOKEN=y"}}, "y"},
	} {
		s := test.in.mustLoad(t)
		if got := s.Targets[0].APIToken; string(got) != string(test.want) {
			t.Errorf("%s: got %q, want %q", test.name, string(got), string(test.want))
		}
		if err := s.RequireToken(); (err == nil) != (test.want != "") {
			t.Errorf("%s: got %v from RequireToken", test.name, err)
		}
	}
	err := input{env: []string{"FAS_APP_NAME=a-*", "FAS_ORG=o", "FAS_STARTED_MACHINE_COUNT=1"}}.mustLoad(t).RequireToken()
	want := `no API token for app "a-*": create one with "fly tokens create org -o o" and set it as FAS_API_TOKEN (on Fly: fly secrets set FAS_API_TOKEN=…)`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Fly's own metrics are read with the API token; nobody else gets it.
func TestMetricsToken(t *testing.T) {
	for address, want := range map[string]string{
		"https://api.fly.io/prometheus/o": "api", "http://api.fly.io/prometheus/o": "", "https://api.fly.io.example/": "", "https://prometheus.example": "",
		"https://api.fly.io:444/": "",
	} {
		s := input{env: []string{
			"FAS_APP_NAME=a", "FAS_STARTED_MACHINE_COUNT=m", "FAS_API_TOKEN=api", "FAS_PROMETHEUS_ADDRESS=" + address,
			"FAS_PROMETHEUS_QUERY=q", "FAS_PROMETHEUS_METRIC_NAME=m",
		}}.mustLoad(t)
		if got := string(s.Targets[0].Collectors[0].Token); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}

func TestVariables(t *testing.T) {
	env := []string{"NAME=value", "APP_NAME=wrong", "NUM=4", "LONG_NAME=long"}
	for _, test := range []struct{ key, written, want string }{
		{"query", "x{a='${NAME}'}", "x{a='value'}"},
		{"query", "x{a='$NAME'}", "x{a='$NAME'}"},
		{"query", "x{a='$APP_NAME',b='${APP_NAME}'}", "x{a='$APP_NAME',b='${APP_NAME}'}"},
		{"query", "label_replace(x, 'a', '$1-${2}', 'b', '(.*)$')", "label_replace(x, 'a', '$1-${2}', 'b', '(.*)$')"},
		{"query", "$${NAME} $$", "${NAME} $$"},
		{"token", "$NAME", "value"},
		{"token", "a$NAME/${NAME}", "avalue/value"},
		{"token", "pa$$word$UNSET$", "pa$$word$UNSET$"},
		{"token", "$LONG_NAME", "long"},
		{"token", "$NAME_X", "$NAME_X"},
		{"token", "${NAME", "${NAME"},
	} {
		yaml := "app-name: a\nstarted-machine-count: ${NUM}\nmetric-collectors:\n  - type: prometheus\n    metric-name: m\n    address: http://x\n    " +
			test.key + `: "` + test.written + "\"\n"
		if test.key != "query" {
			yaml += "    query: q\n"
		}
		s := input{yaml: yaml, env: env}.mustLoad(t)
		c := s.Targets[0].Collectors[0]
		if got := map[string]string{"query": c.Query, "token": string(c.Token)}[test.key]; got != test.want {
			t.Errorf("%s %s: got %s, want %s", test.key, test.written, got, test.want)
		}
		if got := s.Targets[0].MinStarted.String(); got != "4" {
			t.Errorf("got count %s, want 4", got)
		}
	}
}

// Anchors, aliases and merge keys mean what they mean in YAML.
func TestYAMLFeatures(t *testing.T) {
	s := input{yaml: `
targets:
  - &first
    app-name: a
    regions: &where [iad]
    created-machine-count: &count !!str 3
    metric-collectors: &sources
      - {type: prometheus, metric-name: m, address: http://x, query: q}
  - {<<: *first, app-name: b, created-machine-count: m}
  - <<: [{app-name: c}, *first]
    regions: *where
  - app-name: d
    started-machine-count: *count
    metric-collectors: *sources
`}.mustLoad(t)
	var got []string
	for _, target := range s.Targets {
		line := target.AppPattern + " " + target.Collectors[0].MetricName
		if target.MinCreated != nil {
			line += " created " + target.MinCreated.String()
		}
		if target.MinStarted != nil {
			line += " started " + target.MinStarted.String()
		}
		for _, r := range target.Regions {
			line += " " + string(r)
		}
		got = append(got, line)
	}
	want := []string{"a m created 3 iad", "b m created m iad", "c m created 3 iad", "d m started 3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// However settings are printed, tokens are not.
func TestSecretsDoNotPrint(t *testing.T) {
	s := input{yaml: everyKey, env: []string{"TOKEN=hunter2", "METRICS_TOKEN=hunter2"}}.mustLoad(t)
	encoded, err := json.Marshal(s.Targets[0].Collectors)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v", *s, s.Targets), string(encoded)} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("a token shows: %s", shown)
		}
	}
}

func TestWarnings(t *testing.T) {
	_, warnings, err := input{
		yaml: "regions: [iad]\ntargets:\n  - {app-name: MyApp, started-machine-count: 1}\n",
		env:  []string{"FAS_INTERVALL=3s", "FAS_TEMPORAL_ADDRESS=x", "FAS_PROMETHEUS_QUERY=q", "OTHER=1"},
	}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.String())
	}
	want := []string{
		"f.yml:1:11: regions[0]: has no effect, because there is no app-name at the top level; targets have their own",
		"f.yml:3:16: targets[0].app-name: app names on Fly are lower case",
		"FAS_INTERVALL: unknown variable, did you mean FAS_INTERVAL?",
		"FAS_PROMETHEUS_QUERY: has no effect, because FAS_PROMETHEUS_ADDRESS is not set",
		"FAS_TEMPORAL_ADDRESS: unknown variable",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProblemsAreErrors(t *testing.T) {
	_, _, err := input{yaml: "app-name: a\nintervall: 3s\nstarted-machine-count: 1\n"}.load(t)
	problems, ok := errors.AsType[config.Problems](err)
	if !ok || len(problems) != 1 {
		t.Fatalf("got %v, want one problem", err)
	}
	want := config.Problem{File: "f.yml", Line: 2, Column: 1, Path: "intervall", Message: "unknown key", Hint: `did you mean "interval"?`}
	if diff := cmp.Diff(want, problems[0]); diff != "" {
		t.Error(diff)
	}
	if one, ok := errors.AsType[config.Problem](err); !ok || one != want {
		t.Errorf("got %v as a single problem", one)
	}
}

func TestConfigPath(t *testing.T) {
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	flags := config.RegisterFlags(fs)
	env := []string{"FAS_CONFIG=env.yml"}
	if got := config.ConfigPath(flags, nil); got != "" {
		t.Errorf("got %q, want none", got)
	}
	if got := config.ConfigPath(flags, env); got != "env.yml" {
		t.Errorf("got %q, want env.yml", got)
	}
	if err := fs.Parse([]string{"-config", "flag.yml"}); err != nil {
		t.Fatal(err)
	}
	if got := config.ConfigPath(flags, env); got != "flag.yml" {
		t.Errorf("got %q, want flag.yml", got)
	}
}

func TestMatchApp(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"my-app", "my-app", true},
		{"my-app", "my-app-1", false},
		{"my-app-*", "my-app-1", true},
		{"my-app-*", "some-other-app", false},
		{"my-app-*", "my-app-", true},
		{"*", "", true},
		{"*", "x", true},
		{"*-worker", "a-worker", true},
		{"*-worker", "a-workers", false},
		{"a*b*c", "abc", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "acb", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"*ab*ab", "ab", false},
		{"*ab*ab", "abab", true},
		{"a**b", "axb", true},
		{"", "", true},
		{"", "x", false},
	} {
		if got := config.MatchApp(test.pattern, test.name); got != test.want {
			t.Errorf("%q, %q: got %t, want %t", test.pattern, test.name, got, test.want)
		}
	}
}

// problemsOf loads what must not load.
func problemsOf(t testing.TB, in input) config.Problems {
	t.Helper()
	_, _, err := in.load(t)
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		t.Fatalf("got error %v, want problems", err)
	}
	return problems
}
