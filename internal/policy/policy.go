// Package policy holds the user's rules for one target, compiled and ready to
// be applied by package decide. A Policy has no behaviour of its own: it does
// not look at Machines, metrics or the time, and it is never changed once it
// is made.
package policy

import (
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Policy is the rules of one target. Every expression may be nil: that limit
// is then not defined and asks for nothing. An exact count is the same
// expression as minimum and maximum.
type Policy struct {
	// Group is the process group whose Machines are counted and touched.
	Group scale.ProcessGroup
	// Regions are where Machines may be created, in order of preference between
	// equally filled ones. Empty means the region of the Machine that is cloned.
	Regions []scale.Region
	// Launch says whether created Machines boot at once.
	Launch bool

	MinCreated, MaxCreated *expr.Program
	MinStarted, MaxStarted *expr.Program

	// What follows is nothing in the zero value: the plain expressions are followed at
	// once.
	Behavior  Behavior
	Loss      Loss
	Schedules []Schedule
	Limits    Limits
	Zero      Zero
	ScaleIn   ScaleIn

	// MaxAge is the age from which on a snapshot is too old to act upon.
	// Zero means that every snapshot is taken as current.
	MaxAge time.Duration
}
