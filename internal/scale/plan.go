package scale

import (
	"encoding/json"
	"fmt"
	"time"
)

// Verb is what an Action does to a Machine.
type Verb string

// The verbs. Destroy stops a running Machine first, with the signal and the
// time that its app asks for.
const (
	Start   Verb = "start"
	Create  Verb = "create"
	Stop    Verb = "stop"
	Suspend Verb = "suspend"
	Destroy Verb = "destroy"
	// Drain marks a Machine as ours to take, and cordons it; Undrain takes that back.
	Drain   Verb = "drain"
	Undrain Verb = "undrain"
)

// Action is one change to make, with what must still be true when it is made.
type Action struct {
	Verb Verb `json:"verb"`

	// For all verbs but Create: which Machine, and how it looked when the
	// action was planned. A Machine that looks otherwise is left alone.
	Machine    MachineID `json:"machine,omitempty"`
	State      State     `json:"state,omitempty"`
	InstanceID string    `json:"instance_id,omitempty"`
	// Drained says that the Machine bore our mark. Started Machines that do are out of
	// service already: to stop one changes no count.
	Drained bool `json:"drained,omitempty"`
	// Running says that the Machine counted as started.
	Running bool `json:"-"`

	// Until is, for Drain only, when the Machine may be taken even if it still works.
	Until time.Time `json:"until,omitzero"`

	// Region is where the Machine is, or for Create where it shall be.
	Region Region `json:"region"`

	// For Create only.
	//
	// Name is derived from the names in use, so that whoever makes this create
	// again, after a lost answer, a crash or on another replica, asks for the
	// same name, and the platform refuses the second.
	Name      string    `json:"name,omitempty"`
	CreateID  string    `json:"create_id,omitempty"` // goes into the Machine's metadata
	Template  MachineID `json:"template,omitempty"`  // the Machine to clone
	Launch    bool      `json:"launch,omitempty"`    // boot at once
	Fallbacks []Region  `json:"fallbacks,omitempty"` // where else, in order, when Region lacks capacity
	// Omit is a key of the template's metadata that the new Machine does not inherit;
	// empty for none.
	Omit string `json:"omit,omitempty"`

	Reason string `json:"reason"`
}

// String tells the action in a few words.
func (a Action) String() string {
	if a.Verb == Create {
		return fmt.Sprintf("create %s in %s", a.Name, a.Region)
	}
	return fmt.Sprintf("%s %s in %s", a.Verb, a.Machine, a.Region)
}

// RegionCount is a target's count in one region before and after a plan.
type RegionCount struct {
	Region Region `json:"region"`
	Have   Count  `json:"have"`
	Want   Count  `json:"want"`
}

// Plan is the ordered actions that lead from what is to what is wanted. Those
// that add come before those that remove.
type Plan struct {
	App     App          `json:"app"`
	Group   ProcessGroup `json:"process_group"`
	Actions []Action     `json:"actions"`
	// Spares are starts to fall back on when one of Actions is refused, such as
	// for a host without room.
	Spares  []Action      `json:"spares,omitempty"`
	Regions []RegionCount `json:"regions"` // sorted by region
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Actions) == 0 }

// Count returns how many actions have the verb.
func (p Plan) Count(v Verb) int {
	n := 0
	for _, a := range p.Actions {
		if a.Verb == v {
			n++
		}
	}
	return n
}

// Result says what came of an action.
type Result string

// The results.
const (
	Done    Result = "done"    // it took effect
	Refused Result = "refused" // it certainly did not; Reason says why
	Unknown Result = "unknown" // nobody can tell: look again before trying again
	Skipped Result = "skipped" // not tried: what it required no longer held, or time was up
)

// Refusal classes an outcome that is not Done, for counting and back-off.
type Refusal string

// The refusals that the core and the metrics tell apart.
const (
	RefusedCapacity Refusal = "capacity" // no region had room
	RefusedLeased   Refusal = "leased"   // somebody else holds the Machine
	RefusedChanged  Refusal = "changed"  // the Machine is not as planned
	RefusedDeadline Refusal = "deadline" // the pass ran out of time
	RefusedOther    Refusal = "other"
)

// Outcome is what came of one action.
type Outcome struct {
	Action  Action    `json:"action"`
	Result  Result    `json:"result"`
	Refusal Refusal   `json:"refusal,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Machine MachineID `json:"machine,omitempty"` // the one acted on or created
	Region  Region    `json:"region,omitempty"`  // where it was created
	At      time.Time `json:"at"`
	// Clone is the created Machine as the platform answered; nil otherwise.
	Clone *Machine `json:"-"`
}

// limitJSON is how a Limits is written: null where not defined, which is the
// form that users of "eval" have scripts for.
type limitJSON struct {
	Min *int `json:"min"`
	Max *int `json:"max"`
}

// MarshalJSON writes {"created":{"min":…,"max":…},"started":{"min":…,"max":…}}
// with null for what is not defined or not known. Created counts are at least 1,
// because the last Machine is never destroyed.
func (l Limits) MarshalJSON() ([]byte, error) {
	value := func(l Limit, least int) *int {
		if !l.Defined || !l.Known {
			return nil
		}
		n := max(least, l.Value)
		return &n
	}
	return json.Marshal(struct {
		Created limitJSON `json:"created"`
		Started limitJSON `json:"started"`
	}{
		limitJSON{value(l.MinCreated, 1), value(l.MaxCreated, 1)},
		limitJSON{value(l.MinStarted, 0), value(l.MaxStarted, 0)},
	})
}
