package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/memory"
)

// watched is a store of memory whose writes are counted, and that can be broken.
type watched struct {
	store.Store
	mu     sync.Mutex
	writes map[store.Key]int // guarded by mu; to the bucket
	bytes  int               // guarded by mu
	broken bool              // guarded by mu
}

type watchedBucket struct {
	store.Bucket
	*watched
}

func (w *watched) Bucket(ctx context.Context, name string) (store.Bucket, error) {
	b, err := w.Store.Bucket(ctx, name)
	return watchedBucket{b, w}, err
}

func (b watchedBucket) Put(ctx context.Context, key store.Key, value []byte) (store.Revision, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return 0, store.ErrUnavailable
	}
	b.writes[key]++
	b.bytes += len(value)
	return b.Bucket.Put(ctx, key, value)
}

// taken returns the writes since it was last asked: how many, how many bytes, and of
// which keys.
func (w *watched) taken() (n, bytes int, keys []store.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, count := range w.writes {
		if key != store.KeyOf("", "alive") {
			n += count
			keys = append(keys, key)
		}
	}
	bytes, w.bytes = w.bytes, 0
	w.writes = make(map[store.Key]int)
	slices.Sort(keys)
	return n, bytes, keys
}

func (w *watched) fail(broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = broken
}

// recordsOn returns records that write to the store until the test ends.
func recordsOn(t *testing.T, w *watched) *records {
	t.Helper()
	r := newRecords("", journal.VolatileRetention(), slog.New(slog.DiscardHandler), newMetrics("", newPasses()))
	o, err := openIn(t.Context(), w, r.retention)
	if err != nil {
		t.Fatal(err)
	}
	o.problem, o.close = func() error { return nil }, func(context.Context) error { return nil }
	r.dir = "set" // so that what is wrong with the store is told
	o.durable = true
	r.begin(t.Context(), o, nil)
	return r
}

func newWatched() *watched {
	return &watched{Store: memory.New(), writes: make(map[store.Key]int)}
}

// pass lets virtual time pass.
func passTime(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

// looked is the memory of a target whose window was looked at now.
func looked() decide.Memory {
	mark := decide.Window{{At: time.Now().Round(0), Value: 2}}
	return decide.Memory{Demand: decide.Demand{Windows: decide.Windows{MinStarted: mark, MaxStarted: mark}}}
}

// What quiet passes see is written once a minute and target at most, and what did not
// change never; what a pass did is written at once.
func TestMemoriesAreWrittenInRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		r := recordsOn(t, w)
		defer func() {
			if err := r.close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		const targets = 10_000
		key := func(i int) string { return fmt.Sprintf("app-%d/app", i) }
		for cycle := range 12 { // three minutes
			for i := range targets {
				r.Save(key(i), looked(), false)
			}
			passTime(15 * time.Second)
			if n, bytes, _ := w.taken(); n > targets/4+targets/60 || cycle > 0 && n < targets/5 {
				t.Errorf("cycle %d: %d writes of %d bytes, want a quarter of %d targets", cycle, n, bytes, targets)
			} else if cycle == 11 {
				t.Logf("a cycle over %d quiet targets with windows: %d writes, %d bytes", targets, n, bytes)
			}
		}
		same := looked()
		for range 4 {
			for i := range targets {
				r.Save(key(i), same, false)
			}
			passTime(15 * time.Second)
		}
		w.taken()
		for range 8 {
			for i := range targets {
				r.Save(key(i), same, false)
			}
			passTime(15 * time.Second)
		}
		if n, _, _ := w.taken(); n != 0 {
			t.Errorf("%d writes of memories that did not change", n)
		}
		r.Save(key(7), decide.Memory{CreateFailures: 1}, true)
		synctest.Wait()
		if _, _, keys := w.taken(); !slices.Equal(keys, []store.Key{store.KeyOf("app-7", "app")}) {
			t.Errorf("right after a pass that acted %q were written", keys)
		}
	})
}

// However large memories are, a bounded number of bytes is written for what passes
// merely saw, and every target has its turn.
func TestRoundsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		r := recordsOn(t, w)
		const targets = 1000
		large := func() decide.Memory {
			m := looked()
			points := make([]scale.Point, 700)
			for i := range points {
				points[i] = scale.Point{At: time.Now().Add(-time.Duration(i) * time.Second), Value: 1.5}
			}
			m.Demand.History = map[string][]scale.Point{"queue": points}
			return m
		}
		seen := make(map[store.Key]int)
		for range 8 {
			m := large()
			for i := range targets {
				r.Save(fmt.Sprintf("app-%d/app", i), m, false)
			}
			passTime(15 * time.Second)
			_, bytes, keys := w.taken()
			if bytes > 15*(roundBytes+64<<10) {
				t.Errorf("%d bytes in 15 s", bytes)
			}
			for _, key := range keys {
				seen[key]++
			}
		}
		if len(seen) != targets {
			t.Errorf("%d of %d targets had a turn in two minutes", len(seen), targets)
		}
		if err := r.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Targets that are not governed any more are forgotten, those that were governed by
// an earlier process too; what was remembered of others is handed out once.
func TestMemoriesOfTargetsThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		first := recordsOn(t, w)
		for _, app := range []string{"stays", "goes", "gone"} {
			first.Save(app+"/app", decide.Memory{CreateFailures: len(app)}, false)
		}
		if err := first.close(t.Context()); err != nil {
			t.Error(err)
		}
		if n, _, _ := w.taken(); n != 3 {
			t.Errorf("%d memories were written at the end, want 3", n)
		}

		r := recordsOn(t, w)
		ready := false
		r.settle(func() bool { return ready })
		for _, app := range []string{"stays", "goes"} {
			if m, ok := r.Load(app + "/app"); !ok || m.CreateFailures != len(app) {
				t.Errorf("%s: loaded %+v, %t", app, m, ok)
			}
			r.Save(app+"/app", decide.Memory{CreateFailures: 9}, false)
		}
		if m, ok := r.Load("stays/app"); ok {
			t.Errorf("loaded twice: %+v", m)
		}
		passTime(time.Hour)
		ready = true
		r.forget(reconcile.Target{App: "goes", Policy: &policy.Policy{Group: "app"}})
		passTime(2 * time.Second)
		if err := r.close(t.Context()); err != nil {
			t.Error(err)
		}
		o, err := openIn(t.Context(), w, r.retention)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := o.kept.Documents[store.KeyOf("stays", "app")]; !ok || len(o.kept.Documents) != 1 {
			t.Errorf("kept %q, want that of the target that stays", o.kept.Documents)
		}
	})
}

// A store that breaks keeps nobody waiting, is told of, and what was not written is
// once it works again.
func TestStoreThatBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		r := recordsOn(t, w)
		w.fail(true)
		began := time.Now()
		for i := range 100 {
			r.Save(fmt.Sprintf("app-%d/app", i), looked(), true)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("saving took %s", took)
		}
		passTime(time.Minute)
		if bad := r.problem(); bad == "" {
			t.Error("nothing tells that the store does not work")
		}
		w.fail(false)
		passTime(2 * time.Minute)
		if n, _, _ := w.taken(); n != 100 || r.problem() != "" {
			t.Errorf("%d writes once the store works again, want 100; problem %q", n, r.problem())
		}
		if err := r.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Passes that act or fail come into the journal with all that went into them, decide
// again to the same bytes, and passes that have nothing to do come now and then.
func TestPassesComeIntoTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		r := recordsOn(t, w)
		p := wanted(t)
		policed := func(app scale.App, want float64) reconcile.Report {
			report := reportOf(p, app, want)
			in := reconcile.Inputs{
				Snapshot: scale.Snapshot{App: app, TakenAt: noon, Complete: true}, Policy: p, Now: noon,
				Samples: []scale.Sample{{Metric: "want", Value: want, At: noon, Quality: scale.Fresh}},
			}
			for _, m := range report.Decision.Inventory {
				in.Snapshot.Machines = append(in.Snapshot.Machines, *m.Machine)
			}
			report.Inputs, report.Began = &in, time.Now()
			return report
		}
		failed := reconcile.Report{App: "fails", Group: "app", Began: time.Now(), Err: errors.New("no list")}
		for range 40 { // ten minutes
			r.pass(policed("quiet", 2))
			r.pass(failed)
			passTime(15 * time.Second)
			failed.Began = time.Now()
		}
		r.pass(policed("acts", 4))
		synctest.Wait()
		count := map[string]int{}
		for item, err := range r.Read(t.Context(), journal.Filter{}) {
			if err != nil || item.Err != nil {
				t.Fatal(err, item.Err)
			}
			count[string(item.App)+" "+string(item.Kind)]++
			if err := Replay(item); err != nil && !errors.Is(err, ErrNotDecided) {
				t.Errorf("%s decided again: %v", item.App, err)
			}
			if report, err := ReportOf(item); err != nil || item.App == "acts" && (len(report.Plan.Actions) != 2 || len(report.Outcomes) != 2 || report.Decision.Want.Started != 4) {
				t.Errorf("%s: as a report %+v, %v", item.App, report, err)
			}
		}
		if want := map[string]int{"quiet sample": 1, "fails failed": 1, "acts acted": 1}; fmt.Sprint(count) != fmt.Sprint(want) {
			t.Errorf("the journal has %v, want %v", count, want)
		}
		if err := r.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkQuietCycle is what keeping the memories of ten thousand quiet targets costs
// in the 15 seconds between two passes over them, with a real folder.
func BenchmarkQuietCycle(b *testing.B) {
	const targets = 10_000
	dir := b.TempDir()
	open := func() *records {
		r := newRecords(dir, journal.DefaultRetention(), slog.New(slog.DiscardHandler), newMetrics("", newPasses()))
		o, err := openFolder(b.Context(), dir, r.retention, r.logger)
		if err != nil {
			b.Fatal(err)
		}
		r.use(o, nil)
		return r
	}
	r := open()
	w := &writer{records: r}
	keys := make([]string, targets)
	for i := range keys {
		keys[i] = fmt.Sprintf("customer-%d/app", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, key := range keys {
			r.Save(key, looked(), false)
		}
		for range 15 {
			w.step(b.Context())
		}
	}
	b.StopTimer()
	w.flush(b.Context())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r.mu.Lock()
	r.targets, r.round = nil, nil
	r.mu.Unlock()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(before.HeapAlloc-after.HeapAlloc)/targets, "B/target")
	if err := r.current().close(b.Context()); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	again := open()
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/open")
	if n := len(again.found); n != targets {
		b.Errorf("%d of %d memories are there again", n, targets)
	}
	if err := again.current().close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
