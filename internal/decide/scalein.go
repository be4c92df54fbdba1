package decide

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/place"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	// workSettles is how much newer than the mark a sample must be to tell that a Machine
	// is idle for good: work may have come in until the cordon was in force, and sources
	// look at Machines every few seconds only.
	workSettles = 10 * time.Second
	// deadlineSlack is by how much a mark's deadline may lie beyond the policy's, for
	// clocks that differ.
	deadlineSlack = time.Minute
)

// scaleIn is how one decision takes Machines from service. A Machine that runs is
// drained: it bears our mark and is cordoned, until it is idle or its deadline has
// passed. All of that is on the Machine itself, so that whoever decides next goes on
// from there.
//
//	ready ─drain─▶ leaving ─idle or late─▶ stopped, suspended or destroyed
//	  ▲               │
//	  └────undrain────┘ when it is not asked to go any more
type scaleIn struct {
	policy.ScaleIn
	now      time.Time
	hold     scale.Hold
	overview bool // which tells of no cordons
	removal  place.Removal
	asked    time.Time // when the work was told

	ready   []scale.Member // those that could go, the first to go first
	taken   []scale.Member // of ready
	waiting int            // those that drain and go later
	kept    int            // of those, protected
	next    time.Time      // the first deadline of those that wait
	swapped int
}

func newScaleIn(d *scale.Decision, s scale.Snapshot, p *policy.Policy) *scaleIn {
	in := &scaleIn{ScaleIn: p.ScaleIn, now: d.At, hold: d.Hold, overview: s.Overview}
	switch in.Order {
	case policy.OldestFirst:
		in.removal.Age = 1
	case policy.NewestFirst:
		in.removal.Age = -1
	case policy.ByID:
	}
	if in.Busy != "" {
		at := slices.IndexFunc(d.Samples, func(s scale.Sample) bool { return s.Metric == in.Busy && s.Known() })
		if at >= 0 {
			in.removal.Busy, in.asked = work(d.Samples[at].Machines), d.Samples[at].At
		}
	}
	if in.removal.Busy != nil {
		for _, m := range in.allowed(in.removal.StopOrder(d.Inventory)) {
			if m.Class == scale.Ready {
				in.ready = append(in.ready, m)
			}
		}
	}
	return in
}

// work returns what is known of each Machine's work.
func work(machines map[scale.MachineID]float64) map[scale.MachineID]float64 {
	out := make(map[scale.MachineID]float64, len(machines))
	for id, n := range machines {
		if !math.IsNaN(n) {
			out[id] = max(0, n)
		}
	}
	return out
}

// marked reports whether any of the Machines bears our mark.
func marked(members []scale.Member) bool {
	return slices.ContainsFunc(members, func(m scale.Member) bool { return m.Drained() })
}

// allowed returns those of an order of removal that the policy lets go.
func (in *scaleIn) allowed(order []scale.Member) []scale.Member {
	if in.Protect == "" && in.MinLifetime <= 0 {
		return order
	}
	return slices.DeleteFunc(order, func(m scale.Member) bool {
		return in.protects(m) || m.Class == scale.Ready && in.now.Sub(m.Since()) < in.MinLifetime
	})
}

// protects reports whether the Machine asks not to be taken.
func (in *scaleIn) protects(m scale.Member) bool {
	if in.Protect == "" {
		return false
	}
	switch m.Metadata[in.Protect] {
	case "", "0", "false":
		return false
	}
	return true
}

// pool returns the Machines that stay as standbys although fewer are to exist, the
// quickest to wake first. It is not made of those that start now.
func (in *scaleIn) pool(members, starts []scale.Member) []scale.Member {
	if in.Standby <= 0 {
		return nil
	}
	var resting []scale.Member
	for _, m := range members {
		switch m.State {
		case scale.StateSuspended, scale.StateSuspending, scale.StateStopped, scale.StateStopping:
			young := in.StandbyFor <= 0 || in.now.Sub(m.Since()) < in.StandbyFor
			if (m.Class == scale.Standby || m.Class == scale.Draining) && young && !m.HasMounts && !in.protects(m) && !holds(starts, m) {
				resting = append(resting, m)
			}
		}
	}
	slices.SortStableFunc(resting, func(a, b scale.Member) int { return slower(a) - slower(b) })
	return resting[:min(len(resting), in.Standby)]
}

func slower(m scale.Member) int {
	if m.State == scale.StateSuspended || m.State == scale.StateSuspending {
		return 0
	}
	return 1
}

// take picks a Machine to go: one that serves is drained, any other ends.
func (in *scaleIn) take(pick *scale.Picks, m scale.Member, end func(scale.Member)) {
	in.taken = append(in.taken, m)
	if m.Class == scale.Ready && in.Drain > 0 {
		in.drain(pick, m)
		return
	}
	end(m)
}

func (in *scaleIn) drain(pick *scale.Picks, m scale.Member) {
	pick.Drain = append(pick.Drain, m)
	pick.Until = in.now.Add(in.Drain)
}

// rest picks a Machine to be stopped or suspended.
func (in *scaleIn) rest(pick *scale.Picks, m scale.Member) {
	if in.Mode == policy.IdleSuspend && m.State == scale.StateStarted {
		pick.Suspend = append(pick.Suspend, m)
	} else {
		pick.Stop = append(pick.Stop, m)
	}
}

// proceed goes on with a Machine that leaves and is asked to: it ends once it may.
func (in *scaleIn) proceed(pick *scale.Picks, m scale.Member, end func(scale.Member), forGood bool) {
	until, told := m.DrainedUntil()
	busy, known := in.removal.Busy[m.ID]
	switch {
	case in.hold != scale.HoldNone:
		in.wait(m)
	case in.protects(m):
		in.kept++
		in.wait(m)
	case in.Drain > 0 && (!told || until.After(in.now.Add(in.Drain+deadlineSlack)) || !m.Cordoned):
		// It was not out of service for as long as the mark says, or for longer than the
		// policy has it. An overview does not tell of cordons, and only brings about that
		// a better list is read.
		in.drain(pick, m)
	case in.Drain > 0 && known && busy == 0 && !in.asked.Before(until.Add(workSettles-in.Drain)):
		end(m)
	case in.Drain > 0 && in.now.Before(until):
		in.wait(m)
	case known && busy > 0 && in.swap(pick, m, end, forGood):
	default:
		end(m)
	}
}

// swap takes an idle Machine in the place of one that is still at work when its time
// is up.
func (in *scaleIn) swap(pick *scale.Picks, m scale.Member, end func(scale.Member), forGood bool) bool {
	for _, idle := range in.ready {
		if in.removal.Busy[idle.ID] > 0 || !in.knows(idle) {
			break // neither are those that come after
		}
		if holds(in.taken, idle) || forGood && idle.HasMounts {
			continue
		}
		in.swapped++
		pick.Undrain = append(pick.Undrain, m)
		in.take(pick, idle, end)
		return true
	}
	return false
}

func (in *scaleIn) knows(m scale.Member) bool {
	_, known := in.removal.Busy[m.ID]
	return known
}

// wait leaves a Machine that drains as it is.
func (in *scaleIn) wait(m scale.Member) {
	in.waiting++
	if until, ok := m.DrainedUntil(); ok && (in.next.IsZero() || until.Before(in.next)) {
		in.next = until
	}
}

// told says what happens to Machines that drain.
func (in *scaleIn) told(pick scale.Picks) []string {
	var out []string
	if n := len(pick.Drain); n > 0 {
		out = append(out, fmt.Sprintf("%d drain until %s", n, pick.Until.UTC().Format(time.TimeOnly)))
	}
	if in.waiting > 0 {
		text := fmt.Sprintf("%d still drain", in.waiting)
		if in.next.After(in.now) {
			text += ", the first until " + in.next.UTC().Format(time.TimeOnly) + " unless it is idle before"
		}
		if in.kept > 0 {
			text += fmt.Sprintf(", %d of them protected", in.kept)
		}
		out = append(out, text)
	}
	if in.swapped > 0 {
		out = append(out, fmt.Sprintf("%d go in the place of such that are still at work when their time is up", in.swapped))
	}
	drained := 0
	for _, m := range slices.Concat(pick.Stop, pick.Suspend, pick.Destroy) {
		if m.Leaving() {
			drained++
		}
	}
	if drained > 0 {
		out = append(out, fmt.Sprintf("%d have drained", drained))
	}
	return out
}

// coupled reports whether the created limits are the started ones as well: with
// standbys, those that are to exist are more than those that are to run, and a target
// that speaks only of the former means the latter.
func (in *scaleIn) coupled(d *scale.Decision) bool {
	return in.Standby > 0 && !d.Limits.MinStarted.Defined && !d.Limits.MaxStarted.Defined
}

// couple has one count follow the other, where the policy for Machines that are not
// needed means so.
func couple(d *scale.Decision, p *policy.Policy) {
	if p.ScaleIn.Standby <= 0 && p.ScaleIn.Mode != policy.IdleDestroy {
		return
	}
	limits, want := &d.Within, d.Want
	in := scaleIn{ScaleIn: p.ScaleIn}
	switch {
	case p.Launch && in.coupled(d):
		limits.MinStarted, limits.MaxStarted = limits.MinCreated, limits.MaxCreated
		if want.Started = within(d.Have.Started, limits.MinStarted, limits.MaxStarted); want != d.Want {
			step(d, scale.StageBounds, want, fmt.Sprintf("%d run, what is there besides stands by", want.Started))
		}
	case followed(d, p) && d.Have.Created > 0:
		if lo, hi := limits.MinCreated, limits.MaxCreated; lo.Defined && !lo.Known || hi.Defined && !hi.Known {
			return
		}
		want.Created = max(1, within(want.Started, limits.MinCreated, limits.MaxCreated))
		if want != d.Want {
			step(d, scale.StageBounds, want, "created follows started: what is not needed is destroyed")
		}
	}
}

// followed reports whether the created count follows the started one.
func followed(d *scale.Decision, p *policy.Policy) bool {
	return p.ScaleIn.Mode == policy.IdleDestroy && d.Limits.MaxStarted.Known
}
