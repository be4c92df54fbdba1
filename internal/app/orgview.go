package app

import (
	"context"
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
}

func newOrgView(a *App, q question) *orgView {
	watch := fleet.NewWatch(q.connection.api, q.org, fleet.WatchConfig{
		// Never slower than the passes that look at it, and no faster than needed.
		Poll:   min(a.settings.Interval, 5*time.Second),
		Logger: a.logger,
	})
	return &orgView{watch: watch, fleet: fleet.NewOrg(q.connection.fleet, watch, fleet.NewReleases(q.connection.api))}
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

// watchOrgs keeps the pictures of all organizations that a pattern governs up to
// date until ctx ends, and hands on which apps changed. The returned function waits
// for the end.
func (a *App) watchOrgs(ctx context.Context) (changed <-chan scale.App, wait func(), err error) {
	questions, err := a.questions()
	if err != nil {
		return nil, nil, err
	}
	a.views = make(map[question]*orgView, len(questions))
	out := make(chan scale.App)
	var wg sync.WaitGroup
	for _, q := range questions {
		v := newOrgView(a, q)
		a.views[q] = v
		wg.Go(func() { v.watch.Run(ctx) })
		wg.Go(func() {
			for app := range v.watch.Changed() {
				select {
				case out <- app:
				case <-ctx.Done():
				}
			}
		})
	}
	return out, wg.Wait, nil
}

// syncTimeout is how long the first passes wait for the pictures. Without them each
// app's own list is read, which takes longer for many apps and is right all the
// same.
const syncTimeout = 15 * time.Second

// awaitViews waits until the pictures of all organizations are complete, once.
func (a *App) awaitViews(ctx context.Context) {
	if a.viewsAwaited || len(a.views) == 0 {
		return
	}
	a.viewsAwaited = true
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		synced := true
		for _, v := range a.views {
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
	for _, r := range a.rules {
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
