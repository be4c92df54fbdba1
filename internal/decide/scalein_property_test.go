package decide_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// genScaleIn draws a target with every setting of how Machines are taken, some of
// whose Machines drain, are protected, or were cordoned by a person.
func genScaleIn(t *rapid.T) drawn {
	w := genTarget(t)
	in := &w.policy.ScaleIn
	in.Mode = rapid.SampledFrom([]policy.IdleMode{policy.IdleStop, policy.IdleSuspend, policy.IdleDestroy}).Draw(t, "mode")
	in.Drain = rapid.SampledFrom([]time.Duration{0, 30 * time.Second, 10 * time.Minute}).Draw(t, "drain")
	in.Busy = rapid.SampledFrom([]string{"", "busy", "busy", "busy"}).Draw(t, "busy metric")
	in.Order = rapid.SampledFrom([]policy.Order{policy.ByID, policy.OldestFirst, policy.NewestFirst}).Draw(t, "order")
	in.Protect = rapid.SampledFrom([]string{"", "keep"}).Draw(t, "protect")
	in.MinLifetime = rapid.SampledFrom([]time.Duration{0, 0, time.Minute}).Draw(t, "lifetime")
	in.Standby = rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "standby")
	in.StandbyFor = rapid.SampledFrom([]time.Duration{0, 5 * time.Minute}).Draw(t, "standby for")

	w.snapshot.Machines = slices.Clone(w.snapshot.Machines)
	for i := range w.snapshot.Machines {
		m := &w.snapshot.Machines[i]
		switch rapid.IntRange(0, 6).Draw(t, "mark") {
		case 0, 1:
			ends := time.Duration(rapid.IntRange(-60, 60).Draw(t, "ends")) * time.Second
			mark(m, scale.DrainMark(epoch.Add(ends)))
		case 2:
			mark(m, rapid.SampledFrom([]string{"soon", scale.DrainMark(epoch.Add(24 * time.Hour))}).Draw(t, "odd mark"))
			m.Cordoned = rapid.Bool().Draw(t, "cordoned")
		}
		if rapid.IntRange(0, 4).Draw(t, "keep") == 0 {
			m.Metadata = maps.Clone(m.Metadata)
			if m.Metadata == nil {
				m.Metadata = map[string]string{}
			}
			m.Metadata["keep"] = rapid.SampledFrom([]string{"", "0", "false", "1", "yes", "job 7"}).Draw(t, "kept")
		}
	}
	w.samples = append(w.samples, genWork(t, w.snapshot.Machines, w.now))
	return w
}

// genWork draws what is known of each Machine's work.
func genWork(t *rapid.T, machines []scale.Machine, now time.Time) scale.Sample {
	s := scale.Sample{Metric: "busy", Value: 1, At: now, Quality: scale.Fresh, Machines: map[scale.MachineID]float64{}}
	if rapid.IntRange(0, 5).Draw(t, "work unknown") == 0 {
		s.Quality, s.Reason = scale.Stale, "old"
	}
	for _, m := range machines {
		if n := rapid.IntRange(-1, 3).Draw(t, "work"); n >= 0 {
			s.Machines[m.ID] = float64(n)
		} else if rapid.Bool().Draw(t, "no number") {
			s.Machines[m.ID] = math.NaN()
		}
	}
	return s
}

// work returns what the decision may know of a Machine's work.
func (w drawn) work(id scale.MachineID) (n float64, known bool) {
	at := slices.IndexFunc(w.samples, func(s scale.Sample) bool {
		return s.Metric == w.policy.ScaleIn.Busy && s.Quality == scale.Fresh
	})
	if at < 0 {
		return 0, false
	}
	n, known = w.samples[at].Machines[id]
	return n, known && !math.IsNaN(n)
}

// stays reports whether the policy forbids to take the Machine.
func (w drawn) stays(m scale.Member) bool {
	in := w.policy.ScaleIn
	v := m.Metadata[in.Protect]
	protected := in.Protect != "" && v != "" && v != "0" && v != "false"
	young := m.Class == scale.Ready && w.now.Sub(m.UpdatedAt) < in.MinLifetime
	return protected || young
}

func members(d scale.Decision) map[scale.MachineID]scale.Member {
	out := map[scale.MachineID]scale.Member{}
	for _, m := range d.Inventory {
		out[m.ID] = m
	}
	return out
}

// ends reports whether the action takes the Machine for good, or to rest.
func ends(a scale.Action) bool {
	return a.Verb == scale.Stop || a.Verb == scale.Suspend || a.Verb == scale.Destroy
}

// P17, busy safety: no Machine that is known to work is ever taken while one that is
// known to be idle could go; where Machines drain, none that serves is taken without,
// and none that drains before it is idle or its time is up.
func TestBusyMachinesGoLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genScaleIn(t)
		d, p := w.plan()
		byID, in := members(d), w.policy.ScaleIn
		goes := map[scale.MachineID]bool{}
		for _, a := range p.Actions {
			goes[a.Machine] = ends(a) || a.Verb == scale.Drain
		}
		for _, a := range p.Actions {
			m := byID[a.Machine]
			if !ends(a) || m.Class != scale.Ready && !m.Leaving() {
				continue
			}
			n, known := w.work(a.Machine)
			if in.Drain > 0 {
				until, told := m.DrainedUntil()
				idle := known && n == 0 && !w.now.Before(until.Add(10*time.Second-in.Drain))
				if !m.Leaving() || !told || !m.Cordoned || w.now.Before(until) && !idle {
					t.Fatalf("%s, which %s, cordoned %v, drains until %v, now %v, and does %v (%v)\n%s", a, m.Class, m.Cordoned, until, w.now, n, known, d.Line())
				}
			}
			for _, other := range d.Inventory {
				if idle, told := w.work(other.ID); known && n > 0 && told && idle == 0 && other.Class == scale.Ready &&
					!goes[other.ID] && !w.stays(other) && (d.Steps[len(d.Steps)-1].In.Created >= d.Have.Created || !other.HasMounts) {
					t.Fatalf("%s, which does %v, while %s is idle: %v\n%s", a, n, other.ID, p.Actions, d.Line())
				}
			}
		}
	})
}

// P18: what is protected, too young, foreign, out of reach or taken out of service by a
// person is never taken, and the last that serves only when none is wanted.
func TestProtectedMachinesStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genScaleIn(t).disturb(t)
		d, p := w.plan()
		byID := members(d)
		ready := d.Counts.Started
		for _, a := range slices.Concat(p.Actions, p.Spares) {
			if a.Verb == scale.Create {
				continue
			}
			m, ours := byID[a.Machine]
			if !ours || m.Class == scale.Reserved || m.Class == scale.Lost || m.Group != group {
				t.Fatalf("%s touches what is not ours: %+v", a, m)
			}
			if down := ends(a) || a.Verb == scale.Drain && !a.Drained; down && w.stays(m) {
				t.Fatalf("%s takes what is to stay: %v, %s since %s", a, m.Metadata, m.Class, w.now.Sub(m.UpdatedAt))
			}
			if a.Verb == scale.Drain && m.Class != scale.Ready && !m.Leaving() || a.Verb == scale.Undrain && !m.Drained() {
				t.Fatalf("%s: it is %s", a, m.Class)
			}
			if m.Class == scale.Ready && (ends(a) || a.Verb == scale.Drain) {
				ready--
			}
			if m.Leaving() && a.Verb == scale.Undrain {
				ready++
			}
		}
		asked := d.Want.Started
		if last := d.Steps[len(d.Steps)-1]; last.Stage == scale.StageSupply {
			asked = last.In.Started
		}
		if asked > 0 && d.Counts.Started > 0 && ready == 0 {
			t.Fatalf("the last that serves goes although %d are wanted: %v\n%s", asked, p.Actions, d.Line())
		}
	})
}

// P25, make before break: however much of a plan is carried out, no fewer serve than
// before, or than are wanted besides those that boot.
func TestMakeBeforeBreak(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genScaleIn(t)
		d, p := w.plan()
		byID := members(d)
		boot := map[scale.MachineID]bool{}
		for _, m := range d.Inventory {
			boot[m.ID] = m.Class == scale.Booting
		}
		for _, a := range p.Actions {
			if ends(a) {
				delete(boot, a.Machine)
			}
			if a.Verb == scale.Start || a.Verb == scale.Create && a.Launch {
				boot[scale.MachineID(fmt.Sprint("new ", len(boot)))] = true
			}
		}
		booting := 0
		for _, b := range boot {
			if b {
				booting++
			}
		}
		ready, least := d.Counts.Started, min(d.Counts.Started, d.Want.Started-booting)
		for i, a := range p.Actions {
			m := byID[a.Machine]
			if m.Class == scale.Ready && (ends(a) || a.Verb == scale.Drain) {
				ready--
			}
			if m.Leaving() && a.Verb == scale.Undrain {
				ready++
			}
			if ready < least {
				t.Fatalf("after %v %d serve, want at least %d\n%s", p.Actions[:i+1], ready, least, d.Line())
			}
		}
	})
}

// P32, conservation: what is there and what the plan does add up to what is wanted, in
// each region, and no Machine appears twice. Once it is done there is nothing to do, or once more when
// Machines were taken back.
func TestDrainingPlansAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genScaleIn(t)
		d, p := w.plan()
		seen := map[scale.MachineID]bool{}
		for _, a := range slices.Concat(p.Actions, p.Spares) {
			if a.Verb != scale.Create && seen[a.Machine] {
				t.Fatalf("Machine %s appears twice in %v and %v", a.Machine, p.Actions, p.Spares)
			}
			seen[a.Machine] = true
		}
		after := w
		after.snapshot = apply(w.snapshot, p, false)
		again, next := after.plan()
		if again.Have != d.Want {
			t.Fatalf("carried out, the plan gives %+v, wanted were %+v\n%v\n%s", again.Have, d.Want, p.Actions, d.Line())
		}
		have := map[scale.Region]scale.Count{}
		for _, r := range next.Regions {
			have[r.Region] = r.Have
		}
		for _, r := range p.Regions {
			if have[r.Region] != r.Want {
				t.Fatalf("in %s the plan gives %+v, wanted were %+v\n%v", r.Region, have[r.Region], r.Want, p.Actions)
			}
		}
		if p.Count(scale.Undrain) > 0 && !next.Empty() {
			// The last that served was kept, and is not the last any more.
			after.snapshot = apply(after.snapshot, next, false)
			again, next = after.plan()
		}
		if !next.Empty() {
			t.Fatalf("after %v\n%s\nthe plan is not empty but %v\n%s", p.Actions, d.Line(), next.Actions, again.Line())
		}
	})
}

// However often the process dies between two calls, whatever is lost and whoever takes
// over, a target whose demand does not change comes to rest: nothing drains any more
// but what is protected, no mark is left, and what a person cordoned is as it was.
func TestDrainsComeToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genScaleIn(t)
		reserved := map[scale.MachineID]bool{}
		for _, m := range w.snapshot.Machines {
			reserved[m.ID] = m.Cordoned && !m.Drained()
		}
		var p scale.Plan
		var d scale.Decision
		pass := func(trouble bool) {
			d, p = w.plan()
			if trouble {
				w.snapshot = applyInPart(t, w.snapshot, p)
			} else {
				w.snapshot = apply(w.snapshot, p, rapid.Bool().Draw(t, "boots"))
			}
			for _, m := range w.snapshot.Machines {
				if reserved[m.ID] && (!m.Cordoned || m.Drained()) {
					t.Fatalf("Machine %s, which a person cordoned, was touched: %v", m.ID, p.Actions)
				}
			}
			w.now = w.now.Add(15 * time.Second)
			w.snapshot.TakenAt = w.now
			for i := range w.samples {
				w.samples[i].At = w.now
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "passes in trouble") {
			pass(true)
			w.samples[len(w.samples)-1] = genWork(t, w.snapshot.Machines, w.now)
		}
		for range 10 {
			pass(false)
		}
		// Whatever takes time has had it: boots, deadlines, lifetimes, standbys.
		for range 6 {
			w.now = w.now.Add(15 * time.Minute)
			w.snapshot.TakenAt = w.now
			for i := range w.snapshot.Machines {
				if m := &w.snapshot.Machines[i]; m.State == scale.StateStarting {
					m.State = scale.StateStarted
				}
			}
			pass(false)
		}
		if !p.Empty() {
			t.Fatalf("it does not come to rest: %v\n%s", p.Actions, d.Line())
		}
		for _, m := range d.Inventory {
			if m.Drained() && m.Class != scale.Lost && m.Class != scale.Broken && m.State != scale.StateUpdating && m.State != "melting" && !w.stays(m) {
				t.Fatalf("Machine %s, %s, still bears a mark: %s", m.ID, m.State, d.Line())
			}
		}
	})
}

// applyInPart carries out some of a plan, some of that by half.
func applyInPart(t *rapid.T, s scale.Snapshot, p scale.Plan) scale.Snapshot {
	var done []scale.Action
	half := map[scale.MachineID]bool{}
	for _, a := range p.Actions {
		switch rapid.IntRange(0, 3).Draw(t, "fate") {
		case 0: // refused, or the process had died
		case 1:
			half[a.Machine] = true
			done = append(done, a)
		default:
			done = append(done, a)
		}
	}
	before := map[scale.MachineID]string{}
	for _, m := range s.Machines {
		before[m.ID] = m.Metadata[scale.MetaDrain]
	}
	p.Actions = done
	out := apply(s, p, rapid.Bool().Draw(t, "boots"))
	for _, a := range done {
		at := slices.IndexFunc(out.Machines, func(m scale.Machine) bool { return m.ID == a.Machine })
		if !half[a.Machine] || at < 0 {
			continue
		}
		m := &out.Machines[at]
		switch {
		case a.Verb == scale.Drain: // the mark and no cordon
			m.Cordoned = false
		case a.Verb == scale.Undrain: // no cordon, and the mark still
			mark(m, before[a.Machine])
			m.Cordoned = false
		case a.Drained && a.Verb != scale.Destroy: // at rest, with both
			mark(m, before[a.Machine])
		}
	}
	return out
}

// With none of the settings and no marks the order and the verbs are those of the IDs
// and of a plain stop, whatever is known of work, age and protection.
func TestPlainScaleInStopsAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genScaleIn(t)
		w.policy.ScaleIn = policy.ScaleIn{}
		for i := range w.snapshot.Machines {
			unmark(&w.snapshot.Machines[i])
		}
		d, p := w.plan()
		for _, verb := range []scale.Verb{scale.Drain, scale.Undrain, scale.Suspend} {
			if n := p.Count(verb); n > 0 {
				t.Fatalf("%d times %s: %v\n%s", n, verb, p.Actions, d.Line())
			}
		}
		bare := w
		bare.samples = w.samples[:2]
		if other, _ := decide.Decide(bare.snapshot, bare.samples, bare.policy, bare.memory, bare.now); fmt.Sprint(plan.Build(bare.snapshot, other, bare.policy).Actions) != fmt.Sprint(p.Actions) {
			t.Fatalf("what is known of work changes the plan: %v", p.Actions)
		}
	})
}
