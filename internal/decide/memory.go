package decide

import (
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Memory is what Decide carries from one pass to the next. It is a value: Decide
// and Observe return a new one and leave the old as it was. Losing it is safe;
// the zero value is that of a target seen for the first time.
type Memory struct {
	// Lost tells since when a Machine's host has been out of reach.
	Lost map[scale.MachineID]time.Time `json:"lost,omitempty"`
	// CreateFailures counts passes in a row in which creates were tried and none
	// succeeded.
	CreateFailures int `json:"create_failures,omitempty"`
	// NoCreateBefore is when creates may be tried again.
	NoCreateBefore time.Time `json:"no_create_before,omitzero"`
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
	for _, o := range outcomes {
		if o.Action.Verb != scale.Create || o.Result == scale.Skipped {
			continue
		}
		tried++
		// An unknown outcome is no sign of a shortage: the Machine may well be there.
		if o.Result != scale.Refused {
			succeeded++
		}
	}
	switch {
	case succeeded > 0:
		mem.CreateFailures, mem.NoCreateBefore = 0, time.Time{}
	case tried > 0:
		wait := createBackoff << min(mem.CreateFailures, 6)
		mem.CreateFailures++
		mem.NoCreateBefore = now.Add(min(wait, createBackoffCap))
	}
	return mem
}
