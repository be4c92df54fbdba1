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

	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Other settings hold from the next pass on. However often they come, no target goes
// without its pass, none has two at a time, and what was begun is ended.
func TestReloadDropsNoPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps = 40
		w := newWorld()
		w.hang["app-7"] = true // until its time is up
		var mu sync.Mutex
		began := map[scale.App][]time.Time{}
		ended := map[scale.App]time.Time{}
		dry := 0
		cfg := reconcile.Config{
			Interval: 5 * time.Second, Timeout: 4 * time.Second, Refresh: time.Hour, Concurrency: 10,
			Logger: slog.New(slog.DiscardHandler),
			Observe: func(r reconcile.Report) {
				mu.Lock()
				defer mu.Unlock()
				if r.Began.Before(ended[r.App]) {
					t.Errorf("%s: a pass began before the one before had ended", r.App)
				}
				began[r.App], ended[r.App] = append(began[r.App], r.Began), r.Began.Add(r.Took)
				if r.DryRun {
					dry++
				}
			},
		}
		want, dryRun := 1, false
		loop := reconcile.New(cfg, func(context.Context) ([]reconcile.Target, error) {
			mu.Lock()
			defer mu.Unlock()
			var targets []reconcile.Target
			for i := range apps {
				target := w.target(fmt.Sprint("app-", i), fmt.Sprint(want))
				target.DryRun = dryRun
				targets = append(targets, target)
			}
			return targets, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { loop.Run(ctx) })
		for i := range 30 {
			time.Sleep(3 * time.Second)
			cfg.Concurrency = 1 + i*5%60
			mu.Lock()
			dryRun = i%2 == 1
			mu.Unlock()
			loop.Configure(cfg)
			loop.Rediscover(ctx)
			before := time.Now()
			if loop.Settle(ctx); time.Since(before) > cfg.Timeout {
				t.Errorf("settled only after %s", time.Since(before))
			}
		}
		mu.Lock()
		dryRun, want = false, 2
		mu.Unlock()
		loop.Configure(cfg)
		loop.Rediscover(ctx)
		time.Sleep(time.Minute)
		cancel()
		wg.Wait()
		for app, times := range began {
			for i := 1; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap > 4*cfg.Interval {
					t.Errorf("%s: %s without a pass", app, gap)
				}
			}
			if w.applied[app] == 0 && app != "app-7" {
				t.Errorf("%s: the last settings were never carried out", app)
			}
		}
		if len(began) != apps || dry == 0 {
			t.Errorf("%d targets had passes, %d of them dry", len(began), dry)
		}
	})
}

// A shorter interval does not wait for the end of the one before.
func TestReloadOfTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		cfg := reconcile.Config{
			Interval: time.Hour, Timeout: time.Second, Refresh: time.Hour, Concurrency: 1,
			Logger: slog.New(slog.DiscardHandler), Observe: func(reconcile.Report) {},
		}
		loop := reconcile.New(cfg, always(w.target("web", "1")))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { loop.Run(ctx) })
		time.Sleep(time.Minute)
		cfg.Interval = 10 * time.Second
		loop.Configure(cfg)
		wg.Wait()
		if n := len(w.reads["web"]); n < 6 || n > 8 {
			t.Errorf("%d passes, want one in the first minute and six or seven in the second", n)
		}
	})
}

// Acting and the rules that are acted by come together: what was only tried is never
// carried out, however late the new rules are known.
func TestReloadNeverActsByOldRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		old := w.target("web", "2") // one more than there is
		old.DryRun = true
		var mu sync.Mutex
		targets, slow := []reconcile.Target{old}, time.Duration(0)
		cfg := reconcile.Config{
			Interval: time.Hour, Timeout: time.Second, Refresh: time.Hour, Concurrency: 1,
			Logger: slog.New(slog.DiscardHandler), Observe: func(reconcile.Report) {},
		}
		loop := reconcile.New(cfg, func(context.Context) ([]reconcile.Target, error) {
			mu.Lock()
			defer mu.Unlock()
			time.Sleep(slow)
			return targets, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { loop.Run(ctx) })
		time.Sleep(time.Minute)
		mu.Lock()
		targets, slow = []reconcile.Target{w.target("web", "1")}, 500*time.Millisecond
		mu.Unlock()
		w.mu.Lock()
		before := len(w.reads["web"])
		w.mu.Unlock()
		cfg.Concurrency = 2
		loop.Configure(cfg)
		loop.Rediscover(ctx)
		time.Sleep(time.Minute)
		cancel()
		wg.Wait()
		if w.applied["web"] != 0 {
			t.Errorf("%d actions by the rules that were tried", w.applied["web"])
		}
		if len(w.reads["web"]) == before {
			t.Error("the new rules wait for the interval")
		}
	})
}

// A discovery that is partial keeps nobody waiting, and drops nothing.
func TestPartialDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		found := []reconcile.Target{w.target("web", "1"), w.target("api", "1")}
		cfg := reconcile.Config{
			Interval: time.Second, Timeout: time.Second, Refresh: time.Second, Concurrency: 1,
			Logger: slog.New(slog.DiscardHandler), Observe: func(reconcile.Report) {},
			Forget: func(t reconcile.Target) { w.forgotten = append(w.forgotten, t.App) },
		}
		loop := reconcile.New(cfg, func(context.Context) ([]reconcile.Target, error) {
			targets := found
			found = found[:1]
			return targets, &reconcile.Partial{Err: errors.New("no list")}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		loop.Run(ctx)
		if !loop.Ready() || len(w.forgotten) > 0 || len(w.reads["api"]) < 50 {
			t.Errorf("ready %v, forgotten %v, %d passes over what was missing", loop.Ready(), w.forgotten, len(w.reads["api"]))
		}
	})
}
