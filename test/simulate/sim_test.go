package simulate_test

import (
	"flag"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/test/simulate"
)

var (
	seeds = flag.Int("sim.seeds", 0, "play this many `seeds` instead of the few that are played always")
	first = flag.Uint64("sim.first", 1, "the first of these `seeds`")
	lanes = flag.Int("sim.lanes", 2, "runs at a time")
	hours = flag.Float64("sim.hours", 0, "how many `hours` of virtual time each of them lasts")
	tell  = flag.Bool("sim.tell", false, "print the timeline of a single seed also when it passes")
)

// total adds results up.
type total struct {
	mu      sync.Mutex
	runs    int
	failed  []uint64
	virtual time.Duration
	sum     simulate.Result
}

func (s *total) add(seed uint64, r simulate.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.virtual += r.Virtual
	s.sum.Passes += r.Passes
	s.sum.Requests += r.Requests
	s.sum.Mutations += r.Mutations
	s.sum.Throttled += r.Throttled
	if s.sum.Faults == nil {
		s.sum.Faults = make(map[string]int)
	}
	for kind, n := range r.Faults {
		s.sum.Faults[kind] += n
	}
	if len(r.Violations) > 0 {
		s.failed = append(s.failed, seed)
	}
}

func (s *total) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %.0f virtual hours, %d passes, %d requests (%d throttled), %d mutations\nfaults:", s.runs, s.virtual.Hours(), s.sum.Passes, s.sum.Requests, s.sum.Throttled, s.sum.Mutations)
	for _, kind := range slices.Sorted(maps.Keys(s.sum.Faults)) {
		fmt.Fprintf(&b, " %s %d", kind, s.sum.Faults[kind])
	}
	fmt.Fprintf(&b, "\n%d seeds with violations: %v", len(s.failed), s.failed)
	return b.String()
}

// show fails the test with what is wrong with a run, and tells what led there: all of
// it when this is the only seed.
func show(t *testing.T, seed uint64, r simulate.Result) {
	t.Helper()
	for _, v := range r.Violations {
		t.Error(v)
	}
	switch {
	case *seeds == 1:
		if len(r.Violations) > 0 || *tell {
			t.Logf("seed %d:\n%s", seed, r.Timeline(0, r.Virtual))
		}
	case len(r.Violations) > 0:
		at := r.Violations[0].At
		name, _, _ := strings.Cut(t.Name(), "/")
		t.Logf("seed %d, what led to the first violation; for all of it: go test ./test/simulate -run '^%s$' -sim.seeds 1 -sim.first %d -sim.hours %g\n%s",
			seed, name, seed, *hours, r.Timeline(at-3*time.Minute, at+time.Second))
	}
}

// play plays seeds in lanes side by side.
func play(t *testing.T, count int, story func(uint64) *simulate.Story) {
	t.Helper()
	// Much is allocated and soon forgotten; there is memory for it.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	sum := &total{}
	next := make(chan uint64)
	var wg sync.WaitGroup
	for range *lanes {
		wg.Go(func() {
			for seed := range next {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := simulate.Run(story(seed))
						sum.add(seed, r)
						show(t, seed, r)
					})
				})
			}
		})
	}
	for seed := *first; seed < *first+uint64(count); seed++ {
		next <- seed
	}
	close(next)
	wg.Wait()
	t.Log(sum)
	if *seeds > 0 && !testing.Verbose() {
		fmt.Println(sum)
	}
}

// TestLists plays stories about lists that are not to be believed.
func TestLists(t *testing.T) {
	count := 12
	if *seeds > 0 {
		count = *seeds
	}
	play(t, count, simulate.ListStory)
}

// TestSim plays days on which everything may go wrong.
func TestSim(t *testing.T) {
	count, length := 3, 2.0
	if *seeds > 0 {
		count = *seeds
	}
	if *hours > 0 {
		length = *hours
	}
	play(t, count, func(seed uint64) *simulate.Story { return simulate.DayStory(seed, length) })
}
