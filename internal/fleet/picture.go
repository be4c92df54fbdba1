package fleet

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	// A Machine is gone when that many complete full lists in a row lack it. One
	// may be short although all is well.
	absences = 2
	// Lists with no Machine at all are rarer, and worse to believe.
	absencesEmpty = 3
	// keepGone is how long a destroyed Machine is remembered, so that a row that
	// comes late does not bring it back.
	keepGone = time.Hour
	// keepApp is how long an app without Machines stays known.
	keepApp = time.Hour
)

// picture is what the rows of an org-wide list add up to. It is not safe for
// concurrent use; the slices of Machines that it holds are never changed, so they
// may be handed out.
type picture struct {
	apps map[scale.App]*appPicture
	gone map[scale.MachineID]tombstone
	same interner
	// walk numbers the full lists; it is that of the one under way, or else of the
	// last.
	walk uint32
}

// appPicture is an app with its Machines.
type appPicture struct {
	machines []scale.Machine // sorted by ID
	marks    []mark          // of the Machine at the same place
	missing  int             // Machines that the last complete full list lacked
	writes   overlay
	heard    time.Time // when a row or a write last told of the app
}

// mark is what is remembered of a Machine besides its row.
type mark struct {
	seen   uint32 // the walk in which, or after which, a row last showed it
	absent uint8  // complete full lists in a row without it
}

// tombstone is a Machine that was destroyed.
type tombstone struct {
	updated time.Time // by the row that said so
	read    time.Time // when that was
}

func newPicture() *picture {
	return &picture{apps: make(map[scale.App]*appPicture), gone: make(map[scale.MachineID]tombstone), same: newInterner()}
}

// app returns the app, which becomes known.
func (p *picture) app(name scale.App, now time.Time) *appPicture {
	a := p.apps[name]
	if a == nil {
		a = &appPicture{}
		p.apps[name] = a
	}
	a.heard = now
	return a
}

// apply takes over rows in whatever order, and returns the apps that changed. It
// reorders rows. Rows without an app belong to no target and are passed over.
func (p *picture) apply(rows []flyapi.OrgMachine, now time.Time) (changed []scale.App) {
	slices.SortFunc(rows, func(a, b flyapi.OrgMachine) int {
		return cmp.Or(strings.Compare(string(a.App), string(b.App)), strings.Compare(string(a.ID), string(b.ID)), age(&a.Machine, &b.Machine))
	})
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].App == rows[0].App {
			n++
		}
		if name := rows[0].App; name != "" && p.applyApp(name, rows[:n], now) {
			changed = append(changed, name)
		}
		rows = rows[n:]
	}
	return changed
}

// edit is one change to an app's Machines.
type edit struct {
	at     int  // its place among the Machines
	insert bool // before that place, instead of replacing what is there
	drop   bool
	scale.Machine
}

// applyApp takes over the rows of one app, sorted by ID and age.
func (p *picture) applyApp(name scale.App, rows []flyapi.OrgMachine, now time.Time) bool {
	a := p.app(name, now)
	var edits []edit
	for i := range rows {
		row := &rows[i]
		if i+1 < len(rows) && rows[i+1].ID == row.ID {
			continue // a newer row follows
		}
		at, found := slices.BinarySearchFunc(a.machines, row.ID, func(m scale.Machine, id scale.MachineID) int {
			return strings.Compare(string(m.ID), string(id))
		})
		var have *scale.Machine
		if found {
			have = &a.machines[at]
		}
		if destroyed(row.State) {
			if !found || !outdated(row, have) {
				p.bury(row, now)
				if found {
					edits = append(edits, edit{at: at, drop: true})
				}
			}
			continue
		}
		if grave, ok := p.gone[row.ID]; ok {
			if !row.UpdatedAt.After(grave.updated) {
				continue // from before its end
			}
			delete(p.gone, row.ID)
		}
		if !found {
			edits = append(edits, edit{at: at, insert: true, Machine: p.same.machine(row, nil)})
			continue
		}
		a.marks[at] = mark{seen: p.walk}
		if !outdated(row, have) {
			if m := p.same.machine(row, have); !equal(&m, have) {
				edits = append(edits, edit{at: at, Machine: m})
			}
		}
	}
	if len(edits) > 0 {
		a.edit(edits, p.walk)
	}
	if a.missing > 0 {
		a.count()
	}
	return len(edits) > 0
}

func (p *picture) bury(row *flyapi.OrgMachine, now time.Time) {
	if grave, ok := p.gone[row.ID]; !ok || row.UpdatedAt.After(grave.updated) {
		p.gone[row.ID] = tombstone{updated: row.UpdatedAt, read: now}
	}
}

// edit makes a new list of Machines with the edits, which come in order.
func (a *appPicture) edit(edits []edit, walk uint32) {
	size := len(a.machines)
	for _, e := range edits {
		switch {
		case e.insert:
			size++
		case e.drop:
			size--
		}
	}
	machines, marks := make([]scale.Machine, 0, size), make([]mark, 0, size)
	next := 0
	keep := func(until int) {
		machines, marks = append(machines, a.machines[next:until]...), append(marks, a.marks[next:until]...)
		next = until
	}
	for _, e := range edits {
		keep(e.at)
		if !e.drop {
			machines, marks = append(machines, e.Machine), append(marks, mark{seen: walk})
		}
		if !e.insert {
			next++
		}
	}
	keep(len(a.machines))
	a.machines, a.marks = machines, marks
}

// count counts the Machines that are missing. One that is on its way out is
// expected to vanish.
func (a *appPicture) count() {
	a.missing = 0
	for i, m := range a.marks {
		if m.absent > 0 && a.machines[i].State != scale.StateDestroying {
			a.missing++
		}
	}
}

// beginWalk opens a full list. What was interned for the one before stays with
// the Machines that use it.
func (p *picture) beginWalk() {
	p.walk++
	p.same = newInterner()
}

// endWalk closes a full list that was complete and told of that many Machines
// that exist. What it lacked is missing, and gone when it was missing before; but
// of Machines created after young it tells nothing, because it may be late. It
// returns the apps that changed and whether anything is missing for now.
func (p *picture) endWalk(existing int, young, now time.Time) (changed []scale.App, doubt bool) {
	enough := uint8(absences)
	if existing == 0 {
		enough = absencesEmpty
	}
	for name, a := range p.apps {
		var edits []edit
		for i := range a.marks {
			if a.marks[i].seen == p.walk || a.machines[i].CreatedAt.After(young) {
				continue
			}
			a.marks[i].absent++
			if a.marks[i].absent >= enough {
				edits = append(edits, edit{at: i, drop: true})
			}
		}
		if len(edits) > 0 {
			a.edit(edits, p.walk)
			changed = append(changed, name)
		}
		a.count()
		doubt = doubt || slices.ContainsFunc(a.marks, func(m mark) bool { return m.absent > 0 })
		if len(a.machines) == 0 && now.Sub(a.heard) > keepApp {
			delete(p.apps, name)
		}
	}
	maps.DeleteFunc(p.gone, func(_ scale.MachineID, t tombstone) bool { return now.Sub(t.read) > keepGone })
	return changed, doubt
}

// destroyed reports whether a row in the state says that its Machine is no more.
func destroyed(s scale.State) bool { return s == scale.StateDestroyed || s == "deleted" }

// outdated reports whether a row is older than what is known. One that does not
// tell its time is taken as it comes.
func outdated(row *flyapi.OrgMachine, have *scale.Machine) bool {
	return !row.UpdatedAt.IsZero() && age(&row.Machine, have) < 0
}

// age compares two rows of a Machine: positive when a is the newer. At the same
// instant the newer configuration wins, and what ends wins over what does not.
func age(a, b *scale.Machine) int {
	return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), compareInstances(a.InstanceID, b.InstanceID), cmp.Compare(ending(a.State), ending(b.State)))
}

// compareInstances compares identifiers of configurations. They are of a kind
// that sorts by time; others are not compared.
func compareInstances(a, b string) int {
	const length = 26
	if len(a) != length || len(b) != length {
		return 0
	}
	return strings.Compare(a, b)
}

func ending(s scale.State) int {
	switch {
	case destroyed(s):
		return 2
	case s == scale.StateDestroying:
		return 1
	}
	return 0
}

// equal reports whether two rows of a Machine say the same.
func equal(a, b *scale.Machine) bool {
	return a.State == b.State && a.UpdatedAt.Equal(b.UpdatedAt) && a.InstanceID == b.InstanceID && a.Group == b.Group &&
		a.Name == b.Name && a.Region == b.Region && a.Image == b.Image && a.CreatedAt.Equal(b.CreatedAt) && maps.Equal(a.Metadata, b.Metadata)
}
