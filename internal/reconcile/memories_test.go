package reconcile_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/memory"
)

// memories keeps what is remembered in a store.
type memories struct {
	t      *testing.T
	keeper *store.Keeper
	found  map[store.Key]json.RawMessage

	mu    sync.Mutex
	loads []string // guarded by mu
	saves []bool   // guarded by mu; whether the pass acted
}

func openMemories(t *testing.T, s store.Store) *memories {
	t.Helper()
	bucket, err := s.Bucket(t.Context(), "memory")
	if err != nil {
		t.Fatal(err)
	}
	keeper, kept, err := store.OpenKeeper(t.Context(), bucket, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &memories{t: t, keeper: keeper, found: kept.Documents}
}

func (m *memories) Load(key string) (mem decide.Memory, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads = append(m.loads, key)
	doc, ok := m.found[store.KeyOf(key)]
	if !ok {
		return mem, false
	}
	if err := json.Unmarshal(doc, &mem); err != nil {
		m.t.Errorf("read the memory of %s: %v", key, err)
	}
	return mem, true
}

func (m *memories) Save(key string, mem decide.Memory, acted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves = append(m.saves, acted)
	if _, err := m.keeper.Save(m.t.Context(), store.KeyOf(key), mem); err != nil {
		m.t.Errorf("save the memory of %s: %v", key, err)
	}
}

// queueOf is a source of one metric.
type queueOf float64

func (queueOf) Metric() string { return "queue" }

func (r queueOf) Collect(_ context.Context, apps []scale.App) map[scale.App]scale.Sample {
	return map[scale.App]scale.Sample{apps[0]: {Metric: "queue", Value: float64(r), At: time.Now(), Quality: scale.Fresh}}
}

// What the loop knew at the end, the next one knows at its beginning: a demand that
// must hold for a minute has begun to before the restart.
func TestMemoriesOutliveTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		program, err := expr.Compile("queue", []string{"queue"})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		live := func(kept reconcile.Memories) []reconcile.Report {
			target := reconcile.Target{
				App: "web", Fleet: w, Actuator: w, Sources: []reconcile.Source{queueOf(2)},
				Policy: &policy.Policy{
					Group: "app", Launch: true, MinStarted: program, MaxStarted: program,
					Behavior: policy.Behavior{Up: policy.Direction{Window: time.Minute}},
				},
			}
			var reports []reconcile.Report
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			reconcile.New(reconcile.Config{
				Interval: 15 * time.Second, Timeout: 10 * time.Second, Refresh: time.Minute, Concurrency: 1, Memories: kept,
				Logger: slog.New(slog.DiscardHandler), Observe: func(r reconcile.Report) { reports = append(reports, r) },
			}, always(target)).Run(ctx)
			return reports
		}
		want := func(r reconcile.Report) int { return r.Decision.Want.Started }

		s := memory.New()
		first := openMemories(t, s)
		for _, r := range live(first) {
			if want(r) != 1 {
				t.Fatalf("within the first minute: %s, want what there is", r.Decision.Line())
			}
		}
		if len(first.loads) != 1 || first.loads[0] != "web/app" {
			t.Errorf("memories of %q were asked for, want web/app once", first.loads)
		}
		second := openMemories(t, s)
		if got := live(second); want(got[0]) != 2 {
			t.Errorf("after a minute: %s, want two", got[0].Decision.Line())
		}
		if slices.Contains(first.saves, true) || !second.saves[0] {
			t.Errorf("acted in the first minute: %v, and in the second: %v", first.saves, second.saves)
		}
		if got := live(nil); want(got[0]) != 1 {
			t.Errorf("without a memory: %s, want what there is", got[0].Decision.Line())
		}
		pause := time.NewTimer(time.Hour)
		<-pause.C
		// Old memory is harmless: it is treated by its times.
		if got := live(openMemories(t, s)); want(got[0]) != 1 {
			t.Errorf("an hour later: %s, want what there is", got[0].Decision.Line())
		}
	})
}

// What a pass tells of its inputs gives the same decision again, by their JSON too:
// no time in them is more than it seems.
func TestInputsDecideAgain(t *testing.T) {
	w := newWorld()
	for name, target := range map[string]reconcile.Target{"quiet": w.target("web", "1"), "acts": w.target("web", "2")} {
		r, _ := reconcile.Pass(t.Context(), target, decide.Memory{}, reconcile.Options{Now: time.Now, Act: true})
		if r.Inputs == nil {
			t.Fatalf("%s: no inputs", name)
		}
		now, taken := r.Inputs.Now, r.Inputs.Snapshot.TakenAt
		if now != now.Round(0) || taken != taken.Round(0) {
			t.Errorf("%s: a time of the inputs has more than the time of day: %s, %s", name, now, taken)
		}
		d, p := r.Inputs.Again()
		for _, pair := range [][2]any{{r.Decision, d}, {r.Plan, p}} {
			was, err := json.Marshal(pair[0])
			if err != nil {
				t.Fatal(err)
			}
			if is, err := json.Marshal(pair[1]); err != nil || string(is) != string(was) {
				t.Errorf("%s: decided again, %v\n%s\nwant\n%s", name, err, is, was)
			}
		}
	}
}
