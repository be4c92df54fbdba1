package scale

import (
	"fmt"
	"strings"
	"time"
)

// Count is a number of Machines that exist and how many of them run. Started
// includes Machines that are booting: they were asked for and will serve.
type Count struct {
	Created int `json:"created"`
	Started int `json:"started"`
}

// Counts are a group's Machines by what they do, as expressions see them.
type Counts struct {
	Created   int `json:"created"`   // all that exist
	Started   int `json:"started"`   // up and running
	Starting  int `json:"starting"`  // booting
	Stopped   int `json:"stopped"`   // stopped, or created and never launched
	Suspended int `json:"suspended"` // suspended
}

// Limit is one of the four limits that a target's expressions set.
type Limit struct {
	Defined bool    // the target has such an expression
	Known   bool    // Value may be used
	Value   int     // Machines, at least 0
	Demand  float64 // Machines before rounding
	// Young says that the value rests on less history than its expression asks for, and
	// how much: it may add, and removes nothing.
	Young  string
	Source string // the expression
	Reason string // why the value is not known
}

// Limits are the limits of one pass.
type Limits struct {
	MinCreated, MaxCreated Limit
	MinStarted, MaxStarted Limit
}

// Each returns the limits with the names that settings use, in a fixed order.
func (l Limits) Each() [4]NamedLimit {
	return [4]NamedLimit{
		{"min-created", l.MinCreated},
		{"max-created", l.MaxCreated},
		{"min-started", l.MinStarted},
		{"max-started", l.MaxStarted},
	}
}

// NamedLimit is a Limit with the name that settings use.
type NamedLimit struct {
	Name string
	Limit
}

// Hold says which changes a decision refuses to make now, whatever is wanted.
type Hold int

// The holds, in rising strength.
const (
	HoldNone Hold = iota
	HoldDown      // nothing is stopped or destroyed
	HoldAll       // nothing is changed
)

// String returns the name used in traces and JSON.
func (h Hold) String() string {
	switch h {
	case HoldNone:
		return "none"
	case HoldDown:
		return "down"
	case HoldAll:
		return "all"
	}
	return "invalid"
}

// MarshalText implements encoding.TextMarshaler.
func (h Hold) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// The stages of a decision, in their order.
const (
	StageInventory = "inventory" // what is there
	StageTargets   = "targets"   // what the expressions ask for
	StageSchedule  = "schedule"  // what the time of day asks for and allows
	StageTolerance = "tolerance" // what is close enough
	StageWindow    = "window"    // what has not held for long enough
	StageBounds    = "bounds"    // what can never be
	StageRate      = "rate"      // how fast
	StageSafety    = "safety"    // what must not be done now
	StageZero      = "zero"      // whether it is idle
	StageSupply    = "supply"    // what the platform's Machines allow
)

// Step is what one stage made of the count. The steps of a decision form a
// chain: each In is the Out before it.
type Step struct {
	Stage  string `json:"stage"`
	In     Count  `json:"in"`
	Out    Count  `json:"out"`
	Reason string `json:"reason"`
}

// Decision is what is wanted of one target, and why. It exists for every pass,
// also when nothing is to be done.
type Decision struct {
	App     App          `json:"app"`
	Group   ProcessGroup `json:"process_group"`
	At      time.Time    `json:"at"`
	Samples []Sample     `json:"samples"`
	Counts  Counts       `json:"counts"`
	Limits  Limits       `json:"-"`
	// Within is what the stages made of Limits: the limits that Want was moved into.
	Within Limits `json:"-"`
	Have   Count  `json:"have"`
	Want   Count  `json:"want"`
	Hold   Hold   `json:"hold"`
	Steps  []Step `json:"steps"`

	// Inventory is the classified Machines of the target.
	Inventory []Member `json:"-"`
	// Picks is which of them lead from Have to Want.
	Picks Picks `json:"-"`
}

// Picks is the Machines that a decision changes, and how many it creates. They are
// disjoint.
type Picks struct {
	Undrain []Member // taken back into service, or rid of a mark that is left
	Start   []Member
	Spare   []Member // could be started as well, in order
	Drain   []Member // taken out of service, to be stopped once idle
	Stop    []Member
	Suspend []Member
	Destroy []Member
	// Until is when Machines that are drained now may be taken even if they still work.
	Until  time.Time
	Create int
	Launch int // how many of the created boot at once
	// Names are those of creates that were not answered and may yet come true, in
	// order. They come before other names, so that none is made besides.
	Names []string
}

// Empty reports whether nothing is to be done.
func (p Picks) Empty() bool {
	return p.Create == 0 && len(p.Undrain) == 0 && len(p.Start) == 0 && len(p.Drain) == 0 &&
		len(p.Stop) == 0 && len(p.Suspend) == 0 && len(p.Destroy) == 0
}

// Line tells the decision in one line for logs and tables, such as
// "started 3 → 7: min-started ceil(queue_depth / 10) = 7 (queue_depth 70)".
func (d Decision) Line() string {
	var b strings.Builder
	switch {
	case d.Want == d.Have:
		fmt.Fprintf(&b, "hold at %d started of %d", d.Have.Started, d.Have.Created)
	case d.Want.Created == d.Have.Created:
		fmt.Fprintf(&b, "started %d → %d", d.Have.Started, d.Want.Started)
	case d.Want.Started == d.Have.Started:
		fmt.Fprintf(&b, "created %d → %d", d.Have.Created, d.Want.Created)
	default:
		fmt.Fprintf(&b, "created %d → %d, started %d → %d", d.Have.Created, d.Want.Created, d.Have.Started, d.Want.Started)
	}
	sep := ": "
	for _, s := range d.Steps {
		if s.Stage == StageInventory || s.Reason == "" {
			continue
		}
		b.WriteString(sep + s.Reason)
		sep = " → "
	}
	return b.String()
}

// Class is what a Machine is to the target that looks at it.
type Class int

// The classes. Ready and Booting count as started; all but Foreign and Gone
// count as created (Lost only for a while).
const (
	Foreign  Class = iota // not ours to count or touch
	Gone                  // destroyed, or about to be
	Ready                 // started
	Booting               // on its way to started
	Standby               // can be started: suspended, stopped, or created without launching
	Draining              // on its way to stopped or suspended, or runs and is taken out of service by us
	Broken                // failed, or stuck on its way
	Reserved              // taken out of service by a person (cordoned): counted, not touched
	Lost                  // its host does not answer: last known state, not touched
)

// String returns the name used in traces.
func (c Class) String() string {
	names := [...]string{"foreign", "gone", "ready", "booting", "standby", "draining", "broken", "reserved", "lost"}
	if c < 0 || int(c) >= len(names) {
		return "invalid"
	}
	return names[c]
}

// Member is one Machine of the target's app with its class.
type Member struct {
	*Machine
	Class Class
	// Late marks a Machine on which an action lately failed or was not answered:
	// others like it go first.
	Late bool
}

// Leaving reports whether the Machine runs and was taken out of service by us.
func (m Member) Leaving() bool {
	return m.Class == Draining && m.State != StateStopping && m.State != StateSuspending
}
