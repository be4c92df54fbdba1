package sim

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// LoadMachine is what a load may know of a Machine.
type LoadMachine struct {
	ID        string // the value of the "instance" label
	Instance  string // the version of its configuration, not of the Machine
	Region    string
	Group     string
	Started   bool
	Cordoned  bool      // the proxy sends it nothing new; it may work on a queue all the same
	StartedAt time.Time // when it started last; another time means it restarted
}

// Sample is one value that a load exports. Its labels leave out "app", which
// is added where samples are stored.
type Sample struct {
	Name   string
	Labels labels.Labels
	Value  float64
}

// Load is work that arrives at an app, and what of it can be measured. A load
// is driven by calls alone: it reads no clock, and its randomness comes from
// its seed, so the same calls give the same samples. It is not safe for
// concurrent use.
type Load interface {
	// Step moves the load on to now. It is called in order of time with all
	// Machines of the app, of every group and state, in any order.
	//
	// A Machine works only through the time at both of whose ends it was
	// started: what starts takes up work at now, what stopped since the step
	// before worked until then.
	Step(now time.Time, machines []LoadMachine)
	// Series returns the samples as of now, which is the time of the last step.
	// Their order depends only on the calls so far. The slice is the caller's.
	Series(now time.Time) []Sample
	// Busy reports whether the Machine has work that stopping it would harm.
	Busy(machineID string) bool
}

// Loads is several loads on one app, as one.
type Loads []Load

// Step implements Load.
func (l Loads) Step(now time.Time, machines []LoadMachine) {
	for _, load := range l {
		load.Step(now, machines)
	}
}

// Series implements Load.
func (l Loads) Series(now time.Time) []Sample {
	var all []Sample
	for _, load := range l {
		all = append(all, load.Series(now)...)
	}
	return all
}

// Busy implements Load.
func (l Loads) Busy(machineID string) bool {
	return slices.ContainsFunc(l, func(load Load) bool { return load.Busy(machineID) })
}

// Host returns the label that names a Machine's host: four hexadecimal digits,
// always the same for the same Machine.
func Host(machineID string) string {
	h := fnv.New32a()
	h.Write([]byte(machineID))
	sum := h.Sum32()
	return fmt.Sprintf("%04x", uint16(sum^sum>>16))
}

// machineLabels are the labels that the platform gives to what a Machine
// exports.
func machineLabels(m LoadMachine, more ...string) labels.Labels {
	return labels.FromStrings(append(more, "host", Host(m.ID), "instance", m.ID, "region", m.Region)...)
}

// startedInGroup returns the started Machines of a group, sorted by ID.
func startedInGroup(machines []LoadMachine, group string) []LoadMachine {
	var started []LoadMachine
	for _, m := range machines {
		if m.Started && cmp.Or(m.Group, DefaultGroup) == group {
			started = append(started, m)
		}
	}
	byID := func(a, b LoadMachine) int { return cmp.Compare(a.ID, b.ID) }
	if !slices.IsSortedFunc(started, byID) {
		slices.SortFunc(started, byID)
	}
	return started
}

// AppSeed returns the seed for the loads of one app, so that apps whose loads are
// specified alike do not all do the same at the same time.
func AppSeed(seed uint64, app string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(app))
	return seed ^ h.Sum64()
}

// newRand returns the random numbers of one load. Streams of one seed are
// independent of each other, so adding a load does not change the others.
func newRand(seed uint64, stream string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(stream))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// poissonNormalFrom is the mean from which the Poisson distribution is drawn
// as a rounded normal one: the two differ by less than the noise, and the
// exact method takes time in proportion to the mean.
const poissonNormalFrom = 64

// poisson draws a number of events with the given mean. A mean that is not
// above zero gives none.
func poisson(rng *rand.Rand, mean float64) int {
	switch {
	case !(mean > 0): // also NaN
		return 0
	case mean >= poissonNormalFrom:
		return int(max(0, math.Round(mean+math.Sqrt(mean)*rng.NormFloat64())))
	}
	limit, product, n := math.Exp(-mean), rng.Float64(), 0
	for product > limit {
		product *= rng.Float64()
		n++
	}
	return n
}
