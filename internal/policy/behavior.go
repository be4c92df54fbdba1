package policy

import (
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
)

// Behavior is how a target follows its demand. The zero value follows the plain
// expressions at once.
type Behavior struct {
	Tolerance Tolerance
	Up, Down  Direction
	Fast      Fast
}

// Tolerance is by what share the demand may differ from what there is without
// anything being done: with Up 0.05 and 20 Machines up to 21 are not asked for.
// Both are at least 0 and below 1.
type Tolerance struct{ Up, Down float64 }

// Direction is how counts move one way.
type Direction struct {
	// Window is how long a demand must hold before it is followed. At most 1 h.
	Window time.Duration
	// Rates are how fast it is followed; empty means at once.
	Rates  []Rate
	Select Select // which of several Rates counts
}

// Rate allows a change of Count Machines, or of Percent of those at the beginning
// of the period, within any Period. One of Count and Percent is above 0.
type Rate struct {
	Count   int
	Percent float64
	Period  time.Duration // 1 s to 1 h
}

// Select is which of several rates counts.
type Select int

// The selections.
const (
	SelectMax      Select = iota // the one that allows most
	SelectMin                    // the one that allows least
	SelectDisabled               // none: there is no change in this direction
)

// Fast is a twin of the target's least started count over a short time: while it asks
// for at least Factor times the Machines that are ready, and for Hold after, the
// least is the larger of the two. It only raises, and keeps what it would bring back.
type Fast struct {
	Program *expr.Program // nil without one
	Factor  float64       // above 1
	Hold    time.Duration
}

// Loss is what to do while nothing is known of the demand: hold for After, and then
// run at least Fallback Machines.
type Loss struct {
	After    time.Duration
	Fallback int // 0 for none
}

// Schedule raises and lowers the started count while its window is open.
type Schedule struct {
	Name   string
	Window Window
	Min    *int // floor
	Max    *int // ceiling
	// Hard has the ceiling win over every floor.
	Hard bool
}

// Window tells when a schedule is in force.
type Window interface {
	// Active reports whether now is within the window, and until when that stays so
	// or, outside, when it opens next; zero for never.
	Active(now time.Time) (active bool, until time.Time)
	// String returns the window as it was written.
	String() string
}

// Pause says which changes are not made, whatever is wanted.
type Pause int

// The pauses.
const (
	PauseNone Pause = iota
	PauseUp         // nothing is started or created
	PauseDown       // nothing is stopped, suspended or destroyed
	PauseAll
)

// Limits bound what the autoscaler does to a target, against mistakes in its rules.
type Limits struct {
	Pause Pause
	// Booting is the largest share of the target's Machines that boot at a time, of
	// at least four; 0 for no bound. A ready count below a floor goes beyond it.
	Booting float64
	Breaker Breaker
	Destroy DestroyBudget
	// MachineHours bounds the started Machines by the hours that they ran since
	// midnight UTC; 0 for no bound.
	MachineHours float64
}

// Breaker stops creates that keep failing: after Failures within Within for Pause,
// twice as long each time, up to MaxPause. Zero Failures means that only the short
// back-off holds which every target has.
type Breaker struct {
	Failures        int
	Within          time.Duration
	Pause, MaxPause time.Duration
}

// DestroyBudget bounds destroys within any Period to Percent of what is created, and
// to at least one. Zero Percent is no bound.
type DestroyBudget struct {
	Percent float64
	Period  time.Duration
}

// Zero is the gate before the last started Machine is taken.
type Zero struct {
	// Gated is set when it is asked. Otherwise zero is a count like any other.
	Gated bool
	// Activation is the demand, in unrounded Machines, up to which a target counts as
	// idle.
	Activation float64
	// IdleAfter is how long it must have been idle.
	IdleAfter time.Duration
	// First is the least count from zero, at least 1.
	First int
}

// IdleMode is what becomes of a Machine that is not needed.
type IdleMode int

// The modes.
const (
	IdleStop    IdleMode = iota
	IdleSuspend          // stops where the platform does not suspend
	// IdleDestroy has the created count follow the started one, within its own limits:
	// what is not needed is destroyed, and what is missing is created.
	IdleDestroy
)

// ScaleIn is how Machines are taken from service. The zero value stops them at once, in
// the order of their IDs.
type ScaleIn struct {
	Mode IdleMode
	// Drain is how long a Machine is cordoned before it is taken, unless it is seen
	// idle before; 0 takes it at once.
	Drain time.Duration
	// Busy is the metric that tells each Machine's work; 0 is idle. Empty when nothing
	// tells.
	Busy string
	// Order is which of equally busy Machines goes first.
	Order Order
	// Protect is the metadata key that keeps a Machine from being taken while it has a
	// value other than "", "0" and "false". Empty protects none.
	Protect string
	// MinLifetime is how long a Machine stays after it was started.
	MinLifetime time.Duration
	// Standby is how many Machines that are stopped or suspended stay when created ones
	// are to be destroyed, and StandbyFor how long each stays; 0 for as long as there is
	// room. A target that says nothing of started Machines then has those that it wants
	// to exist run.
	Standby    int
	StandbyFor time.Duration
}

// Order is an order among Machines by age.
type Order int

// The orders.
const (
	ByID        Order = iota // age does not matter
	OldestFirst              // the longest in its state
	NewestFirst
)
