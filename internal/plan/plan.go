// Package plan turns a decision into the actions that bring it about. It is
// pure: the same decision gives the same plan, and the plan for a target that is
// where it is wanted is empty. It decides neither how many nor whether, and it
// carries nothing out.
package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/place"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Build returns the actions for d, in the order in which they are worth doing:
// starts and creates before stops and destroys. The snapshot must be the one
// that d was made from.
func Build(s scale.Snapshot, d scale.Decision, p *policy.Policy) scale.Plan {
	plan := scale.Plan{App: d.App, Group: d.Group}
	picks := d.Picks
	if !picks.Empty() {
		why := d.Line()
		add := func(verb scale.Verb, members []scale.Member) {
			for _, m := range members {
				plan.Actions = append(plan.Actions, act(verb, m, why))
			}
		}
		add(scale.Undrain, picks.Undrain)
		add(scale.Start, picks.Start)
		plan.Actions = append(plan.Actions, clones(s, d, p, why)...)
		add(scale.Drain, picks.Drain)
		for i := len(plan.Actions) - len(picks.Drain); i < len(plan.Actions); i++ {
			plan.Actions[i].Until = picks.Until
		}
		add(scale.Stop, picks.Stop)
		add(scale.Suspend, picks.Suspend)
		add(scale.Destroy, picks.Destroy)
		for _, m := range picks.Spare {
			plan.Spares = append(plan.Spares, act(scale.Start, m, why))
		}
	}
	plan.Regions = regionCounts(d.Inventory, plan.Actions, picks)
	return plan
}

func act(verb scale.Verb, m scale.Member, why string) scale.Action {
	return scale.Action{
		Verb: verb, Machine: m.ID, State: m.State, InstanceID: m.InstanceID, Drained: m.Drained(),
		Running: running(m),
		Region:  m.Region, Reason: why,
	}
}

// clones returns the creates of a plan.
func clones(s scale.Snapshot, d scale.Decision, p *policy.Policy, why string) []scale.Action {
	n := d.Picks.Create
	if n == 0 {
		return nil
	}
	template, ok := place.Template(d.Inventory, s.Overview)
	if !ok {
		return nil
	}
	regions := p.Regions
	spread := place.Spread(n, regions, d.Inventory)
	if len(regions) == 0 {
		// As the template's region comes first, it is only left when it is full.
		regions = regionsInUse(template.Region, d.Inventory)
		spread = slices.Repeat([]scale.Region{template.Region}, n)
	}
	names := freeNames(s, d.Group, n, d.Picks.Names)
	actions := make([]scale.Action, 0, n)
	for i := range n {
		actions = append(actions, scale.Action{
			Verb: scale.Create, Region: spread[i], Fallbacks: place.Fallbacks(spread[i], regions),
			Name: names[i], CreateID: fmt.Sprintf("%s.%d", names[i], d.At.UnixMilli()),
			Template: template.ID, Launch: i < d.Picks.Launch, Omit: p.ScaleIn.Protect, Reason: why,
		})
	}
	return actions
}

// regionsInUse returns the regions where the group already runs, first leading.
func regionsInUse(first scale.Region, members []scale.Member) []scale.Region {
	regions := make([]scale.Region, 0, len(members))
	for _, m := range members {
		if m.Region != first {
			regions = append(regions, m.Region)
		}
	}
	slices.Sort(regions)
	return slices.Concat([]scale.Region{first}, slices.Compact(regions))
}

// freeNames returns n names of the group that no Machine of the app bears: those in
// first, and then the lowest numbered. The lowest, so that after a crash, or on another replica, the
// creates that may be under way are planned again under the names they have, and
// the platform, which keeps names unique in an app, refuses to make them twice.
func freeNames(s scale.Snapshot, group scale.ProcessGroup, n int, first []string) []string {
	prefix := NamePrefix(group)
	used := make(map[int]bool)
	number := func(name string) (int, bool) {
		rest, ok := strings.CutPrefix(name, prefix)
		// A name that a destroyed Machine still held back carries a suffix after
		// its number.
		digits, _, _ := strings.Cut(rest, "-")
		i, err := strconv.Atoi(digits)
		return i, ok && err == nil
	}
	for _, m := range s.Machines {
		if i, ok := number(m.Name); ok {
			used[i] = true
		}
	}
	names := make([]string, 0, n)
	for _, name := range first {
		if i, ok := number(name); ok && !used[i] && len(names) < n {
			used[i] = true
			names = append(names, name)
		}
	}
	for i := 1; len(names) < n; i++ {
		if !used[i] {
			names = append(names, prefix+strconv.Itoa(i))
		}
	}
	return names
}

// NamePrefix is how the names of the Machines that we create for a group begin.
// Names hold lower-case letters, digits and hyphens only. Two groups that differ
// in other characters share a prefix, which is harmless: names are told apart by
// the number, and that is unique in the app.
func NamePrefix(group scale.ProcessGroup) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, string(group))
	return "fas-" + clean[:min(len(clean), 32)] + "-"
}

// regionCounts tells where the target's Machines are, before and after the
// actions, which are of those picks.
func regionCounts(members []scale.Member, actions []scale.Action, picks scale.Picks) []scale.RegionCount {
	counts := make([]scale.RegionCount, 0, 1) // most targets are in one
	at := func(r scale.Region) *scale.RegionCount {
		i, found := slices.BinarySearchFunc(counts, r, func(c scale.RegionCount, r scale.Region) int { return strings.Compare(string(c.Region), string(r)) })
		if !found {
			counts = slices.Insert(counts, i, scale.RegionCount{Region: r})
		}
		return &counts[i]
	}
	for _, m := range members {
		c := at(m.Region)
		c.Have.Created++
		c.Want.Created++
		if running(m) {
			c.Have.Started++
			c.Want.Started++
		}
	}
	for _, a := range actions {
		c := at(a.Region)
		switch a.Verb {
		case scale.Start:
			c.Want.Started++
		case scale.Create:
			c.Want.Created++
			if a.Launch {
				c.Want.Started++
			}
		case scale.Destroy:
			c.Want.Created--
		case scale.Drain, scale.Undrain, scale.Stop, scale.Suspend: // by what they were, below
		}
	}
	for _, m := range picks.Undrain {
		if m.Leaving() {
			at(m.Region).Want.Started++
		}
	}
	for _, gone := range [...][]scale.Member{picks.Drain, picks.Stop, picks.Suspend, picks.Destroy} {
		for _, m := range gone {
			if running(m) {
				at(m.Region).Want.Started--
			}
		}
	}
	return counts
}

// running reports whether the Machine counts as started.
func running(m scale.Member) bool { return m.Class == scale.Ready || m.Class == scale.Booting }
