package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// How long each call of the wide platform takes.
const (
	callTime = 30 * time.Millisecond
	perSpare = time.Second // an action of an app that wants a thousand
)

// wide is a platform of many apps, each of which wants one more Machine started
// every interval, and some of which are in trouble.
type wide struct {
	fails, hangs, greedy scale.App // none when empty

	mu    sync.Mutex
	acted map[scale.App][]time.Duration // since the beginning; guarded by mu
	begun time.Time
}

func (w *wide) Overview(scale.App) (scale.Snapshot, bool) { return scale.Snapshot{}, false }
func (w *wide) Wrote(scale.App, []scale.Outcome)          {}

func (w *wide) Snapshot(ctx context.Context, app scale.App) (scale.Snapshot, error) {
	if app == w.hangs {
		<-ctx.Done()
		return scale.Snapshot{}, context.Cause(ctx)
	}
	time.Sleep(callTime)
	if app == w.fails {
		return scale.Snapshot{}, errors.New("500")
	}
	spares := 1
	if app == w.greedy {
		spares = 1000
	}
	w.mu.Lock()
	if acts := w.acted[app]; len(acts) > 0 && time.Since(w.begun)-acts[len(acts)-1] < 5*time.Second {
		spares = 0
	}
	w.mu.Unlock()
	now := time.Now()
	s := scale.Snapshot{App: app, TakenAt: now, Complete: true}
	for i := range spares + 1 {
		m := scale.Machine{
			ID: scale.MachineID(fmt.Sprint(i)), State: scale.StateStopped, Group: "app", Host: scale.HostOK,
			UpdatedAt: now.Add(-time.Hour), Config: []byte("{}"),
		}
		if i == 0 {
			m.State = scale.StateStarted
		}
		s.Machines = append(s.Machines, m)
	}
	return s, nil
}

func (w *wide) Release(context.Context, scale.App) (scale.Release, error) {
	time.Sleep(callTime)
	return scale.Release{Known: true, Exists: true, Status: "complete", Version: 3}, nil
}

// Apply starts Machines of one app one after another, as fast as the platform
// lets one do that.
func (w *wide) Apply(ctx context.Context, _ scale.Snapshot, p scale.Plan) []scale.Outcome {
	var out []scale.Outcome
	for i, a := range p.Actions {
		wait := callTime
		if i > 0 {
			wait = perSpare
		}
		select {
		case <-time.After(wait):
			out = append(out, scale.Outcome{Action: a, Result: scale.Done})
		case <-ctx.Done():
			out = append(out, scale.Outcome{Action: a, Result: scale.Skipped, Reason: "no time"})
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.App != w.greedy {
		w.acted[p.App] = append(w.acted[p.App], time.Since(w.begun))
	}
	return out
}

// metrics answers one question for all apps at once, and never one about the app
// that it is asked about alone.
type metrics struct{ hangs scale.App }

func (metrics) Metric() string { return "m" }
func (metrics) Close() error   { return nil }

func (m metrics) CollectTogether(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	return m.Collect(ctx, slices.DeleteFunc(slices.Clone(apps), func(app scale.App) bool { return app == m.hangs }))
}

func (m metrics) Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	sample := scale.Sample{Metric: "m", Value: 1, Quality: scale.Fresh, At: time.Now()}
	if slices.Contains(apps, m.hangs) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		<-ctx.Done()
		sample = scale.Sample{Metric: "m", Quality: scale.Error, Reason: "no answer", At: time.Now()}
	} else {
		time.Sleep(callTime)
	}
	return source.Same(apps, sample)
}

// govern governs a thousand apps for the given time, and returns when each acted.
func govern(t *testing.T, w *wide, m metrics, d time.Duration) map[scale.App][]time.Duration {
	t.Helper()
	const apps = 1000
	program, err := expr.Compile("2000 * m", []string{"m"})
	if err != nil {
		t.Fatal(err)
	}
	names := make([]scale.App, apps)
	for i := range names {
		names[i] = scale.App(fmt.Sprintf("app-%03d", i))
	}
	shared := source.NewShared(m, func() []scale.App { return names }, 5*time.Second)
	targets := make([]reconcile.Target, apps)
	for i, name := range names {
		targets[i] = reconcile.Target{
			App: name, Fleet: w, Actuator: w, Sources: []reconcile.Source{shared},
			Policy: &policy.Policy{Group: "app", Launch: true, MinStarted: program},
		}
	}
	defaults := config.Defaults()
	loop := reconcile.New(reconcile.Config{
		Interval: defaults.Interval, Timeout: defaults.Timeout, Refresh: defaults.AppListRefreshInterval, Concurrency: defaults.Concurrency,
		Logger: slog.New(slog.DiscardHandler), Observe: func(reconcile.Report) {},
	}, always(targets...))
	w.acted, w.begun = map[scale.App][]time.Duration{}, time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	loop.Run(ctx)
	return w.acted
}

// last returns when the last of the apps acted for the nth time.
func last(t *testing.T, acted map[scale.App][]time.Duration, without []scale.App, n int) time.Duration {
	t.Helper()
	var at time.Duration
	others := 0
	for app, acts := range acted {
		if slices.Contains(without, app) {
			continue
		}
		if len(acts) <= n {
			t.Fatalf("%s acted %d times, want more than %d", app, len(acts), n)
		}
		others++
		at = max(at, acts[n])
	}
	if others != 996 {
		t.Fatalf("%d apps acted, want 996", others)
	}
	return at
}

// One app whose list fails for ever, one whose list hangs, one whose metric hangs,
// and one that wants a thousand actions: the other 996 act when they would without,
// in the first interval and in those that follow.
func TestFewInTroubleDelayNobody(t *testing.T) {
	const length = 50 * time.Second
	trouble := []scale.App{"app-000", "app-001", "app-002", "app-003"}
	var alone, beside map[scale.App][]time.Duration
	synctest.Test(t, func(t *testing.T) { alone = govern(t, &wide{}, metrics{}, length) })
	synctest.Test(t, func(t *testing.T) {
		beside = govern(t, &wide{fails: trouble[0], hangs: trouble[1], greedy: trouble[3]}, metrics{hangs: trouble[2]}, length)
	})
	for n := range 3 {
		got, want := last(t, beside, trouble, n), last(t, alone, trouble, n)
		t.Logf("interval %d: all have acted after %s, and after %s without those in trouble", n, got, want)
		if late := got - want; late > 100*time.Millisecond {
			t.Errorf("interval %d: the last of the others was %s later than without those in trouble, want 100ms at most", n, late)
		}
	}
	for _, app := range trouble[:3] {
		if acts := beside[app]; len(acts) > 0 {
			t.Errorf("%s acted at %v although it is in trouble", app, acts)
		}
	}
}
