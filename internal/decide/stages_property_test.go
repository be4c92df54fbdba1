package decide_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// P1, bounds: a floor is reached at once, and a ceiling is never crossed upwards. What
// may keep a floor from being reached is named: a pause, creates that are held back,
// Machines that do not exist.
func TestFloorsAndCeilingsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.tell(t, func(m moment) {
			d, asked := m.decision, m.asked()
			if m.ceiling >= 0 && asked.Started > max(d.Have.Started, m.ceiling) {
				t.Fatalf("%s\nrises to %d above the ceiling %d", m, asked.Started, m.ceiling)
			}
			free := s.policy.Limits.Pause != policy.PauseUp && s.policy.Limits.Pause != policy.PauseAll
			if reachable := min(m.floor, max(asked.Created, d.Have.Started)); free && asked.Started < reachable {
				t.Fatalf("%s\nasks for %d below the floor %d", m, asked.Started, m.floor)
			}
			for _, c := range []struct {
				have, want int
				lo, hi     scale.Limit
			}{{d.Have.Created, asked.Created, d.Within.MinCreated, d.Within.MaxCreated}, {d.Have.Started, asked.Started, d.Within.MinStarted, d.Within.MaxStarted}} {
				if c.want > c.have && (!c.lo.Known || c.want > max(c.lo.Value, 1)) {
					t.Fatalf("%s\nrises from %d to %d, and the least is %+v", m, c.have, c.want, c.lo)
				}
				if c.want < c.have && (!c.hi.Known || c.want < min(c.hi.Value, c.have)) && c.want < asked.Created {
					t.Fatalf("%s\nfalls from %d to %d, and the most is %+v", m, c.have, c.want, c.hi)
				}
			}
		})
	})
}

// P2, fixpoint: under a constant load a target comes to rest, and stays.
func TestConstantLoadSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.policy.Limits.MachineHours = 0 // which end at some time
		for i := range s.policy.Schedules {
			s.policy.Schedules[i].Window = always
		}
		s.tell(t, func(moment) {})
		for i := range s.samples {
			s.samples[i].Quality = scale.Fresh
		}
		quiet := 0
		for i := range 120 {
			s.now = s.now.Add(31 * time.Second)
			s.boots()
			s.samples = slices.Clone(s.samples)
			for i := range s.samples {
				s.samples[i].At = s.now
			}
			m := s.pass(succeed)
			if m.plan.Empty() {
				quiet++
			} else {
				quiet = 0
			}
			if i > 90 && quiet == 0 {
				for _, m := range s.past[len(s.past)-8:] {
					t.Log(m)
				}
				t.Fatalf("after %d passes still: %s", i, m)
			}
		}
	})
}

// P3, no data, no loss: with any of the samples lost in the middle of a story nothing
// is asked for less than what there is, unless knowledge asks for it too.
func TestLostSamplesRemoveNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.tell(t, func(m moment) {
			if m.known() {
				return
			}
			d := m.decision
			if m.plan.Count(scale.Stop)+m.plan.Count(scale.Destroy) > 0 || d.Want.Started < d.Have.Started || d.Want.Created < d.Have.Created {
				t.Fatalf("in doubt something goes: %s", m)
			}
		})
		before := s.drawn
		full, _ := decide.Decide(before.snapshot, before.samples, before.policy, before.memory, before.now)
		lost := slices.Clone(before.samples)
		for i := range lost {
			if rapid.Bool().Draw(t, "lost") {
				lost[i].Quality, lost[i].Reason = scale.Stale, "old"
			}
		}
		d, _ := decide.Decide(before.snapshot, lost, before.policy, before.memory, before.now)
		if d.Want.Started < min(full.Want.Started, full.Have.Started) || d.Want.Created < min(full.Want.Created, full.Have.Created) {
			t.Fatalf("with all: %s\nwith some lost: %s", full.Line(), d.Line())
		}
	})
}

// P4: while nothing is known of the demand, nothing goes; once the deadline has passed,
// the fallback is asked for, from zero too.
func TestAllUnknown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		if !tellsOfMetrics(s.policy) {
			return
		}
		s.policy.Limits, s.policy.Behavior.Up = policy.Limits{}, policy.Direction{}
		s.tell(t, func(moment) {})
		for i := range s.samples {
			s.samples[i].Quality, s.samples[i].Reason = scale.Error, "no answer"
		}
		for range 8 {
			s.now = s.now.Add(30 * time.Second)
			s.boots()
			m := s.pass(succeed)
			if m.known() {
				return // such as min(…) that a constant decides, or no metric in use
			}
			if d := m.decision; d.Want.Started < d.Have.Started || d.Want.Created < d.Have.Created {
				t.Fatalf("nothing is known, and %s", m)
			}
		}
		m := s.past[len(s.past)-1]
		constant := func(l scale.Limit) bool { return !l.Defined || l.Known }
		for i, l := range m.decision.Limits.Each() {
			if p := []bool{s.policy.MinCreated != nil, s.policy.MaxCreated != nil, s.policy.MinStarted != nil, s.policy.MaxStarted != nil}; p[i] && constant(l.Limit) {
				return // partly known
			}
		}
		want := s.policy.Loss.Fallback
		if m.ceiling >= 0 {
			want = min(want, m.ceiling)
		}
		if asked := m.asked(); asked.Started < min(want, asked.Created) || s.policy.MinCreated != nil && s.policy.MaxCreated == s.policy.MinCreated && m.decision.Have.Created > 0 && asked.Created < want {
			t.Fatalf("after %s the fallback %d is not asked for: %s", 4*time.Minute, want, m)
		}
	})
}

// P5, monotone: with the same past, more load never asks for less, and neither does a
// higher floor or ceiling.
func TestMoreLoadNeverAsksForLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.tell(t, func(moment) {})
		more := s.drawn
		more.policy = new(*s.policy)
		if i := rapid.IntRange(0, 2).Draw(t, "which"); i < 2 {
			more.samples = slices.Clone(s.samples)
			more.samples[i].Value += float64(rapid.IntRange(1, 24).Draw(t, "more")) / 4
		} else {
			more.policy.Schedules = slices.Clone(s.policy.Schedules)
			for i := range more.policy.Schedules {
				if x := &more.policy.Schedules[i]; x.Min != nil {
					x.Min = new(*x.Min + 1)
				}
				if x := &more.policy.Schedules[i]; x.Max != nil {
					x.Max = new(*x.Max + 1)
				}
			}
		}
		a, b := s.decide(), more.decide()
		if b.Want.Started < a.Want.Started || b.Want.Created < a.Want.Created {
			t.Fatalf("%s\nand with more: %s", a.Line(), b.Line())
		}
	})
}

// P6 and P7, the windows: nothing goes that was asked for within the down window, and
// nothing comes that was not asked for through all of the up window.
func TestWindowsHold(t *testing.T) {
	went, came := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		p := s.policy
		// Only the demand is followed: what is exact at once is not under test.
		p.Schedules, p.Behavior.Fast, p.Loss, p.Zero, p.Limits.MachineHours = nil, policy.Fast{}, policy.Loss{}, policy.Zero{}, 0
		s.tell(t, func(m moment) {
			d, asked := m.decision, m.asked()
			for _, c := range []struct {
				name       string
				have, want int
				hi, lo     func(moment) scale.Limit
				had        func(moment) int
			}{
				{"started", d.Have.Started, asked.Started, func(m moment) scale.Limit { return m.decision.Limits.MaxStarted },
					func(m moment) scale.Limit { return m.decision.Limits.MinStarted }, func(m moment) int { return m.decision.Have.Started }},
				{"created", d.Have.Created, asked.Created, func(m moment) scale.Limit { return m.decision.Limits.MaxCreated },
					func(m moment) scale.Limit { return m.decision.Limits.MinCreated }, func(m moment) int { return m.decision.Have.Created }},
			} {
				// More cannot run than exist, and that is no matter of time.
				if c.want < c.have && (c.name == "created" || c.want < asked.Created) {
					went++
				}
				if c.want > c.have {
					came++
				}
				for _, e := range s.past {
					age := m.now.Sub(e.now)
					if hi := c.hi(e); c.want < c.have && age < p.Behavior.Down.Window {
						if hi.Known && hi.Value > c.want {
							t.Fatalf("%s goes to %d, although %d were allowed %s ago: %s\n%s", c.name, c.want, hi.Value, age, m, e)
						}
						if hi.Defined && !hi.Known && min(c.had(e), c.have) > c.want {
							t.Fatalf("%s goes to %d, although nothing was known %s ago and %d there: %s\n%s", c.name, c.want, age, c.had(e), m, e)
						}
					}
					if lo := c.lo(e); c.want > max(c.have, 1) && age < p.Behavior.Up.Window && lo.Known && lo.Value < c.want {
						t.Fatalf("%s comes to %d, although only %d were asked for %s ago: %s\n%s", c.name, c.want, lo.Value, age, m, e)
					}
				}
			}
		})
	})
	if went == 0 || came == 0 {
		t.Errorf("%d moments took and %d added: the property has said nothing", went, came)
	}
}

// P8, rates: within no period is more added or taken than the rates allow, counted from
// what was done and not from what is remembered. Floors, and the first Machines from
// zero, are exempt.
func TestRatesHold(t *testing.T) {
	limited := 0
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.tell(t, func(m moment) {
			p, d := s.policy, m.decision
			for _, c := range []struct {
				name       string
				have, want int
				of         func(moment, scale.Action) (added, removed int)
			}{
				{"started", d.Have.Started, d.Want.Started, func(e moment, a scale.Action) (int, int) {
					switch {
					case a.Verb == scale.Start, a.Verb == scale.Create && a.Launch:
						return 1, 0
					case a.Verb != scale.Create && slices.ContainsFunc(e.decision.Inventory, func(x scale.Member) bool {
						return x.ID == a.Machine && (x.Class == scale.Ready || x.Class == scale.Booting)
					}):
						return 0, 1
					}
					return 0, 0
				}},
				{"created", d.Have.Created, d.Want.Created, func(_ moment, a scale.Action) (int, int) {
					switch a.Verb {
					case scale.Create:
						return 1, 0
					case scale.Destroy:
						return 0, 1
					}
					return 0, 0
				}},
			} {
				dir, up := p.Behavior.Down, c.want > c.have
				switch {
				case c.want == c.have:
					continue
				case up && c.want <= m.floor, up && p.Zero.Gated && d.Have.Started == 0 && c.want <= max(1, p.Zero.First):
					continue
				case up:
					dir = p.Behavior.Up
				}
				if dir.Select == policy.SelectDisabled {
					t.Fatalf("%s moves from %d to %d although that is off: %s", c.name, c.have, c.want, m)
				}
				var allowed []int
				for _, r := range dir.Rates {
					begin := c.have
					for _, e := range s.past[:len(s.past)-1] {
						if m.now.Sub(e.now) >= r.Period {
							continue
						}
						for _, o := range e.outcomes {
							if o.Result == scale.Refused {
								continue
							}
							added, removed := c.of(e, o.Action)
							begin += removed - added
						}
					}
					begin = max(0, begin)
					n := float64(r.Count)
					if r.Percent > 0 {
						n = max(1, math.Ceil(float64(begin)*r.Percent/100-1e-9))
					}
					if up {
						allowed = append(allowed, begin+int(n))
					} else {
						allowed = append(allowed, -(begin - int(n)))
					}
				}
				if len(allowed) == 0 {
					continue
				}
				limited++
				most := slices.Max(allowed)
				if dir.Select == policy.SelectMin {
					most = slices.Min(allowed)
				}
				if up && c.want > most || !up && -c.want > most {
					t.Fatalf("%s moves from %d to %d, the rates allow %d: %s", c.name, c.have, c.want, most, m)
				}
			}
		})
	})
	if limited == 0 {
		t.Error("no moment was under a rate")
	}
}

// P9 and P10, direction: something comes only when a limit of now, a floor, the fast
// twin, the fallback or the first from zero asks for it, and goes only when every limit
// that is known allows it. So nothing overshoots while Machines boot.
func TestDirection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		fast := func(m moment) int {
			if s.policy.Behavior.Fast.Program == nil {
				return 0
			}
			known := map[string]float64{}
			for _, x := range m.samples {
				if x.Known() {
					known[x.Metric] = x.Value
				}
			}
			r, _ := s.policy.Behavior.Fast.Program.Run(expr.Env{Metrics: known})
			return r.Count()
		}
		s.tell(t, func(m moment) {
			d, asked := m.decision, m.asked()
			other := max(m.floor, fast(m), s.policy.Loss.Fallback, 1)
			if s.policy.Zero.Gated {
				other = max(other, s.policy.Zero.First)
			}
			if asked.Started > max(d.Have.Started, d.Limits.MinStarted.Value, other) || asked.Created > max(d.Have.Created, d.Limits.MinCreated.Value, other) {
				t.Fatalf("nobody asked for so many: %s", m)
			}
			if s.policy.Limits.MachineHours > 0 || m.ceiling >= 0 || s.policy.Zero.Activation > 0 {
				return
			}
			if hi := d.Limits.MaxStarted; asked.Started < d.Have.Started && asked.Started < asked.Created && (!hi.Known || hi.Value > asked.Started) {
				t.Fatalf("nobody allowed so few: %s", m)
			}
		})
	})
}

// P11, duplicates: deciding again in the same instant, with the memory of before or of
// after, gives the same; and once the plan is carried out there is nothing to do.
func TestDecidingAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.tell(t, func(moment) {})
		s.boots() // so that only what is done now changes what is there
		first, mem := decide.Decide(s.snapshot, s.samples, s.policy, s.memory, s.now)
		if s.policy.Behavior.Fast.Program != nil && first.Counts.Starting > 0 {
			return // it goes by what is ready, which is not what is stopped first
		}
		again, mem2 := decide.Decide(s.snapshot, s.samples, s.policy, mem, s.now)
		if diff := cmp.Diff(first.Steps, again.Steps); diff != "" {
			t.Fatalf("decided again (-first +again):\n%s", diff)
		}
		if a, b := freeze(mem), freeze(mem2); a != b {
			t.Fatalf("the memory moves although time does not:\n%s\n%s", a, b)
		}
		m := s.pass(succeed)
		for _, booted := range []bool{false, true} {
			if booted {
				if s.policy.Limits.Booting > 0 || s.policy.Behavior.Fast.Program != nil {
					break // which look at how many are ready
				}
				if m.asked() != m.decision.Want {
					break // Machines that were changing their state are free now
				}
				s.boots()
			}
			if n := s.pass(succeed); !n.plan.Empty() && !strings.Contains(m.decision.Line(), "one pass at most") {
				t.Fatalf("%s\nand once that is done (booted: %v): %s", m, booted, n)
			}
		}
	})
}

// P12, order: neither the order of Machines and samples nor that of schedules and rates
// matters.
func TestOrderOfSettingsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.tell(t, func(moment) {})
		d1, p1 := s.plan()
		o := s.drawn
		o.policy = new(*s.policy)
		o.policy.Schedules = slices.Clone(s.policy.Schedules)
		o.policy.Behavior.Up.Rates, o.policy.Behavior.Down.Rates = slices.Clone(s.policy.Behavior.Up.Rates), slices.Clone(s.policy.Behavior.Down.Rates)
		slices.Reverse(o.policy.Schedules)
		slices.Reverse(o.policy.Behavior.Up.Rates)
		slices.Reverse(o.policy.Behavior.Down.Rates)
		o.samples, o.snapshot.Machines = slices.Clone(s.samples), slices.Clone(s.snapshot.Machines)
		slices.Reverse(o.samples)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(len(o.snapshot.Machines), func(i, j int) {
			x := o.snapshot.Machines
			x[i], x[j] = x[j], x[i]
		})
		d2, p2 := o.plan()
		if d1.Want != d2.Want {
			t.Fatalf("%s\nin another order: %s", d1.Line(), d2.Line())
		}
		if diff := cmp.Diff(p1.Actions, p2.Actions, ignoreReason); diff != "" {
			t.Fatalf("the plan depends on the order:\n%s", diff)
		}
	})
}

// P13, time: a clock that is set back takes nothing that would have stayed, and within
// a down window nothing at all; one that jumps ahead moves by one step of the rates.
func TestClockJumps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		p := s.policy
		p.Schedules = nil
		s.tell(t, func(moment) {})
		back := s.drawn
		back.now = s.now.Add(-time.Duration(rapid.IntRange(1, 100_000).Draw(t, "back")) * time.Second)
		if rapid.Bool().Draw(t, "a little") {
			back.now = s.now.Add(-time.Duration(rapid.IntRange(1, 100).Draw(t, "seconds back")) * time.Second)
		}
		if back.now.UTC().Day() != s.now.UTC().Day() {
			p.Limits.MachineHours = 0
		}
		// Machines whose changes lie in the future are judged by their states alone.
		for _, m := range back.snapshot.Machines {
			if m.State == "melting" || m.State == scale.StateCreated || m.State == scale.StateStopping {
				return
			}
		}
		normal := s.decide()
		d, mem := decide.Decide(back.snapshot, back.samples, p, back.memory, back.now)
		if normal.Have != d.Have {
			return // a Machine is no longer stuck
		}
		// What was added lately may be taken back besides what a rate allows, so that
		// with rates a clock that is set back is at another point of the same story.
		if len(p.Behavior.Down.Rates) == 0 && mem.Demand.History == nil && (d.Want.Started < min(normal.Want.Started, d.Have.Started) || d.Want.Created < min(normal.Want.Created, d.Have.Created)) {
			t.Fatalf("at %s: %s\nset back to %s: %s", s.now, normal.Line(), back.now, d.Line())
		}
		tookHold := p.Behavior.Down.Window > 0 && len(s.past) > 0 && back.now.Before(s.past[len(s.past)-1].now)
		if tookHold && p.Limits.MachineHours == 0 && d.Want.Started < d.Have.Started && d.Want.Started < d.Want.Created {
			t.Fatalf("set back from %s to %s within a window of %s: %s", s.now, back.now, p.Behavior.Down.Window, d.Line())
		}
		// And the memory is of now: nothing in it lasts longer than it would have.
		for _, at := range []time.Time{mem.Demand.IdleSince, mem.Demand.UnknownSince, mem.Demand.FastAt, mem.Demand.Hours.At} {
			if at.After(back.now) {
				t.Fatalf("remembered of the future: %s", freeze(mem))
			}
		}
		for _, w := range []decide.Window{mem.Demand.Windows.MaxStarted, mem.Demand.Windows.MaxCreated} {
			for _, mark := range w {
				if mark.At.After(back.now) {
					t.Fatalf("remembered of the future: %s", freeze(mem))
				}
			}
		}
		if down := p.Behavior.Down; len(down.Rates) == 1 && down.Rates[0].Count > 0 && down.Select != policy.SelectDisabled {
			ahead := s.drawn
			ahead.now = s.now.Add(48 * time.Hour)
			if d := ahead.decide(); d.Want.Started < d.Have.Started-down.Rates[0].Count {
				t.Fatalf("two days later at once: %s", d.Line())
			}
		}
	})
}

// P14, zero: the last started Machine goes only through the gate, and the first comes
// as soon as there is demand.
func TestZeroGate(t *testing.T) {
	through, woken, moments := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.policy.Zero = policy.Zero{Gated: true, Activation: s.policy.Zero.Activation, IdleAfter: s.policy.Zero.IdleAfter / 4, First: s.policy.Zero.First}
		p := s.policy
		if p.MinStarted == nil {
			p.MinStarted = genProgram(t, "exact")
			p.MaxStarted = p.MinStarted
		}
		if rapid.Bool().Draw(t, "asleep") {
			for i := range s.snapshot.Machines {
				s.snapshot.Machines[i].State = scale.StateStopped
			}
		}
		var idle time.Time // since when, by the samples
		s.tell(t, func(m moment) {
			moments++
			d, asked := m.decision, m.asked()
			demand := d.Limits.MinStarted.Demand
			if p.MaxStarted != nil && p.MaxStarted != p.MinStarted && !p.MaxStarted.Fixed() {
				demand = max(demand, d.Limits.MaxStarted.Demand)
			}
			switch {
			case !m.known() || demand > p.Zero.Activation:
				idle = time.Time{}
			case idle.IsZero():
				idle = m.now
			}
			if d.Have.Started > 0 && asked.Started == 0 {
				through++
				if idle.IsZero() || m.now.Sub(idle) < p.Zero.IdleAfter || m.floor > 0 {
					t.Fatalf("the last goes, idle since %s: %s", idle, m)
				}
			}
			blocked := p.Limits.Pause == policy.PauseUp || p.Limits.Pause == policy.PauseAll || p.Behavior.Up.Select == policy.SelectDisabled || m.ceiling == 0
			if l := d.Limits.MaxStarted; l.Known && l.Value == 0 && p.MaxStarted != p.MinStarted {
				blocked = true
			}
			if d.Have.Started == 0 && d.Have.Created > 0 && m.known() && demand > p.Zero.Activation && p.MinStarted != nil && !blocked {
				woken++
				if asked.Started == 0 && d.Counts.Starting == 0 {
					t.Fatalf("nobody wakes: %s", m)
				}
			}
		})
	})
	// A quick run need not come by both.
	if moments > 10_000 && (through == 0 || woken == 0) {
		t.Errorf("%d went through the gate and %d were woken: the property has said nothing", through, woken)
	}
}

// P15, pauses: a target that is paused is left alone, in one direction or both.
func TestPauses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.policy.Limits.Pause = policy.Pause(rapid.IntRange(1, 3).Draw(t, "paused"))
		s.tell(t, func(m moment) {
			adds := m.plan.Count(scale.Start) + m.plan.Count(scale.Create)
			removes := m.plan.Count(scale.Stop) + m.plan.Count(scale.Destroy) + m.plan.Count(scale.Suspend) + m.plan.Count(scale.Drain)
			switch pause := s.policy.Limits.Pause; {
			case pause != policy.PauseDown && adds > 0, pause != policy.PauseUp && removes > 0:
				t.Fatalf("pause %d: %s", pause, m)
			}
		})
	})
}

// P27, numbers: whatever a source delivers and whoever sets, there is a decision.
func TestAnyNumberInAnySetting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		for _, d := range []*policy.Direction{&s.policy.Behavior.Up, &s.policy.Behavior.Down} {
			for i := range d.Rates {
				if r := &d.Rates[i]; r.Percent > 0 {
					r.Percent = rapid.SampledFrom([]float64{1e-9, 1e9, math.MaxFloat64}).Draw(t, "percent")
				} else {
					r.Count = rapid.SampledFrom([]int{1, math.MaxInt32, math.MaxInt}).Draw(t, "count")
				}
			}
		}
		s.tell(t, func(m moment) {
			if w := m.asked(); w.Created < 0 || w.Started < 0 || w.Created > 2_000_000 || w.Started > 2_000_000 {
				t.Fatalf("impossible: %s", m)
			}
			values := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e300, 2.0000000001}
			s.samples = slices.Clone(s.samples)
			s.samples[0].Value = rapid.SampledFrom(values).Draw(t, "number")
			s.decide()
		})
	})
}

// P29, restart: a memory that went through JSON changes nothing, and a memory that is
// lost takes nothing within the first down window.
func TestRestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		p := s.policy
		p.Schedules, p.Limits.MachineHours = nil, 0
		s.tell(t, func(moment) {})
		var restored decide.Memory
		if err := json.Unmarshal([]byte(freeze(s.memory)), &restored); err != nil {
			t.Fatal(err)
		}
		a, memA := decide.Decide(s.snapshot, s.samples, p, s.memory, s.now)
		b, memB := decide.Decide(s.snapshot, s.samples, p, restored, s.now)
		if diff := cmp.Diff(a.Steps, b.Steps); diff != "" {
			t.Fatalf("after a restart (-before +after):\n%s", diff)
		}
		if x, y := freeze(memA), freeze(memB); x != y {
			t.Fatalf("the memories part:\n%s\n%s", x, y)
		}
		if p.Behavior.Down.Window == 0 {
			return
		}
		s.memory = decide.Memory{}
		began, had := s.now, scale.Count{}
		for s.now.Sub(began) < p.Behavior.Down.Window {
			m := s.pass(succeed)
			if s.now.Equal(began) {
				had = m.decision.Have // Machines that somebody else adds later may go
			}
			if d := m.decision; m.asked().Started < min(d.Have.Started, had.Started) && m.asked().Started < m.asked().Created || m.asked().Created < min(d.Have.Created, had.Created) {
				for _, m := range s.past[max(0, len(s.past)-8):] {
					t.Log(m)
				}
				t.Fatalf("%s after the memory was lost, within a window of %s: %s", s.now.Sub(began), p.Behavior.Down.Window, m)
			}
			s.waits(t)
		}
	})
}

// P30, explainability: the steps form a chain, every change has a reason, and no stage
// says anything that none of its settings asks for.
func TestStagesExplain(t *testing.T) {
	order := []string{
		scale.StageInventory, scale.StageTargets, scale.StageSchedule, scale.StageTolerance, scale.StageWindow,
		scale.StageBounds, scale.StageRate, scale.StageSafety, scale.StageZero, scale.StageSupply,
	}
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.tell(t, func(m moment) {
			d, stage := m.decision, -1
			at := d.Have
			for _, x := range d.Steps {
				i := slices.Index(order, x.Stage)
				if i <= stage {
					t.Fatalf("%s comes after %s: %+v", x.Stage, order[stage], d.Steps)
				}
				stage = i
				if x.In != at {
					t.Fatalf("%s begins with %+v, the one before ended with %+v: %+v", x.Stage, x.In, at, d.Steps)
				}
				if strings.TrimSpace(x.Reason) == "" || strings.HasSuffix(x.Reason, ",") || strings.Contains(x.Reason, "()") {
					t.Fatalf("%s says %q: %+v", x.Stage, x.Reason, d.Steps)
				}
				at = x.Out
				seen[x.Stage]++
			}
			if at != d.Want {
				t.Fatalf("the steps end with %+v: %+v", at, d)
			}
		})
	})
	// A quick run need not come by the rarest of them.
	for _, stage := range order {
		if seen[stage] == 0 && seen[scale.StageInventory] > 10_000 {
			t.Errorf("no story has a step of %s", stage)
		}
	}
}

// P31, budgets: no more is created than the created maximum allows, and no more
// destroyed within the budget's period than its share, counted from what was done.
func TestBudgetsHold(t *testing.T) {
	destroyed := 0
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		if s.policy.Limits.Destroy.Percent == 0 {
			s.policy.Limits.Destroy = policy.DestroyBudget{Percent: 20, Period: time.Minute}
		}
		p := s.policy
		s.tell(t, func(m moment) {
			d := m.decision
			if hi := d.Limits.MaxCreated; p.MaxCreated != p.MinCreated && hi.Known && d.Want.Created > max(d.Have.Created, hi.Value, d.Limits.MinCreated.Value, 1) {
				t.Fatalf("more than the maximum %d: %s", hi.Value, m)
			}
			n := 0
			for _, e := range s.past[:len(s.past)-1] {
				if m.now.Sub(e.now) < p.Limits.Destroy.Period {
					for _, o := range e.outcomes {
						if o.Action.Verb == scale.Destroy && o.Result != scale.Refused {
							n++
						}
					}
				}
			}
			now := m.plan.Count(scale.Destroy)
			destroyed += now
			if budget := max(1, int(p.Limits.Destroy.Percent/100*float64(d.Have.Created+n)+1e-9)); now > 0 && n+now > budget {
				t.Fatalf("%d and %d destroyed, the budget is %d: %s", n, now, budget, m)
			}
		})
	})
	if destroyed == 0 {
		t.Error("no story destroys anything")
	}
}

// P32, conservation: with all settings, what is there and what the plan does add up to
// what is wanted, and no Machine appears twice.
func TestStoriesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.tell(t, func(m moment) {
			d, seen := m.decision, map[scale.MachineID]bool{}
			got := d.Have
			running := map[scale.MachineID]bool{}
			for _, x := range d.Inventory {
				running[x.ID] = x.Class == scale.Ready || x.Class == scale.Booting
			}
			for _, a := range m.plan.Actions {
				if a.Machine != "" && seen[a.Machine] {
					t.Fatalf("%s appears twice: %s", a.Machine, m)
				}
				seen[a.Machine] = true
				switch a.Verb {
				case scale.Create:
					got.Created++
					if a.Launch {
						got.Started++
					}
				case scale.Start:
					got.Started++
				case scale.Stop:
					got.Started--
				case scale.Destroy:
					got.Created--
					if running[a.Machine] {
						got.Started--
					}
				}
			}
			if got != d.Want {
				t.Fatalf("the plan gives %+v, wanted are %+v: %s", got, d.Want, m)
			}
		})
	})
}

// What is remembered is bounded, however long and wild the story.
func TestMemoryIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genStory(t)
		s.policy.Behavior.Up.Window, s.policy.Behavior.Down.Window = time.Hour, time.Hour
		s.policy.Behavior.Down.Rates = []policy.Rate{{Count: 1, Period: time.Hour}}
		rising := rapid.Bool().Draw(t, "rising")
		for i := range 200 {
			s.now = s.now.Add(time.Second)
			s.samples = slices.Clone(s.samples)
			for j := range s.samples {
				s.samples[j].Value = float64(1000 - 3*i)
				if rising {
					s.samples[j].Value = float64(3 * i)
				}
			}
			_, s.memory = decide.Decide(s.snapshot, s.samples, s.policy, s.memory, s.now)
			s.memory = decide.Observe(s.memory, []scale.Outcome{{Action: scale.Action{Verb: scale.Stop, Running: true}, Result: scale.Done}, {Action: scale.Action{Verb: scale.Create}, Result: scale.Refused}}, s.now)
		}
		w := s.memory.Demand.Windows
		if n := max(len(w.MinStarted), len(w.MaxStarted), len(w.MinCreated), len(w.MaxCreated)); n > 64 {
			t.Fatalf("%d marks", n)
		}
		if n := len(s.memory.Changes); n > 128 {
			t.Fatalf("%d changes", n)
		}
		if n := len(s.memory.Breaker.Failed); n > 3 {
			t.Fatalf("%d failures", n)
		}
		sum := 0
		for _, c := range s.memory.Changes {
			sum += c.Stopped
		}
		if sum != 200 {
			t.Fatalf("of 200 stops %d are remembered", sum)
		}
	})
}

// A target with none of the settings keeps nothing of its past but what it needs
// without them.
func TestPlainTargetsRememberNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &story{drawn: genTarget(t).plain()}
		s.tell(t, func(m moment) {
			if len(m.after.Changes) > 0 || m.after.Keep != 0 || freeze(decide.Memory{Demand: m.after.Demand, Breaker: m.after.Breaker}) != "{}" {
				t.Fatalf("remembered: %s", freeze(m.after))
			}
			for _, x := range m.decision.Steps {
				switch x.Stage {
				case scale.StageInventory, scale.StageTargets, scale.StageBounds, scale.StageSafety, scale.StageSupply:
				default:
					t.Fatalf("a plain target has a step of %s: %s", x.Stage, m)
				}
			}
		})
	})
}
