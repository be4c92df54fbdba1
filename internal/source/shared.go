package source

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Together is a Source that knows which apps are better asked for by themselves:
// those whose question fails, or hangs, that of many apps at once.
type Together interface {
	Source

	// CollectTogether is Collect for what can be asked about many apps at once. Apps
	// for which that does not hold have no sample. They are to be asked for with
	// Collect, each by itself.
	CollectTogether(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample
}

// Shared is a Source that is asked for one app at a time and asks another for all
// of them at once: what one app's question brings answers those of the others for
// a while. Apps that a Together leaves out are asked for by whoever wants their
// samples, so that no other app waits for them. It may be used by many goroutines.
type Shared struct {
	Source
	collect func(context.Context, []scale.App) map[scale.App]scale.Sample
	apps    func() []scale.App
	fresh   time.Duration

	mu      sync.Mutex
	last    answers     // guarded by mu
	at      time.Time   // guarded by mu; when the collection of last began
	running *collection // guarded by mu; nil when none is under way
}

// answers are what a collection brought. They are replaced, never changed.
type answers struct {
	samples map[scale.App]scale.Sample
	asked   map[scale.App]bool // also those that were left out
}

// collection is one question for all apps.
type collection struct {
	done    chan struct{}
	answers answers // valid once done is closed
}

// NewShared returns a Source that asks s for all of apps at once, and again when
// the answers are older than fresh. apps is called for each collection; its result
// is only read.
func NewShared(s Source, apps func() []scale.App, fresh time.Duration) *Shared {
	shared := &Shared{Source: s, collect: s.Collect, apps: apps, fresh: fresh}
	if together, ok := s.(Together); ok {
		shared.collect = together.CollectTogether
	}
	return shared
}

// Collect implements Source.
func (s *Shared) Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	s.mu.Lock()
	last := s.last
	if last.cover(apps) && time.Since(s.at) < s.fresh {
		s.mu.Unlock()
		return s.complete(ctx, last, apps)
	}
	c := s.running
	lead := c == nil
	if lead {
		c = &collection{done: make(chan struct{})}
		s.running = c
	}
	s.mu.Unlock()
	switch {
	case lead:
		s.lead(ctx, c, apps)
	case last.leaveOut(apps):
		// The collection is not worth waiting for.
		return s.Source.Collect(ctx, apps)
	default:
		select {
		case <-c.done:
		case <-ctx.Done():
			// The collection will not end in time. An ended ctx gives its reason as a sample.
			return s.Source.Collect(ctx, apps)
		}
	}
	return s.complete(ctx, c.answers, apps)
}

// lead makes the collection for everybody who waits for it. Nobody may be left
// waiting, also when the source panics.
func (s *Shared) lead(ctx context.Context, c *collection, apps []scale.App) {
	began := time.Now()
	defer func() {
		s.mu.Lock()
		if c.answers.samples != nil {
			s.last, s.at = c.answers, began
		}
		s.running = nil
		s.mu.Unlock()
		close(c.done)
	}()
	all, asked := union(s.apps(), apps)
	c.answers = answers{samples: s.collect(ctx, all), asked: asked}
}

// complete returns the samples of the apps, and asks for those that have none.
func (s *Shared) complete(ctx context.Context, a answers, apps []scale.App) map[scale.App]scale.Sample {
	out := make(map[scale.App]scale.Sample, len(apps))
	var rest []scale.App
	for _, app := range apps {
		if sample, ok := a.samples[app]; ok {
			out[app] = sample
		} else {
			rest = append(rest, app)
		}
	}
	if len(rest) > 0 {
		maps.Copy(out, s.Source.Collect(ctx, rest))
	}
	return out
}

// cover reports whether all the apps were asked for.
func (a answers) cover(apps []scale.App) bool {
	for _, app := range apps {
		if !a.asked[app] {
			return false
		}
	}
	return true
}

// leaveOut reports whether all the apps were asked for and left out.
func (a answers) leaveOut(apps []scale.App) bool {
	for _, app := range apps {
		if _, ok := a.samples[app]; ok || !a.asked[app] {
			return false
		}
	}
	return true
}

// union returns all, and those of more that are not among them, as a list and as a
// set.
func union(all, more []scale.App) ([]scale.App, map[scale.App]bool) {
	known := make(map[scale.App]bool, len(all)+len(more))
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
	return out, known
}
