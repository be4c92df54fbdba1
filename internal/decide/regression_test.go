package decide_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

func exact(created, started string) *policy.Policy {
	c, s := mustCompile(created), mustCompile(started)
	return &policy.Policy{Group: group, Launch: true, MinCreated: c, MaxCreated: c, MinStarted: s, MaxStarted: s}
}

func actions(s scale.Snapshot, p *policy.Policy, mem decide.Memory, now time.Time) (string, scale.Decision) {
	d, _ := decide.Decide(s, nil, p, mem, now)
	var out []string
	for _, a := range plan.Build(s, d, p).Actions {
		out = append(out, fmt.Sprint(a.Verb, " ", a.Machine))
	}
	return fmt.Sprint(out), d
}

// A Machine of which nobody can tell the group may be one of ours: nothing is
// removed on its account, and nothing is made in its place.
func TestUnknownGroupRemovesNothing(t *testing.T) {
	t.Parallel()
	stranger := machine("9", scale.StateStarted)
	stranger.Group, stranger.Host, stranger.Config = "", scale.HostUnreachable, nil
	s := snapshot(machine("1", "started"), machine("2", "started"), machine("3", "started"), stranger)
	if got, d := actions(s, exact("3", ""), decide.Memory{}, epoch); got != "[]" {
		t.Errorf("got %s: %s", got, d.Line())
	}
	if got, d := actions(s, exact("2", ""), decide.Memory{}, epoch); got != "[]" || d.Hold != scale.HoldDown {
		t.Errorf("got %s: %s", got, d.Line())
	}
}

// A Machine that takes longer to stop than any threshold stays the one to go: no
// other is taken in its place.
func TestSlowStopTakesNoOther(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{time.Minute, 4 * time.Minute, 6 * time.Minute, time.Hour} {
		slow := machine("1", scale.StateStopping)
		slow.UpdatedAt = epoch.Add(-age)
		s := snapshot(slow, machine("2", "started"), machine("3", "started"))
		if got, d := actions(s, exact("2", ""), decide.Memory{}, epoch); got != "[destroy 1]" {
			t.Errorf("after %s: got %s: %s", age, got, d.Line())
		}
	}
}

// Machines that failed to boot are started again once nothing better is there, so
// that the end of a registry's fault is the end of ours.
func TestFailedMachinesAreStartedAgain(t *testing.T) {
	t.Parallel()
	s := snapshot(machine("1", "failed"), machine("2", "failed"), machine("3", "stopped"))
	if got, d := actions(s, exact("3", "2"), decide.Memory{}, epoch); got != "[start 3 start 1]" {
		t.Errorf("got %s: %s", got, d.Line())
	}
}

// A Machine whose start was not answered comes after the others for a while.
func TestTroubledMachineComesLast(t *testing.T) {
	t.Parallel()
	s := snapshot(machine("1", "stopped"), machine("2", "stopped"), machine("3", "stopped"))
	outcome := scale.Outcome{Action: scale.Action{Verb: scale.Start, Machine: "1"}, Result: scale.Unknown}
	mem := decide.Observe(decide.Memory{}, []scale.Outcome{outcome}, epoch)
	if got, _ := actions(s, exact("", "1"), mem, epoch.Add(time.Minute)); got != "[start 2]" {
		t.Errorf("after a minute: got %s, want another Machine first", got)
	}
	if got, _ := actions(s, exact("", "1"), mem, epoch.Add(3*time.Minute)); got != "[start 1]" {
		t.Errorf("after three minutes: got %s, want it tried again", got)
	}
	outcome.Result = scale.Done
	if mem := decide.Observe(mem, []scale.Outcome{outcome}, epoch.Add(time.Second)); len(mem.Trouble) != 0 {
		t.Errorf("after a start that worked: %v", mem.Trouble)
	}
}

// What a deploy passes over does not hold removals for good.
func TestLostMachineOfAnOlderRelease(t *testing.T) {
	t.Parallel()
	var machines []scale.Machine
	for i, id := range []string{"1", "2", "3", "4"} {
		m := machine(id, "started")
		m.Metadata = map[string]string{scale.MetaReleaseVersion: "8"}
		if i == 0 {
			m.Metadata = map[string]string{scale.MetaReleaseVersion: "7"}
			m.Host, m.Config = scale.HostUnreachable, nil
		}
		machines = append(machines, m)
	}
	mem := decide.Memory{Lost: map[scale.MachineID]time.Time{"1": epoch.Add(-time.Hour)}}
	if got, d := actions(snapshot(machines...), exact("", "2"), mem, epoch); got != "[stop 2]" {
		t.Errorf("got %s: %s", got, d.Line())
	}
}

// A release whose beginning is not known is not taken for an abandoned one.
func TestReleaseWithoutATimeHolds(t *testing.T) {
	t.Parallel()
	s := snapshot(machine("1", "started"), machine("2", "started"))
	s.Release = scale.Release{Known: true, Exists: true, Status: "running", Version: 4}
	if got, d := actions(s, exact("", "1"), decide.Memory{}, epoch); got != "[]" || d.Hold != scale.HoldAll {
		t.Errorf("got %s: %s", got, d.Line())
	}
}

// While the ceiling is not known, created Machines do not boot beyond the floor.
func TestUnknownCeilingBootsNoMore(t *testing.T) {
	t.Parallel()
	p := &policy.Policy{Group: group, Launch: true, MinCreated: mustCompile("3"), MaxStarted: mustCompile("x")}
	_, d := actions(snapshot(machine("1", "started")), p, decide.Memory{}, epoch)
	if d.Picks.Create != 2 || d.Picks.Launch != 0 {
		t.Errorf("creates %d and boots %d, want 2 and 0: %s", d.Picks.Create, d.Picks.Launch, d.Line())
	}
}

// Machines that are made and do not come up are made ever more slowly, and the
// first that comes up ends that.
func TestMachinesThatDoNotComeUp(t *testing.T) {
	t.Parallel()
	p, now := exact("2", ""), epoch
	var mem decide.Memory
	creates := 0
	for i := 0; now.Before(epoch.Add(10 * time.Minute)); i++ {
		id := fmt.Sprintf("n%d", i)
		s := snapshot(machine("1", "started"))
		for made := range mem.Created {
			dead := machine(string(made), scale.StateLaunchFailed)
			s.Machines = append(s.Machines, dead)
		}
		var d scale.Decision
		d, mem = decide.Decide(s, nil, p, mem, now)
		if d.Picks.Create > 0 {
			creates++
			mem = decide.Observe(mem, []scale.Outcome{{Action: scale.Action{Verb: scale.Create, Launch: true}, Result: scale.Done, Machine: scale.MachineID(id)}}, now)
		}
		now = now.Add(5 * time.Second)
	}
	if creates < 8 || creates > 14 {
		t.Errorf("%d creates in ten minutes, want about one a minute", creates)
	}
	// The last one comes up after all.
	mem.Created = map[scale.MachineID]time.Time{"z": now}
	up := snapshot(machine("1", "started"), machine("z", "started"))
	if _, mem = decide.Decide(up, nil, p, mem, now); mem.Deaths != 0 || len(mem.Created) != 0 {
		t.Errorf("after one came up: %+v", mem)
	}
}

// A create that was not answered may yet come true. It is asked for again under its
// own name, although a lower one has become free meanwhile, so that it is made once.
func TestUnansweredCreateIsAskedForAgain(t *testing.T) {
	t.Parallel()
	create := func(name string, result scale.Result) scale.Outcome {
		return scale.Outcome{Action: scale.Action{Verb: scale.Create, Name: name}, Result: result}
	}
	s, p := snapshot(machine("1", "started")), exact("3", "3")
	names := func(mem decide.Memory, now time.Time) string {
		s.TakenAt = now
		d, _ := decide.Decide(s, nil, p, mem, now)
		var out []string
		for _, a := range plan.Build(s, d, p).Actions {
			out = append(out, a.Name)
		}
		return fmt.Sprint(out)
	}
	mem := decide.Observe(decide.Memory{}, []scale.Outcome{create("fas-web-4", scale.Unknown), create("fas-web-2", scale.Refused)}, epoch)
	if got := names(mem, epoch.Add(time.Second)); got != "[fas-web-4 fas-web-1]" {
		t.Errorf("got %s, want the one that was not answered first", got)
	}
	if got := names(mem, epoch.Add(3*time.Minute)); got != "[fas-web-1 fas-web-2]" {
		t.Errorf("after three minutes: got %s, want the lowest", got)
	}
	later := decide.Observe(mem, []scale.Outcome{create("fas-web-7", scale.Unknown)}, epoch.Add(time.Second))
	if got := names(later, epoch.Add(2*time.Second)); got != "[fas-web-7 fas-web-4]" {
		t.Errorf("after a second one: got %s, want the latest first", got)
	}
	if got := names(decide.Observe(mem, []scale.Outcome{create("fas-web-4", scale.Done)}, epoch), epoch.Add(time.Second)); got != "[fas-web-1 fas-web-2]" {
		t.Errorf("once it is there: got %s, want the lowest", got)
	}
	two := snapshot(machine("1", "started"), machine("2", "stopped"))
	for after, want := range map[time.Duration]string{time.Second: "[]", time.Minute: "[destroy 2]"} {
		two.TakenAt = epoch.Add(after)
		if got, d := actions(two, exact("1", "1"), mem, two.TakenAt); got != want {
			t.Errorf("%s after it: got %s, want %s: %s", after, got, want, d.Line())
		}
	}
	s.Machines[0].Name = "fas-web-4"
	if got := names(mem, epoch.Add(time.Second)); got != "[fas-web-1 fas-web-2]" {
		t.Errorf("once it is listed: got %s, want the lowest", got)
	}
}
