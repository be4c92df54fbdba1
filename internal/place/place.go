// Package place answers "which one": which Machine starts, stops or goes first,
// which one is cloned, and which region gets the next. It orders and chooses;
// how many is decided elsewhere. All orders are total, with the Machine's ID as
// the last word, so that the same Machines always give the same choice.
package place

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// StartOrder returns the members that can be started, the quickest to wake
// first: suspended, then stopped, then created but never launched, and last those
// that failed, whose fault may have gone. Whatever its state, a Machine on which
// a start failed lately comes after all others.
func StartOrder(members []scale.Member) []scale.Member {
	return Removal{}.order(members, func(m scale.Member) (int, bool) {
		rank := wake(m.State)
		if m.Late {
			rank += lateToStart
		}
		return rank, m.Class == scale.Standby || m.Class == scale.Broken && m.State == scale.StateFailed
	})
}

// lateToStart is more than any rank of wake.
const lateToStart = 10

// Removal says which of Machines that are otherwise equal goes first. The zero value
// tells none apart.
type Removal struct {
	// Busy is the work of each Machine as far as it is known; 0 is idle. The least busy
	// goes first, and the unknown last.
	Busy map[scale.MachineID]float64
	// Age is 1 for the oldest first, -1 for the newest first, and 0 if it does not matter.
	Age int
}

// StopOrder returns the members that can be stopped: those still booting first,
// because nobody relies on them yet.
func (r Removal) StopOrder(members []scale.Member) []scale.Member {
	return r.order(members, func(m scale.Member) (int, bool) {
		switch {
		case m.Class == scale.Booting && stoppable(m.State):
			return 0, true
		case m.Class == scale.Ready:
			return 1, true
		}
		return 0, false
	})
}

// LeavingOrder returns the members that run and were taken out of service, the first to
// go first.
func (r Removal) LeavingOrder(members []scale.Member) []scale.Member {
	return r.order(members, func(m scale.Member) (int, bool) { return 0, m.Leaving() && stoppable(m.State) })
}

// DestroyOrder returns the members that can be destroyed, the least useful
// first: broken, on their way out, taken out of service, standing by (the slowest to wake
// first), booting, and last those that serve. Machines with volumes are never among
// them, because their data would go too.
func (r Removal) DestroyOrder(members []scale.Member) []scale.Member {
	return r.order(members, func(m scale.Member) (int, bool) {
		if m.HasMounts {
			return 0, false
		}
		switch m.Class {
		case scale.Broken:
			// One that is long about stopping stays the first choice: passing over it
			// would take another Machine in its place.
			return 0, m.State == scale.StateFailed || stoppable(m.State) || m.State == scale.StateStopping || m.State == scale.StateSuspending
		case scale.Draining:
			if m.Leaving() {
				return 2, stoppable(m.State)
			}
			return 1, true
		case scale.Standby:
			return 5 - wake(m.State), true // 3, 4 or 5
		case scale.Booting:
			return 6, stoppable(m.State)
		case scale.Ready:
			return 7, true
		}
		return 0, false
	})
}

// wake ranks the states of a Machine that stands by, the quickest to wake
// first.
func wake(s scale.State) int {
	switch s {
	case scale.StateSuspended:
		return 0
	case scale.StateStopped:
		return 1
	case scale.StateFailed:
		return 3
	}
	return 2
}

// stoppable reports whether the platform takes a stop in the state. A Machine
// that is being updated or replaced refuses it.
func stoppable(s scale.State) bool {
	return s == scale.StateStarted || s == scale.StateStarting || s == scale.StateCreated
}

// order returns the members that rank admits, by rank, by work, those that are not late
// first, by age, and then by ID.
func (r Removal) order(members []scale.Member, rank func(scale.Member) (int, bool)) []scale.Member {
	type ranked struct {
		scale.Member
		rank int
	}
	list := make([]ranked, 0, len(members))
	for _, m := range members {
		if n, ok := rank(m); ok {
			list = append(list, ranked{m, n})
		}
	}
	slices.SortFunc(list, func(a, b ranked) int {
		return cmp.Or(
			cmp.Compare(a.rank, b.rank), r.work(a.Member, b.Member), cmp.Compare(late(a.Member), late(b.Member)),
			r.Age*a.Since().Compare(b.Since()), cmp.Compare(a.ID, b.ID),
		)
	})
	out := make([]scale.Member, len(list))
	for i, l := range list {
		out[i] = l.Member
	}
	return out
}

// work compares the work of two Machines.
func (r Removal) work(a, b scale.Member) int {
	if len(r.Busy) == 0 {
		return 0
	}
	x, xKnown := r.Busy[a.ID]
	y, yKnown := r.Busy[b.ID]
	switch {
	case xKnown && yKnown:
		return cmp.Compare(x, y)
	case xKnown:
		return -1
	case yKnown:
		return 1
	}
	return 0
}

func late(m scale.Member) int {
	if m.Late {
		return 1
	}
	return 0
}

// Template returns the Machine to clone: of the newest release that has a sound
// one, one that runs before one that does not, on a host that answers, with a complete config
// and no volume. It reports false when there is none. Members of an overview
// tell nothing of their configs; there any may turn out to be fit.
func Template(members []scale.Member, overview bool) (scale.Member, bool) {
	var best scale.Member
	found := false
	for _, m := range members {
		if m.Config == nil && !overview || m.HasMounts || m.Host != scale.HostOK {
			continue
		}
		if !found || templateLess(m, best) {
			best, found = m, true
		}
	}
	return best, found
}

func templateLess(a, b scale.Member) bool {
	return cmp.Or(
		// A release whose Machines fail must not be what new capacity is made of.
		cmp.Compare(unsound(a.Class), unsound(b.Class)),
		-cmp.Compare(releaseNumber(a), releaseNumber(b)),
		cmp.Compare(templateRank(a.Class), templateRank(b.Class)),
		cmp.Compare(a.ID, b.ID),
	) < 0
}

func unsound(c scale.Class) int {
	if c == scale.Broken || c == scale.Reserved || c == scale.Lost {
		return 1
	}
	return 0
}

func templateRank(c scale.Class) int {
	switch c {
	case scale.Ready:
		return 0
	case scale.Booting:
		return 1
	}
	return 2
}

// releaseNumber is the number of the release that made the Machine; 0 when none
// did.
func releaseNumber(m scale.Member) int {
	n, err := strconv.Atoi(m.Metadata[scale.MetaReleaseVersion])
	if err != nil {
		return 0
	}
	return n
}

// Spread returns the regions for n more Machines, one at a time to the region
// that has the fewest, ties by the order of regions: round robin over all the
// group's Machines, whatever the order in which they came. Machines in other
// regions are not counted.
func Spread(n int, regions []scale.Region, members []scale.Member) []scale.Region {
	if n <= 0 || len(regions) == 0 {
		return nil
	}
	have := make([]int, len(regions))
	for _, m := range members {
		if i := slices.Index(regions, m.Region); i >= 0 {
			have[i]++
		}
	}
	out := make([]scale.Region, 0, n)
	for range n {
		next := 0
		for i := range have {
			if have[i] < have[next] {
				next = i
			}
		}
		have[next]++
		out = append(out, regions[next])
	}
	return out
}

// Fallbacks returns where else a Machine may go when its region has no room:
// the regions after it, around the list.
func Fallbacks(first scale.Region, regions []scale.Region) []scale.Region {
	at := slices.Index(regions, first)
	out := make([]scale.Region, 0, len(regions))
	for i := range regions {
		if r := regions[(at+1+i)%len(regions)]; r != first {
			out = append(out, r)
		}
	}
	return out
}
