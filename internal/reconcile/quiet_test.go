package reconcile_test

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// gauge is a source of one reading.
type gauge struct{ value float64 }

func (g *gauge) Metric() string { return "x" }

func (g *gauge) Collect(_ context.Context, apps []scale.App) map[scale.App]scale.Sample {
	out := make(map[scale.App]scale.Sample, len(apps))
	for _, app := range apps {
		out[app] = scale.Sample{Metric: "x", Value: g.value, At: time.Now(), Quality: scale.Fresh}
	}
	return out
}

// A pass that the overview shows to be quiet remembers what it saw of the demand, and
// nothing else: the down window goes on through quiet passes, and ends in time.
func TestQuietPassesSeeTheDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		full, err := w.Snapshot(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		full.Overview = true
		w.overview = map[scale.App]scale.Snapshot{"web": full}
		clear(w.reads)
		program, err := expr.Compile("x", []string{"x"})
		if err != nil {
			t.Fatal(err)
		}
		x := &gauge{value: 1}
		target := reconcile.Target{
			App: "web", Fleet: w, Actuator: w, Sources: []reconcile.Source{x},
			Policy: &policy.Policy{
				Group: "app", MinStarted: program, MaxStarted: program,
				Behavior: policy.Behavior{Down: policy.Direction{Window: time.Minute, Rates: []policy.Rate{{Count: 1, Period: time.Minute}}}},
			},
		}
		options := reconcile.Options{Now: time.Now, Act: true}
		began := time.Now()
		mem := decide.Memory{CreateFailures: 2, Trouble: map[scale.MachineID]time.Time{"2": began}}
		for {
			before := mem
			var r reconcile.Report
			r, mem = reconcile.Pass(t.Context(), target, mem, options)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if len(w.reads["web"]) > 0 {
				break
			}
			if reflect.DeepEqual(before.Demand, mem.Demand) {
				t.Fatalf("after %s nothing was seen: %+v", time.Since(began), mem.Demand)
			}
			rest := mem
			rest.Demand = before.Demand
			if !reflect.DeepEqual(before, rest) {
				t.Fatalf("after %s more than the demand has changed: %+v", time.Since(began), mem)
			}
			if time.Since(began) > 5*time.Minute {
				t.Fatal("the window never ends")
			}
			x.value = 0
			time.Sleep(15 * time.Second)
		}
		// One started Machine was wanted until the second pass.
		if took := time.Since(began); took != 75*time.Second {
			t.Errorf("the app's own list was read after %s, want once the window of a minute was over, at 75s", took)
		}
		if w.applied["web"] != 1 || len(mem.Changes) != 1 {
			t.Errorf("%d actions, and %d changes remembered, want the stop", w.applied["web"], len(mem.Changes))
		}
	})
}

// What was seen of the demand is kept when the platform does not answer.
func TestFailedPassesSeeTheDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		full, err := w.Snapshot(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		w.overview, w.fail["web"] = map[scale.App]scale.Snapshot{"web": full}, context.DeadlineExceeded
		target := w.target("web", "2")
		target.Policy.Behavior.Up.Window = time.Minute
		target.Policy.Behavior.Down.Window = time.Minute
		var mem decide.Memory
		for range 6 {
			_, mem = reconcile.Pass(t.Context(), target, mem, reconcile.Options{Now: time.Now, Act: true})
			time.Sleep(15 * time.Second)
		}
		if got := mem.Demand.Windows.MinStarted; len(got) != 1 || got[0].Value != 2 {
			t.Errorf("after a minute and a half without the app's own list the up window is %+v, want the 2 that were asked for", got)
		}
	})
}
