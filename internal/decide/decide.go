package decide

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
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
// unknown. The decision may share them, so they must not be changed any more. It
// returns the memory for the next pass.
func Decide(s scale.Snapshot, samples []scale.Sample, p *policy.Policy, mem Memory, now time.Time) (scale.Decision, Memory) {
	mem = mem.watchCreated(s, now)
	mem.Trouble = expire(mem.Trouble, troubleFor, now)
	members, lost := inventory(s, p.Group, mem, now)
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
	supply(&d, s, p)
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

// sortedSamples returns the samples by metric. They are not copied when they are
// in that order already, as a single one is.
func sortedSamples(samples []scale.Sample) []scale.Sample {
	byMetric := func(a, b scale.Sample) int { return strings.Compare(a.Metric, b.Metric) }
	if slices.IsSortedFunc(samples, byMetric) {
		return slices.Clip(samples)
	}
	out := slices.Clone(samples)
	slices.SortFunc(out, byMetric)
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

// targetsReason names the limits in force with the values they come from. Every
// pass over every target says this: it is written without formatting verbs.
func targetsReason(d *scale.Decision) string {
	text := make([]byte, 0, 128)
	text = appendLimits(text, "created", d.Limits.MinCreated, d.Limits.MaxCreated)
	text = appendLimits(text, "started", d.Limits.MinStarted, d.Limits.MaxStarted)
	before := " with "
	for _, s := range d.Samples {
		if s.Known() {
			text = append(text, before...)
			text = append(text, s.Metric...)
			text = append(text, ' ')
			text = strconv.AppendFloat(text, s.Value, 'g', 6, 64)
			before = ", "
		}
	}
	return string(text)
}

func appendLimits(text []byte, what string, lo, hi scale.Limit) []byte {
	if lo == hi {
		return appendLimit(text, what, "", lo)
	}
	return appendLimit(appendLimit(text, what, " min", lo), what, " max", hi)
}

func appendLimit(text []byte, what, bound string, l scale.Limit) []byte {
	if !l.Defined {
		return text
	}
	if len(text) > 0 {
		text = append(text, ", "...)
	}
	text = append(text, what...)
	text = append(text, bound...)
	text = append(text, ' ')
	text = append(text, l.Source...)
	if l.Known {
		text = append(text, " = "...)
		return strconv.AppendInt(text, int64(l.Value), 10)
	}
	text = append(text, " is unknown ("...)
	text = append(text, l.Reason...)
	return append(text, ')')
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
	// What runs already is not stopped for this: it goes with its Machine, if that
	// can be destroyed.
	if limit := max(want.Created, d.Have.Started); want.Started > limit {
		reasons = append(reasons, fmt.Sprintf("only %d Machines exist", limit))
		want.Started = limit
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
	if l := d.Limits.MinStarted; l.Known {
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
	if l := d.Limits.MinStarted; l.Known {
		floor = max(started, min(want.Started, l.Value, want.Created))
	}
	if l := d.Limits.MaxStarted; p.Launch && (l.Known || !l.Defined) {
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
