package decide_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Bounds: the result lies within the limits, or at least not farther from them
// than what is there, and the last Machine is never given up.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t).disturb(t)
		d := w.decide()
		toward := func(what string, have, want int, lo, hi scale.Limit) {
			if hi.Known && lo.Known && hi.Value < lo.Value {
				hi.Value = lo.Value // the floor wins
			}
			if want > have && hi.Known && want > max(hi.Value, 1) {
				t.Fatalf("%s rises from %d to %d, above the maximum %d\n%s", what, have, want, hi.Value, d.Line())
			}
			if want < have && lo.Known && want < lo.Value && d.Want.Created >= d.Have.Created {
				t.Fatalf("%s falls from %d to %d, below the minimum %d\n%s", what, have, want, lo.Value, d.Line())
			}
		}
		toward("created", d.Have.Created, d.Want.Created, d.Limits.MinCreated, d.Limits.MaxCreated)
		toward("started", d.Have.Started, d.Want.Started, d.Limits.MinStarted, d.Limits.MaxStarted)
		if d.Have.Created > 0 && d.Want.Created < 1 {
			t.Fatalf("the last Machine is given up: %s", d.Line())
		}
		if d.Want.Created < 0 || d.Want.Started < 0 || d.Want.Started > d.Want.Created {
			t.Fatalf("impossible want %+v", d.Want)
		}
	})
}

// Fixpoint and duplicates: deciding twice gives the same; carrying the plan out
// and deciding again gives an empty plan, while the new Machines boot and after.
func TestPlanAppliedIsEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t)
		if rapid.Bool().Draw(t, "disturbed") {
			w = w.disturb(t)
		}
		d1, p1 := w.plan()
		d2, p2 := w.plan()
		if diff := cmp.Diff(p1, p2); diff != "" {
			t.Fatalf("two decisions at the same instant differ:\n%s", diff)
		}
		if diff := cmp.Diff(d1.Steps, d2.Steps); diff != "" {
			t.Fatalf("two explanations at the same instant differ:\n%s", diff)
		}
		for _, booting := range []bool{true, false} {
			after := w
			after.snapshot = apply(w.snapshot, p1, booting)
			d, p := after.plan()
			if !p.Empty() {
				t.Fatalf("booting %v: after %v\n%s\nthe plan is not empty but %v\n%s", booting, p1.Actions, d1.Line(), p.Actions, d.Line())
			}
		}
	})
}

// No data, no loss: whatever subset of the samples becomes unknown, nothing is
// wanted fewer, and when nothing is known nothing is removed.
func TestUnknownNeverRemoves(t *testing.T) {
	qualities := []scale.Quality{scale.Stale, scale.Empty, scale.Error, 0}
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t).disturb(t)
		known := w.decide()
		doubt := w
		doubt.samples = slices.Clone(w.samples)
		for i := range doubt.samples {
			if rapid.Bool().Draw(t, "unknown") {
				doubt.samples[i].Quality = rapid.SampledFrom(qualities).Draw(t, "quality")
				doubt.samples[i].Reason = "no answer"
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "drop") == 0 {
			doubt.samples = doubt.samples[:1]
		}
		d, p := doubt.plan()
		// Where knowledge would add, ignorance adds nothing; where it would remove,
		// ignorance holds: so the comparison is with the lower of the two.
		if d.Want.Created < min(known.Want.Created, d.Have.Created) || d.Want.Started < min(known.Want.Started, d.Have.Started) {
			t.Fatalf("known: %+v of %+v (%s)\nin doubt: %+v (%s)", known.Want, known.Have, known.Line(), d.Want, d.Line())
		}
		unknown := false
		for _, l := range d.Limits.Each() {
			unknown = unknown || l.Defined && !l.Known
		}
		if unknown && (p.Count(scale.Stop) > 0 || p.Count(scale.Destroy) > 0) {
			t.Fatalf("in doubt the plan removes: %v", p.Actions)
		}
	})
}

// Monotone in load: with expressions that rise with a metric, more of it never
// wants fewer Machines.
func TestMoreLoadNeverWantsFewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t)
		more := w
		more.samples = slices.Clone(w.samples)
		i := rapid.IntRange(0, 1).Draw(t, "which")
		more.samples[i].Value += float64(rapid.IntRange(1, 6).Draw(t, "more"))
		a, b := w.decide(), more.decide()
		if b.Want.Created < a.Want.Created {
			t.Fatalf("created: %d at %v, %d at %v\n%s\n%s", a.Want.Created, w.samples, b.Want.Created, more.samples, a.Line(), b.Line())
		}
		if b.Want.Started < a.Want.Started {
			t.Fatalf("started: %d at %v, %d at %v\n%s\n%s", a.Want.Started, w.samples, b.Want.Started, more.samples, a.Line(), b.Line())
		}
	})
}

// Booting Machines count: a step in load, decided again and again while what was
// asked for still boots, never asks for more than is needed.
func TestNoOvershootWhileBooting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t)
		first := w.decide()
		for range rapid.IntRange(1, 5).Draw(t, "passes") {
			_, p := w.plan()
			w.snapshot = apply(w.snapshot, p, true)
			w.snapshot.TakenAt = w.snapshot.TakenAt.Add(15 * time.Second)
			w.now = w.snapshot.TakenAt
		}
		last := w.decide()
		needCreated := max(first.Want.Created, first.Have.Created)
		// Machines that were busy changing state at first may come free later, which
		// lets the started count catch up with the limit, but not beyond.
		needStarted := max(first.Want.Started, first.Have.Started, first.Limits.MinStarted.Value)
		if last.Want.Created > needCreated || last.Want.Started > needStarted {
			t.Fatalf("first %s\nlast %s", first.Line(), last.Line())
		}
	})
}

// Order does not matter: neither that of Machines nor that of samples.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t).disturb(t)
		d1, p1 := w.plan()
		shuffled := w
		shuffled.snapshot.Machines = slices.Clone(w.snapshot.Machines)
		shuffled.samples = slices.Clone(w.samples)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(len(shuffled.snapshot.Machines), func(i, j int) {
			m := shuffled.snapshot.Machines
			m[i], m[j] = m[j], m[i]
		})
		slices.Reverse(shuffled.samples)
		d2, p2 := shuffled.plan()
		if d1.Want != d2.Want {
			t.Fatalf("got %+v, want %+v", d2.Want, d1.Want)
		}
		if diff := cmp.Diff(p1.Actions, p2.Actions, ignoreReason); diff != "" {
			t.Fatalf("the plan depends on the order:\n%s", diff)
		}
	})
}

var ignoreReason = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Reason" }, cmp.Ignore())

// Deploy freeze: while Machines are of two releases, or somebody else holds a
// lease, nothing goes; while a release is being rolled out, nothing happens.
func TestDeployFreeze(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t).disturb(t)
		d, p := w.plan()
		releases := map[string]bool{}
		for _, m := range d.Inventory {
			// A deploy passes over Machines that are out of reach or out of service.
			if r := m.Release(); r != "" && m.Class != scale.Lost && m.Class != scale.Reserved {
				releases[r] = true
			}
		}
		leased := slices.ContainsFunc(w.snapshot.Machines, func(m scale.Machine) bool {
			return m.Lease != nil && m.Lease.Description == "deploy" && m.Lease.ExpiresAt.After(w.now)
		})
		young := w.snapshot.Release.Running() && w.now.Sub(w.snapshot.Release.CreatedAt) < time.Hour
		if (len(releases) > 1 || leased) && (p.Count(scale.Stop)+p.Count(scale.Destroy) > 0) {
			t.Fatalf("during a deploy the plan removes: %v", p.Actions)
		}
		if (leased || young) && !p.Empty() {
			t.Fatalf("during a release the plan acts: %v", p.Actions)
		}
	})
}

// What is protected, foreign, out of reach or out of service is in no action, and
// the last Machine that serves is not stopped unless none is wanted.
func TestUntouchables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t).disturb(t)
		d, p := w.plan()
		byID := map[scale.MachineID]scale.Machine{}
		ready := 0
		for _, m := range w.snapshot.Machines {
			byID[m.ID] = m
		}
		for _, m := range d.Inventory {
			if m.Class == scale.Ready {
				ready++
			}
		}
		for _, a := range slices.Concat(p.Actions, p.Spares) {
			if a.Verb == scale.Create {
				if tm := byID[a.Template]; tm.Group != group || tm.HasMounts || tm.Host != scale.HostOK || tm.Standby {
					t.Fatalf("clones %+v", tm)
				}
				continue
			}
			m := byID[a.Machine]
			if m.Group != group || m.Standby || m.Cordoned || m.Host != scale.HostOK || m.State == scale.StateDestroying || m.State == "melting" {
				t.Fatalf("%s touches %+v", a, m)
			}
			if a.Verb == scale.Destroy && m.HasMounts {
				t.Fatalf("%s destroys a volume's Machine", a)
			}
			if m.State == scale.StateStarted && (a.Verb == scale.Stop || a.Verb == scale.Destroy) {
				ready--
			}
		}
		asked := d.Want.Started // before it was fitted to what can be stopped
		if last := d.Steps[len(d.Steps)-1]; last.Stage == scale.StageSupply {
			asked = last.In.Started
		}
		if ready == 0 && d.Counts.Started > 0 && asked > 0 && p.Count(scale.Stop)+p.Count(scale.Destroy) > 0 {
			t.Fatalf("no ready Machine remains although %d are wanted: %v", asked, p.Actions)
		}
	})
}

// Any number that a source may deliver gives a decision, never a panic; one that
// is no number is unknown and removes nothing.
func TestAnyNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t)
		values := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, -1e300, 1e300, math.MaxFloat64, 2.0000000001, math.SmallestNonzeroFloat64}
		w.samples[0].Value = rapid.OneOf(rapid.SampledFrom(values), rapid.Float64()).Draw(t, "x")
		d, p := w.plan()
		for _, l := range d.Limits.Each() {
			if l.Known && (l.Value < 0 || l.Value > 1_000_000) {
				t.Fatalf("limit %+v", l)
			}
			if l.Defined && !l.Known && (l.Reason == "" || p.Count(scale.Stop)+p.Count(scale.Destroy) > 0) {
				t.Fatalf("unknown limit %+v with %v", l, p.Actions)
			}
		}
	})
}

// Explainability: the steps form a chain that ends at what is wanted, and every
// change has a reason in words.
func TestStepsExplain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t).disturb(t)
		d := w.decide()
		if len(d.Steps) < 1 || d.Steps[0].Stage != scale.StageInventory {
			t.Fatalf("steps %+v", d.Steps)
		}
		at := d.Have
		for _, s := range d.Steps {
			if s.In != at {
				t.Fatalf("%s starts at %+v, the stage before it ended at %+v", s.Stage, s.In, at)
			}
			if s.In != s.Out && strings.TrimSpace(s.Reason) == "" {
				t.Fatalf("%s changes %+v to %+v for no reason", s.Stage, s.In, s.Out)
			}
			at = s.Out
		}
		if at != d.Want {
			t.Fatalf("the steps end at %+v, the decision is %+v", at, d.Want)
		}
		if d.Line() == "" {
			t.Fatal("the line is empty")
		}
	})
}

// Conservation: what is there and what the plan does add up to what is wanted, in
// each region and in all, and no Machine appears twice.
func TestPlanAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t)
		d, p := w.plan()
		after := apply(w.snapshot, p, false)
		again, _ := decide.Decide(after, w.samples, w.policy, decide.Memory{}, w.now)
		if again.Have != d.Want {
			t.Fatalf("carried out, the plan gives %+v, wanted were %+v\n%v", again.Have, d.Want, p.Actions)
		}
		rest := plan.Build(after, again, w.policy)
		want := map[scale.Region]scale.Count{}
		for _, r := range p.Regions {
			if r.Want != (scale.Count{}) {
				want[r.Region] = r.Want
			}
		}
		got := map[scale.Region]scale.Count{}
		for _, r := range rest.Regions {
			got[r.Region] = r.Have
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("regions after the plan (-planned +there):\n%s", diff)
		}
		seen := map[scale.MachineID]bool{}
		names := map[string]bool{}
		for _, m := range w.snapshot.Machines {
			names[m.Name] = true
		}
		for _, a := range slices.Concat(p.Actions, p.Spares) {
			if a.Verb == scale.Create {
				if names[a.Name] {
					t.Fatalf("the name %s is in use", a.Name)
				}
				names[a.Name] = true
				continue
			}
			if seen[a.Machine] {
				t.Fatalf("Machine %s appears twice in %v", a.Machine, p.Actions)
			}
			seen[a.Machine] = true
		}
	})
}
