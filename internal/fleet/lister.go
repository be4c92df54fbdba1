// Package fleet is the autoscaler's picture of the platform's Machines. It reads
// them, remembers what we did to them until the platform shows it, and does not
// believe at once that a Machine is gone. It decides nothing and changes nothing.
package fleet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// API is what the fleet needs of the platform.
type API interface {
	// ListMachines returns all Machines of the app, with their leases.
	ListMachines(ctx context.Context, app scale.App) ([]scale.Machine, error)
	// GetMachine returns one Machine; a *flyapi.Error of KindNotFound says that there
	// is none.
	GetMachine(ctx context.Context, app scale.App, id scale.MachineID) (scale.Machine, error)
	// CurrentRelease returns the app's newest release.
	CurrentRelease(ctx context.Context, app scale.App) (scale.Release, error)
}

// Reads of an app's own list may lag its writes by seconds.
var ownListLag = lag{write: 10 * time.Second, create: 30 * time.Second}

// believeAbsence is how long after a read that lacked a Machine another one must
// begin and lack it too, before the Machine is gone, even if there is no such Machine
// when it is asked for. Several targets may read one app's list within the same
// moment, so the number of reads proves nothing. What waiting costs is small: the
// platform shows most Machines being destroyed first, and only one that vanished
// without a word is replaced that much later.
const believeAbsence = 10 * time.Second

// asksInFlight bounds the Machines that are asked for at a time.
const asksInFlight = 8

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
	read   bool // the list was read before
	// last is the Machines of the last read, and those it lacked whose absence is
	// not believed yet; sorted by ID, and without their configurations: one that is
	// only remembered is not cloned.
	last []scale.Machine
	// lacked is when a list last lacked a Machine that was there before.
	lacked map[scale.MachineID]time.Time
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

// Snapshot reads the app's Machines. It blocks for one call of the API, and for more
// where the list is not as it should be: the platform has been seen to answer with
// short, empty and old lists while all was well, and tools that believed them made
// every Machine a second time, or stopped what they thought was too much.
func (l *Lister) Snapshot(ctx context.Context, app scale.App) (scale.Snapshot, error) {
	return l.snapshot(ctx, app, nil, false)
}

// snapshot is Snapshot with what an overview, if there is one, tells of the app, and
// whether that is all there is.
func (l *Lister) snapshot(ctx context.Context, app scale.App, overview []scale.Machine, whole bool) (scale.Snapshot, error) {
	began := time.Now()
	machines, err := l.api.ListMachines(ctx, app)
	if err != nil {
		return scale.Snapshot{}, err
	}
	l.noteLacking(app, machines)
	if l.dubious(app, machines, overview, whole) {
		again, err := l.api.ListMachines(ctx, app)
		if err != nil {
			return scale.Snapshot{}, err
		}
		machines = newest(machines, again)
	}
	found, gone, err := l.ask(ctx, app, l.absent(app, machines, overview))
	if err != nil {
		return scale.Snapshot{}, fmt.Errorf("list machines for app %q: %w", app, err)
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	view := l.view(app)
	machines = append(machines, found...)
	view.complement(machines)
	older := view.keepNewer(machines)
	machines, missing := view.recall(machines, gone, began, now)
	machines = view.writes.show(machines, now, ownListLag)
	slices.SortFunc(machines, func(a, b scale.Machine) int { return cmp.Compare(a.ID, b.ID) })
	for i := 1; i < len(machines); i++ {
		if machines[i].ID == machines[i-1].ID {
			return scale.Snapshot{}, fmt.Errorf("list machines for app %q: Machine %s is listed twice", app, machines[i].ID)
		}
	}
	// A list that is wrong about one Machine may be wrong about others.
	return scale.Snapshot{App: app, Machines: machines, TakenAt: now, Complete: !missing && !older && len(found) == 0 && !view.back(now)}, nil
}

// noteLacking notes which Machines a list lacks that were there before.
func (l *Lister) noteLacking(app scale.App, machines []scale.Machine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	view, now := l.view(app), time.Now()
	for _, m := range view.last {
		if ends(m) || slices.ContainsFunc(machines, func(x scale.Machine) bool { return x.ID == m.ID }) {
			continue
		}
		if view.lacked == nil {
			view.lacked = make(map[scale.MachineID]time.Time)
		}
		view.lacked[m.ID] = now
	}
}

// back reports whether a Machine is there that a list has just lacked. It may be
// there indeed, or be shown by a list that is older than the one that lacked it:
// nobody can tell until lists no longer lag that far.
func (v *appView) back(now time.Time) bool {
	maps.DeleteFunc(v.lacked, func(id scale.MachineID, at time.Time) bool {
		return now.Sub(at) >= believeAbsence || v.before(id) == nil
	})
	if len(v.lacked) == 0 {
		v.lacked = nil
	}
	return v.lacked != nil
}

// dubious reports whether a list is to be read again: it lacks Machines or tells what
// is old, or it is the first one, which there is nothing to hold against.
func (l *Lister) dubious(app scale.App, machines, overview []scale.Machine, whole bool) bool {
	if len(l.absent(app, machines, overview)) > 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	view := l.view(app)
	if !view.read {
		return !whole
	}
	return slices.ContainsFunc(machines, func(m scale.Machine) bool {
		before := view.before(m.ID)
		return before != nil && m.UpdatedAt.Before(before.UpdatedAt)
	})
}

// newest returns the Machines of two lists, each as the newer row tells it.
func newest(first, second []scale.Machine) []scale.Machine {
	out := slices.Clone(second)
	for _, m := range first {
		switch at := slices.IndexFunc(second, func(s scale.Machine) bool { return s.ID == m.ID }); {
		case at < 0:
			out = append(out, m)
		case second[at].UpdatedAt.Before(m.UpdatedAt):
			out[at] = m
		}
	}
	return out
}

// doubt is a Machine that a list lacks, and that must be asked for.
type doubt struct {
	id scale.MachineID
	// unseen is set when only the overview tells of it.
	unseen bool
}

// absent returns the Machines that a list lacks and that must be asked for: those
// that were there before, and those that only the overview has.
func (l *Lister) absent(app scale.App, machines, overview []scale.Machine) []doubt {
	seen := make(map[scale.MachineID]bool, len(machines))
	for _, m := range machines {
		seen[m.ID] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	view := l.view(app)
	var out []doubt
	for _, m := range view.last {
		if !seen[m.ID] && view.expects(m) {
			out = append(out, doubt{id: m.ID})
		}
	}
	for _, m := range overview {
		if !seen[m.ID] && view.before(m.ID) == nil && !ends(m) && view.writes.of(m.ID).verb == "" {
			out = append(out, doubt{id: m.ID, unseen: true})
		}
	}
	return out
}

// ask asks for Machines one by one. It returns those that exist, and of the others
// those that the platform says do not.
func (l *Lister) ask(ctx context.Context, app scale.App, doubts []doubt) (found []scale.Machine, gone map[scale.MachineID]bool, err error) {
	if len(doubts) == 0 {
		return nil, nil, nil
	}
	gone = make(map[scale.MachineID]bool)
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(asksInFlight)
	for _, d := range doubts {
		group.Go(func() error {
			m, err := l.api.GetMachine(ctx, app, d.id)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case flyapi.KindOf(err) == flyapi.KindNotFound, err == nil && m.State == scale.StateDestroyed:
				gone[d.id] = true
			case err == nil:
				found = append(found, m)
			case d.unseen:
				return fmt.Errorf("Machine %s is not in it and may exist: %w", d.id, err)
			}
			return nil
		})
	}
	err = group.Wait()
	return found, gone, err
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
		v = &appView{}
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
		before := v.before(m.ID)
		if before == nil {
			before = v.writes.of(m.ID).clone
		}
		if before == nil {
			continue
		}
		m.Group, m.Metadata, m.Image = before.Group, before.Metadata, before.Image
		m.Standby, m.Scheduled, m.AutoDestroy, m.HasMounts = before.Standby, before.Scheduled, before.AutoDestroy, before.HasMounts
	}
}

// keepNewer puts what was known of a Machine in the place of a row that is older, and
// reports whether there was one: a list that lags must not take back what one before
// it told. The host and the lease change without another time.
func (v *appView) keepNewer(machines []scale.Machine) (older bool) {
	for i := range machines {
		m := &machines[i]
		if before := v.before(m.ID); before != nil && m.UpdatedAt.Before(before.UpdatedAt) {
			row := *m
			*m = *before
			m.Host, m.Lease = row.Host, row.Lease
			if row.InstanceID == before.InstanceID {
				m.Config = row.Config
			}
			older = true
		}
	}
	return older
}

// expects reports whether a Machine that was there before is to be in a list.
func (v *appView) expects(m scale.Machine) bool {
	return v.writes.of(m.ID).verb != scale.Destroy && !ends(m)
}

// ends reports whether a Machine is on its way out, or takes itself away.
func ends(m scale.Machine) bool {
	return m.State == scale.StateDestroying || m.State == scale.StateDestroyed || m.AutoDestroy
}

// recall adds the Machines that were there before and whose absence is not
// believed to those of a read that began at that time, and says whether there are
// any. Those in gone do not exist as far as the platform knows.
func (v *appView) recall(machines []scale.Machine, gone map[scale.MachineID]bool, began, now time.Time) ([]scale.Machine, bool) {
	seen := make(map[scale.MachineID]bool, len(machines))
	for _, m := range machines {
		seen[m.ID] = true
	}
	var missing map[scale.MachineID]time.Time
	for _, m := range v.last {
		if seen[m.ID] || !v.expects(m) {
			continue
		}
		since, again := v.missing[m.ID]
		switch {
		case !again:
			since = now
		case gone[m.ID] && began.Sub(since) >= believeAbsence:
			continue
		}
		if missing == nil {
			missing = make(map[scale.MachineID]time.Time)
		}
		missing[m.ID] = since
		machines = append(machines, m)
	}
	v.keep(machines)
	v.read, v.missing = true, missing
	return machines, len(missing) > 0
}

// keep remembers machines as the last that were seen. Those of one app are much the
// same; what is equal is kept once.
func (v *appView) keep(machines []scale.Machine) {
	v.last = slices.Clone(machines)
	slices.SortFunc(v.last, func(a, b scale.Machine) int { return cmp.Compare(a.ID, b.ID) })
	for i := range v.last {
		m := &v.last[i]
		m.Config = nil
		if i == 0 {
			continue
		}
		one := &v.last[i-1]
		if m.Image == one.Image {
			m.Image = one.Image
		}
		if maps.Equal(m.Metadata, one.Metadata) {
			m.Metadata = one.Metadata
		}
	}
}

// before returns the Machine as it was last seen, or nil.
func (v *appView) before(id scale.MachineID) *scale.Machine {
	at, ok := slices.BinarySearchFunc(v.last, id, func(m scale.Machine, id scale.MachineID) int { return cmp.Compare(m.ID, id) })
	if !ok {
		return nil
	}
	return &v.last[at]
}
