package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// These tests run what earlier versions published, with the names and addresses
// of the simulated platform in the place of MYAPP, MYORG and https://api.fly.io.

// Tokens for tests that look for them in everything the program shows.
const (
	deployToken = "fm2_lJPECAAAAAAAAdeploy0token0for0machines"
	readToken   = "fm2_lJPECAAAAAAAAreadonly0token0for0metrics"
)

// briskly begins scenarios whose Machines are quicker than real ones: these tests
// are about what is asked of the platform, not about how long it takes.
const briskly = `
tokens: [` + deployToken + `]
metrics: {interval: 1s}
timings:
  prepare: {min: 100ms, max: 200ms}
  boot: {min: 100ms, max: 200ms}
  start: {min: 100ms, max: 200ms}
  stop: {min: 100ms, max: 200ms}
  destroy: {min: 100ms, max: 200ms}
`

// endAtOnce keeps the race detector from waiting a second before each end of the
// program.
const endAtOnce = "GORACE=atexit_sleep_ms=0"

// noSecrets fails the test if the text has a token in it.
func noSecrets(t *testing.T, where, text string) {
	t.Helper()
	for _, token := range []string{deployToken, readToken} {
		if strings.Contains(text, token) {
			t.Errorf("%s shows the token %s:\n%s", where, token, text)
		}
	}
}

// command runs a command to its end, as run does. What it prints must hold no
// secrets.
func command(t *testing.T, env []string, args ...string) result {
	t.Helper()
	r := run(t, append(slices.Clone(env), endAtOnce), args...)
	noSecrets(t, strings.Join(args, " "), r.stdout+r.stderr)
	return r
}

// succeed runs a command that must end with status 0, and returns what it
// prints.
func succeed(t *testing.T, env []string, args ...string) string {
	t.Helper()
	r := command(t, env, args...)
	if r.code != 0 {
		t.Fatalf("%v: exit status %d, want 0\n%s%s", args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// daemon starts "serve", as serve does. Neither its log nor its HTTP face may
// hold secrets; both are looked through when the test ends.
func daemon(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	var s *process
	// Cleanups run last first: this one after the program has ended.
	t.Cleanup(func() {
		if s != nil {
			noSecrets(t, "the log", s.log.String())
		}
	})
	s = serve(t, append(slices.Clone(env), endAtOnce), args...)
	t.Cleanup(func() {
		if !s.running() {
			return
		}
		for _, path := range []string{"/", "/healthz", "/readyz?verbose", "/metrics", "/api/v1/targets"} {
			// The test's context has ended by now.
			resp, err := new(http.Client).Get(s.address + path)
			if err != nil {
				t.Errorf("GET %s: %v", path, err)
				continue
			}
			var body bytes.Buffer
			_, err = body.ReadFrom(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Errorf("GET %s: %v", path, err)
			}
			noSecrets(t, path, body.String())
		}
	})
	return s
}

// series returns the value of one series of the program's own metrics, and
// whether it is there.
func series(t *testing.T, s *process, name string) (float64, bool) {
	t.Helper()
	for line := range strings.Lines(get(t, s.address+"/metrics")) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatalf("metric %s: %v", name, err)
			}
			return value, true
		}
	}
	return 0, false
}

// awaitPasses waits until n more passes were made.
func awaitPasses(t *testing.T, s *process, n int) {
	t.Helper()
	const name = "fas_pass_duration_seconds_count"
	before, _ := series(t, s, name)
	eventually(t, 20*time.Second, strconv.Itoa(n)+" more passes", func() bool {
		now, _ := series(t, s, name)
		return now >= before+float64(n)
	})
}

// words splits a command as the shell does.
func words(t *testing.T, commandLine string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `set -- `+commandLine+`; printf '%s\n' "$@"`).Output()
	if err != nil {
		t.Fatalf("split %q: %v", commandLine, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// shell runs a line with the shell, which finds the program by its name.
func shell(t *testing.T, env []string, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Env = append(slices.Clone(env), endAtOnce, "PATH="+filepath.Dir(program))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	noSecrets(t, line, string(out)+stderr.String())
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, stderr.String())
	}
	return string(out)
}

// sameJSON compares JSON by its meaning.
func sameJSON(t *testing.T, what, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s printed no JSON: %v\n%s", what, err, got)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// changes is every change that was made to Machines.
func (p *platform) changes() []string {
	entries, _ := p.world.History()
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Op, "machine_") {
			out = append(out, e.Op+" "+e.App)
		}
	}
	return out
}

// call makes a request of the platform's API, as a user with the token does.
func (p *platform) call(t *testing.T, method, path string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.URL()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "FlyV1 "+deployToken)
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
}

// The README of the first version: five Machines run at all times, and -expr
// only ever starts. The printed lines lack two backslashes, without which no
// shell takes them for one command; nothing else differs.
const readmeFlags = `
  -org MYORG \
  -app MYAPP \
  -prometheus.address "https://api.fly.io/prometheus/MYORG" \
  -prometheus.query "sum(fly_instance_up{app='MYAPP'})" \
  -prometheus.metric-name instance_up \
  -expr "max(instance_up, 5)"`

func TestPublishedFlags(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, briskly+`
apps:
  - app: my-app
    org: my-org
    release: {version: 3, status: complete}
    machines:
      - {count: 2, region: iad, state: started, group: app}
      - {count: 6, region: iad, state: stopped, group: app}
`)
	flags := strings.NewReplacer("MYAPP", "my-app", "MYORG", "my-org", "https://api.fly.io", p.URL()).Replace(readmeFlags)
	args := words(t, strings.TrimSpace(flags))
	env := p.env("FAS_INTERVAL=500ms", "FLY_ACCESS_TOKEN=FlyV1 "+deployToken)

	eventually(t, 10*time.Second, "the platform tells which Machines are up", func() bool {
		return command(t, env, append([]string{"eval"}, args...)...).code == 0
	})
	sameJSON(t, "eval", succeed(t, env, append([]string{"eval"}, args...)...), `{"created":{"min":null,"max":null},"started":{"min":5,"max":null}}`)
	if got := p.changes(); len(got) > 0 {
		t.Errorf("eval changed Machines: %v", got)
	}

	s := daemon(t, env, args...)
	eventually(t, 20*time.Second, "five Machines started", func() bool {
		return p.count(t, "my-app", "app", scale.StateStarted) == 5
	})

	// Two more are started by hand.
	stopped := slices.DeleteFunc(p.machines(t, "my-app"), func(m sim.MachineSummary) bool { return m.State != scale.StateStopped })
	for _, m := range stopped[:2] {
		p.call(t, http.MethodPost, "/v1/apps/my-app/machines/"+m.ID+"/start")
	}
	eventually(t, 20*time.Second, "the metric tells of seven Machines", func() bool {
		value, _ := series(t, s, `fas_metric_value{app="my-app",metric="instance_up",process_group="app"}`)
		return value == 7
	})
	awaitPasses(t, s, 2)
	if n := p.count(t, "my-app", "app", scale.StateStarted); n != 7 {
		t.Errorf("%d Machines run, want the 7 left alone", n)
	}
	if got := p.did("my-app", "machine_stop", "machine_suspend", "machine_destroy", "machine_create"); len(got) > 0 {
		t.Errorf("-expr did more than start Machines: %v", got)
	}
	sameJSON(t, "eval", succeed(t, env, append([]string{"eval"}, args...)...), `{"created":{"min":null,"max":null},"started":{"min":7,"max":null}}`)
}

// tomlEnv returns the [env] section of a fly.toml, as NAME=value.
func tomlEnv(t *testing.T, text string) []string {
	t.Helper()
	var env []string
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		name, quoted, ok := strings.Cut(line, " = ")
		if section != "[env]" || !ok {
			continue
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		env = append(env, name+"="+value)
	}
	return env
}

// The documented deployment: a fly.toml, and one token for the Machines and one
// for the metrics, each of which the other server refuses.
func TestPublishedFlyToml(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, briskly+`
apps:
  - app: worker
    org: acme
    release: {version: 3, status: complete}
    machines:
      - {count: 3, region: iad, state: started, group: app}
      - {count: 5, region: iad, state: stopped, group: app}
`)
	metrics := newPlatform(t, `{tokens: [`+readToken+`], apps: [{app: worker, org: acme}]}`)
	text, err := os.ReadFile("testdata/fly.toml")
	if err != nil {
		t.Fatal(err)
	}
	published := tomlEnv(t, strings.NewReplacer("TARGET_APP_NAME", "worker", "MY_ORG", "acme", "https://api.fly.io", metrics.URL()).Replace(string(text)))
	if len(published) != 5 {
		t.Fatalf("the fly.toml sets %d variables, want 5: %v", len(published), published)
	}
	env := p.env(append(published, "FAS_INTERVAL=500ms", "FAS_API_TOKEN=FlyV1 "+deployToken, "FAS_PROMETHEUS_TOKEN=FlyV1 "+readToken)...)

	metrics.gauge(t, "acme", "worker", "queue_depth", 42)
	sameJSON(t, "eval", shell(t, env, "fly-autoscaler eval"), `{"created":{"min":null,"max":null},"started":{"min":5,"max":5}}`)
	sameJSON(t, "eval with another expression", shell(t, env, "FAS_STARTED_MACHINE_COUNT=queue_depth fly-autoscaler eval"),
		`{"created":{"min":null,"max":null},"started":{"min":42,"max":42}}`)
	if n := p.requests(t, ""); n > 0 {
		t.Errorf("eval of an expression over metrics alone asked the platform %d times", n)
	}

	s := daemon(t, env)
	started := func(n int) func() bool {
		return func() bool { return p.count(t, "worker", "app", scale.StateStarted) == n }
	}
	eventually(t, 20*time.Second, "five Machines started", started(5))
	metrics.gauge(t, "acme", "worker", "queue_depth", 15)
	eventually(t, 30*time.Second, "two Machines started", started(2))
	// More than there are cannot be started, and none is created.
	metrics.gauge(t, "acme", "worker", "queue_depth", 500)
	eventually(t, 30*time.Second, "all eight Machines started", started(8))
	awaitPasses(t, s, 2)
	if n := p.count(t, "worker", ""); n != 8 {
		t.Errorf("%d Machines, want 8", n)
	}
}

// The announcement of many apps: an organization, a pattern, and the app's name
// in the query, spelled in either way.
func TestPublishedManyApps(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"plain":  `sum(connection_count{app='$APP_NAME'})`,
		"braces": `sum(connection_count{app='${APP_NAME}'})`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testManyApps(t, query)
		})
	}
}

func testManyApps(t *testing.T, query string) {
	p := newPlatform(t, briskly+`
apps:
  - app: my-app-1
    org: my-org
    machines: [{count: 1, state: started, group: app}, {count: 4, state: stopped, group: app}]
  - app: my-app-2
    org: my-org
    machines: [{count: 3, state: started, group: app}, {count: 2, state: stopped, group: app}]
  - app: some-other-app
    org: my-org
    machines: [{count: 1, state: started, group: app}, {count: 4, state: stopped, group: app}]
`)
	p.gauge(t, "my-org", "my-app-1", "connection_count", 30)
	p.gauge(t, "my-org", "my-app-2", "connection_count", 10)
	p.gauge(t, "my-org", "some-other-app", "connection_count", 50)
	env := p.env(
		"FAS_ORG=my-org", "FAS_APP_NAME=my-app-*", "FAS_API_TOKEN=FlyV1 "+deployToken,
		"FAS_PROMETHEUS_ADDRESS="+p.prometheus("my-org"), "FAS_PROMETHEUS_METRIC_NAME=connection_count",
		"FAS_PROMETHEUS_QUERY="+query, "FAS_STARTED_MACHINE_COUNT=ceil(connection_count / 10)",
		"FAS_APP_LIST_REFRESH_INTERVAL=1s", "FAS_INTERVAL=500ms",
	)
	sameJSON(t, "eval", succeed(t, env, "eval"), `{
		"my-app-1": {"created":{"min":null,"max":null},"started":{"min":3,"max":3}},
		"my-app-2": {"created":{"min":null,"max":null},"started":{"min":1,"max":1}}}`)

	s := daemon(t, env)
	eventually(t, 20*time.Second, "each app is scaled by its own connections", func() bool {
		return p.count(t, "my-app-1", "app", scale.StateStarted) == 3 && p.count(t, "my-app-2", "app", scale.StateStarted) == 1
	})

	p.post(t, "/_sim/apps", map[string]any{"org": "my-org", "app": "my-app-3", "machines": []map[string]any{
		{"state": "started", "group": "app"}, {"state": "stopped", "group": "app", "count": 2},
	}})
	p.gauge(t, "my-org", "my-app-3", "connection_count", 20)
	eventually(t, 20*time.Second, "a new app is taken up", func() bool {
		return p.count(t, "my-app-3", "app", scale.StateStarted) == 2
	})

	p.call(t, http.MethodDelete, "/v1/apps/my-app-2")
	eventually(t, 20*time.Second, "a deleted app is dropped", func() bool {
		return !strings.Contains(get(t, s.address+"/api/v1/targets"), `"my-app-2"`)
	})
	shown := len(s.log.String())
	awaitPasses(t, s, 4) // two of each app that is left
	if log := s.log.String()[shown:]; strings.Contains(log, "my-app-2") {
		t.Errorf("the log still tells of a deleted app:\n%s", log)
	}
	if strings.Contains(get(t, s.address+"/api/v1/targets"), `"my-app-2"`) {
		t.Error("a deleted app came back")
	}
	if body := get(t, s.address+"/metrics"); strings.Contains(body, `app="my-app-2"`) {
		t.Error("the metrics still tell of the deleted app")
	}

	if got := p.did("some-other-app", "machine_start", "machine_stop", "machine_create", "machine_destroy"); len(got) > 0 {
		t.Errorf("an app that does not match was changed: %v", got)
	}
}
