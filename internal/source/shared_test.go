package source_test

import (
	"context"
	"fmt"
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
