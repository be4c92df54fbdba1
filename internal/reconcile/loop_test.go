package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// world is a platform of one-call apps, enough to see what the loop does when;
// what clients, simulator and platform do is tested elsewhere with the real parts.
type world struct {
	mu       sync.Mutex
	reads    map[scale.App][]time.Time // guarded by mu
	hang     map[scale.App]bool
	fail     map[scale.App]error
	panics   map[scale.App]bool
	release  scale.Release
	applied  map[scale.App]int // guarded by mu
	releases int               // guarded by mu

	releaseHangs bool
	late         []error // guarded by mu; why a plan came too late to be carried out

	forgotten []scale.App
	overview  map[scale.App]scale.Snapshot // guarded by mu
}

func newWorld() *world {
	return &world{reads: map[scale.App][]time.Time{}, hang: map[scale.App]bool{}, fail: map[scale.App]error{}, panics: map[scale.App]bool{}, applied: map[scale.App]int{}}
}

func (w *world) Snapshot(ctx context.Context, app scale.App) (scale.Snapshot, error) {
	w.mu.Lock()
	w.reads[app] = append(w.reads[app], time.Now())
	w.mu.Unlock()
	if w.panics[app] {
		panic("poison")
	}
	if w.hang[app] {
		<-ctx.Done()
		return scale.Snapshot{}, context.Cause(ctx)
	}
	if err := w.fail[app]; err != nil {
		return scale.Snapshot{}, err
	}
	now := time.Now()
	return scale.Snapshot{App: app, TakenAt: now, Complete: true, Machines: []scale.Machine{
		{ID: "1", State: scale.StateStarted, Group: "app", Host: scale.HostOK, UpdatedAt: now, Config: []byte("{}")},
		{ID: "2", State: scale.StateStopped, Group: "app", Host: scale.HostOK, UpdatedAt: now, Config: []byte("{}")},
	}}, nil
}

func (w *world) Overview(app scale.App) (scale.Snapshot, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.overview[app]
	s.TakenAt = time.Now()
	return s, ok
}

func (w *world) Release(ctx context.Context, _ scale.App) (scale.Release, error) {
	if w.releaseHangs {
		<-ctx.Done()
		return scale.Release{}, context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.releases++
	return w.release, nil
}

func (w *world) Wrote(scale.App, []scale.Outcome) {}

func (w *world) Apply(ctx context.Context, _ scale.Snapshot, p scale.Plan) []scale.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		w.late = append(w.late, err)
	}
	w.applied[p.App] += len(p.Actions)
	var out []scale.Outcome
	for _, a := range p.Actions {
		out = append(out, scale.Outcome{Action: a, Result: scale.Done})
	}
	return out
}

func (w *world) target(app string, want string) reconcile.Target {
	program, err := expr.Compile(want, nil)
	if err != nil {
		panic(err)
	}
	return reconcile.Target{
		App: scale.App(app), Fleet: w, Actuator: w,
		Policy: &policy.Policy{Group: "app", Launch: true, MinStarted: program, MaxStarted: program},
	}
}

// run governs the targets for the given time and returns the loop and the reports.
func run(t *testing.T, d time.Duration, concurrency int, discover reconcile.Discover) (*reconcile.Loop, []reconcile.Report) {
	t.Helper()
	var mu sync.Mutex
	var reports []reconcile.Report
	loop := reconcile.New(reconcile.Config{
		Interval: 15 * time.Second, Timeout: 10 * time.Second, Refresh: time.Minute, Concurrency: concurrency,
		Logger: slog.New(slog.DiscardHandler),
		Observe: func(r reconcile.Report) {
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, r)
		},
		Forget: func(t reconcile.Target) {
			mu.Lock()
			defer mu.Unlock()
			t.Fleet.(*world).forgotten = append(t.Fleet.(*world).forgotten, t.App)
		},
	}, discover)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	loop.Run(ctx)
	return loop, reports
}

func always(targets ...reconcile.Target) reconcile.Discover {
	return func(context.Context) ([]reconcile.Target, error) { return targets, nil }
}

// The first pass is made at once, the next ones an interval apart.
func TestLoopKeepsTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		begin := time.Now()
		loop, _ := run(t, 32*time.Second, 1, always(w.target("web", "1")))
		var got []time.Duration
		for _, at := range w.reads["web"] {
			// Up to a second later than the first pass's cadence, and always the same.
			got = append(got, at.Sub(begin).Truncate(time.Second))
		}
		if want := "[0s 15s 30s]"; fmt.Sprint(got) != want {
			t.Errorf("passes at %v, want %s", got, want)
		}
		if d := w.reads["web"][2].Sub(w.reads["web"][1]); d != 15*time.Second {
			t.Errorf("the third pass came %s after the second, want an interval", d)
		}
		if !loop.Ready() {
			t.Error("not ready after complete passes")
		}
		if w.releases != 0 {
			t.Errorf("asked %d times for the release with nothing to do", w.releases)
		}
	})
}

// A question for the release that hangs leaves time to add what is wanted, and
// nothing is removed meanwhile.
func TestReleaseThatHangsLeavesTimeToAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.releaseHangs = true
		_, reports := run(t, 5*time.Second, 2, always(w.target("more", "2"), w.target("fewer", "0")))
		if w.applied["more"] != 1 || w.applied["fewer"] != 0 || len(w.late) > 0 {
			t.Errorf("%d actions to add and %d to remove, too late: %v; want one and none", w.applied["more"], w.applied["fewer"], w.late)
		}
		for _, r := range reports {
			if r.Took > 4*time.Second {
				t.Errorf("the pass over %s took %s of its 10s", r.App, r.Took)
			}
		}
	})
}

// An app that hangs, one that fails and one that panics cost the others nothing.
func TestBrokenAppsDoNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.hang["hangs"], w.panics["panics"] = true, true
		w.fail["fails"] = errors.New("500")
		targets := []reconcile.Target{w.target("hangs", "2"), w.target("fails", "2"), w.target("panics", "2")}
		for i := range 20 {
			targets = append(targets, w.target(fmt.Sprint("good-", i), "2"))
		}
		begin := time.Now()
		loop, reports := run(t, 61*time.Second, 4, always(targets...))
		for i := range 20 {
			reads := w.reads[scale.App(fmt.Sprint("good-", i))]
			if len(reads) != 5 {
				t.Fatalf("good-%d had %d passes, want 5", i, len(reads))
			}
			for n, at := range reads {
				if late := at.Sub(begin) - time.Duration(n)*15*time.Second; late > 2*time.Second {
					t.Errorf("pass %d of good-%d was %s late", n, i, late)
				}
			}
		}
		if !loop.Ready() {
			t.Error("broken apps keep the loop from being ready")
		}
		failed := map[scale.App]int{}
		for _, r := range reports {
			if r.Err != nil {
				failed[r.App]++
			}
		}
		// At 0, 15 and 45 seconds: the wait doubles while it goes on.
		if failed["hangs"] != 3 || failed["fails"] != 3 || failed["panics"] != 3 || len(failed) != 3 {
			t.Errorf("failed passes: %v, want three of each", failed)
		}
	})
}

// hanging is a metric source that keeps to its deadline and has nothing to say.
type hanging struct{ deadline time.Duration }

func (hanging) Metric() string { return "m" }

func (h hanging) Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	ctx, cancel := context.WithTimeout(ctx, h.deadline)
	defer cancel()
	<-ctx.Done()
	out := map[scale.App]scale.Sample{}
	for _, app := range apps {
		out[app] = scale.Sample{Metric: "m", Quality: scale.Error, Reason: "no answer"}
	}
	return out
}

// Fifty sources that hang, five for each pass that may ask the platform, do not
// make one healthy app wait.
func TestHangingSourcesStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var targets []reconcile.Target
		for i := range 50 {
			sick := w.target(fmt.Sprint("sick-", i), "1")
			sick.Sources = []reconcile.Source{hanging{9 * time.Second}}
			targets = append(targets, sick)
		}
		begin := time.Now()
		run(t, 61*time.Second, 10, always(append(targets, w.target("good", "1"))...))
		reads := w.reads["good"]
		if len(reads) != 5 {
			t.Fatalf("%d passes in a minute, want 5", len(reads))
		}
		for n, at := range reads {
			if late := at.Sub(begin) - time.Duration(n)*15*time.Second; late > time.Second {
				t.Errorf("pass %d was %s late", n, late)
			}
		}
	})
}

// A platform that answers nobody leaves the loop not ready.
func TestNotReadyWhileNothingAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fail["web"] = errors.New("503")
		if loop, _ := run(t, time.Minute, 1, always(w.target("web", "1"))); loop.Ready() {
			t.Error("ready although no pass came as far as a decision")
		}
	})
}

// While the overview shows that nothing is to be done, the platform is not asked;
// when it shows something, or misses a part, the app's own list is read before
// anything is done. A change wakes its target.
func TestOverviewSparesRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		full, err := w.Snapshot(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		clear(w.reads)
		full.Overview = true
		w.overview = map[scale.App]scale.Snapshot{"web": full, "short": full}
		short := w.overview["short"]
		short.App, short.Complete = "short", false
		w.overview["short"] = short
		wake := make(chan scale.App)
		loop := reconcile.New(reconcile.Config{
			Interval: 15 * time.Second, Timeout: 10 * time.Second, Refresh: time.Minute, Concurrency: 1, Wake: wake,
			Logger: slog.New(slog.DiscardHandler), Observe: func(reconcile.Report) {},
		}, always(w.target("web", "1"), w.target("short", "1")))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		go func() {
			time.Sleep(65 * time.Second)
			w.mu.Lock()
			changed := full
			changed.Machines = full.Machines[1:]
			w.overview["web"] = changed
			w.mu.Unlock()
			wake <- "web"
		}()
		began := time.Now()
		loop.Run(ctx)
		reads := w.reads["web"]
		if len(reads) == 0 || reads[0].Sub(began) != 65*time.Second {
			t.Errorf("the app's own list was read at %v, want at the change and not before", reads)
		}
		if len(w.reads["short"]) != 8 {
			t.Errorf("the own list of an app with an incomplete overview was read %d times, want in each of 8 passes", len(w.reads["short"]))
		}
		if w.applied["web"] != 0 {
			t.Errorf("%d actions from an overview that the own list does not bear out", w.applied["web"])
		}
	})
}

// Apps come and go with the list; a list that fails takes nobody's target away
// and is soon asked again.
func TestDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b, c := w.target("a", "1"), w.target("b", "1"), w.target("c", "1")
		calls := 0
		begin := time.Now()
		loop, _ := run(t, 10*time.Minute, 2, func(context.Context) ([]reconcile.Target, error) {
			calls++
			switch since := time.Since(begin); {
			case calls <= 2:
				return nil, errors.New("not yet")
			case since < 3*time.Minute:
				return []reconcile.Target{a, b}, nil
			case since < 5*time.Minute:
				return []reconcile.Target{a}, errors.New("half an answer")
			default:
				return []reconcile.Target{a, c}, nil
			}
		})
		last := func(app scale.App) time.Duration {
			reads := w.reads[app]
			if len(reads) == 0 {
				return -1
			}
			return reads[len(reads)-1].Sub(begin)
		}
		if first := w.reads["a"][0].Sub(begin); first > 4*time.Second {
			t.Errorf("the first pass came %s after the start, although the list came within 3s", first)
		}
		if at := last("b"); at < 4*time.Minute+45*time.Second || at > 6*time.Minute {
			t.Errorf("b was last looked at after %s, want until the list was complete without it", at)
		}
		if fmt.Sprint(w.forgotten) != "[b]" {
			t.Errorf("forgotten: %v, want b alone", w.forgotten)
		}
		if at := last("c"); at < 9*time.Minute {
			t.Errorf("c was last looked at after %s, want until the end", at)
		}
		if !loop.Ready() {
			t.Error("not ready")
		}
	})
}

// A release that is being rolled out holds what the metrics ask for, and is asked
// about only then.
func TestReleaseHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.release = scale.Release{Known: true, Exists: true, Status: "running", Version: 3, CreatedAt: time.Now()}
		_, reports := run(t, 20*time.Second, 1, always(w.target("web", "2")))
		if w.applied["web"] != 0 || w.releases != 2 {
			t.Errorf("%d actions and %d questions, want none and 2", w.applied["web"], w.releases)
		}
		if d := reports[0].Decision; d == nil || d.Hold != scale.HoldAll {
			t.Errorf("decision %+v, want to hold all", d)
		}
		w.release.Status = "complete"
		run(t, time.Second, 1, always(w.target("web", "2")))
		if w.applied["web"] != 1 {
			t.Errorf("%d actions after the release, want 1", w.applied["web"])
		}
	})
}

// The end comes at once, whatever hangs.
func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.hang["web"] = true
		begin := time.Now()
		run(t, 3*time.Second, 1, always(w.target("web", "1")))
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("ended after %s, want 3s", took)
		}
	})
}
