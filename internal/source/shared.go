package source

import (
	"context"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Shared is a Source that is asked for one app at a time and asks another for all
// of them at once: what one app's question brings answers those of the others for
// a while. It may be used by many goroutines.
type Shared struct {
	Source
	apps  func() []scale.App
	fresh time.Duration

	mu      sync.Mutex
	samples map[scale.App]scale.Sample // guarded by mu; replaced, never changed
	at      time.Time                  // guarded by mu; when the collection of samples began
	running *collection                // guarded by mu; nil when none is under way
}

// collection is one question for all apps.
type collection struct {
	done    chan struct{}
	samples map[scale.App]scale.Sample // valid once done is closed
}

// NewShared returns a Source that asks s for all of apps at once, and again when
// the answers are older than fresh. apps is called for each collection; its result
// is only read.
func NewShared(s Source, apps func() []scale.App, fresh time.Duration) *Shared {
	return &Shared{Source: s, apps: apps, fresh: fresh}
}

// Collect implements Source.
func (s *Shared) Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	s.mu.Lock()
	if answers, ok := pick(s.samples, apps); ok && time.Since(s.at) < s.fresh {
		s.mu.Unlock()
		return answers
	}
	c := s.running
	lead := c == nil
	if lead {
		c = &collection{done: make(chan struct{})}
		s.running = c
	}
	s.mu.Unlock()
	if !lead {
		select {
		case <-c.done:
			if answers, ok := pick(c.samples, apps); ok {
				return answers
			}
		case <-ctx.Done():
		}
		// It was not about these apps, or it will not end in time: they are asked for
		// alone, and an ended ctx gives its reason as a sample.
		return s.Source.Collect(ctx, apps)
	}
	s.lead(ctx, c, apps)
	answers, _ := pick(c.samples, apps)
	return answers
}

// lead makes the collection for everybody who waits for it. Nobody may be left
// waiting, also when the source panics.
func (s *Shared) lead(ctx context.Context, c *collection, apps []scale.App) {
	began := time.Now()
	defer func() {
		s.mu.Lock()
		if c.samples != nil {
			s.samples, s.at = c.samples, began
		}
		s.running = nil
		s.mu.Unlock()
		close(c.done)
	}()
	c.samples = s.Source.Collect(ctx, union(s.apps(), apps))
}

// pick returns the samples of the apps, and whether there is one for each.
func pick(samples map[scale.App]scale.Sample, apps []scale.App) (map[scale.App]scale.Sample, bool) {
	out := make(map[scale.App]scale.Sample, len(apps))
	for _, app := range apps {
		sample, ok := samples[app]
		if !ok {
			return out, false
		}
		out[app] = sample
	}
	return out, true
}

// union returns all, and those of more that are not among them.
func union(all, more []scale.App) []scale.App {
	known := make(map[scale.App]bool, len(all))
	for _, app := range all {
		known[app] = true
	}
	out := append(make([]scale.App, 0, len(all)+len(more)), all...)
	for _, app := range more {
		if !known[app] {
			known[app] = true
			out = append(out, app)
		}
	}
	return out
}
