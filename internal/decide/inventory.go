package decide

import (
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// How long a transient state may last before the Machine counts as stuck. The
// platform's own guidance is five minutes, ten while an update is rolled out.
const (
	stuckAfter         = 5 * time.Minute
	stuckUpdatingAfter = 10 * time.Minute
)

// lostAfter is how long a Machine's host must have been out of reach before
// the Machine stops counting as created, so that one bad reading never leads to
// a replacement.
const lostAfter = 2 * time.Minute

// inventory classifies the Machines of one target. It returns one member for
// every Machine that is neither foreign nor gone, in the order of the snapshot,
// and the memory of which of them were out of reach since when.
func inventory(s scale.Snapshot, group scale.ProcessGroup, mem Memory, now time.Time) ([]scale.Member, map[scale.MachineID]time.Time) {
	members := make([]scale.Member, 0, len(s.Machines))
	var stillLost map[scale.MachineID]time.Time
	for i := range s.Machines {
		m := &s.Machines[i]
		class := classify(m, group, now)
		if class == scale.Foreign || class == scale.Gone {
			continue
		}
		if class == scale.Lost {
			if stillLost == nil {
				stillLost = make(map[scale.MachineID]time.Time)
			}
			since, seen := mem.Lost[m.ID]
			if !seen || since.After(now) {
				since = now
			}
			stillLost[m.ID] = since
		}
		_, late := mem.Trouble[m.ID]
		members = append(members, scale.Member{Machine: m, Class: class, Late: late})
	}
	return members, stillLost
}

// classify says what a Machine is to the target with the given group.
func classify(m *scale.Machine, group scale.ProcessGroup, now time.Time) scale.Class {
	if foreign(m, group) {
		return scale.Foreign
	}
	switch m.State {
	case scale.StateDestroying, scale.StateDestroyed, scale.StateReplaced, scale.StateMigrated, scale.StateLaunchFailed:
		return scale.Gone
	}
	if m.Host != scale.HostOK {
		return scale.Lost
	}
	drained := m.Drained()
	if m.Cordoned && !drained {
		return scale.Reserved
	}
	class := classOf(m, now)
	if drained && (class == scale.Ready || class == scale.Booting) {
		return scale.Draining
	}
	return class
}

// classOf says what a Machine within reach is by its state.
func classOf(m *scale.Machine, now time.Time) scale.Class {
	age := now.Sub(m.Since())
	switch m.State {
	case scale.StateStarted:
		return scale.Ready
	case scale.StateStopped, scale.StateSuspended:
		return scale.Standby
	case scale.StateCreated:
		// The platform shows "created" both while a new Machine's image is pulled
		// and for one that was never meant to boot.
		if m.Metadata[scale.MetaNotLaunched] != "" || age >= stuckAfter {
			return scale.Standby
		}
		return scale.Booting
	case scale.StateFailed:
		return scale.Broken
	case scale.StateStopping, scale.StateSuspending:
		if age >= stuckAfter {
			return scale.Broken
		}
		return scale.Draining
	case scale.StateUpdating, scale.StateReplacing:
		if age >= stuckUpdatingAfter {
			return scale.Broken
		}
		return scale.Booting
	}
	// Starting, restarting, creating, and states that we do not know.
	if age >= stuckAfter {
		return scale.Broken
	}
	return scale.Booting
}

// foreign reports whether the Machine is none of the target's business: of
// another group, or one that a tool of the platform keeps for itself.
func foreign(m *scale.Machine, group scale.ProcessGroup) bool {
	return m.Group != group ||
		m.Standby || m.Scheduled || m.AutoDestroy ||
		m.Metadata[scale.MetaCanary] != "" ||
		m.Metadata[scale.MetaBuilderID] != "" ||
		m.Metadata[scale.MetaManagedPostgres] != "" ||
		// Blue-green boots the new release's Machines cordoned; once they take
		// traffic the tag stays, and they are the group's Machines, which we may drain.
		m.Metadata[scale.MetaBlueGreenTag] != "" && m.Cordoned && !m.Drained()
}

// census counts members for expressions and for the decision. Lost Machines
// count as created until they have been out of reach for lostAfter.
func census(members []scale.Member, lost map[scale.MachineID]time.Time, now time.Time) (scale.Counts, scale.Count) {
	var c scale.Counts
	for _, m := range members {
		if m.Class == scale.Lost && now.Sub(lost[m.ID]) >= lostAfter {
			continue
		}
		c.Created++
		switch m.Class {
		case scale.Ready:
			c.Started++
		case scale.Booting:
			c.Starting++
		case scale.Standby:
			if m.State == scale.StateSuspended {
				c.Suspended++
			} else {
				c.Stopped++
			}
		}
	}
	return c, scale.Count{Created: c.Created, Started: c.Started + c.Starting}
}

// inventoryReason tells the census in words, naming only what is there.
func inventoryReason(members []scale.Member, c scale.Counts) string {
	var special [scale.Lost + 1]int
	leaving := 0
	for _, m := range members {
		if m.Leaving() {
			leaving++
		} else {
			special[m.Class]++
		}
	}
	// Every pass over every target says this: it is written without formatting verbs.
	text := strconv.AppendInt(make([]byte, 0, 64), int64(c.Created), 10)
	text = append(text, " created: "...)
	text = strconv.AppendInt(text, int64(c.Started), 10)
	text = append(text, " started"...)
	for _, part := range [...]struct {
		n    int
		what string
	}{
		{c.Starting, "starting"},
		{c.Stopped, "stopped"},
		{c.Suspended, "suspended"},
		{leaving, "draining"},
		{special[scale.Draining], "stopping"},
		{special[scale.Broken], "failed or stuck"},
		{special[scale.Reserved], "cordoned"},
		{special[scale.Lost], "on hosts out of reach"},
	} {
		if part.n > 0 {
			text = append(text, ", "...)
			text = strconv.AppendInt(text, int64(part.n), 10)
			text = append(text, ' ')
			text = append(text, part.what...)
		}
	}
	return string(text)
}
