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

// Reads of an app's own list may lag its writes by seconds.
var ownListLag = lag{write: 10 * time.Second, create: 30 * time.Second}

// believeAbsence is how long after a read that lacked a Machine another one must
// begin and lack it too, before the Machine is gone. Several targets may read one
// app's list within the same moment, so the number of reads proves nothing; a list
// that is wrong for longer than it may lag is no longer a hiccup. What waiting
// costs is small: the platform shows most Machines being destroyed first, and
// only one that vanished without a word is replaced that much later.
const believeAbsence = 10 * time.Second

// Lister reads each app's own list of Machines, which is the authority for
// acting. It may be used by many goroutines at once.
type Lister struct {
	api API

	mu   sync.Mutex
	apps map[scale.App]*appView // guarded by mu
}

// appView is what is remembered of one app between reads.
type appView struct {
	writes overlay
	// last is the Machines of the last read, and those it lacked whose absence is
	// not believed yet.
	last map[scale.MachineID]scale.Machine
	// missing is since when a read of last is known to lack a Machine.
	missing map[scale.MachineID]time.Time
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
	began := time.Now()
	machines, err := l.api.ListMachines(ctx, app)
	if err != nil {
		return scale.Snapshot{}, err
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	view := l.view(app)
	view.complement(machines)
	machines, complete := view.recall(machines, began, now)
	machines = view.writes.show(machines, now, ownListLag)
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
	l.view(app).writes.wrote(outcomes)
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
		v = &appView{writes: make(overlay)}
		l.apps[app] = v
	}
	return v
}

// complement gives Machines of a read that came without a configuration, as those
// on a host out of reach do, what was known of it.
func (v *appView) complement(machines []scale.Machine) {
	for i := range machines {
		m := &machines[i]
		if m.Group != "" {
			continue
		}
		before, ok := v.last[m.ID]
		if clone := v.writes[m.ID].clone; !ok && clone != nil {
			before = *clone
		}
		m.Group, m.Metadata, m.Image = before.Group, before.Metadata, before.Image
		m.Standby, m.Scheduled, m.AutoDestroy, m.HasMounts = before.Standby, before.Scheduled, before.AutoDestroy, before.HasMounts
	}
}

// recall adds the Machines that were there before and whose absence is not
// believed yet to those of a read, and says whether there are none. The platform
// has been seen to answer with short and empty lists while all was well, and tools
// that believed it made every Machine a second time.
func (v *appView) recall(machines []scale.Machine, began, now time.Time) ([]scale.Machine, bool) {
	seen := make(map[scale.MachineID]scale.Machine, len(machines))
	for _, m := range machines {
		seen[m.ID] = m
	}
	missing := make(map[scale.MachineID]time.Time)
	for id, m := range v.last {
		if _, ok := seen[id]; ok || v.writes[id].verb == scale.Destroy {
			continue
		}
		if m.State == scale.StateDestroying || m.State == scale.StateDestroyed || m.AutoDestroy {
			continue
		}
		since, again := v.missing[id]
		switch {
		case !again:
			since = now
		case began.Sub(since) >= believeAbsence:
			continue
		}
		missing[id] = since
		machines = append(machines, m)
		seen[id] = m
	}
	v.last, v.missing = seen, missing
	return machines, len(missing) == 0
}
