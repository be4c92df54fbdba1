package actuate_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func drain(id scale.MachineID, until time.Time) scale.Action {
	return scale.Action{Verb: scale.Drain, Machine: id, Until: until}
}

func undrain(id scale.MachineID) scale.Action { return scale.Action{Verb: scale.Undrain, Machine: id} }

func suspend(id scale.MachineID) scale.Action { return scale.Action{Verb: scale.Suspend, Machine: id} }

// bears fails the test unless the Machine bears the mark, which is empty for none, and
// is cordoned or not.
func (p *platform) bears(id scale.MachineID, mark string, cordoned bool) {
	p.t.Helper()
	metadata, err := p.world.Metadata(app, string(id))
	if err != nil {
		p.t.Fatal(err)
	}
	if got := metadata[scale.MetaDrain]; got != mark {
		p.t.Errorf("Machine %s bears the mark %q, want %q", id, got, mark)
	}
	if got := p.machine(id).Cordoned; got != cordoned {
		p.t.Errorf("Machine %s: cordoned is %v, want %v", id, got, cordoned)
	}
}

// drained drains the Machine and returns its mark.
func (p *platform) drained(id scale.MachineID) string {
	p.t.Helper()
	until := time.Now().Add(time.Minute)
	p.only(p.apply(drain(id, until)), scale.Done)
	p.bears(id, scale.DrainMark(until), true)
	return scale.DrainMark(until)
}

// hand changes the Machine's metadata as somebody else would.
func (p *platform) hand(id scale.MachineID, edit func(map[string]string)) error {
	return p.world.EditMetadata(sim.Call{Request: "setup"}, app, string(id), "", edit)
}

func (p *platform) cordon(id scale.MachineID, cordoned bool) error {
	return p.world.CordonMachine(sim.Call{Request: "setup"}, app, string(id), cordoned)
}

// A Machine is taken out of service without a restart, and put back.
func TestDrainAndUndrain(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
		before := p.machine(p.ids[1])
		mark := p.drained(p.ids[1])
		p.unleased(p.ids[1])
		if did := strings.Join(p.did(), " "); did != "metadata_set machine_cordon" {
			t.Errorf("did %s, want the mark before the cordon", did)
		}
		if m := p.machine(p.ids[1]); m.State != scale.StateStarted || m.InstanceID != before.InstanceID {
			t.Errorf("the Machine is %s, version %s", m.State, m.InstanceID)
		}
		p.bears(p.ids[1], mark, true)

		p.only(p.apply(undrain(p.ids[1])), scale.Done)
		p.unleased(p.ids[1])
		p.bears(p.ids[1], "", false)
		if did := strings.Join(p.did(), " "); did != "metadata_set machine_cordon machine_uncordon metadata_set" {
			t.Errorf("did %s, want the cordon off before the mark", did)
		}
		p.bears(p.ids[0], "", false)
	})
}

// A crash, or a platform that fails, between the two calls leaves a Machine that bears
// the mark and is not cordoned: it is ours, and either is simply done again.
func TestDrainIsTakenUpAgain(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
		until := time.Now().Add(time.Minute)
		p.fault(sim.Fault{Kind: sim.FaultError, Op: "machine_cordon", Status: http.StatusBadGateway, Count: 3})
		p.only(p.apply(drain(p.ids[1], until)), scale.Unknown)
		p.unleased(p.ids[1])
		p.bears(p.ids[1], scale.DrainMark(until), false)
		later := until.Add(time.Minute)
		p.only(p.apply(drain(p.ids[1], later)), scale.Done)
		p.bears(p.ids[1], scale.DrainMark(later), true)

		p.fault(sim.Fault{Kind: sim.FaultError, Op: "metadata_delete", Status: http.StatusBadGateway, Count: 3})
		p.only(p.apply(undrain(p.ids[1])), scale.Unknown)
		p.bears(p.ids[1], scale.DrainMark(later), false)
		p.only(p.apply(undrain(p.ids[1])), scale.Done)
		p.bears(p.ids[1], "", false)
	})
}

// A lost answer is asked for again, and a refusal of the first call changes nothing.
func TestDrainWithoutAnswers(t *testing.T) {
	for op := range strings.FieldsSeq("metadata_set machine_cordon machine_uncordon metadata_delete") {
		inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
			p.fault(sim.Fault{Kind: sim.FaultCut, Op: op, Applied: true, Count: 1})
			p.drained(p.ids[1])
			p.only(p.apply(undrain(p.ids[1])), scale.Done)
			p.bears(p.ids[1], "", false)
		})
	}
	inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
		p.fault(sim.Fault{Kind: sim.FaultError, Op: "metadata_set", Status: http.StatusUnprocessableEntity, Message: "no", Count: 1})
		p.only(p.apply(drain(p.ids[1], time.Now().Add(time.Minute))), scale.Refused)
		p.bears(p.ids[1], "", false)
		mark := p.drained(p.ids[1])
		p.fault(sim.Fault{Kind: sim.FaultError, Op: "machine_uncordon", Status: http.StatusUnprocessableEntity, Message: "no", Count: 1})
		p.only(p.apply(undrain(p.ids[1])), scale.Refused)
		p.bears(p.ids[1], mark, true)
	})
}

// What somebody else did to the Machine since the plan was made stays as it is.
func TestDrainsLookAgain(t *testing.T) {
	for name, c := range map[string]struct {
		drained bool // when the plan is made
		verb    scale.Verb
		change  func(p *platform, id scale.MachineID) error
		refusal scale.Refusal
	}{
		"a person cordoned it": {false, scale.Drain, func(p *platform, id scale.MachineID) error {
			return p.cordon(id, true)
		}, scale.RefusedChanged},
		"another replica drained it": {false, scale.Drain, func(p *platform, id scale.MachineID) error {
			return p.hand(id, func(m map[string]string) { m[scale.MetaDrain] = "2026-01-01T00:00:00Z" })
		}, scale.RefusedChanged},
		"it stopped": {false, scale.Drain, func(p *platform, id scale.MachineID) error {
			err := p.world.StopMachine(sim.Call{Request: "setup"}, app, string(id), sim.StopInput{})
			time.Sleep(time.Minute)
			return err
		}, scale.RefusedChanged},
		"a deploy holds it": {false, scale.Drain, func(p *platform, id scale.MachineID) error {
			_, err := p.world.AcquireLease(sim.Call{Owner: "someone@example.com"}, app, string(id), "deploy", time.Hour)
			return err
		}, scale.RefusedLeased},
		"another replica took it back": {true, scale.Stop, func(p *platform, id scale.MachineID) error {
			if err := p.cordon(id, false); err != nil {
				return err
			}
			return p.hand(id, func(m map[string]string) { delete(m, scale.MetaDrain) })
		}, scale.RefusedChanged},
		"a person uncordoned it": {true, scale.Destroy, func(p *platform, id scale.MachineID) error {
			return p.cordon(id, false)
		}, scale.RefusedChanged},
		"drained by another replica, it is not stopped": {false, scale.Suspend, func(p *platform, id scale.MachineID) error {
			return p.hand(id, func(m map[string]string) { m[scale.MetaDrain] = "2026-01-01T00:00:00Z" })
		}, scale.RefusedChanged},
		"a cordon without our mark stays": {true, scale.Undrain, func(p *platform, id scale.MachineID) error {
			return p.hand(id, func(m map[string]string) { delete(m, scale.MetaDrain) })
		}, scale.RefusedChanged},
		"it is of another group": {true, scale.Undrain, func(p *platform, id scale.MachineID) error {
			return p.hand(id, func(m map[string]string) { m[scale.MetaProcessGroup] = "cron" })
		}, scale.RefusedChanged},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
				id := p.ids[1]
				if c.drained {
					p.drained(id)
				}
				s, plan := p.plan(scale.Action{Verb: c.verb, Machine: id, Until: time.Now().Add(time.Minute)})
				if err := c.change(p, id); err != nil {
					t.Fatal(err)
				}
				metadata, _ := p.world.Metadata(app, string(id))
				cordoned, done := p.machine(id).Cordoned, len(p.did())
				if o := p.carryOut(t.Context(), s, plan)[0]; o.Result == scale.Done || o.Refusal != c.refusal {
					t.Errorf("%s for %s (%s), want %s", o.Result, o.Refusal, o.Reason, c.refusal)
				}
				after, _ := p.world.Metadata(app, string(id))
				if did := p.did()[done:]; len(did) > 0 || !maps.Equal(metadata, after) || cordoned != p.machine(id).Cordoned {
					t.Errorf("did %v to a Machine that is not as planned", did)
				}
			})
		})
	}
}

// A Machine that drained is stopped or suspended, and then may be woken again. Should
// its mark stay, because of a crash, it is taken off later, by itself or with a start.
func TestDrainedMachinesRest(t *testing.T) {
	for _, c := range []struct {
		act  func(scale.MachineID) scale.Action
		want scale.State
	}{{stop, scale.StateStopped}, {suspend, scale.StateSuspended}} {
		inBubble(t, []sim.MachineSpec{started(3)}, func(t *testing.T, p *platform) {
			p.drained(p.ids[1])
			p.only(p.apply(c.act(p.ids[1])), scale.Done)
			p.unleased(p.ids[1])
			p.bears(p.ids[1], "", false)

			mark := p.drained(p.ids[2])
			p.fault(sim.Fault{Kind: sim.FaultError, Op: "machine_uncordon", Status: http.StatusBadGateway, Count: 3})
			p.only(p.apply(c.act(p.ids[2])), scale.Done)
			p.bears(p.ids[2], mark, true)
			time.Sleep(time.Minute)
			for _, id := range p.ids[1:] {
				if got := p.machine(id).State; got != c.want {
					t.Errorf("the Machine is %s, want %s", got, c.want)
				}
			}
			p.only(p.apply(undrain(p.ids[2])), scale.Done)
			p.bears(p.ids[2], "", false)
		})
	}
	inBubble(t, []sim.MachineSpec{started(1), stopped(1)}, func(t *testing.T, p *platform) {
		if err := p.hand(p.ids[1], func(m map[string]string) { m[scale.MetaDrain] = "2026-01-01T00:00:00Z" }); err != nil {
			t.Fatal(err)
		}
		if err := p.cordon(p.ids[1], true); err != nil {
			t.Fatal(err)
		}
		p.only(p.apply(start(p.ids[1])), scale.Done)
		p.bears(p.ids[1], "", false)
		time.Sleep(time.Minute)
		if got := p.machine(p.ids[1]).State; got != scale.StateStarted {
			t.Errorf("the Machine is %s", got)
		}
	})
}

func TestDrainedMachinesAreDestroyed(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
		p.drained(p.ids[1])
		p.only(p.apply(destroy(p.ids[1])), scale.Done)
		if did := strings.Join(p.did()[2:], " "); did != "machine_stop machine_destroy" {
			t.Errorf("did %s", did)
		}
	})
}

// What the platform does not suspend is stopped, and it is said why.
func TestSuspendFallsBackToStop(t *testing.T) {
	config := `{"image":"registry.fly.io/worker:1","guest":{"cpu_kind":"shared","cpus":2,"memory_mb":4096}}`
	inBubble(t, []sim.MachineSpec{started(1), {Region: "iad", Group: "app", Config: []byte(config)}}, func(t *testing.T, p *platform) {
		o := p.only(p.apply(suspend(p.ids[1])), scale.Done)
		if !strings.Contains(o.Reason, "stopped") || !strings.Contains(o.Reason, "2048 MB") {
			t.Errorf("done for %q, want it said that and why it was stopped", o.Reason)
		}
		if did := strings.Join(p.did(), " "); did != "machine_stop" {
			t.Errorf("did %s", did)
		}
	})
	// A platform that is in trouble is no reason to lose what the Machine has in memory.
	inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
		p.fault(sim.Fault{Kind: sim.FaultError, Op: "machine_suspend", Status: http.StatusServiceUnavailable})
		p.only(p.apply(suspend(p.ids[1])), scale.Unknown)
		if did := p.did(); len(did) > 0 {
			t.Errorf("did %v", did)
		}
	})
}

// When a Machine that was to serve again does not, none of those that do is taken; a
// Machine that stands by starts in its place.
func TestNothingGoesForWhatDoesNotComeBack(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(4), stopped(2)}, func(t *testing.T, p *platform) {
		p.drained(p.ids[1])
		p.drained(p.ids[3])
		s, plan := p.plan(undrain(p.ids[1]), drain(p.ids[2], time.Now().Add(time.Minute)), stop(p.ids[3]), destroy(p.ids[4]))
		_, spares := p.plan(start(p.ids[5]))
		plan.Spares = spares.Actions
		p.fault(sim.Fault{Kind: sim.FaultError, Op: "machine_uncordon", Machine: string(p.ids[1]), Status: http.StatusUnprocessableEntity, Message: "no"})
		got := map[scale.MachineID]scale.Result{}
		for _, o := range p.carryOut(t.Context(), s, plan) {
			got[o.Machine] = o.Result
		}
		want := map[scale.MachineID]scale.Result{p.ids[1]: scale.Refused, p.ids[2]: scale.Skipped, p.ids[3]: scale.Done, p.ids[4]: scale.Done, p.ids[5]: scale.Done}
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		p.bears(p.ids[2], "", false)
	})
}

// A clone serves, whatever its template does, and nothing protects it that it did not
// ask for.
func TestCloneOfADrainedMachine(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		if err := p.hand(p.ids[0], func(m map[string]string) { m["busy"] = "yes" }); err != nil {
			t.Fatal(err)
		}
		p.drained(p.ids[0])
		create := p.create("1")
		create.Omit = "busy"
		o := p.only(p.apply(create), scale.Done)
		p.bears(o.Machine, "", false)
		if metadata, _ := p.world.Metadata(app, string(o.Machine)); metadata["busy"] != "" {
			t.Errorf("the clone has %v", metadata)
		}
	})
}
