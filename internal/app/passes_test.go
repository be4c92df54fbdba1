package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/httpapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// wanted is the policy of targets that run as many Machines as the metric says.
func wanted(t testing.TB) *policy.Policy {
	t.Helper()
	program, err := expr.Compile("want", []string{"want"})
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Policy{Group: "app", Launch: true, MinStarted: program, MaxStarted: program}
}

// reportOf returns the report of a pass over an app with two started and two
// stopped Machines that wants that many, as a pass that reads the app's own list
// gives it.
func reportOf(p *policy.Policy, app scale.App, want float64) reconcile.Report {
	s := scale.Snapshot{App: app, TakenAt: noon, Complete: true}
	for i := range 4 {
		state := scale.StateStarted
		if i >= 2 {
			state = scale.StateStopped
		}
		s.Machines = append(s.Machines, scale.Machine{
			ID: scale.MachineID(fmt.Sprintf("%s-%d", app, i)), State: state, Region: "iad", Group: "app", Host: scale.HostOK,
			CreatedAt: noon.Add(-time.Hour), UpdatedAt: noon.Add(-time.Hour), Config: json.RawMessage(strings.Repeat(" ", 1000) + "{}"),
		})
	}
	samples := []scale.Sample{{Metric: "want", Value: want, At: noon, Quality: scale.Fresh}}
	d, _ := decide.Decide(s, samples, p, decide.Memory{}, noon)
	r := reconcile.Report{App: app, Group: "app", Began: noon, Decision: &d, Plan: plan.Build(s, d, p)}
	for _, action := range r.Plan.Actions {
		r.Outcomes = append(r.Outcomes, scale.Outcome{Action: action, Result: scale.Done, Machine: action.Machine, At: noon, Clone: &s.Machines[0]})
	}
	return r
}

// The HTTP face tells all of a report that it would tell if it had the whole.
func TestPassesTellTheReport(t *testing.T) {
	t.Parallel()
	p := wanted(t)
	failed := reportOf(p, "failed", 2)
	failed.Decision, failed.Plan, failed.Err = nil, scale.Plan{}, errors.New("no list")
	dry := reportOf(p, "dry", 9)
	dry.DryRun, dry.Outcomes = true, nil
	last := newPasses()
	var want []httpapi.Target
	for _, r := range []reconcile.Report{dry, failed, reportOf(p, "quiet", 2), reportOf(p, "step", 4)} {
		last.add(r)
		target := httpapi.Target{App: r.App, Group: r.Group, At: r.Began, Decision: r.Decision, Plan: &r.Plan, Outcomes: r.Outcomes, DryRun: r.DryRun}
		if r.Decision != nil {
			target.Summary = r.Decision.Line()
		}
		if r.Err != nil {
			target.Error = r.Err.Error()
		}
		want = append(want, target)
	}
	lines := func(targets []httpapi.Target) (out []string) {
		for _, target := range targets {
			data, err := json.Marshal(target)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(data))
		}
		return out
	}
	a := &App{passes: last}
	if diff := cmp.Diff(lines(a.targets("")), lines(want)); diff != "" {
		t.Errorf("targets (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(lines(a.targets("step")), lines(want[3:])); diff != "" {
		t.Errorf("targets of one app (-got +want):\n%s", diff)
	}
	if got := a.targets("none"); got != nil {
		t.Errorf("targets of an app that has none: %v", got)
	}
	if all, failing := last.count(); all != 4 || failing != 1 {
		t.Errorf("%d targets, %d failing; want 4 and 1", all, failing)
	}
}

// The gauges of a target tell its last decision, also after a pass that came to
// none, and go with the target.
func TestGauges(t *testing.T) {
	t.Parallel()
	last := newPasses()
	m := newMetrics("1", last)
	gauges := func() []string {
		t.Helper()
		answer := httptest.NewRecorder()
		m.handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
		if answer.Code != 200 {
			t.Fatalf("status %d: %s", answer.Code, answer.Body)
		}
		var out []string
		for line := range strings.Lines(answer.Body.String()) {
			if strings.Contains(line, `app="`) {
				out = append(out, strings.TrimSpace(line))
			}
		}
		return out
	}
	expect := func(when string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(gauges(), want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", when, diff)
		}
	}
	p := wanted(t)
	r := reportOf(p, "web", 3)
	last.add(r)
	decided := []string{
		`fas_current_machine_count{app="web",kind="created",process_group="app"} 4`,
		`fas_current_machine_count{app="web",kind="started",process_group="app"} 2`,
		`fas_metric_known{app="web",metric="want",process_group="app"} 1`,
		`fas_metric_value{app="web",metric="want",process_group="app"} 3`,
		`fas_target_machine_count{app="web",kind="created",process_group="app"} 4`,
		`fas_target_machine_count{app="web",kind="started",process_group="app"} 3`,
	}
	expect("after a decision", decided...)

	for range 2 {
		last.add(reconcile.Report{App: "web", Group: "app", Err: errors.New("no list")})
	}
	expect("after passes without one", decided...)

	r.Decision.Samples[0] = scale.Sample{Metric: "want", Quality: scale.Error, Reason: "no answer"}
	last.add(r)
	unknown := append(append([]string(nil), decided[:2]...), decided[2][:len(decided[2])-1]+"0", decided[4], decided[5])
	expect("with a metric that is not known", unknown...)

	last.forget("web", "other")
	expect("after another group was forgotten", unknown...)
	last.forget("web", "app")
	expect("after it was forgotten")
}

// What is kept of a target between its passes is small, whatever its Machines are.
func TestPassesMemory(t *testing.T) {
	const targets, limit = 10_000, 1_000 // bytes each
	p := wanted(t)
	last := newPasses()
	before := heap()
	for i := range targets {
		last.add(reportOf(p, scale.App(fmt.Sprintf("some-app-%05d", i)), 2))
	}
	each := (heap() - before) / targets
	t.Logf("a target takes %d bytes", each)
	if each > limit {
		t.Errorf("a target takes %d bytes, want at most %d", each, limit)
	}
	runtime.KeepAlive(last)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// BenchmarkObserve takes note of a pass in which nothing was to be done.
func BenchmarkObserve(b *testing.B) {
	last := newPasses()
	a := &App{passes: last, metrics: newMetrics("1", last)}
	p := wanted(b)
	reports := make([]reconcile.Report, 1000)
	for i := range reports {
		reports[i] = reportOf(p, scale.App(fmt.Sprintf("some-app-%05d", i)), 2)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		a.observe(reports[i])
		i = (i + 1) % len(reports)
	}
}

// BenchmarkScrape writes the metrics of 10,000 targets.
func BenchmarkScrape(b *testing.B) {
	last := newPasses()
	m := newMetrics("1", last)
	p := wanted(b)
	for i := range 10_000 {
		last.add(reportOf(p, scale.App(fmt.Sprintf("some-app-%05d", i)), 2))
	}
	handler := m.handler()
	b.ReportAllocs()
	for b.Loop() {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(b.Context(), "GET", "/metrics", nil))
		if answer.Code != 200 {
			b.Fatal(answer.Code)
		}
	}
}
