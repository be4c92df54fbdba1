package actuate_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func TestCreate(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		o := p.only(p.apply(p.create("1")), scale.Done)
		m := p.machine(o.Machine)
		if m.Name != "fas-app-1" || m.Region != "iad" || m.Metadata[scale.MetaCreateID] != "fas-app-1.1" || m.Metadata[scale.MetaNotLaunched] != "" {
			t.Errorf("created %+v", m)
		}
		if o.Region != "iad" || o.Clone == nil || o.Clone.ID != o.Machine {
			t.Errorf("outcome %+v does not tell the Machine", o)
		}
		resting := p.create("2")
		resting.Launch = false
		m = p.machine(p.only(p.apply(resting), scale.Done).Machine)
		time.Sleep(time.Minute)
		if m = p.machine(scale.MachineID(m.ID)); m.State != scale.StateCreated || m.Metadata[scale.MetaNotLaunched] == "" {
			t.Errorf("a Machine that was not to boot is %s, marked %q", m.State, m.Metadata[scale.MetaNotLaunched])
		}
	})
}

// A name that a Machine bears from an earlier try of the same create stands for
// that create.
func TestCreateAdoptsAnEarlierTry(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		s, plan := p.plan(p.create("1"))
		first := p.only(p.carryOut(t.Context(), s, plan), scale.Done)
		// Another replica, or the same process after a crash, that had read the list
		// before.
		second := p.only(p.carryOut(t.Context(), s, plan), scale.Done)
		if second.Machine != first.Machine || second.Clone == nil {
			t.Errorf("the second create gave %s, want %s of the first", second.Machine, first.Machine)
		}
		if did := p.did(); len(did) != 1 {
			t.Errorf("did %v, want one create", did)
		}
	})
}

// A name that a Machine on its way out still holds is waited for. Under another
// name, the create would be made again by a replica that comes when it is free.
func TestCreateWaitsForTheNameOfAMachineBeingDestroyed(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		s, plan := p.plan(p.create("1"))
		holder := p.only(p.carryOut(t.Context(), s, plan), scale.Done).Machine
		if err := p.world.DestroyMachine(sim.Call{}, app, string(holder), true); err != nil {
			t.Fatal(err)
		}
		p.only(p.carryOut(t.Context(), s, plan), scale.Skipped)
		time.Sleep(2 * time.Second)
		one := p.only(p.carryOut(t.Context(), s, plan), scale.Done)
		two := p.only(p.carryOut(t.Context(), s, plan), scale.Done)
		if one.Machine == holder || one.Machine != two.Machine {
			t.Errorf("one replica has %s and the other %s, want one new Machine", one.Machine, two.Machine)
		}
		if did := strings.Join(p.did(), " "); did != "machine_create machine_destroy machine_create" {
			t.Errorf("did %s", did)
		}
	})
}

// A name that the platform does not give free after its Machine is gone is passed
// over for one that everyone arrives at.
func TestCreatePastANameThatIsNotGivenFree(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		s, plan := p.plan(p.create("1"))
		const holder = "d891234f567890"
		taken := sim.Fault{
			Kind: sim.FaultError, Op: "machine_create", Status: http.StatusConflict, Count: 2,
			Message: `already_exists: unique machine name violation, machine ID ` + holder + ` already exists with name "fas-app-1"`,
		}
		p.fault(taken)
		o := p.only(p.carryOut(t.Context(), s, plan), scale.Done)
		if name := p.machine(o.Machine).Name; name != "fas-app-1-"+holder {
			t.Errorf("the clone is named %q", name)
		}
		p.fault(taken)
		p.only(p.carryOut(t.Context(), s, plan), scale.Unknown)
		if did := strings.Join(p.did(), " "); did != "machine_create" {
			t.Errorf("did %s", did)
		}
	})
}

// A name that came free between the refusal and the look at its holder is taken
// as it is.
func TestCreateUnderANameThatCameFree(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		p.fault(sim.Fault{
			Kind: sim.FaultError, Op: "machine_create", Status: http.StatusConflict, Count: 1,
			Message: `already_exists: unique machine name violation, machine ID d891234f567890 already exists with name "fas-app-1"`,
		})
		o := p.only(p.apply(p.create("1")), scale.Done)
		if name := p.machine(o.Machine).Name; name != "fas-app-1" {
			t.Errorf("the clone is named %q", name)
		}
	})
}

// A name that a Machine of another group bears is nothing to adopt.
func TestCreateDoesNotAdoptAnotherGroup(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		config := p.machine(p.ids[0]).Config
		if _, _, err := p.world.CreateMachine(sim.Call{}, app, sim.MachineInput{
			Name: "fas-app-1", Region: "iad", Config: []byte(strings.Replace(string(config), `"app"`, `"cron"`, 1)),
		}); err != nil {
			t.Fatal(err)
		}
		p.only(p.apply(p.create("1")), scale.Refused)
	})
}

// A create that took effect and whose answer was lost is found again; one that
// had no effect is not repeated on the spot.
func TestCreateWithoutAnAnswer(t *testing.T) {
	for name, f := range map[string]sim.Fault{
		"502":     {Kind: sim.FaultError, Status: http.StatusBadGateway},
		"cut":     {Kind: sim.FaultCut},
		"timeout": {Kind: sim.FaultError, Status: http.StatusRequestTimeout},
		"hang":    {Kind: sim.FaultHang},
	} {
		f.Op, f.Count = "machine_create", 1
		t.Run(name+" after effect", func(t *testing.T) {
			inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
				lost := f
				lost.Applied = true
				p.fault(lost)
				o := p.only(p.apply(p.create("1")), scale.Done)
				if m := p.machine(o.Machine); m.Name != "fas-app-1" {
					t.Errorf("found %q", m.Name)
				}
				if n := p.requests("machine_create"); n != 1 {
					t.Errorf("%d creates were sent, want 1", n)
				}
			})
		})
		t.Run(name+" without effect", func(t *testing.T) {
			inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
				p.fault(f)
				p.only(p.apply(p.create("1")), scale.Unknown)
				if n := p.requests("machine_create"); n != 1 {
					t.Errorf("%d creates were sent, want 1", n)
				}
				p.only(p.apply(p.create("1")), scale.Done)
			})
		})
	}
}

// A list that lags shows the Machine that bore the name before. It is not the one
// whose create got no answer.
func TestLostCreateIsNotTakenForOneOfTheSameName(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		before := p.only(p.apply(p.create("1")), scale.Done)
		time.Sleep(time.Minute)
		p.world.Advance(time.Now())
		if err := p.world.DestroyMachine(sim.Call{}, app, string(before.Machine), true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		p.fault(sim.Fault{Kind: sim.FaultCut, Op: "machine_create", Applied: true})
		p.fault(sim.Fault{Kind: sim.FaultStale, Op: "machine_list", Duration: sim.Duration(10 * time.Second)})
		again := p.create("1")
		again.CreateID = "another"
		p.only(p.apply(again), scale.Unknown)
	})
}

// A full region is passed over for the next, and is not asked again for each
// Machine.
func TestCreateFallsBackToTheNextRegion(t *testing.T) {
	for _, status := range []int{http.StatusUnprocessableEntity, http.StatusConflict} {
		inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
			if err := p.world.SetCapacity(sim.Capacity{Region: "iad", Max: 0, Status: status}); err != nil {
				t.Fatal(err)
			}
			var actions []scale.Action
			for _, n := range []string{"1", "2", "3", "4", "5", "6"} {
				a := p.create(n)
				a.Fallbacks = []scale.Region{"ord"}
				actions = append(actions, a)
			}
			for _, o := range p.apply(actions...) {
				if o.Result != scale.Done || o.Region != "ord" {
					t.Errorf("%s: %s in %q (%s)", o.Action, o.Result, o.Region, o.Reason)
				}
			}
			// Those that were under way when the region first refused.
			if n := p.requests("machine_create"); n > 9 {
				t.Errorf("%d creates for six Machines, want at most 9", n)
			}
		})
	}
}

// Without room anywhere each region is tried by the creates under way, not by
// all.
func TestCreatesWithoutCapacityAreBounded(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		p.fault(sim.Fault{Kind: sim.FaultCapacity, Op: "machine_create"})
		var actions []scale.Action
		for range 20 {
			a := p.create("x")
			a.Fallbacks = []scale.Region{"ord", "fra"}
			actions = append(actions, a)
		}
		for _, o := range p.apply(actions...) {
			if o.Result == scale.Done || o.Refusal != scale.RefusedCapacity {
				t.Errorf("%s: %s, %s (%s)", o.Action, o.Result, o.Refusal, o.Reason)
			}
		}
		if n := p.requests("machine_create"); n > 9 {
			t.Errorf("%d creates in three full regions, want at most 9", n)
		}
	})
}

// A refusal that the next create would meet in the same words ends the creates
// of this plan.
func TestHopelessCreatesAreNotRepeated(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusBadRequest} {
		inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
			p.fault(sim.Fault{Kind: sim.FaultError, Op: "machine_create", Status: status, Message: "no"})
			var actions []scale.Action
			for range 10 {
				actions = append(actions, p.create("x"))
			}
			for _, o := range p.apply(actions...) {
				if o.Result != scale.Refused && o.Result != scale.Skipped {
					t.Errorf("%d: %s (%s)", status, o.Result, o.Reason)
				}
			}
			if n := p.requests("machine_create"); n > 3 {
				t.Errorf("%d: %d creates were sent, want at most 3", status, n)
			}
		})
	}
}

// A template that is gone, or cannot be cloned, is refused without a request.
func TestCreateWithoutATemplate(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1), {Region: "iad", Group: "app", HostStatus: scale.HostUnreachable}}, func(t *testing.T, p *platform) {
		gone, lost := p.create("1"), p.create("2")
		gone.Template, lost.Template = "00000000000000", p.ids[1]
		for _, o := range p.apply(gone, lost) {
			if o.Result != scale.Refused {
				t.Errorf("%s: %s", o.Action, o.Result)
			}
		}
		if n := p.requests("machine_create"); n != 0 {
			t.Errorf("%d creates were sent", n)
		}
	})
}

// Creates that the time of the pass has no room for are skipped, and are not
// begun.
func TestCreatesEndWithThePass(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1)}, func(t *testing.T, p *platform) {
		var actions []scale.Action
		for n := range strings.FieldsSeq("1 2 3 4 5 6 7 8 9 10 11 12") {
			actions = append(actions, p.create(n))
		}
		s, plan := p.plan(actions...)
		// The platform takes three at once and then one a second.
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		began := time.Now()
		count := map[scale.Result]int{}
		for _, o := range p.carryOut(ctx, s, plan) {
			count[o.Result]++
			if o.Result == scale.Skipped && o.Refusal != scale.RefusedDeadline {
				t.Errorf("%s: skipped for %s (%s)", o.Action, o.Refusal, o.Reason)
			}
		}
		if took := time.Since(began); took > 3500*time.Millisecond+3*time.Second {
			t.Errorf("took %s", took)
		}
		if did := len(p.did()); count[scale.Done] != did || did < 6 || did > 9 || count[scale.Skipped] != 12-did {
			t.Errorf("%v with %d created, want what there was time for done and the rest skipped", count, did)
		}
	})
}
