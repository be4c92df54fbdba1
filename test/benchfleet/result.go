package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// result is what a run measured. Times are in seconds, memory is in bytes; what
// could not be measured is nil.
type result struct {
	Apps     int     `json:"apps"`
	Variant  string  `json:"variant"`
	Interval float64 `json:"interval"`
	// Setup is what flysim needed to make its world.
	Setup float64 `json:"setup"`
	// Ready is the time from the start of the program to its readiness.
	Ready *float64 `json:"ready"`
	// Requests are those of one quiet cycle, by operation of the platform.
	Requests map[string]float64 `json:"requests"`
	// CPU is the processor time of the program for one quiet cycle.
	CPU *float64 `json:"cpu"`
	// PeakMemory is the most memory that the program had until its end.
	PeakMemory *int64 `json:"peak_memory"`
	// StepRequests are all requests from the step until the last start was seen.
	StepRequests map[string]int `json:"step_requests"`
	// Mutations are the requests after the step that change something, leases
	// too.
	Mutations int `json:"mutations"`
	// First, Median and Last are the times from the step to the start of a
	// Machine; Late is how much later the last one was than one interval after the
	// step.
	First  *float64 `json:"first"`
	Median *float64 `json:"median"`
	Last   *float64 `json:"last"`
	Late   *float64 `json:"late"`
	// RateLimited is how many requests were answered with 429, of all.
	RateLimited int    `json:"rate_limited"`
	Error       string `json:"error,omitempty"`

	started time.Time // of the program
}

func seconds(d time.Duration) *float64 { return new(d.Seconds()) }

// delays notes the times between the step and the starts. The platform's clock
// stands still while it samples its metrics, which takes most of a second for ten
// thousand apps: a start that seems to come before its cause came with it.
func (r *result) delays(d []time.Duration) {
	if len(d) == 0 {
		return
	}
	slices.Sort(d)
	r.First, r.Median = seconds(max(quantile(d, 0), 0)), seconds(max(quantile(d, 0.5), 0))
}

// end notes the time between the step and the moment at which the last start was
// seen. It is ours and not the platform's, so that it is a little late but never
// early.
func (r *result) end(last, interval time.Duration) {
	r.Last, r.Late = seconds(last), seconds(last-interval)
}

// quantile returns the smallest value that at least the given share of the
// values does not exceed. The values are sorted, and there is at least one.
func quantile(sorted []time.Duration, share float64) time.Duration {
	rank := int(math.Ceil(share * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// startDelays returns how long after its app's step each Machine was asked to
// start. It is an error when the Machines are not each once started, perApp of
// every app, or anything else was changed.
func startDelays(history []sim.Mutation, set map[string]time.Time, perApp int) ([]time.Duration, error) {
	var out []time.Duration
	starts := make(map[string]int, len(set))
	other := make(map[string]int)
	for _, m := range history {
		step, ok := set[m.App]
		switch {
		case !ok:
			return nil, fmt.Errorf("%s of app %q, which is none of ours", m.Op, m.App)
		case m.Op == "machine_start":
			starts[m.App]++
			out = append(out, m.At.Sub(step))
		case !leases[m.Op]:
			other[m.Op]++
		}
	}
	if len(other) > 0 {
		return out, fmt.Errorf("changes that nobody wanted: %v", other)
	}
	few, many := 0, 0
	for app := range set {
		switch n := starts[app]; {
		case n < perApp:
			few++
		case n > perApp:
			many++
		}
	}
	if few+many > 0 {
		return out, fmt.Errorf("%d apps got fewer than %d Machines started, %d got more", few, perApp, many)
	}
	return out, nil
}

// leases are the operations that change a Machine's lease only.
var leases = map[string]bool{"machine_lease_acquire": true, "machine_lease_release": true}

// changes are the operations that change something.
var changes = []string{
	"machine_create", "machine_update", "machine_destroy", "machine_start", "machine_stop", "machine_suspend",
	"machine_restart", "machine_signal", "machine_cordon", "machine_uncordon", "machine_lease_acquire",
	"machine_lease_release", "metadata_set", "metadata_delete", "volume_create", "volume_delete", "volume_extend",
}

// mutations counts the requests that change something.
func mutations(ops map[string]int) int {
	n := 0
	for _, op := range changes {
		n += ops[op]
	}
	return n
}

// perCycle divides counts by a number of cycles.
func perCycle(ops map[string]int, cycles int) map[string]float64 {
	out := make(map[string]float64, len(ops))
	for op, n := range ops {
		out[op] = float64(n) / float64(cycles)
	}
	return out
}
