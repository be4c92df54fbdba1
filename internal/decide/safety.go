package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// releaseStaleAfter is the age from which on a release that claims to be running
// is taken to be left behind by a tool that was killed: such a status is never
// corrected by the platform.
const releaseStaleAfter = time.Hour

// safety keeps the decision from acting where it must not now. Doubt allows
// additions and no removals; somebody else's work under way allows nothing.
func safety(d *scale.Decision, s scale.Snapshot, p *policy.Policy, f force, mem Memory, now time.Time) {
	switch p.Limits.Pause { // even when nothing is to be done, so that nobody finds something
	case policy.PauseAll:
		d.Hold = scale.HoldAll
	case policy.PauseDown:
		d.Hold = scale.HoldDown
	}
	drains := marked(d.Inventory) // which goes on, or is taken back
	if d.Want == d.Have && len(unknownLimits(d)) == 0 && !drains {
		return
	}
	var reasons []string
	if why := paused(d, p.Limits.Pause); why != "" {
		reasons = append(reasons, why)
	}
	hold := func(h scale.Hold, format string, args ...any) {
		d.Hold = max(d.Hold, h)
		reasons = append(reasons, fmt.Sprintf(format, args...))
	}
	if age := now.Sub(s.TakenAt); p.MaxAge > 0 && age > p.MaxAge {
		hold(scale.HoldAll, "the list of Machines is %s old", age.Round(time.Second))
	}
	if l, ok := foreignLease(s, now); ok {
		hold(scale.HoldAll, "Machine %s is leased by %s until %s", l.ID, orSomeone(l.Lease.Owner), l.Lease.ExpiresAt.UTC().Format(time.TimeOnly))
	}
	if s.Release.Running() {
		if age := now.Sub(s.Release.CreatedAt); age < releaseStaleAfter || s.Release.CreatedAt.IsZero() {
			hold(scale.HoldAll, "release %d is being rolled out", s.Release.Version)
		} else {
			reasons = append(reasons, fmt.Sprintf("release %d claims to be running for %s and is taken as abandoned", s.Release.Version, age.Round(time.Minute)))
		}
	}
	removes := drains || d.Want.Created < d.Have.Created || d.Want.Started < d.Have.Started
	unknown := unknownLimits(d)
	if len(unknown) > 0 {
		d.Hold = max(d.Hold, scale.HoldDown)
		reasons = append(reasons, strings.Join(unknown, " and ")+" unknown: nothing is removed")
	}
	if young := youngLimits(d); removes && len(young) > 0 {
		d.Hold = max(d.Hold, scale.HoldDown)
		reasons = append(reasons, strings.Join(young, " and ")+": nothing is removed")
	}
	if removes {
		if !s.Complete {
			hold(scale.HoldDown, "the list of Machines is incomplete: nothing is removed")
		}
		if why := s.Release.Unavailable; why != "" {
			hold(scale.HoldDown, "nobody can tell whether a release is being rolled out (%s): nothing is removed", why)
		}
		if d.Want.Created < d.Have.Created && mem.awaitsCreate(now) {
			hold(scale.HoldDown, "a create that was not answered may yet come true: nothing is removed")
		}
		if id, ok := nobodys(s); ok {
			hold(scale.HoldDown, "Machine %s, whose host is out of reach, may be of this group: nothing is removed", id)
		}
		if a, b, mixed := mixedReleases(d.Inventory); mixed {
			hold(scale.HoldDown, "Machines of releases %s and %s: nothing is removed until they agree", a, b)
		}
	}
	want := d.Want
	switch d.Hold {
	case scale.HoldAll:
		want = d.Have
	case scale.HoldDown:
		want.Created = max(want.Created, d.Have.Created)
		want.Started = max(want.Started, d.Have.Started)
	}
	if p.Limits.Pause == policy.PauseUp {
		want.Created, want.Started = min(want.Created, d.Have.Created), min(want.Started, d.Have.Started)
	}
	limit := func(fitted scale.Count, why string) {
		if fitted = fit(fitted, d.Have); fitted != want {
			want = fitted
			reasons = append(reasons, why)
		}
	}
	if share := p.Limits.Booting; share > 0 && share < 1 {
		limit(booting(d, share, f, want))
	}
	if share := p.Limits.Destroy; share.Percent > 0 && want.Created < d.Have.Created {
		limit(destroyBudget(d, share, mem, want, now))
	}
	if want.Created > d.Have.Created {
		if until := mem.Breaker.Until; now.Before(until) {
			limit(scale.Count{Created: d.Have.Created, Started: want.Started},
				"creates kept failing: none is tried until "+until.UTC().Format(time.TimeOnly))
		}
	}
	if want.Created > d.Have.Created && now.Before(mem.NoCreateBefore) {
		want.Created = d.Have.Created
		want.Started = min(want.Started, max(want.Created, d.Have.Started))
		why := fmt.Sprintf("creates were refused in %d passes in a row", mem.CreateFailures)
		if mem.Deaths > 0 {
			why = fmt.Sprintf("%d created Machines in a row did not come up", mem.Deaths)
		}
		reasons = append(reasons, fmt.Sprintf("%s: next try at %s", why, mem.NoCreateBefore.UTC().Format(time.TimeOnly)))
	}
	if d.Hold != scale.HoldAll && p.Limits.Pause != policy.PauseUp {
		restored, why := f.restore(want)
		if want = restored; why != "" {
			reasons = append(reasons, why)
		}
	}
	step(d, scale.StageSafety, want, strings.Join(reasons, "; "))
}

// paused says which of the wanted changes the pause forbids.
func paused(d *scale.Decision, p policy.Pause) string {
	adds := d.Want.Created > d.Have.Created || d.Want.Started > d.Have.Started
	removes := d.Want.Created < d.Have.Created || d.Want.Started < d.Have.Started
	switch {
	case p == policy.PauseAll && (adds || removes):
		return "paused: nothing is changed"
	case p == policy.PauseDown && removes:
		return "paused: nothing is removed"
	case p == policy.PauseUp && adds:
		return "paused: nothing is added"
	}
	return ""
}

// bootingFleet is the least number of Machines of which a share may boot: otherwise a
// small target would grow one by one.
const bootingFleet = 4

// booting has no more Machines boot at a time than the policy's share. What does not
// come up would not with more of them; but a floor of ready ones is gone for.
func booting(d *scale.Decision, share float64, f force, want scale.Count) (scale.Count, string) {
	// Those that boot are part of the Machines of which they are the share.
	together := int(max(1, share*bootingFleet, share/(1-share)*float64(d.Counts.Started)) + slack)
	most := d.Have.Started + max(0, together-d.Counts.Starting)
	if d.Counts.Started < f.floor {
		most = max(most, f.floor)
	}
	capStarted(d, most)
	want.Started = min(want.Started, most)
	return want, fmt.Sprintf("at most %.3g%% boot at a time", 100*share)
}

// destroyBudget has no more Machines destroyed within a period than the policy's share
// of those that there were.
func destroyBudget(d *scale.Decision, b policy.DestroyBudget, mem Memory, want scale.Count, now time.Time) (scale.Count, string) {
	destroyed := mem.within(b.Period, now).Destroyed
	budget := max(1, int(b.Percent/100*float64(d.Have.Created+destroyed)+slack))
	want.Created = max(want.Created, d.Have.Created-max(0, budget-destroyed))
	return want, fmt.Sprintf("at most %.3g%% are destroyed within %s", b.Percent, short(b.Period))
}

// youngLimits tells what the limits rest on that is not enough to remove anything.
func youngLimits(d *scale.Decision) []string {
	var out []string
	for _, l := range d.Within.Each() {
		if l.Young != "" && !slices.Contains(out, l.Young) {
			out = append(out, l.Young)
		}
	}
	return out
}

// unknownLimits names the defined limits whose value is not known.
func unknownLimits(d *scale.Decision) []string {
	var names []string
	for _, l := range d.Limits.Each() {
		if l.Defined && !l.Known {
			names = append(names, l.Name)
		}
	}
	return names
}

// foreignLease returns a Machine of the app, of whichever group, that somebody
// else holds a lease on: a deploy takes them all before it changes anything.
func foreignLease(s scale.Snapshot, now time.Time) (scale.Machine, bool) {
	for _, m := range s.Machines {
		if m.Lease != nil && m.Lease.ExpiresAt.After(now) && !strings.HasPrefix(m.Lease.Description, scale.LeaseDescription) {
			return m, true
		}
	}
	return scale.Machine{}, false
}

// nobodys returns a Machine of which nobody can tell the group.
func nobodys(s scale.Snapshot) (scale.MachineID, bool) {
	for _, m := range s.Machines {
		if m.Group == "" && m.Host != scale.HostOK && m.State != scale.StateDestroyed {
			return m.ID, true
		}
	}
	return "", false
}

func orSomeone(owner string) string {
	if owner == "" {
		return "someone else"
	}
	return owner
}

// mixedReleases reports whether the members come from more than one release.
func mixedReleases(members []scale.Member) (a, b string, mixed bool) {
	for _, m := range members {
		if m.Class == scale.Lost || m.Class == scale.Reserved {
			continue // a deploy passes over them, and they would hold everything for good
		}
		switch r := m.Release(); {
		case r == "" || r == a:
		case a == "":
			a = r
		default:
			return min(a, r), max(a, r), true
		}
	}
	return "", "", false
}
