package prometheus

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

const (
	// apartFor is how long an app that spoilt the query for many apps is asked for
	// by itself before it is tried among the others again, which costs those the
	// search for it if nothing has changed.
	apartFor = 5 * time.Minute
	// maxApart bounds how many such apps are remembered. With more of them, some are
	// searched for at every collection.
	maxApart = 1000
	// lateConcurrency is how many queries run at a time about apps that were not
	// answered in time when last asked about. They have places of their own, so
	// that they keep none from the apps that are answered at once.
	lateConcurrency = 16
)

// apart is what is remembered of apps that are asked for by themselves.
type apart struct {
	slots     chan struct{} // one for each query about one app
	lateSlots chan struct{} // the same, about apps that are late

	mu   sync.Mutex
	apps map[scale.App]*spoiler // that spoil the query for many; guarded by mu
	late map[scale.App]bool     // guarded by mu
}

// spoiler is an app that is not asked for together with others.
type spoiler struct {
	until time.Time
	ill   bool // alone it was refused as well, or not answered, when last asked for
}

func newApart() *apart {
	return &apart{
		slots: make(chan struct{}, concurrency), lateSlots: make(chan struct{}, lateConcurrency),
		apps: map[scale.App]*spoiler{}, late: map[scale.App]bool{},
	}
}

// set remembers an app, and reports whether it could.
func (a *apart) set(app scale.App, late bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.apps) >= maxApart {
		return false
	}
	a.apps[app] = &spoiler{until: time.Now().Add(apartFor)}
	if late {
		a.late[app] = true
	}
	return true
}

// names returns the apps that are not to be asked for together with others now,
// sorted. An app comes back when its time is over, unless what is wrong with it
// shows when it is asked for alone.
func (a *apart) names() []scale.App {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	var names []scale.App
	for app, s := range a.apps {
		switch {
		case now.Before(s.until):
		case s.ill:
			// It was asked for lately, or is gone; in that case it is soon forgotten.
			s.until, s.ill = now.Add(apartFor), false
		default:
			delete(a.apps, app)
			continue
		}
		names = append(names, app)
	}
	slices.Sort(names)
	return names
}

// note takes down how the query about one app ended. One that began late, after
// waiting for others, says nothing of the app when it is not answered.
func (a *apart) note(app scale.App, err error, beganLate bool) {
	if isLate(err) && beganLate {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.apps[app]; s != nil {
		s.ill = isRefusal(err) || isLate(err)
	}
	switch {
	case !isLate(err):
		delete(a.late, app)
	case len(a.late) < maxApart:
		a.late[app] = true
	}
}

// slot waits for leave to ask about one app, and returns what gives it back.
func (a *apart) slot(ctx context.Context, app scale.App) (func(), error) {
	a.mu.Lock()
	slots := a.slots
	if a.late[app] {
		slots = a.lateSlots
	}
	a.mu.Unlock()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for queries about other apps: %w", context.Cause(ctx))
	}
}

// setApart asks for an app by itself for a while.
func (s *Source) setApart(ctx context.Context, app scale.App, err error) {
	if !s.apart.set(app, isLate(err)) {
		return
	}
	s.logger.LogAttrs(ctx, slog.LevelWarn, "app is asked for by itself: the query for many apps at once fails because of it",
		slog.String("app", string(app)), slog.String("reason", source.Printable(s.redact.Text(err.Error()), source.MaxReason)))
}

// without returns the sorted apps that are not in the sorted list.
func without(apps, list []scale.App) []scale.App {
	if len(list) == 0 {
		return apps
	}
	rest := make([]scale.App, 0, len(apps))
	for _, app := range apps {
		if _, found := slices.BinarySearch(list, app); !found {
			rest = append(rest, app)
		}
	}
	return rest
}
