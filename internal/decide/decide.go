package decide

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/place"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// maxCreates bounds the Machines that one pass creates. The platform takes about
// one a second for an app, so more would not fit into a pass anyway.
const maxCreates = 100

// releaseStaleAfter is the age from which on a release that claims to be running
// is taken to be left behind by a tool that was killed: such a status is never
// corrected by the platform.
const releaseStaleAfter = time.Hour

// Decide says what is wanted of the target that p governs. The samples are
// those of the target's metrics, in any order; a metric without a sample is
// unknown. It returns the memory for the next pass.
func Decide(s scale.Snapshot, samples []scale.Sample, p *policy.Policy, mem Memory, now time.Time) (scale.Decision, Memory) {
	members, lost := inventory(s, p.Group, mem.Lost, now)
	mem.Lost = lost
	counts, have := census(members, lost, now)

	d := scale.Decision{
		App: s.App, Group: p.Group, At: now,
		Samples: sortedSamples(samples),
		Counts:  counts, Have: have, Want: have,
		Inventory: members,
		Steps:     make([]scale.Step, 0, 4),
	}
	d.Steps = append(d.Steps, scale.Step{Stage: scale.StageInventory, In: have, Out: have, Reason: inventoryReason(members, counts)})

	d.Limits = limits(p, d.Samples, counts)
	targets(&d)
	bounds(&d)
	safety(&d, s, p, mem, now)
	supply(&d, p)
	return d, mem
}

// step moves the decision to want and says why. Nothing is recorded for a stage
// that neither changes nor explains anything.
func step(d *scale.Decision, stage string, want scale.Count, reason string) {
	if want == d.Want && reason == "" {
		return
	}
	d.Steps = append(d.Steps, scale.Step{Stage: stage, In: d.Want, Out: want, Reason: reason})
	d.Want = want
}

func sortedSamples(samples []scale.Sample) []scale.Sample {
	out := slices.Clone(samples)
	slices.SortFunc(out, func(a, b scale.Sample) int { return strings.Compare(a.Metric, b.Metric) })
	return out
}

// limits evaluates the target's expressions.
func limits(p *policy.Policy, samples []scale.Sample, counts scale.Counts) scale.Limits {
	known := make(map[string]float64, len(samples))
	for _, s := range samples {
		if s.Known() {
			known[s.Metric] = s.Value
		}
	}
	eval := func(program *expr.Program) scale.Limit {
		if program == nil {
			return scale.Limit{}
		}
		l := scale.Limit{Defined: true, Source: program.String()}
		n, err := program.Count(known, expr.Counts(counts))
		if err != nil {
			l.Reason = unknownReason(err, samples)
			return l
		}
		l.Known, l.Value = true, n
		return l
	}
	l := scale.Limits{MinCreated: eval(p.MinCreated), MinStarted: eval(p.MinStarted)}
	// An exact count is one expression as both limits: asked once, told once.
	l.MaxCreated, l.MaxStarted = l.MinCreated, l.MinStarted
	if p.MaxCreated != p.MinCreated {
		l.MaxCreated = eval(p.MaxCreated)
	}
	if p.MaxStarted != p.MinStarted {
		l.MaxStarted = eval(p.MaxStarted)
	}
	return l
}

// unknownReason tells why an expression has no value; for a metric that is not
// known, in the words of its source.
func unknownReason(err error, samples []scale.Sample) string {
	unknown, ok := errors.AsType[*expr.UnknownMetricError](err)
	if !ok {
		return err.Error()
	}
	for _, s := range samples {
		if s.Metric == unknown.Name && s.Reason != "" {
			return fmt.Sprintf("%s is %s: %s", s.Metric, s.Quality, s.Reason)
		}
	}
	return err.Error()
}

// targets moves the count into the limits. A floor wins over a ceiling below it,
// so that the two never pull in turns. A limit that is not known asks for
// nothing; safety sees to it that it allows nothing either.
func targets(d *scale.Decision) {
	want := scale.Count{
		Created: within(d.Want.Created, d.Limits.MinCreated, d.Limits.MaxCreated),
		Started: within(d.Want.Started, d.Limits.MinStarted, d.Limits.MaxStarted),
	}
	step(d, scale.StageTargets, want, targetsReason(d))
}

func within(n int, lo, hi scale.Limit) int {
	if hi.Known {
		n = min(n, hi.Value)
	}
	if lo.Known {
		n = max(n, lo.Value)
	}
	return n
}

// targetsReason names the limits in force with the values they come from.
func targetsReason(d *scale.Decision) string {
	var b strings.Builder
	write := func(what string, lo, hi scale.Limit) {
		one := func(bound string, l scale.Limit) {
			if !l.Defined {
				return
			}
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s%s ", what, bound)
			if l.Known {
				fmt.Fprintf(&b, "%s = %d", l.Source, l.Value)
			} else {
				fmt.Fprintf(&b, "%s is unknown (%s)", l.Source, l.Reason)
			}
		}
		if lo == hi {
			one("", lo)
			return
		}
		one(" min", lo)
		one(" max", hi)
	}
	write("created", d.Limits.MinCreated, d.Limits.MaxCreated)
	write("started", d.Limits.MinStarted, d.Limits.MaxStarted)
	if values := sampleValues(d.Samples); values != "" {
		fmt.Fprintf(&b, " with %s", values)
	}
	return b.String()
}

func sampleValues(samples []scale.Sample) string {
	parts := make([]string, 0, len(samples))
	for _, s := range samples {
		if s.Known() {
			parts = append(parts, fmt.Sprintf("%s %.6g", s.Metric, s.Value))
		}
	}
	return strings.Join(parts, ", ")
}

// bounds applies what can never be. Without a last Machine there would be
// nothing to clone the next one from; and more cannot run than exist.
func bounds(d *scale.Decision) {
	want := d.Want
	var reasons []string
	if want.Created < 1 && d.Have.Created > 0 {
		want.Created = 1
		reasons = append(reasons, "the last Machine is kept: the next one is cloned from it")
	}
	if want.Started > want.Created {
		reasons = append(reasons, fmt.Sprintf("only %d Machines exist", want.Created))
		want.Started = want.Created
	}
	step(d, scale.StageBounds, want, strings.Join(reasons, "; "))
}

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
		if age := now.Sub(s.Release.CreatedAt); age < releaseStaleAfter {
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
		reasons = append(reasons, fmt.Sprintf("creates were refused in %d passes in a row: next try at %s", mem.CreateFailures, mem.NoCreateBefore.UTC().Format(time.TimeOnly)))
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

func orSomeone(owner string) string {
	if owner == "" {
		return "someone else"
	}
	return owner
}

// mixedReleases reports whether the members come from more than one release.
func mixedReleases(members []scale.Member) (a, b string, mixed bool) {
	for _, m := range members {
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

// supply fits the decision to what the group's Machines allow, so that what is
// wanted is what the plan will bring about. Created is settled before started:
// Machines that are created to run count as started.
func supply(d *scale.Decision, p *policy.Policy) {
	want := d.Want
	var reasons []string
	say := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }

	creates := max(0, want.Created-d.Have.Created)
	if creates > 0 {
		if _, ok := place.Template(d.Inventory); !ok {
			say("%d more cannot be created: no Machine of the group can be cloned (it needs a reachable host and no volume)", creates)
			creates = 0
		}
		if creates > maxCreates {
			say("%d are created in one pass at most", maxCreates)
			creates = maxCreates
		}
	}
	destroys := max(0, d.Have.Created-want.Created)
	var victims []scale.Member
	if destroys > 0 {
		victims = Victims(d.Inventory, destroys)
		if len(victims) < destroys {
			say("only %d of %d can be destroyed: the last Machine within reach, cordoned Machines and Machines with volumes are kept", len(victims), destroys)
			destroys = len(victims)
		}
	}
	started := d.Have.Started
	for _, v := range victims {
		if v.Class == scale.Ready || v.Class == scale.Booting {
			started--
		}
	}
	startable, stoppable := 0, 0
	if want.Started > started {
		startable = len(without(place.StartOrder(d.Inventory), victims))
	} else if want.Started < started {
		stoppable = len(without(place.StopOrder(d.Inventory), victims))
	}

	floor := started
	if d.Limits.MinStarted.Known && d.Hold != scale.HoldAll {
		floor = want.Started
	}
	if p.Launch {
		// As many boot as the ceiling leaves room for; standbys fill what is missing.
		d.Launch = creates
		if l := d.Limits.MaxStarted; l.Known {
			d.Launch = min(creates, max(0, max(l.Value, floor)-started))
		}
	} else {
		// A Machine that the floor needs at once would be started right after its
		// creation, while its image is still being pulled and a start is refused.
		d.Launch = min(creates, max(0, floor-started-startable))
	}
	starts := min(startable, max(0, floor-started-d.Launch))
	if missing := floor - started - d.Launch - starts; missing > 0 {
		say("%d more cannot be started: no stopped or suspended Machine is left", missing)
	}
	stops := 0
	if want.Started < started && d.Launch == 0 {
		stops = min(stoppable, started-want.Started)
		if stops < started-want.Started {
			say("%d more cannot be stopped while they are being updated", started-want.Started-stops)
		}
	}
	want.Created = d.Have.Created + creates - destroys
	want.Started = started + d.Launch + starts - stops
	step(d, scale.StageSupply, want, strings.Join(reasons, "; "))
}

// Victims returns the n members to destroy, or as many as may be. One Machine
// within reach always remains.
func Victims(members []scale.Member, n int) []scale.Member {
	reachable := 0
	for _, m := range members {
		if m.Class != scale.Lost {
			reachable++
		}
	}
	order := place.DestroyOrder(members)
	return order[:max(0, min(n, len(order), reachable-1))]
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
