// Package fleet is the autoscaler's picture of the platform's Machines. It reads
// them, remembers what we did to them until the platform shows it, and does not
// believe at once that a Machine is gone. It decides nothing and changes nothing.
package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// API is what the fleet needs of the platform.
type API interface {
	// ListMachines returns all Machines of the app, with their leases.
	ListMachines(ctx context.Context, app scale.App) ([]scale.Machine, error)
	// CurrentRelease returns the app's newest release.
	CurrentRelease(ctx context.Context, app scale.App) (scale.Release, error)
}

// How long a write of ours is shown although the platform does not show it yet.
// Reads of an app's own list may lag its writes by seconds.
const (
	showWrite  = 10 * time.Second
	showCreate = 30 * time.Second
)

// Lister reads each app's own list of Machines, which is the authority for
// acting. It may be used by many goroutines at once.
type Lister struct {
	api API

	mu   sync.Mutex
	apps map[scale.App]*appView // guarded by mu
}

// appView is what is remembered of one app between reads.
type appView struct {
	writes map[scale.MachineID]write
	// last is the Machines of the last read; a Machine missing for the first time
	// is still shown from here.
	last    map[scale.MachineID]scale.Machine
	missing map[scale.MachineID]bool
}

// write is one change of ours that the platform may not show yet.
type write struct {
	verb  scale.Verb
	from  scale.State // the state before it
	clone *scale.Machine
	at    time.Time
}

// NewLister returns a Lister that reads through api.
func NewLister(api API) *Lister {
	return &Lister{api: api, apps: make(map[scale.App]*appView)}
}

// Release returns the app's newest release.
func (l *Lister) Release(ctx context.Context, app scale.App) (scale.Release, error) {
	return l.api.CurrentRelease(ctx, app)
}

// Snapshot reads the app's Machines. It blocks for one call of the API.
func (l *Lister) Snapshot(ctx context.Context, app scale.App) (scale.Snapshot, error) {
	machines, err := l.api.ListMachines(ctx, app)
	if err != nil {
		return scale.Snapshot{}, err
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	view := l.view(app)
	machines, complete := view.recall(machines)
	machines = view.overlay(machines, now)
	slices.SortFunc(machines, func(a, b scale.Machine) int { return cmp.Compare(a.ID, b.ID) })
	for i := 1; i < len(machines); i++ {
		if machines[i].ID == machines[i-1].ID {
			return scale.Snapshot{}, fmt.Errorf("list machines for app %q: Machine %s is listed twice", app, machines[i].ID)
		}
	}
	return scale.Snapshot{App: app, Machines: machines, TakenAt: now, Complete: complete}, nil
}

// Wrote remembers what the outcomes changed.
func (l *Lister) Wrote(app scale.App, outcomes []scale.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	view := l.view(app)
	for _, o := range outcomes {
		if o.Result != scale.Done || o.Machine == "" {
			continue
		}
		view.writes[o.Machine] = write{verb: o.Action.Verb, from: o.Action.State, clone: o.Clone, at: o.At}
	}
}

// Forget drops what is remembered of an app that is no longer governed.
func (l *Lister) Forget(app scale.App) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.apps, app)
}

// view returns the app's view. The caller holds mu.
func (l *Lister) view(app scale.App) *appView {
	v := l.apps[app]
	if v == nil {
		v = &appView{writes: make(map[scale.MachineID]write)}
		l.apps[app] = v
	}
	return v
}

// recall adds the Machines that were there at the last read and are missing for
// the first time, and says whether none is. The platform has been seen to answer
// with short and empty lists while all was well, and tools that believed it made
// every Machine a second time; so one such answer changes nothing.
func (v *appView) recall(machines []scale.Machine) ([]scale.Machine, bool) {
	seen := make(map[scale.MachineID]scale.Machine, len(machines))
	for _, m := range machines {
		seen[m.ID] = m
	}
	missing := make(map[scale.MachineID]bool)
	for id, m := range v.last {
		if _, ok := seen[id]; ok || v.missing[id] || v.writes[id].verb == scale.Destroy {
			continue
		}
		if m.State == scale.StateDestroying || m.State == scale.StateDestroyed || m.AutoDestroy {
			continue
		}
		missing[id] = true
		machines = append(machines, m)
		seen[id] = m
	}
	v.last, v.missing = seen, missing
	return machines, len(missing) == 0
}

// overlay shows our own recent writes where the list does not show them yet, and
// forgets those it does.
func (v *appView) overlay(machines []scale.Machine, now time.Time) []scale.Machine {
	if len(v.writes) == 0 {
		return machines
	}
	listed := make(map[scale.MachineID]bool, len(machines))
	out := make([]scale.Machine, 0, len(machines)+len(v.writes))
	for _, m := range machines {
		listed[m.ID] = true
		w, ok := v.writes[m.ID]
		switch {
		case !ok:
		case w.verb == scale.Create, m.State != w.from, now.Sub(w.at) > showWrite:
			delete(v.writes, m.ID)
		default:
			m.State = shown(w.verb)
		}
		out = append(out, m)
	}
	for id, w := range v.writes {
		switch {
		case listed[id]:
		case w.verb == scale.Create && w.clone != nil && now.Sub(w.at) <= showCreate:
			out = append(out, *w.clone)
		default:
			delete(v.writes, id)
		}
	}
	return out
}

// shown is the state of a Machine on which the verb was just carried out.
func shown(v scale.Verb) scale.State {
	switch v {
	case scale.Start:
		return scale.StateStarting
	case scale.Stop:
		return scale.StateStopping
	}
	return scale.StateDestroying
}
