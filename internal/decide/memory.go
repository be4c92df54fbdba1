package decide

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Memory is what Decide carries from one pass to the next. It is a value: Decide
// and Observe return a new one and leave the old as it was. Losing it is safe;
// the zero value is that of a target seen for the first time.
//
// What a pass over an overview has seen is worth keeping as far as it is of demand, in
// Demand. The rest is of the Machines and of what was done to them.
type Memory struct {
	Demand Demand `json:"demand,omitzero"`
	// Lost tells since when a Machine's host has been out of reach.
	Lost map[scale.MachineID]time.Time `json:"lost,omitempty"`
	// CreateFailures counts passes in a row in which creates were tried and none
	// succeeded.
	CreateFailures int `json:"create_failures,omitempty"`
	// NoCreateBefore is when creates may be tried again.
	NoCreateBefore time.Time `json:"no_create_before,omitzero"`
	// Created tells when we made which Machine, until it has come up or lateFor
	// has passed.
	Created map[scale.MachineID]time.Time `json:"created,omitempty"`
	// Deaths counts Machines that we made in a row and that failed to come up.
	Deaths int `json:"deaths,omitempty"`
	// Trouble tells when an action on a Machine last failed or was not answered.
	Trouble map[scale.MachineID]time.Time `json:"trouble,omitempty"`
	// Unanswered tells by name when a create was last not answered.
	Unanswered map[string]time.Time `json:"unanswered,omitempty"`
	// Changes are what was done lately, in order of time, for as long as Keep, which is
	// what the rates and budgets ask for; none without them.
	Changes []Change      `json:"changes,omitempty"`
	Keep    time.Duration `json:"keep_ns,omitempty"`
	// Breaker stops creates that keep failing.
	Breaker Breaker `json:"breaker,omitzero"`
}

// unansweredFor is how long a create that was not answered may yet come true.
const unansweredFor = 2 * time.Minute

// createAwaited is how long nothing is removed because a create was not answered. It
// may be under way under a name that a Machine bears, and would come true once that is
// destroyed.
const createAwaited = 30 * time.Second

// awaitsCreate reports whether a create was not answered lately.
func (m Memory) awaitsCreate(now time.Time) bool {
	for _, at := range m.Unanswered {
		if now.Sub(at) < createAwaited {
			return true
		}
	}
	return false
}

// names returns the names of the creates that were not answered, the latest first: an
// earlier one may have come true meanwhile, and its Machine have gone again.
func (m Memory) names() []string {
	if len(m.Unanswered) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(m.Unanswered), func(a, b string) int {
		return cmp.Or(m.Unanswered[b].Compare(m.Unanswered[a]), strings.Compare(a, b))
	})
}

// troubleFor is how long a Machine on which an action failed comes after others.
const troubleFor = 2 * time.Minute

// Back-off of creates whose Machines do not come up, such as those of an image
// that cannot be pulled: each costs the platform a Machine and the user its image
// pull. The cap keeps recovery within a minute.
const (
	deathBackoff    = 15 * time.Second
	deathBackoffCap = time.Minute
	// lateFor is how long a created Machine is watched.
	lateFor = 10 * time.Minute
)

// expire returns the map without the entries that are older than age, and without
// those that lie in the future, which a clock that was set back leaves.
func expire[K comparable](m map[K]time.Time, age time.Duration, now time.Time) map[K]time.Time {
	stale := func(_ K, at time.Time) bool { return now.Sub(at) >= age || at.After(now) }
	for id, at := range m {
		if stale(id, at) {
			m = maps.Clone(m)
			maps.DeleteFunc(m, stale)
			break
		}
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// notLater returns the map with times of the future, which a clock that was set back
// leaves, as of now: what is waited for is not given up for that.
func notLater[K comparable](m map[K]time.Time, now time.Time) map[K]time.Time {
	for _, at := range m {
		if at.After(now) {
			m = maps.Clone(m)
			for k, at := range m {
				if at.After(now) {
					m[k] = now
				}
			}
			break
		}
	}
	return m
}

// watchCreated looks for what became of the Machines that we made. Those that
// came up end the back-off; those that failed begin it or make it longer. A
// Machine that is not listed is no sign: a person may have destroyed it.
func (m Memory) watchCreated(s scale.Snapshot, now time.Time) Memory {
	m.Created = expire(m.Created, lateFor, now)
	if len(m.Created) == 0 {
		return m
	}
	settled := make(map[scale.MachineID]bool)
	for i := range s.Machines {
		machine := &s.Machines[i]
		if _, ours := m.Created[machine.ID]; !ours {
			continue
		}
		switch machine.State {
		case scale.StateStarted, scale.StateStopped, scale.StateSuspended:
			settled[machine.ID] = true
			m.Deaths, m.Breaker = 0, m.Breaker.cameUp()
		case scale.StateFailed, scale.StateLaunchFailed:
			settled[machine.ID] = true
			m.NoCreateBefore = now.Add(min(deathBackoff<<min(m.Deaths, 4), deathBackoffCap))
			m.Deaths++
			m.Breaker = m.Breaker.failed(now)
		}
	}
	if len(settled) > 0 {
		m.Created = maps.Clone(m.Created)
		maps.DeleteFunc(m.Created, func(id scale.MachineID, _ time.Time) bool { return settled[id] })
	}
	return m
}

// Back-off of creates that keep being refused. The cap is below the default
// interval, so that the return of capacity is noticed at the next pass, while
// a short interval cannot turn a shortage into a storm.
const (
	createBackoff    = time.Second
	createBackoffCap = 10 * time.Second
)

// Observe returns the memory after a pass with the given outcomes.
func Observe(mem Memory, outcomes []scale.Outcome, now time.Time) Memory {
	tried, succeeded := 0, 0
	mem.Created, mem.Trouble = maps.Clone(mem.Created), expire(mem.Trouble, troubleFor, now)
	mem.Trouble = maps.Clone(mem.Trouble)
	mem.Unanswered = maps.Clone(expire(notLater(mem.Unanswered, now), unansweredFor, now))
	mem = mem.changed(outcomes, now)
	for _, o := range outcomes {
		mem.note(o, now)
		if o.Action.Verb != scale.Create || o.Result == scale.Skipped {
			continue
		}
		tried++
		// An unknown outcome is no sign of a shortage: the Machine may well be there.
		if o.Result != scale.Refused {
			succeeded++
		} else {
			mem.Breaker = mem.Breaker.failed(now)
		}
	}
	switch {
	case succeeded > 0:
		mem.CreateFailures = 0
		if mem.Deaths == 0 {
			mem.NoCreateBefore = time.Time{}
		}
	case tried > 0:
		wait := createBackoff << min(mem.CreateFailures, 6)
		mem.CreateFailures++
		mem.NoCreateBefore = now.Add(min(wait, createBackoffCap))
	}
	return mem
}

// note remembers one outcome. The maps are the memory's own.
func (m *Memory) note(o scale.Outcome, now time.Time) {
	switch {
	case o.Action.Verb == scale.Create:
		switch o.Result {
		case scale.Unknown:
			if m.Unanswered == nil {
				m.Unanswered = make(map[string]time.Time)
			}
			m.Unanswered[o.Action.Name] = now
		case scale.Done:
			delete(m.Unanswered, o.Action.Name)
			if !o.Action.Launch { // it does not come up by itself, and is there
				m.Breaker = m.Breaker.cameUp()
			}
		case scale.Refused, scale.Skipped:
		}
		if o.Result == scale.Done && o.Machine != "" && o.Action.Launch {
			if m.Created == nil {
				m.Created = make(map[scale.MachineID]time.Time)
			}
			m.Created[o.Machine] = now
		}
	case o.Result == scale.Unknown, o.Result == scale.Refused && o.Refusal != scale.RefusedLeased:
		if m.Trouble == nil {
			m.Trouble = make(map[scale.MachineID]time.Time)
		}
		m.Trouble[o.Action.Machine] = now
	case o.Result == scale.Done:
		delete(m.Trouble, o.Action.Machine)
	}
}
