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
	if d.Want == d.Have && !marked(d.Inventory) || d.Hold == scale.HoldAll {
		return
	}
	u := supplier{d: d, p: p, want: d.Want, pick: &d.Picks, out: newScaleIn(d, s, p), started: d.Have.Started}
	// What may be taken from those that run: not below the floor, and while any are
	// wanted, not the last that serves, because those that boot may never come up.
	u.spare = spareable{running: d.Have.Started, ready: d.Counts.Started}
	floor := 0
	if l := d.Within.MinStarted; l.Known {
		floor = min(l.Value, u.want.Created)
	}
	if followed(d, p) {
		// No more go than are not needed, also where others cannot.
		floor = max(floor, min(u.want.Started, u.want.Created))
	}
	u.spare.running -= floor
	if u.want.Started > 0 {
		u.spare.ready--
	}

	u.create(s.Overview)
	u.destroy()
	u.floor = u.started
	if l := d.Within.MinStarted; l.Known {
		u.floor = max(u.started, min(u.want.Started, l.Value, u.want.Created))
	}
	u.leave()
	u.start()
	u.stop()
	u.tidy()

	u.want.Created = d.Have.Created + u.pick.Create - len(u.pick.Destroy)
	u.want.Started = u.started
	if u.pick.Launch > 0 && u.want.Started > d.Want.Started {
		u.say("%d of the created Machines boot at once", u.pick.Launch)
	}
	if u.destroyed > 0 && u.want.Started < d.Want.Started {
		u.say("%d of the destroyed Machines were running", u.destroyed)
	}
	u.reasons = append(u.reasons, u.out.told(d.Picks)...)
	step(d, scale.StageSupply, u.want, strings.Join(u.reasons, "; "))
}

// supplier picks the Machines of one decision.
type supplier struct {
	d     *scale.Decision
	p     *policy.Policy
	want  scale.Count
	pick  *scale.Picks
	out   *scaleIn
	spare spareable

	started   int // those that run when all that was picked so far is done
	floor     int // those that are to run at least
	back      int // taken back
	destroyed int // of those that run, destroyed at once
	victims   []scale.Member
	reasons   []string
}

func (u *supplier) say(format string, args ...any) {
	u.reasons = append(u.reasons, fmt.Sprintf(format, args...))
}

// create settles how many Machines are made.
func (u *supplier) create(overview bool) {
	u.pick.Create = max(0, u.want.Created-u.d.Have.Created)
	if u.pick.Create == 0 {
		return
	}
	if _, ok := place.Template(u.d.Inventory, overview); !ok {
		u.say("%d more cannot be created: no Machine of the group can be cloned (it needs a reachable host and no volume)", u.pick.Create)
		u.pick.Create = 0
	}
	if u.pick.Create > maxCreates {
		u.say("%d are created in one pass at most", maxCreates)
		u.pick.Create = maxCreates
	}
}

// destroy picks what is to go for good. Those that serve are drained first, if the
// policy has it, and some stay as standbys.
func (u *supplier) destroy() {
	n := u.d.Have.Created - u.want.Created
	if n <= 0 {
		return
	}
	back, starts := u.needed()
	pool := u.out.pool(u.d.Inventory, starts)
	n -= len(pool)
	if n > 0 {
		order := without(u.out.allowed(u.out.removal.DestroyOrder(u.d.Inventory)), slices.Concat(pool, back))
		u.victims = take(order, min(n, reachable(u.d.Inventory)-1-len(pool)), &u.spare)
	}
	room := u.out.Standby - len(pool)
	end := func(m scale.Member) {
		switch {
		case room > 0 && (isRunning(m) || m.Leaving()):
			room--
			u.out.rest(u.pick, m)
		default:
			u.pick.Destroy = append(u.pick.Destroy, m)
			if isRunning(m) {
				u.destroyed++
			}
		}
	}
	u.out.taken = slices.Clone(u.victims)
	for _, m := range u.victims {
		if m.Leaving() {
			u.out.proceed(u.pick, m, end, true)
			continue
		}
		u.out.take(u.pick, m, end)
		if isRunning(m) {
			u.started--
		}
	}
	if len(u.victims) < n {
		kept := "cordoned Machines, Machines with volumes, and those that are needed"
		if u.out.Protect != "" || u.out.MinLifetime > 0 {
			kept = "cordoned, protected and young Machines, Machines with volumes, and those that are needed"
		}
		u.say("only %d of %d can be destroyed: %s are kept", len(u.victims), n, kept)
	}
	if len(pool) > 0 {
		u.say("%d stay as standbys", len(pool))
	}
}

// needed returns the Machines that drain and are to serve again, because too few run,
// and those that stand by and are to start because that is not enough.
func (u *supplier) needed() (back, starts []scale.Member) {
	l := u.d.Within.MinStarted
	n := min(u.want.Started, l.Value, u.want.Created) - u.started
	if !l.Known || n <= 0 {
		return nil, nil
	}
	leaving := u.out.removal.LeavingOrder(u.d.Inventory)
	back = leaving[max(0, len(leaving)-n):]
	starts = place.StartOrder(u.d.Inventory)
	return back, starts[:min(len(starts), n-len(back))]
}

// leave goes on with the Machines that drain as long as something asks for it, and
// takes the others back.
func (u *supplier) leave() {
	leaving := without(u.out.removal.LeavingOrder(u.d.Inventory), u.victims)
	if len(leaving) == 0 {
		return
	}
	asked := 0
	if most, bounded := u.ceiling(); bounded {
		asked = min(len(leaving), max(0, u.started+len(leaving)-most))
	}
	u.back = len(leaving) - asked
	if u.d.Hold != scale.HoldNone || u.p.Limits.Pause == policy.PauseUp {
		u.back = 0
	}
	u.back = max(u.back, min(len(leaving), u.floor-u.started))
	for i, m := range leaving {
		switch {
		case i >= len(leaving)-u.back:
			u.pick.Undrain = append(u.pick.Undrain, m)
			u.started++
		case i < asked:
			u.out.proceed(u.pick, m, func(m scale.Member) { u.out.rest(u.pick, m) }, false)
		default:
			u.out.wait(m)
		}
	}
	if u.back > 0 {
		u.say("%d that drained are taken back", u.back)
	}
}

// ceiling returns how many Machines may run as far as the policy says, and not how fast
// that is reached; false when it does not say.
func (u *supplier) ceiling() (int, bool) {
	l := u.d.Within.MaxStarted
	said := u.d.Limits.MaxStarted.Defined || u.out.coupled(u.d) ||
		slices.ContainsFunc(u.p.Schedules, func(s policy.Schedule) bool { return s.Max != nil })
	if !said || !l.Known {
		return 0, false
	}
	return max(l.Value, u.want.Started), true
}

// start picks what is to run besides.
func (u *supplier) start() {
	startable := without(place.StartOrder(u.d.Inventory), u.victims)
	if l := u.d.Within.MaxStarted; u.p.Launch && (l.Known || !l.Defined) {
		// As many boot as the ceiling leaves room for; standbys fill what is missing.
		u.pick.Launch = u.pick.Create
		if l.Known {
			u.pick.Launch = min(u.pick.Create, max(0, max(l.Value, u.floor)-u.started))
		}
	} else {
		// Stopped is what is asked for, or the ceiling is not known. A Machine that the
		// floor needs at once would be started right after its creation, while its
		// image is still being pulled and a start is refused.
		u.pick.Launch = min(u.pick.Create, max(0, u.floor-u.started-len(startable)))
	}
	starts := min(len(startable), max(0, u.floor-u.started-u.pick.Launch))
	if missing := u.floor - u.started - u.pick.Launch - starts; missing > 0 {
		u.say("%d more cannot be started: no stopped or suspended Machine is left", missing)
	}
	if starts > 0 {
		u.pick.Start = startable[:starts]
		u.pick.Spare = slices.DeleteFunc(startable[starts:], func(m scale.Member) bool { return m.Drained() }) // see tidy
	}
	u.started += u.pick.Launch + starts
}

// stop picks what is not to run any more. Those that were taken back are within what
// may run.
func (u *supplier) stop() {
	n := u.started - u.want.Started
	if n <= 0 || u.pick.Launch > 0 || u.back > 0 {
		return
	}
	order := without(u.out.allowed(u.out.removal.StopOrder(u.d.Inventory)), u.out.taken)
	stopped := take(order, n, &u.spare)
	for _, m := range stopped {
		u.out.take(u.pick, m, func(m scale.Member) { u.out.rest(u.pick, m) })
	}
	u.started -= len(stopped)
	if missing := n - len(stopped); missing > 0 {
		why := "they are changing state, or are the last that serves"
		if u.out.Protect != "" || u.out.MinLifetime > 0 {
			why = "they are changing state, protected or young, or are the last that serves"
		}
		u.say("%d more cannot be stopped: %s", missing, why)
	}
}

// tidy takes our mark from Machines that do not run any more, so that the proxy may
// wake them.
func (u *supplier) tidy() {
	for _, m := range u.d.Inventory {
		atRest := m.Class == scale.Standby || m.Class == scale.Broken && m.State == scale.StateFailed
		if m.Drained() && atRest && !holds(u.victims, m) && !holds(u.pick.Start, m) {
			u.pick.Undrain = append(u.pick.Undrain, m)
		}
	}
}

// spareable is how many Machines may still be taken from those that run.
type spareable struct {
	running int // of those that are started or booting
	ready   int // of those that are started
}

// reachable counts the Machines whose hosts answer. One of them always remains.
func reachable(members []scale.Member) int {
	n := 0
	for _, m := range members {
		if m.Class != scale.Lost {
			n++
		}
	}
	return n
}

// isRunning reports whether the Machine counts as started.
func isRunning(m scale.Member) bool { return m.Class == scale.Ready || m.Class == scale.Booting }

// take returns the first n of an order of removal, passing over those that
// cannot be spared.
func take(order []scale.Member, n int, spare *spareable) []scale.Member {
	var out []scale.Member
	for _, m := range order {
		if len(out) >= n {
			break
		}
		running, ready := isRunning(m), m.Class == scale.Ready
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
	return slices.DeleteFunc(members, func(m scale.Member) bool { return holds(excluded, m) })
}

func holds(members []scale.Member, m scale.Member) bool {
	return slices.ContainsFunc(members, func(x scale.Member) bool { return x.ID == m.ID })
}
