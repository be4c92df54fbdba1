package e2e_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// onePlatform has one app with one Machine started and three stopped, and a
// queue of 30. The environment scales it by that.
func onePlatform(t *testing.T) (*platform, []string) {
	t.Helper()
	p := newPlatform(t, briskly+`
apps:
  - app: worker
    org: acme
    release: {version: 3, status: complete}
    machines: [{count: 1, region: iad, state: started, group: app}, {count: 3, region: iad, state: stopped, group: app}]
`)
	p.gauge(t, "acme", "worker", "queue_depth", 30)
	return p, p.env(
		"FAS_APP_NAME=worker", "FAS_API_TOKEN=FlyV1 "+deployToken, "FAS_STARTED_MACHINE_COUNT=ceil(queue_depth / 10)",
		"FAS_PROMETHEUS_ADDRESS="+p.prometheus("acme"), "FAS_PROMETHEUS_METRIC_NAME=queue_depth",
		"FAS_PROMETHEUS_QUERY=sum(queue_depth{app='$APP_NAME'})",
	)
}

// wantResult checks the exit status, and that the output holds all parts, on
// standard error if it is an error.
func wantResult(t *testing.T, r result, code int, parts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit status %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	where := r.stdout
	if code != 0 {
		where = r.stderr
	}
	for _, part := range parts {
		if !strings.Contains(where, part) {
			t.Errorf("the output lacks %q\nstdout: %s\nstderr: %s", part, r.stdout, r.stderr)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	env := []string{"HOME=/nonexistent"}
	for _, c := range []struct {
		name  string
		args  []string
		code  int
		parts []string
	}{
		{"nothing", nil, 2, []string{"Usage:", "serve", "eval", "plan", "once", "validate", "version"}},
		{"help", []string{"help"}, 0, []string{"Usage:", "serve"}},
		{"help of a command", []string{"eval", "-help"}, 0, []string{"-expr expression", "-prometheus.query query"}},
		{"unknown command", []string{"scale"}, 2, []string{`unknown command "scale"`, "Usage:"}},
		{"unknown flag", []string{"eval", "-ap", "worker"}, 2, []string{"fly-autoscaler eval: flag provided but not defined: -ap", "fly-autoscaler eval -help"}},
		{"flag without its value", []string{"eval", "-app"}, 2, []string{"flag needs an argument: -app"}},
		{"unexpected argument", []string{"once", "worker"}, 2, []string{`fly-autoscaler once: unexpected argument "worker"`}},
		{"no settings", []string{"eval"}, 1, []string{"there is no app to scale", "FAS_APP_NAME", "-app"}},
		{"no such file", []string{"validate", "-config", "testdata/none.yml"}, 1, []string{"read the configuration", "testdata/none.yml"}},
		{"no token", []string{"once", "-app", "worker", "-expr", "3"}, 1, []string{"no API token", "fly tokens create deploy -a worker", "FAS_API_TOKEN"}},
		{"no token to serve with", []string{"serve", "-app", "worker", "-expr", "3"}, 1, []string{"no API token"}},
		{"valid", []string{"validate", "--app", "worker", "--expr=3"}, 0, []string{"1 target(s), every 15s", "app worker, process group app"}},
		{"version", []string{"version"}, 0, []string{"fly-autoscaler "}},
		{"version as a flag", []string{"--version"}, 0, []string{"fly-autoscaler "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wantResult(t, command(t, env, c.args...), c.code, c.parts...)
		})
	}
}

// Every problem of a file is told in one run, with its place, by every command,
// and before anything is asked of anybody. Secrets in the wrong place are not
// repeated.
func TestBadYAML(t *testing.T) {
	t.Parallel()
	p, env := onePlatform(t)
	file := filepath.Join(t.TempDir(), "fly-autoscaler.yml")
	text := `app-name: worker
interval: 15
regions: [iad, Frankfurt]
started-machine-count: ceil(queue_dept / 10)
metric-colectors: []
timeout: ${E2E_SECRET}
metric-collectors:
  - type: prometheus
    metric-name: queue_depth
    address: prometheus.internal
    query: sum(queue_depth)
    token: ${E2E_MISSING}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// Only the file is to say how to scale.
	env = append(slices.DeleteFunc(env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name != "FAS_API_TOKEN" && strings.HasPrefix(name, "FAS_")
	}), "E2E_SECRET="+readToken)
	want := []string{
		`:2:11: interval: "15" is not a duration, did you mean "15s"?`,
		`:3:16: regions[1]: "Frankfurt" is not a region`,
		`:4:29: started-machine-count: unknown name "queue_dept", did you mean queue_depth?`,
		`:5:1: metric-colectors: unknown key, did you mean "metric-collectors"?`,
		`:6:10: timeout: the value is not a duration`,
		`:10:14: metric-collectors[0].address: this is not an absolute http or https URL`,
		`:12:12: metric-collectors[0].token: the environment has no variable E2E_MISSING`,
	}
	for _, args := range [][]string{{"validate"}, {"eval"}, {"plan"}, {"once"}, {"once", "-dry-run"}, {"serve"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			r := command(t, env, append(args, "-config", file)...)
			wantResult(t, r, 1)
			if r.stdout != "" {
				t.Errorf("it printed %s", r.stdout)
			}
			lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
			if len(lines) != len(want) {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), r.stderr)
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, file+want[i]) {
					t.Errorf("line %d:\n got %s\nwant %s%s", i+1, line, file, want[i])
				}
			}
		})
	}
	if n := p.requests(t, ""); n > 0 {
		t.Errorf("%d requests were made", n)
	}
}

// What fails while it runs ends with status 1 and says what failed, where.
func TestFailures(t *testing.T) {
	t.Parallel()
	p, env := onePlatform(t)
	with := func(more ...string) []string { return append(slices.Clone(env), more...) }
	dead := deadAddress(t)
	const bad = "fm2_lJPECAAAAAAAAAbad0token"
	for _, c := range []struct {
		name  string
		env   []string
		args  []string
		parts []string
	}{
		{
			"bad token", with("FAS_API_TOKEN="+bad, "FAS_PROMETHEUS_TOKEN=FlyV1 "+deployToken),
			[]string{"once"},
			[]string{`app "worker": list machines for app "worker": GET /v1/apps/worker/machines: 401: unauthorized`},
		},
		{
			"bad token for the list of apps", with("FAS_API_TOKEN="+bad, "FAS_APP_NAME=w*", "FAS_ORG=acme"),
			[]string{"plan"},
			[]string{`organization "acme"`, "401", "You must be authenticated"},
		},
		{
			"bad token for the metrics", with("FAS_PROMETHEUS_TOKEN=" + bad),
			[]string{"eval"},
			[]string{`started-machine-count "ceil(queue_depth / 10)" has no value`, "HTTP status 401", strings.TrimPrefix(p.URL(), "http://")},
		},
		{
			"no metrics server", with("FAS_PROMETHEUS_ADDRESS=http://user:" + bad + "@" + dead),
			[]string{"eval"},
			[]string{`app "worker"`, "has no value", "queue_depth is error", dead, "connection refused"},
		},
		{
			"no metrics server for a pass", with("FAS_PROMETHEUS_ADDRESS=http://" + dead),
			[]string{"once"},
			[]string{"has no value", dead, "connection refused"},
		},
		{
			"no value", env,
			[]string{"eval", "-prometheus.query", "sum(nothing)"},
			[]string{"queue_depth is empty", "no series"},
		},
		{
			"no platform", with("FLY_FLAPS_BASE_URL=http://" + dead),
			[]string{"plan"},
			[]string{`list machines for app "worker"`, dead, "connection refused"},
		},
		{"no such app", env, []string{"once", "-app", "workers"}, []string{`app "workers"`, "404"}},
		{"no app matches", with("FAS_ORG=acme"), []string{"plan", "-app", "web-*"}, []string{"no app matches", "app-name and org"}},
		{"no such organization", with("FAS_ORG=nobody"), []string{"plan", "-app", "web-*"}, []string{`organization "nobody"`}},
		{
			"address in use", with("FAS_LISTEN=" + strings.TrimPrefix(p.URL(), "http://")),
			[]string{"serve"},
			[]string{strings.TrimPrefix(p.URL(), "http://"), `setting "listen"`, "address already in use"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := command(t, c.env, c.args...)
			wantResult(t, r, 1, c.parts...)
			if strings.Contains(r.stdout+r.stderr, bad) {
				t.Errorf("the token is shown:\n%s%s", r.stdout, r.stderr)
			}
			if c.args[0] == "eval" && r.stdout != "" {
				t.Errorf("an unknown count was printed: %s", r.stdout)
			}
		})
	}
	t.Cleanup(func() { // after the parallel subtests
		if got := p.changes(); len(got) > 0 {
			t.Errorf("Machines were changed: %v", got)
		}
	})
}

// deadAddress is a host and port that nobody listens on.
func deadAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// plan -json is for scripts, eval -explain and plan are for people; all tell the
// same decision.
func TestExplaining(t *testing.T) {
	t.Parallel()
	p, env := onePlatform(t)
	var out struct {
		Targets []struct {
			App      string `json:"app"`
			Group    string `json:"process_group"`
			Summary  string `json:"summary"`
			DryRun   bool   `json:"dry_run"`
			Decision struct {
				Have, Want scale.Count
				Samples    []struct {
					Metric string  `json:"metric"`
					Value  float64 `json:"value"`
				} `json:"samples"`
				Steps []scale.Step `json:"steps"`
			} `json:"decision"`
			Limits json.RawMessage `json:"limits"`
			Plan   scale.Plan      `json:"plan"`
		} `json:"targets"`
	}
	text := succeed(t, env, "plan", "-json")
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(out.Targets) != 1 {
		t.Fatalf("%d targets, want 1:\n%s", len(out.Targets), text)
	}
	got := out.Targets[0]
	if got.App != "worker" || got.Group != "app" || !got.DryRun || !strings.Contains(got.Summary, "started 1 → 3") {
		t.Errorf("target: %+v", got)
	}
	sameJSON(t, "limits", string(got.Limits), `{"created":{"min":null,"max":null},"started":{"min":3,"max":3}}`)
	if want := (scale.Count{Created: 4, Started: 3}); got.Decision.Want != want {
		t.Errorf("%+v wanted, want %+v", got.Decision.Want, want)
	}
	if s := got.Decision.Samples; len(s) != 1 || s[0].Metric != "queue_depth" || s[0].Value != 30 {
		t.Errorf("samples: %+v", s)
	}
	if got.Plan.Count(scale.Start) != 2 || len(got.Plan.Actions) != 2 {
		t.Errorf("plan: %+v", got.Plan.Actions)
	}
	stages := []string{}
	for _, s := range got.Decision.Steps {
		stages = append(stages, s.Stage)
	}
	if diff := cmp.Diff([]string{scale.StageInventory, scale.StageTargets}, stages); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}

	explained := succeed(t, env, "eval", "-explain")
	for _, text := range []string{explained, succeed(t, env, "plan")} {
		for _, want := range []string{
			`(?m)^worker$`, `(?m)^  metric +queue_depth +30 `,
			`(?m)^  inventory .*4 created: 1 started, 3 stopped`,
			`(?m)^  targets +created 4 +started 1 → 3 +started ceil\(queue_depth / 10\) = 3 with queue_depth 30`,
			`(?m)^  start +iad `,
		} {
			if !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("no line matches %q:\n%s", want, text)
			}
		}
	}
	var limits scaleLimits
	if err := json.NewDecoder(strings.NewReader(explained)).Decode(&limits); err != nil || limits.Started.Min != 3 {
		t.Errorf("eval -explain does not begin with the JSON of eval (%v):\n%s", err, explained)
	}
	if got := p.changes(); len(got) > 0 {
		t.Errorf("Machines were changed: %v", got)
	}
}

// scaleLimits is what scripts read of eval.
type scaleLimits struct {
	Started struct{ Min, Max int }
}

// Logs in JSON are JSON from the first line to the last.
func TestLogsInJSON(t *testing.T) {
	t.Parallel()
	p, env := onePlatform(t)
	s := start(t, append(slices.Clone(env), endAtOnce, "FAS_VERBOSE=true"), "-log-format", "json")
	eventually(t, 20*time.Second, "three Machines started", func() bool {
		return p.count(t, "worker", "app", scale.StateStarted) == 3
	})
	s.stop(t)
	noSecrets(t, "the log", s.log.String())
	seen := map[string]bool{}
	for line := range strings.Lines(s.log.String()) {
		var entry struct {
			Time  time.Time `json:"time"`
			Level string    `json:"level"`
			Msg   string    `json:"msg"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("a line is not JSON: %v\n%s", err, line)
			continue
		}
		if entry.Time.IsZero() || entry.Level == "" || entry.Msg == "" {
			t.Errorf("a line lacks time, level or message: %s", line)
		}
		seen[entry.Msg] = true
	}
	for _, msg := range []string{"serving", "ready", "scale", "action", "stopping"} {
		if !seen[msg] {
			t.Errorf("no entry %q:\n%s", msg, s.log)
		}
	}
}

// The HTTP face: ready only after the platform has answered, and counting what
// was done under the names that dashboards and alerts know.
func TestHTTPFace(t *testing.T) {
	t.Parallel()
	p, env := onePlatform(t)
	outage := p.fault(t, sim.Fault{Kind: sim.FaultError, Status: 503, Op: "machine_list"})
	s := daemon(t, append(env, "FAS_INTERVAL=500ms"))
	eventually(t, 10*time.Second, "the Machines are asked for", func() bool {
		return slices.ContainsFunc(p.world.Faults(), func(f sim.FaultStatus) bool { return f.Struck > 0 })
	})
	if status, body := getStatus(t, s.address+"/readyz?verbose"); status != 503 || !strings.HasPrefix(body, "not ready") {
		t.Errorf("/readyz before the platform has answered: %d %s", status, body)
	}
	if status, _ := getStatus(t, s.address+"/healthz"); status != 200 {
		t.Errorf("/healthz before the platform has answered: %d", status)
	}
	if !p.world.DropFault(outage) {
		t.Fatal("the fault is gone")
	}
	eventually(t, 20*time.Second, "ready", func() bool {
		status, _ := getStatus(t, s.address+"/readyz")
		return status == 200
	})
	eventually(t, 20*time.Second, "three Machines started", func() bool {
		return p.count(t, "worker", "app", scale.StateStarted) == 3
	})
	p.gauge(t, "acme", "worker", "queue_depth", 10)
	eventually(t, 20*time.Second, "one Machine started", func() bool {
		return p.count(t, "worker", "app", scale.StateStarted) == 1
	})
	awaitPasses(t, s, 2)
	for name, want := range map[string]float64{
		`fas_machine_start_count{status="ok"}`: 2, `fas_machine_start_count{status="failed"}`: 0,
		`fas_machine_stop_count{status="ok"}`: 2, `fas_machine_stop_count{status="failed"}`: 0,
		`fas_machine_create_count{status="ok"}`: 0, `fas_machine_destroy_count{status="ok"}`: 0,
		`fas_reconcile_count{status="start"}`: 1, `fas_reconcile_count{status="stop"}`: 1,
		`fas_reconcile_count{status="create"}`: 0, `fas_reconcile_count{status="destroy"}`: 0,
	} {
		if got, ok := series(t, s, name); !ok || got != want {
			t.Errorf("%s is %g (there: %v), want %g", name, got, ok, want)
		}
	}
	if idle, ok := series(t, s, `fas_reconcile_count{status="no_scale"}`); !ok || idle < 1 {
		t.Errorf("%g passes without a change (there: %v)", idle, ok)
	}
	if _, ok := series(t, s, `fas_reconcile_count{status="failed"}`); !ok {
		t.Error("failed passes are not counted")
	}
	if status, _ := getStatus(t, s.address+"/nothing"); status != 404 {
		t.Errorf("/nothing: %d, want 404", status)
	}
}

// A token that the platform refuses is a matter for the log, not for giving up:
// it may be given its rights, and nothing is ready until then.
func TestServeWithARefusedToken(t *testing.T) {
	t.Parallel()
	p, env := onePlatform(t)
	s := daemon(t, append(env, "FAS_API_TOKEN=FlyV1 "+readToken, "FAS_INTERVAL=300ms"))
	awaitPasses(t, s, 3)
	if status, body := getStatus(t, s.address+"/readyz?verbose"); status != 503 || !strings.Contains(body, "1 of the last ones failed") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	// Told once, although each refusal carries another request's identifier.
	if n := strings.Count(s.log.String(), "401: unauthorized"); n != 1 {
		t.Errorf("the log tells of the refusal %d times, want once:\n%s", n, s.log)
	}
	if failed, _ := series(t, s, `fas_reconcile_count{status="failed"}`); failed < 3 {
		t.Errorf("%g failed passes are counted, want at least 3", failed)
	}
	if got := p.changes(); len(got) > 0 {
		t.Errorf("Machines were changed: %v", got)
	}
}
