package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/fleet"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// orgView is the picture of all Machines of an organization, as a token sees it.
// It is kept only while the autoscaler serves.
type orgView struct {
	watch *fleet.Watch
	fleet *fleet.Org
	poll  time.Duration
	stop  context.CancelFunc
}

// pollOf is how often an overview is renewed: never more seldom than the passes that
// look at it, and no more often than needed.
func pollOf(settings *config.Settings) time.Duration { return min(settings.Interval, 5*time.Second) }

func newOrgView(q question, poll time.Duration, logger *slog.Logger) *orgView {
	watch := fleet.NewWatch(q.connection.api, q.org, fleet.WatchConfig{Poll: poll, Logger: logger})
	return &orgView{watch: watch, poll: poll, fleet: fleet.NewOrg(q.connection.fleet, watch, fleet.NewReleases(q.connection.api))}
}

// appNames is the apps that a rule matched last, shared by its sources.
type appNames struct {
	mu   sync.Mutex
	apps []scale.App // guarded by mu; replaced, never changed
}

func (n *appNames) set(apps []scale.App) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apps = apps
}

func (n *appNames) get() []scale.App {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.apps
}

// sharedFor is how long the answers about all apps serve: at most as long as it
// takes to ask them three times in an interval.
func sharedFor(s *config.Settings) time.Duration { return min(s.Interval/3, 5*time.Second) }

// orgViews is the pictures of the organizations that are governed by a pattern, while
// the App serves.
type orgViews struct {
	mu      sync.Mutex
	views   map[question]*orgView // guarded by mu
	awaited bool                  // guarded by mu
	// What follows is set by start.
	ctx     context.Context // of all views; they are begun and ended while it lasts
	logger  *slog.Logger
	changed chan scale.App
	wg      sync.WaitGroup
}

// start begins to keep the pictures of the generation's organizations up to date,
// until ctx ends, and hands on which apps changed.
func (o *orgViews) start(ctx context.Context, a *App, g *generation) (<-chan scale.App, error) {
	o.ctx, o.logger, o.changed = ctx, a.logger, make(chan scale.App)
	return o.changed, o.follow(g)
}

// follow begins and ends views so that they are those of the generation.
func (o *orgViews) follow(g *generation) error {
	questions, err := g.questions()
	if err != nil {
		return err
	}
	poll := pollOf(g.settings)
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.views
	o.views = make(map[question]*orgView, len(questions))
	for _, q := range questions {
		v := before[q]
		if v == nil || v.poll != poll {
			v = newOrgView(q, poll, o.logger)
			var ctx context.Context
			ctx, v.stop = context.WithCancel(o.ctx)
			o.wg.Go(func() { v.watch.Run(ctx) })
			o.wg.Go(func() { o.hand(ctx, v.watch.Changed()) })
			o.awaited = false
		}
		o.views[q] = v
	}
	for q, v := range before {
		if o.views[q] != v {
			v.stop()
		}
	}
	return nil
}

// hand hands on the apps that changed.
func (o *orgViews) hand(ctx context.Context, changed <-chan scale.App) {
	for app := range changed {
		select {
		case o.changed <- app:
		case <-ctx.Done():
		}
	}
}

// wait waits for the end of all views.
func (o *orgViews) wait() { o.wg.Wait() }

// of returns the view that answers the question, or nil.
func (o *orgViews) of(q question) *orgView {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.views[q]
}

// syncTimeout is how long the first passes wait for the pictures. Without them each
// app's own list is read, which takes longer for many apps and is right all the
// same.
const syncTimeout = 15 * time.Second

// await waits until all pictures are complete, once for each set of them.
func (o *orgViews) await(ctx context.Context) {
	o.mu.Lock()
	views, awaited := o.views, o.awaited
	o.awaited = true
	o.mu.Unlock()
	if awaited || len(views) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		synced := true
		for _, v := range views {
			synced = synced && (v.watch.Synced() || v.watch.Failing())
		}
		if synced {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Metric tells how one metric of a rule that matches many apps is asked for.
type Metric struct {
	Target  string // the pattern
	Name    string
	Grouped bool
	Reason  string // why it is asked for app by app
}

// Metrics tells how the metrics of the rules that match many apps are asked for,
// as known from the questions so far.
func (a *App) Metrics() []Metric {
	var out []Metric
	for _, r := range a.now.Load().rules {
		if !r.target.Wildcard() {
			continue
		}
		for _, s := range r.sources {
			if shared, ok := s.(*source.Shared); ok {
				s = shared.Source
			}
			mode, ok := s.(interface{ Mode() (bool, string) })
			if !ok {
				continue
			}
			grouped, reason := mode.Mode()
			out = append(out, Metric{Target: r.target.AppPattern, Name: s.Metric(), Grouped: grouped, Reason: reason})
		}
	}
	return out
}
