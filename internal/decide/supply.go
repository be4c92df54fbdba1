package decide

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/place"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// maxCreates bounds the Machines that one pass creates. The platform takes about
// one a second for an app, so more would not fit into a pass anyway.
const maxCreates = 100

// supply picks the Machines that bring the decision about and fits the decision
// to what they allow, so that what is wanted is what the plan gives. Created is
// settled before started: Machines that are created to run count as started.
func supply(d *scale.Decision, s scale.Snapshot, p *policy.Policy) {
	if d.Want == d.Have {
		return
	}
	want, pick := d.Want, &d.Picks
	var reasons []string
	say := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }

	// What may be taken from those that run: not below the floor, and while any are
	// wanted, not the last that serves, because those that boot may never come up.
	spare := spareable{running: d.Have.Started, ready: d.Counts.Started}
	if l := d.Within.MinStarted; l.Known {
		spare.running -= min(l.Value, want.Created)
	}
	if want.Started > 0 {
		spare.ready--
	}

	pick.Create = max(0, want.Created-d.Have.Created)
	if pick.Create > 0 {
		if _, ok := place.Template(d.Inventory, s.Overview); !ok {
			say("%d more cannot be created: no Machine of the group can be cloned (it needs a reachable host and no volume)", pick.Create)
			pick.Create = 0
		}
		if pick.Create > maxCreates {
			say("%d are created in one pass at most", maxCreates)
			pick.Create = maxCreates
		}
	}
	if n := d.Have.Created - want.Created; n > 0 {
		pick.Destroy = victims(d.Inventory, n, &spare)
		if len(pick.Destroy) < n {
			say("only %d of %d can be destroyed: cordoned Machines, Machines with volumes, and those that are needed are kept", len(pick.Destroy), n)
		}
	}
	started := d.Have.Started
	for _, v := range pick.Destroy {
		if v.Class == scale.Ready || v.Class == scale.Booting {
			started--
		}
	}

	startable := without(place.StartOrder(d.Inventory), pick.Destroy)
	floor := started
	if l := d.Within.MinStarted; l.Known {
		floor = max(started, min(want.Started, l.Value, want.Created))
	}
	if l := d.Within.MaxStarted; p.Launch && (l.Known || !l.Defined) {
		// As many boot as the ceiling leaves room for; standbys fill what is missing.
		pick.Launch = pick.Create
		if l.Known {
			pick.Launch = min(pick.Create, max(0, max(l.Value, floor)-started))
		}
	} else {
		// Stopped is what is asked for, or the ceiling is not known. A Machine that the
		// floor needs at once would be started right after its creation, while its
		// image is still being pulled and a start is refused.
		pick.Launch = min(pick.Create, max(0, floor-started-len(startable)))
	}
	starts := min(len(startable), max(0, floor-started-pick.Launch))
	if missing := floor - started - pick.Launch - starts; missing > 0 {
		say("%d more cannot be started: no stopped or suspended Machine is left", missing)
	}
	if starts > 0 {
		pick.Start, pick.Spare = startable[:starts], startable[starts:]
	}

	if n := started + pick.Launch - want.Started; n > 0 && pick.Launch == 0 {
		pick.Stop = take(without(place.StopOrder(d.Inventory), pick.Destroy), n, &spare)
		if missing := n - len(pick.Stop); missing > 0 {
			say("%d more cannot be stopped: they are changing state, or are the last that serves", missing)
		}
	}
	want.Created = d.Have.Created + pick.Create - len(pick.Destroy)
	want.Started = started + pick.Launch + len(pick.Start) - len(pick.Stop)
	if pick.Launch > 0 && want.Started > d.Want.Started {
		say("%d of the created Machines boot at once", pick.Launch)
	}
	if n := d.Have.Started - started; n > 0 && want.Started < d.Want.Started {
		say("%d of the destroyed Machines were running", n)
	}
	step(d, scale.StageSupply, want, strings.Join(reasons, "; "))
}

// spareable is how many Machines may still be taken from those that run.
type spareable struct {
	running int // of those that are started or booting
	ready   int // of those that are started
}

// victims returns the n members to destroy, or as many as may be. One Machine
// within reach always remains.
func victims(members []scale.Member, n int, spare *spareable) []scale.Member {
	reachable := 0
	for _, m := range members {
		if m.Class != scale.Lost {
			reachable++
		}
	}
	return take(place.DestroyOrder(members), min(n, reachable-1), spare)
}

// take returns the first n of an order of removal, passing over those that
// cannot be spared.
func take(order []scale.Member, n int, spare *spareable) []scale.Member {
	var out []scale.Member
	for _, m := range order {
		if len(out) >= n {
			break
		}
		running, ready := m.Class == scale.Ready || m.Class == scale.Booting, m.Class == scale.Ready
		if running && spare.running <= 0 || ready && spare.ready <= 0 {
			continue
		}
		if running {
			spare.running--
		}
		if ready {
			spare.ready--
		}
		out = append(out, m)
	}
	return out
}

// without returns the members that are not among the excluded.
func without(members, excluded []scale.Member) []scale.Member {
	if len(excluded) == 0 {
		return members
	}
	return slices.DeleteFunc(members, func(m scale.Member) bool {
		return slices.ContainsFunc(excluded, func(x scale.Member) bool { return x.ID == m.ID })
	})
}
