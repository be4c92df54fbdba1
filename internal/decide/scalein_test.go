package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// fleetOf returns Machines with the IDs 1, 2, … from words such as "started", "stopped",
// "drains:30s" (until then, cordoned), "marked:30s" (not cordoned), "cordoned" and
// "busy" (protected).
func fleetOf(words string) []scale.Machine {
	var out []scale.Machine
	for i, word := range strings.Fields(words) {
		what, span, _ := strings.Cut(word, ":")
		m := machine(fmt.Sprint(i+1), scale.StateStarted)
		switch what {
		case "drains", "marked":
			left, err := time.ParseDuration(span)
			if err != nil {
				panic(err)
			}
			mark(&m, scale.DrainMark(epoch.Add(left)))
			m.Cordoned = what == "drains"
		case "rests": // at rest, with our mark
			m.State = scale.StateStopped
			mark(&m, scale.DrainMark(epoch))
		case "cordoned":
			m.Cordoned = true
		case "busy":
			m.Metadata = map[string]string{"busy": span}
		default:
			m.State = scale.State(what)
		}
		out = append(out, m)
	}
	return out
}

// doing is a sample of each Machine's work: those not named are not known.
func doing(at time.Time, work string) scale.Sample {
	s := scale.Sample{Metric: "jobs", Value: 1, At: at, Quality: scale.Fresh, Machines: map[scale.MachineID]float64{}}
	for word := range strings.FieldsSeq(work) {
		var id, n int
		if _, err := fmt.Sscanf(word, "%d=%d", &id, &n); err != nil {
			panic(err)
		}
		s.Machines[scale.MachineID(fmt.Sprint(id))] = float64(n)
	}
	return s
}

func TestScaleIn(t *testing.T) {
	t.Parallel()
	const later, before = 20 * time.Second, 0
	drain := policy.ScaleIn{Drain: 30 * time.Second, Busy: "jobs"}
	with := func(edit func(*policy.ScaleIn)) policy.ScaleIn {
		in := drain
		edit(&in)
		return in
	}
	for _, tt := range []struct {
		name             string
		fleet            string
		created, started string
		in               policy.ScaleIn
		work             string
		at               time.Duration // of the work and the decision, from the epoch
		want             string
	}{
		{"what serves is drained first", "started started started", "", "2", drain, "", before, "[drain 1]"},
		{"without a drain it is stopped at once", "started started started", "", "2", policy.ScaleIn{Busy: "jobs"}, "2=0", before, "[stop 2]"},
		{"the idle goes before the busy, and both before the unknown", "started started started started", "", "2", drain, "2=3 4=0", before, "[drain 4 drain 2]"},
		{"what boots goes first, and at once", "started starting started", "", "2", drain, "1=0", before, "[stop 2]"},
		{"what drains is waited for", "started started drains:30s", "", "2", drain, "3=1", later, "[]"},
		{"what drains and is idle goes", "started started drains:30s", "", "2", drain, "3=0", later, "[stop 3]"},
		{"work that was told before the cordon tells nothing", "started started drains:30s", "", "2", drain, "3=0", 5 * time.Second, "[]"},
		{"what drains goes at its deadline", "started started drains:20s", "", "2", drain, "3=1", later, "[stop 3]"},
		{"nothing known of its work, too", "started started drains:20s", "", "2", drain, "", later, "[stop 3]"},
		{"an idle one goes in the place of a busy one", "started started drains:20s", "", "2", drain, "2=0 3=4", later, "[undrain 3 drain 2]"},
		{"one that is not known does not", "started started drains:20s", "", "2", drain, "3=4", later, "[stop 3]"},
		{"what drains is taken back before another starts", "started drains:30s stopped suspended", "", "3", drain, "", later, "[undrain 2 start 4]"},
		{"the busiest is taken back", "started drains:30s drains:30s", "", "2", drain, "2=0 3=2", 5 * time.Second, "[undrain 3]"},
		{"a mark without a cordon begins anew", "started started marked:30s", "", "2", drain, "", later, "[drain 3]"},
		{"a mark beyond all deadlines, too", "started started drains:10h", "", "2", drain, "", later, "[drain 3]"},
		{"a mark without a cordon is taken back", "started marked:30s", "", "2", drain, "", later, "[undrain 2]"},
		{"a mark without a policy is over", "started drains:1h", "", "1", policy.ScaleIn{}, "", before, "[stop 2]"},
		{"a mark comes off at rest", "started rests", "", "1", drain, "", before, "[undrain 2]"},
		{"a Machine that starts has its mark taken off then", "started rests", "", "2", drain, "", before, "[start 2]"},
		{"a person's cordon stays", "started started cordoned", "", "1", drain, "", before, "[drain 1]"},
		{"the last that serves is kept", "started starting", "", "1", drain, "", before, "[stop 2]"},
		{"all go for zero", "started", "", "0", drain, "", before, "[drain 1]"},

		{"suspend", "started drains:20s", "", "1", with(func(in *policy.ScaleIn) { in.Mode = policy.IdleSuspend }), "", later, "[suspend 2]"},
		{"what boots is not suspended", "started starting", "", "1", policy.ScaleIn{Mode: policy.IdleSuspend}, "", before, "[stop 2]"},
		{"the protected stays", "busy:yes busy: busy:0 busy:false", "", "1", with(func(in *policy.ScaleIn) { in.Protect = "busy" }), "", before, "[drain 2 drain 3 drain 4]"},
		{"the young stays", "started started started", "", "1", policy.ScaleIn{MinLifetime: 2 * time.Minute}, "", before, "[]"},
		{"the grown goes", "started started started", "", "1", policy.ScaleIn{MinLifetime: time.Minute}, "", before, "[stop 1 stop 2]"},

		{"created: drained, then destroyed", "started started drains:20s", "2", "", drain, "", later, "[destroy 3]"},
		{"created: the stopped goes before what serves", "started started stopped", "2", "", drain, "", before, "[destroy 3]"},
		{"created: taken back when it may stay", "started started drains:20s", "3", "", drain, "", later, "[undrain 3]"},
		{"destroy: a Machine that is not needed", "started started", "", "1", with(func(in *policy.ScaleIn) { in.Mode = policy.IdleDestroy }), "", before, "[drain 1]"},
		{"destroy: drained", "started drains:20s", "", "1", with(func(in *policy.ScaleIn) { in.Mode = policy.IdleDestroy }), "", later, "[destroy 2]"},
		{"destroy: the other way", "started", "", "3", with(func(in *policy.ScaleIn) { in.Mode = policy.IdleDestroy }), "", before, "[create  create ]"},
		{"destroy: taken back first", "started drains:20s", "", "3", with(func(in *policy.ScaleIn) { in.Mode = policy.IdleDestroy }), "", later, "[undrain 2 create ]"},
		{"destroy: within the limits of created", "started started started", "2", "1", policy.ScaleIn{Mode: policy.IdleDestroy}, "", before, "[stop 2 destroy 1]"},

		{"standbys: they stay", "started started stopped suspended", "2", "", policy.ScaleIn{Standby: 2}, "", before, "[]"},
		{"standbys: the quickest to wake stay", "started started stopped suspended", "2", "", policy.ScaleIn{Standby: 1}, "", before, "[destroy 3]"},
		{"standbys: for a while", "started started stopped suspended", "2", "", policy.ScaleIn{Standby: 2, StandbyFor: time.Minute}, "", before, "[destroy 3 destroy 4]"},
		{"standbys: made of what drained", "started started drains:20s", "2", "", with(func(in *policy.ScaleIn) { in.Standby = 1 }), "", later, "[stop 3]"},
		{"standbys: they start before one is created", "started suspended", "3", "", policy.ScaleIn{Standby: 1}, "", before, "[start 2 create ]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := epoch.Add(tt.at)
			s := snapshot(fleetOf(tt.fleet)...)
			s.TakenAt = now
			p := &policy.Policy{Group: group, Launch: true, ScaleIn: tt.in}
			p.MinCreated, p.MinStarted = mustCompile(tt.created), mustCompile(tt.started)
			p.MaxCreated, p.MaxStarted = p.MinCreated, p.MinStarted
			w := drawn{snapshot: s, samples: []scale.Sample{doing(now, tt.work)}, policy: p, now: now}
			d, plan := w.plan()
			var got []string
			for _, a := range plan.Actions {
				got = append(got, fmt.Sprint(a.Verb, " ", a.Machine))
			}
			if fmt.Sprint(got) != tt.want {
				t.Errorf("got %v, want %s\n%s", got, tt.want, d.Line())
			}
		})
	}
}

// Age breaks ties between Machines that are equally busy.
func TestOrderOfAges(t *testing.T) {
	t.Parallel()
	machines := fleetOf("started started started")
	machines[1].UpdatedAt = epoch.Add(-time.Hour)
	machines[2].UpdatedAt = epoch.Add(-time.Second)
	p := exact("", "2")
	for order, want := range map[policy.Order]string{policy.ByID: "[stop 1]", policy.OldestFirst: "[stop 2]", policy.NewestFirst: "[stop 3]"} {
		p.ScaleIn.Order = order
		if got, d := actions(snapshot(machines...), p, decide.Memory{}, epoch); got != want {
			t.Errorf("order %d: got %s, want %s (%s)", order, got, want, d.Line())
		}
	}
}

// In doubt, and while somebody else is at work, what drains neither goes nor comes back
// but for demand.
func TestDoubtStopsDrains(t *testing.T) {
	t.Parallel()
	p := exact("", "1")
	p.ScaleIn.Drain = 30 * time.Second
	now := epoch.Add(time.Hour)
	for name, disturb := range map[string]func(*scale.Snapshot){
		"incomplete":       func(s *scale.Snapshot) { s.Complete = false },
		"a release":        func(s *scale.Snapshot) { s.Release = scale.Release{Known: true, Exists: true, Status: "running"} },
		"a release, maybe": func(s *scale.Snapshot) { s.Release = scale.Release{Unavailable: "no answer"} },
		"leased": func(s *scale.Snapshot) {
			s.Machines[0].Lease = &scale.Lease{Owner: "someone", ExpiresAt: now.Add(time.Minute)}
		},
	} {
		s := snapshot(fleetOf("started drains:30s rests")...)
		s.TakenAt = now
		if got, d := actions(s, p, decide.Memory{}, now); got != "[undrain 3 stop 2]" {
			t.Fatalf("undisturbed: got %s: %s", got, d.Line())
		}
		disturb(&s)
		if got, d := actions(s, p, decide.Memory{}, now); strings.Contains(got, "stop") || strings.Contains(got, "undrain 2") {
			t.Errorf("%s: got %s: %s", name, got, d.Line())
		}
	}
	p.Limits.Pause = policy.PauseAll
	s := snapshot(fleetOf("started drains:30s rests")...)
	if got, d := actions(s, p, decide.Memory{}, now); got != "[]" {
		t.Errorf("paused: got %s: %s", got, d.Line())
	}
}

// Machines of another group, and those of a rollout that never took traffic, are not
// ours, whatever mark they bear.
func TestMarksOfOthers(t *testing.T) {
	t.Parallel()
	machines := fleetOf("started drains:0s drains:0s")
	machines[1].Group = "worker"
	machines[2].Metadata[scale.MetaCanary] = "true"
	p := exact("", "1")
	p.ScaleIn.Drain = 30 * time.Second
	if got, d := actions(snapshot(machines...), p, decide.Memory{}, epoch.Add(time.Hour)); got != "[]" || d.Have.Created != 1 {
		t.Errorf("got %s: %s", got, d.Line())
	}
	// One that took over by blue-green keeps its tag, and drains like any other.
	tagged := fleetOf("started drains:0s")
	tagged[1].Metadata[scale.MetaBlueGreenTag] = "green"
	if got, d := actions(snapshot(tagged...), p, decide.Memory{}, epoch.Add(time.Hour)); got != "[stop 2]" {
		t.Errorf("got %s: %s", got, d.Line())
	}
}

// An overview does not tell of cordons: it only brings about that the app's own list is
// read, as long as any of its Machines drains.
func TestOverviewOfDrains(t *testing.T) {
	t.Parallel()
	p := exact("", "1")
	p.ScaleIn.Drain = 30 * time.Second
	s := snapshot(fleetOf("started drains:30s")...)
	if got, d := actions(s, p, decide.Memory{}, epoch); got != "[]" || !d.Picks.Empty() {
		t.Fatalf("the list: got %s: %s", got, d.Line())
	}
	s.Overview = true
	for i := range s.Machines {
		s.Machines[i].Cordoned, s.Machines[i].Config = false, nil
	}
	if _, d := actions(s, p, decide.Memory{}, epoch); d.Picks.Empty() {
		t.Errorf("an overview with a Machine that drains passes for quiet: %s", d.Line())
	}
	s.Machines = slices.Clone(s.Machines[:1])
	if _, d := actions(s, p, decide.Memory{}, epoch); !d.Picks.Empty() {
		t.Errorf("without it there is nothing to do: %s", d.Line())
	}
}

// Every pass says what drains and until when.
func TestDrainsAreTold(t *testing.T) {
	t.Parallel()
	p := exact("", "1")
	p.ScaleIn.Drain = 30 * time.Second
	_, d := actions(snapshot(fleetOf("started started")...), p, decide.Memory{}, epoch)
	if want := "started 2 → 1: started 1 = 1 → 1 drain until 12:00:30"; d.Line() != want {
		t.Errorf("got %q, want %q", d.Line(), want)
	}
	_, d = actions(snapshot(fleetOf("started drains:30s")...), p, decide.Memory{}, epoch)
	if want := "hold at 1 started of 2: started 1 = 1 → 1 still drain, the first until 12:00:30 unless it is idle before"; d.Line() != want {
		t.Errorf("got %q, want %q", d.Line(), want)
	}
	if got := d.Steps[0].Reason; got != "2 created: 1 started, 1 draining" {
		t.Errorf("inventory: got %q", got)
	}
}
