package fleet

import (
	"maps"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// overlay is our own recent writes to the Machines of one app, which a list may
// not show yet. They are few, and there may be ten thousand apps: a list takes less
// room than a map.
type overlay []write

// write is one change of ours that the platform may not show yet.
type write struct {
	id    scale.MachineID
	verb  scale.Verb
	clone *scale.Machine
	until time.Time // of a drain
	at    time.Time
}

// lag is how long after a write a list may still not show it.
type lag struct {
	write, create time.Duration
}

// of returns the last write to the Machine; the zero value when there is none.
func (o overlay) of(id scale.MachineID) write {
	for _, w := range o {
		if w.id == id {
			return w
		}
	}
	return write{}
}

// forget takes out the write to the Machine.
func (o *overlay) forget(id scale.MachineID) {
	if *o = slices.DeleteFunc(*o, func(w write) bool { return w.id == id }); len(*o) == 0 {
		*o = nil
	}
}

// wrote remembers what the outcomes changed.
func (o *overlay) wrote(outcomes []scale.Outcome) {
	for _, done := range outcomes {
		if done.Result != scale.Done || done.Machine == "" {
			continue
		}
		o.forget(done.Machine)
		*o = append(*o, write{id: done.Machine, verb: done.Action.Verb, clone: done.Clone, until: done.Action.Until, at: done.At})
	}
}

// show returns the machines of a list read at asOf with our own recent writes,
// where the list does not show them yet, and forgets those it does. Machines that
// we created and the list lacks come last. The machines given stay as they are.
func (o *overlay) show(machines []scale.Machine, asOf time.Time, lag lag) []scale.Machine {
	if len(*o) == 0 {
		return machines
	}
	listed := make(map[scale.MachineID]bool, len(machines))
	out := make([]scale.Machine, 0, len(machines)+len(*o))
	for _, m := range machines {
		listed[m.ID] = true
		w := o.of(m.ID)
		switch {
		case w.verb == "":
		case w.verb == scale.Create, w.seen(&m), asOf.Sub(w.at) > lag.write:
			o.forget(m.ID)
		case w.verb == scale.Drain:
			m.Metadata, m.Cordoned = maps.Clone(m.Metadata), true
			if m.Metadata == nil {
				m.Metadata = make(map[string]string, 1)
			}
			m.Metadata[scale.MetaDrain] = scale.DrainMark(w.until)
		case w.verb == scale.Undrain:
			m.Metadata, m.Cordoned = maps.Clone(m.Metadata), false
			delete(m.Metadata, scale.MetaDrain)
		default:
			// With the time of the state before, it would pass for stuck in this one.
			m.State, m.UpdatedAt = shown(w.verb), w.at
		}
		out = append(out, m)
	}
	for _, w := range slices.Clone(*o) {
		switch {
		case listed[w.id]:
		case w.verb == scale.Create && w.clone != nil && asOf.Sub(w.at) <= lag.create:
			out = append(out, *w.clone)
		default:
			o.forget(w.id)
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
	case scale.Suspend:
		return scale.StateSuspending
	}
	return scale.StateDestroying
}

// seen reports whether a Machine as it is listed shows the write, or what came after
// it. Any other state is from before, not only the one in which
// the Machine was when it was written to: a list that lags by seconds goes
// through all of them.
func (w write) seen(m *scale.Machine) bool {
	switch w.verb {
	case scale.Drain:
		return m.Metadata[scale.MetaDrain] == scale.DrainMark(w.until)
	case scale.Undrain:
		return !m.Drained()
	}
	switch m.State {
	case scale.StateDestroying, scale.StateDestroyed:
		return true
	case scale.StateCreated:
		return false
	case scale.StateStopping, scale.StateStopped, scale.StateSuspending, scale.StateSuspended:
		return w.verb == scale.Stop || w.verb == scale.Suspend
	case scale.StateFailed:
		return w.verb != scale.Destroy
	}
	return w.verb == scale.Start
}
