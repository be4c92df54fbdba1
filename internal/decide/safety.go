package decide

import (
	"fmt"
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
func safety(d *scale.Decision, s scale.Snapshot, p *policy.Policy, mem Memory, now time.Time) {
	if d.Want == d.Have && len(unknownLimits(d)) == 0 {
		return
	}
	var reasons []string
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
	removes := d.Want.Created < d.Have.Created || d.Want.Started < d.Have.Started
	unknown := unknownLimits(d)
	if len(unknown) > 0 {
		d.Hold = max(d.Hold, scale.HoldDown)
		reasons = append(reasons, strings.Join(unknown, " and ")+" unknown: nothing is removed")
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
	if want.Created > d.Have.Created && now.Before(mem.NoCreateBefore) {
		want.Created = d.Have.Created
		want.Started = min(want.Started, max(want.Created, d.Have.Started))
		why := fmt.Sprintf("creates were refused in %d passes in a row", mem.CreateFailures)
		if mem.Deaths > 0 {
			why = fmt.Sprintf("%d created Machines in a row did not come up", mem.Deaths)
		}
		reasons = append(reasons, fmt.Sprintf("%s: next try at %s", why, mem.NoCreateBefore.UTC().Format(time.TimeOnly)))
	}
	step(d, scale.StageSafety, want, strings.Join(reasons, "; "))
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
