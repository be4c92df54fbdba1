package source_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// counting is a source that takes a second and counts how often, and for how many
// apps, it was asked.
type counting struct {
	mu    sync.Mutex
	asked []int // guarded by mu
}

func (*counting) Metric() string { return "m" }
func (*counting) Close() error   { return nil }

func (c *counting) Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	c.mu.Lock()
	c.asked = append(c.asked, len(apps))
	n := len(c.asked)
	c.mu.Unlock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	out := map[scale.App]scale.Sample{}
	for _, app := range apps {
		out[app] = scale.Sample{Metric: "m", Value: float64(n), Quality: scale.Fresh}
	}
	return out
}

// A thousand apps that ask at the same time make one question, and so do those that
// ask soon after; an app that is not known yet is answered all the same.
func TestSharedAsksOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var apps []scale.App
		for i := range 1000 {
			apps = append(apps, scale.App(fmt.Sprint("app-", i)))
		}
		inner := &counting{}
		s := source.NewShared(inner, func() []scale.App { return apps }, 5*time.Second)
		round := func() {
			var wg sync.WaitGroup
			for _, app := range apps {
				wg.Go(func() {
					if got := s.Collect(t.Context(), []scale.App{app}); len(got) != 1 || !got[app].Known() {
						t.Errorf("%s: got %v", app, got)
					}
				})
			}
			wg.Wait()
		}
		round()
		time.Sleep(3 * time.Second)
		round()
		if got := fmt.Sprint(inner.asked); got != "[1000]" {
			t.Errorf("asked for %s apps, want once for all", got)
		}
		time.Sleep(3 * time.Second)
		round()
		if got := s.Collect(t.Context(), []scale.App{"new"}); !got["new"].Known() {
			t.Errorf("an app that is not listed: got %v", got)
		}
		if got := fmt.Sprint(inner.asked); got != "[1000 1000 1001]" {
			t.Errorf("asked for %s apps, want again once the answers are old, and with the new one", got)
		}
	})
}

// Whoever's time is up while another's question is under way gets an answer then.
func TestSharedKeepsEachDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := source.NewShared(&counting{}, func() []scale.App { return []scale.App{"a", "b"} }, time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { s.Collect(t.Context(), []scale.App{"a"}) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begin := time.Now()
		s.Collect(ctx, []scale.App{"b"})
		if took := time.Since(begin); took != 100*time.Millisecond {
			t.Errorf("waited %s, want 100ms", took)
		}
		wg.Wait()
	})
}

// sparing is a source that takes a second for all apps but one, about which it
// answers only when asked for it alone, and then never.
type sparing struct {
	counting
	apart scale.App
}

func (s *sparing) CollectTogether(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	return s.Collect(ctx, slices.DeleteFunc(slices.Clone(apps), func(app scale.App) bool { return app == s.apart }))
}

func (s *sparing) Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	if len(apps) == 1 && apps[0] == s.apart {
		<-ctx.Done()
		return source.Same(apps, scale.Sample{Metric: "m", Quality: scale.Error, Reason: ctx.Err().Error()})
	}
	return s.counting.Collect(ctx, apps)
}

// An app that is asked for by itself keeps nobody waiting, also when it is the one
// that asks first.
func TestSharedWaitsForNoAppAlone(t *testing.T) {
	t.Parallel()
	for _, first := range []scale.App{"a", "hangs"} {
		synctest.Test(t, func(t *testing.T) {
			inner := &sparing{apart: "hangs"}
			apps := []scale.App{"a", "b", "c", "hangs"}
			s := source.NewShared(inner, func() []scale.App { return apps }, 5*time.Second)
			for round := range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				began := time.Now()
				var wg sync.WaitGroup
				ask := func(app scale.App, want time.Duration, known bool) {
					wg.Go(func() {
						got := s.Collect(ctx, []scale.App{app})
						if took := time.Since(began); took != want || len(got) != 1 || got[app].Known() != known {
							t.Errorf("round %d: %s has %v after %s, want it known: %v, after %s", round, app, got, took, known, want)
						}
					})
					synctest.Wait()
				}
				ask(first, map[bool]time.Duration{true: 10 * time.Second, false: time.Second}[first == "hangs"], first != "hangs")
				for _, app := range apps {
					if app == "hangs" {
						ask(app, 10*time.Second, false)
					} else {
						ask(app, time.Second, true)
					}
				}
				wg.Wait()
				cancel()
			}
			if got := fmt.Sprint(inner.asked); got != "[3 3 3]" {
				t.Errorf("asked for %s apps, want once in each round for all but one", got)
			}
		})
	}
}
