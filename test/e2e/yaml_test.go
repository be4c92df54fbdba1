package e2e_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const everyKey = "testdata/every-key.yml"

// everyKeyPlatform has what testdata/every-key.yml scales, and Machines of other
// groups and apps besides. It returns the environment of the program too, which
// takes every setting from the file.
func everyKeyPlatform(t *testing.T) (p, metrics *platform, env []string) {
	t.Helper()
	p = newPlatform(t, briskly+`
apps:
  - app: batch
    org: acme
    machines: [{region: iad, state: started, group: worker}, {count: 2, region: iad, state: started, group: cron}]
  - app: shop
    org: acme
    machines:
      - {region: iad, state: started, group: web}
      - {count: 4, region: iad, state: stopped, group: worker}
      - {region: iad, state: stopped, group: cron}
  - app: preview-a
    org: acme
    machines: [{count: 3, region: iad, state: started, group: app}]
  - app: preview-b
    org: acme
    machines: [{count: 2, region: iad, state: stopped, group: app}]
  - app: previous
    org: acme
    machines: [{count: 3, region: iad, state: started, group: app}]
`)
	// The metrics are elsewhere, behind a token of their own.
	metrics = newPlatform(t, `{tokens: [`+readToken+`], apps: [{app: batch, org: acme}, {app: shop, org: acme}]}`)
	for _, g := range []struct {
		app, metric, kind string
		value             float64
	}{
		{"batch", "backlog", "live", 27},
		{"batch", "backlog", "test", 9999}, // not asked for
		{"shop", "backlog", "live", 2},
	} {
		metrics.post(t, "/_sim/gauge", map[string]any{
			"org": "acme", "app": g.app, "metric": g.metric, "value": g.value, "labels": map[string]string{"kind": g.kind},
		})
	}
	metrics.gauge(t, "acme", "shop", "requests", 250)
	return p, metrics, []string{
		"HOME=/nonexistent", "FLY_FLAPS_BASE_URL=" + p.URL(), "FLY_API_BASE_URL=" + p.URL(),
		"E2E_API_TOKEN=FlyV1 " + deployToken, "E2E_METRICS_TOKEN=FlyV1 " + readToken,
		"E2E_METRICS=" + metrics.URL(), "E2E_KIND=live", "E2E_STORE=" + t.TempDir(),
	}
}

// regions counts the Machines of a group by region.
func (p *platform) regions(t *testing.T, app, group string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, m := range p.machines(t, app) {
		if string(m.Group) == group {
			out[string(m.Region)]++
		}
	}
	return out
}

// everyKeyReached reports whether the platform is as testdata/every-key.yml
// wants it.
func everyKeyReached(t *testing.T, p *platform) bool {
	t.Helper()
	return p.count(t, "batch", "worker") == 3 && p.count(t, "batch", "worker", scale.StateStarted) == 1 &&
		p.count(t, "shop", "web") == 3 && p.count(t, "shop", "web", scale.StateStarted) == 3 &&
		p.count(t, "shop", "worker", scale.StateStarted) == 2 &&
		p.count(t, "preview-a", "app", scale.StateStarted) == 1
}

// everyKeyKept checks what testdata/every-key.yml must not have changed, and
// where Machines went.
func everyKeyKept(t *testing.T, p *platform) {
	t.Helper()
	for _, c := range []struct {
		app, group   string
		all, started int
	}{
		{"batch", "cron", 2, 2},
		{"shop", "cron", 1, 0},
		{"shop", "worker", 4, 2},
		{"preview-a", "app", 3, 1},
		{"preview-b", "app", 2, 0},
		{"previous", "app", 3, 3},
	} {
		all, started := p.count(t, c.app, c.group), p.count(t, c.app, c.group, scale.StateStarted)
		if all != c.all || started != c.started {
			t.Errorf("app %s, group %s: %d of %d Machines started, want %d of %d", c.app, c.group, started, all, c.started, c.all)
		}
	}
	if diff := cmp.Diff(map[string]int{"iad": 1, "ord": 1, "ams": 1}, p.regions(t, "batch", "worker")); diff != "" {
		t.Errorf("regions of batch (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"iad": 1, "fra": 2}, p.regions(t, "shop", "web")); diff != "" {
		t.Errorf("regions of shop (-want +got):\n%s", diff)
	}
	// Those that were created stopped have never run.
	if n := p.count(t, "batch", "worker", scale.StateCreated); n != 2 {
		t.Errorf("%d Machines of batch were created without launching, want 2", n)
	}
	if got := p.did("batch", "machine_start", "machine_stop"); len(got) > 0 {
		t.Errorf("batch was more than grown: %v", got)
	}
}

// The commands that look and do not touch, with the file named by flag and by
// variable, and then the one that acts.
func TestYAMLThroughTheCommands(t *testing.T) {
	t.Parallel()
	p, metrics, env := everyKeyPlatform(t)
	byVariable := append(slices.Clone(env), "FAS_CONFIG="+everyKey)

	for _, out := range []string{succeed(t, env, "validate", "-config", everyKey), succeed(t, byVariable, "validate")} {
		if !strings.Contains(out, "4 target(s)") || !strings.Contains(out, "app preview-*, process group app") {
			t.Errorf("validate says: %s", out)
		}
	}
	if n := p.requests(t, "") + metrics.requests(t, ""); n > 0 {
		t.Errorf("validate made %d requests", n)
	}

	const limits = `{
		"batch/worker": {"created":{"min":3,"max":4},"started":{"min":1,"max":2}},
		"shop/web": {"created":{"min":3,"max":3},"started":{"min":3,"max":3}},
		"shop/worker": {"created":{"min":null,"max":null},"started":{"min":2,"max":null}},
		"preview-a": {"created":{"min":1,"max":3},"started":{"min":null,"max":1}},
		"preview-b": {"created":{"min":1,"max":3},"started":{"min":null,"max":1}}}`
	sameJSON(t, "eval", succeed(t, env, "eval", "--config", everyKey), limits)
	sameJSON(t, "eval", succeed(t, byVariable, "eval"), limits)

	// What would be done, in tables: the same for both.
	for _, args := range [][]string{{"plan"}, {"once", "-dry-run"}, {"once", "--dry-run=true"}} {
		out := succeed(t, byVariable, args...)
		for want, n := range map[string]int{`(?m)^  create +(iad|ord|ams) .*not launched`: 2, `(?m)^  create +fra `: 2, `(?m)^  start +iad `: 2, `(?m)^  stop +iad `: 2} {
			if got := len(regexp.MustCompile(want).FindAllString(out, -1)); got != n {
				t.Errorf("%v: %d lines match %q, want %d:\n%s", args, got, want, n, out)
			}
		}
	}
	if got := p.changes(); len(got) > 0 {
		t.Fatalf("Machines were changed without an order to: %v", got)
	}

	succeed(t, byVariable, "once")
	eventually(t, 10*time.Second, "the Machines are as one pass leaves them", func() bool { return everyKeyReached(t, p) })
	everyKeyKept(t, p)
	if out := succeed(t, byVariable, "plan"); strings.Count(out, "nothing to do") != 5 {
		t.Errorf("a plan after the pass is not empty:\n%s", out)
	}
}

// serve keeps to the file as well, and follows the metrics from then on.
func TestYAMLServe(t *testing.T) {
	t.Parallel()
	p, metrics, env := everyKeyPlatform(t)
	s := daemon(t, env, "--config", everyKey)
	eventually(t, 20*time.Second, "the Machines are as the file wants them", func() bool { return everyKeyReached(t, p) })
	awaitPasses(t, s, 5)
	everyKeyKept(t, p)
	if !strings.Contains(s.log.String(), "interval=500ms") || !strings.Contains(s.log.String(), "level=DEBUG") {
		t.Error("the interval and the log level of the file are not in force")
	}

	metrics.gauge(t, "acme", "shop", "requests", 90)
	eventually(t, 20*time.Second, "the web Machines shrink to one started of two", func() bool {
		return p.count(t, "shop", "web") == 2 && p.count(t, "shop", "web", scale.StateStarted) == 1
	})
	metrics.post(t, "/_sim/gauge", map[string]any{
		"org": "acme", "app": "batch", "metric": "backlog", "value": 57, "labels": map[string]string{"kind": "live"},
	})
	eventually(t, 20*time.Second, "six Machines of batch, two in each region", func() bool {
		return maps.Equal(p.regions(t, "batch", "worker"), map[string]int{"iad": 2, "ord": 2, "ams": 2})
	})
	// The ceiling of created follows the backlog down to four, no further.
	metrics.post(t, "/_sim/gauge", map[string]any{
		"org": "acme", "app": "batch", "metric": "backlog", "value": 3, "labels": map[string]string{"kind": "live"},
	})
	eventually(t, 20*time.Second, "four Machines of batch", func() bool { return p.count(t, "batch", "worker") == 4 })
	awaitPasses(t, s, 5)
	if n := p.count(t, "batch", "worker"); n != 4 {
		t.Errorf("%d Machines of batch, want 4", n)
	}
}

// The environment stands above the file and flags above both; one dash or two.
// Nothing is changed in a dry run, and what would be is told.
func TestLayersAndDryRun(t *testing.T) {
	t.Parallel()
	p, _, env := everyKeyPlatform(t)
	env = append(env, "FAS_CONFIG="+everyKey, "FAS_DRY_RUN=true", "FAS_MIN_CREATED_MACHINE_COUNT=4", "FAS_REGIONS=nrt")
	s := daemon(t, env, "--interval", "300ms", "-process-group=cron", "--regions=syd,gru")
	awaitPasses(t, s, 10)
	if got := p.changes(); len(got) > 0 {
		t.Errorf("a dry run changed Machines: %v", got)
	}
	var got struct {
		Targets []struct {
			Group  string     `json:"process_group"`
			DryRun bool       `json:"dry_run"`
			Plan   scale.Plan `json:"plan"`
		} `json:"targets"`
	}
	if err := json.Unmarshal([]byte(get(t, s.address+"/api/v1/targets?app=batch")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Targets) != 1 || got.Targets[0].Group != "cron" || !got.Targets[0].DryRun {
		t.Fatalf("targets of batch: %+v", got.Targets)
	}
	var regions []string
	for _, a := range got.Targets[0].Plan.Actions {
		regions = append(regions, string(a.Verb)+" "+string(a.Region))
	}
	// Two of the group are there; the environment wants four, the flags say where.
	if diff := cmp.Diff([]string{"create syd", "create gru"}, regions); diff != "" {
		t.Errorf("plan of batch (-want +got):\n%s", diff)
	}
	if log := s.log.String(); !strings.Contains(log, "dry_run=true") || !strings.Contains(log, "interval=300ms") {
		t.Error("the log does not tell of the dry run and the interval of the flag")
	}
}

// The file of this test, or else a scenario script, must have every key that the
// documented example has.
func TestEveryKeyIsInUse(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("../../examples/fly-autoscaler.yml")
	if err != nil {
		t.Fatal(err)
	}
	used, err := os.ReadFile(everyKey)
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob("../../testdata/scenarios/*.yml")
	if err != nil || len(scripts) < 30 {
		t.Fatalf("%d scenario scripts, %v", len(scripts), err)
	}
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		used = append(used, text...)
	}
	// The example has keys, and names the counts that exclude each other in comments.
	keys := regexp.MustCompile(`(?m)^[ #-]*([a-z-]+-machine-count|[a-z-]+:)`).FindAllStringSubmatch(string(example), -1)
	if len(keys) < 26 {
		t.Errorf("only %d keys found in the example", len(keys))
	}
	for _, m := range keys {
		name := strings.TrimSuffix(m[1], ":")
		if !regexp.MustCompile(`(?m)(^|[{ -])` + name + `:`).Match(used) {
			t.Errorf("%s has no %s", everyKey, name)
		}
	}
}
