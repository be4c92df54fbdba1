package actuate_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func stop(id scale.MachineID) scale.Action { return scale.Action{Verb: scale.Stop, Machine: id} }

func destroy(id scale.MachineID) scale.Action { return scale.Action{Verb: scale.Destroy, Machine: id} }

func TestStop(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
		p.only(p.apply(stop(p.ids[1])), scale.Done)
		p.unleased(p.ids[1])
		time.Sleep(10 * time.Second)
		if m := p.machine(p.ids[1]); m.State != scale.StateStopped {
			t.Errorf("the Machine is %s", m.State)
		}
	})
}

// A Machine that runs is stopped before it is destroyed, with the signal and the
// time of its own configuration, and never by force.
func TestDestroyStopsFirst(t *testing.T) {
	config := `{"image":"registry.fly.io/worker:1","stop_config":{"timeout":"8s","signal":"SIGTERM"}}`
	inBubble(t, []sim.MachineSpec{
		started(1),
		{Region: "iad", Group: "app", IgnoreSignals: true, Config: []byte(config)},
	}, func(t *testing.T, p *platform) {
		began := time.Now()
		p.only(p.apply(destroy(p.ids[1])), scale.Done)
		if took := time.Since(began); took < 8*time.Second || took > 12*time.Second {
			t.Errorf("took %s, want the 8s that the Machine has to stop, and little more", took)
		}
		if did := strings.Join(p.did(), " "); did != "machine_stop machine_destroy" {
			t.Errorf("did %s", did)
		}
		for _, r := range p.sent {
			if strings.HasSuffix(r.path, "/stop") && r.body != "{}" {
				t.Errorf("the stop was sent with %s, want the Machine's own signal and time", r.body)
			}
			if r.method == http.MethodDelete && strings.Contains(r.query, "force") {
				t.Errorf("destroyed by force: %+v", r)
			}
		}
	})
}

// A Machine that is slow to stop is left stopping, and destroyed by a later plan.
func TestDestroyDoesNotWaitForever(t *testing.T) {
	config := `{"image":"registry.fly.io/worker:1","stop_config":{"timeout":"40s"}}`
	inBubble(t, []sim.MachineSpec{
		started(1),
		{Region: "iad", Group: "app", IgnoreSignals: true, Config: []byte(config)},
	}, func(t *testing.T, p *platform) {
		var results []scale.Result
		for range 3 {
			results = append(results, p.apply(destroy(p.ids[1]))[0].Result)
			p.unleased(p.ids[1])
		}
		if want := []scale.Result{scale.Skipped, scale.Skipped, scale.Done}; !slices.Equal(results, want) {
			t.Errorf("got %v, want %v", results, want)
		}
		if did := strings.Join(p.did(), " "); did != "machine_stop machine_destroy" {
			t.Errorf("did %s", did)
		}
	})
}

// A Machine that is not as it was when the plan was made is left alone, and its
// lease is given back.
func TestRemovalsLookAgain(t *testing.T) {
	id := func(p *platform) string { return string(p.ids[1]) }
	stoppedMachine, startedMachine := stopped(1), started(1)
	for name, c := range map[string]struct {
		machine sim.MachineSpec
		verb    scale.Verb
		change  func(p *platform) error
		result  scale.Result
		refusal scale.Refusal
	}{
		"started again by the proxy": {stoppedMachine, scale.Destroy, func(p *platform) error {
			_, err := p.world.StartMachine(sim.Call{Request: "setup"}, app, id(p))
			return err
		}, scale.Skipped, scale.RefusedChanged},
		"cordoned": {startedMachine, scale.Stop, func(p *platform) error {
			return p.world.CordonMachine(sim.Call{Request: "setup"}, app, id(p), true)
		}, scale.Skipped, scale.RefusedChanged},
		"cordoned before destroy": {stoppedMachine, scale.Destroy, func(p *platform) error {
			return p.world.CordonMachine(sim.Call{Request: "setup"}, app, id(p), true)
		}, scale.Skipped, scale.RefusedChanged},
		"given another configuration": {startedMachine, scale.Destroy, func(p *platform) error {
			_, err := p.world.UpdateMachine(sim.Call{Request: "setup"}, app, id(p), sim.MachineInput{Config: p.machine(p.ids[1]).Config})
			return err
		}, scale.Skipped, scale.RefusedChanged},
		"moved to another group": {startedMachine, scale.Stop, func(p *platform) error {
			return p.world.EditMetadata(sim.Call{Request: "setup"}, app, id(p), "", func(m map[string]string) { m[scale.MetaProcessGroup] = "cron" })
		}, scale.Skipped, scale.RefusedChanged},
		"suspended instead of stopped": {startedMachine, scale.Stop, func(p *platform) error {
			return p.world.SuspendMachine(sim.Call{Request: "setup"}, app, id(p))
		}, scale.Skipped, scale.RefusedChanged},
		"leased by somebody else": {startedMachine, scale.Destroy, func(p *platform) error {
			_, err := p.world.AcquireLease(sim.Call{Owner: "someone@example.com"}, app, id(p), "deploy", time.Hour)
			return err
		}, scale.Refused, scale.RefusedLeased},
		"leased by a crashed process of our own": {startedMachine, scale.Stop, func(p *platform) error {
			_, err := p.api.AcquireLease(p.t.Context(), app, p.ids[1], 30*time.Second, scale.LeaseDescription)
			return err
		}, scale.Refused, scale.RefusedLeased},
		"out of reach": {startedMachine, scale.Stop, func(p *platform) error {
			_, err := p.world.SetHostStatus(sim.HostSelector{Machine: id(p)}, scale.HostUnreachable)
			return err
		}, scale.Unknown, scale.RefusedOther},
		"stopped already": {startedMachine, scale.Stop, func(p *platform) error {
			if err := p.world.StopMachine(sim.Call{Request: "setup"}, app, id(p), sim.StopInput{}); err != nil {
				return err
			}
			time.Sleep(time.Minute)
			return nil
		}, scale.Skipped, scale.RefusedChanged},
		"destroyed already": {startedMachine, scale.Destroy, func(p *platform) error {
			if err := p.world.DestroyMachine(sim.Call{Request: "setup"}, app, id(p), true); err != nil {
				return err
			}
			time.Sleep(time.Minute)
			return nil
		}, scale.Done, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []sim.MachineSpec{started(1), c.machine}, func(t *testing.T, p *platform) {
				s, plan := p.plan(scale.Action{Verb: c.verb, Machine: p.ids[1]})
				if err := c.change(p); err != nil {
					t.Fatal(err)
				}
				o := p.only(p.carryOut(t.Context(), s, plan), c.result)
				if o.Refusal != c.refusal {
					t.Errorf("%s for %s (%s), want %s", o.Result, o.Refusal, o.Reason, c.refusal)
				}
				if did := p.did(); len(did) > 0 {
					t.Errorf("did %v to a Machine that is not as planned", did)
				}
				entries, _ := p.world.History()
				held := 0
				for _, m := range entries {
					switch {
					case c.refusal == scale.RefusedLeased: // not ours to give back
					case m.Op == "machine_lease_acquire":
						held++
					case m.Op == "machine_lease_release":
						held--
					}
				}
				if held != 0 {
					t.Errorf("the lease was not given back: %+v", entries)
				}
			})
		})
	}
}

// A Machine that has gone further on its way than planned can still be
// destroyed.
func TestDestroyOfAMachineThatStoppedMeanwhile(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
		s, plan := p.plan(destroy(p.ids[1]))
		if err := p.world.StopMachine(sim.Call{Request: "setup"}, app, string(p.ids[1]), sim.StopInput{}); err != nil {
			t.Fatal(err)
		}
		p.only(p.carryOut(t.Context(), s, plan), scale.Done)
		if did := strings.Join(p.did(), " "); did != "machine_destroy" {
			t.Errorf("did %s", did)
		}
	})
}

// Lost answers to stops and destroys lead to the same end as good ones.
func TestRemovalWithoutAnAnswer(t *testing.T) {
	for _, op := range []string{"machine_stop", "machine_destroy", "machine_lease_release"} {
		for _, kind := range []sim.FaultKind{sim.FaultError, sim.FaultCut, sim.FaultHang} {
			t.Run(op+" "+string(kind), func(t *testing.T) {
				inBubble(t, []sim.MachineSpec{started(3)}, func(t *testing.T, p *platform) {
					p.fault(sim.Fault{Kind: kind, Op: op, Applied: true, Count: 1})
					p.only(p.apply(destroy(p.ids[1])), scale.Done)
					if did := strings.Join(p.did(), " "); did != "machine_stop machine_destroy" {
						t.Errorf("did %s", did)
					}
				})
			})
		}
	}
}

// Where the Machine that was to stay is gone, or nobody can tell, nothing is destroyed:
// there would be none to clone.
func TestLastMachineIsSpared(t *testing.T) {
	for name, happens := range map[string]func(p *platform) error{
		"destroyed by hand": func(p *platform) error { return p.world.DestroyMachine(sim.Call{}, app, string(p.ids[0]), true) },
		"out of reach": func(p *platform) error {
			_, err := p.world.SetHostStatus(sim.HostSelector{Machine: string(p.ids[0])}, scale.HostUnreachable)
			return err
		},
		"no answer": func(p *platform) error {
			p.fault(sim.Fault{Kind: sim.FaultError, Op: "machine_get", Machine: string(p.ids[0]), Status: http.StatusBadGateway})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []sim.MachineSpec{started(2), stopped(1)}, func(t *testing.T, p *platform) {
				s, plan := p.plan(destroy(p.ids[1]), destroy(p.ids[2]))
				if err := happens(p); err != nil {
					t.Fatal(err)
				}
				p.world.ClearHistory()
				outcomes := p.carryOut(t.Context(), s, plan)
				if len(outcomes) != 2 || outcomes[0].Result != scale.Skipped || outcomes[1].Result != scale.Skipped {
					t.Errorf("got %+v, want two that are skipped", outcomes)
				}
				if did := p.did(); len(did) > 0 {
					t.Errorf("did %v", did)
				}
			})
		})
	}
}

// A lease whose answer was lost keeps the Machine out of reach until it ends,
// and does no harm.
func TestLeaseWithoutAnAnswer(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
		p.fault(sim.Fault{Kind: sim.FaultCut, Op: "machine_lease_acquire", Applied: true, Count: 1})
		p.only(p.apply(stop(p.ids[1])), scale.Unknown)
		p.only(p.apply(stop(p.ids[1])), scale.Refused)
		if did := p.did(); len(did) > 0 {
			t.Errorf("did %v without a lease", did)
		}
		time.Sleep(31 * time.Second)
		p.only(p.apply(stop(p.ids[1])), scale.Done)
	})
}

// Past the end of its lease a removal does nothing more: the Machine may be
// somebody else's by then.
func TestRemovalEndsWithItsLease(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(2)}, func(t *testing.T, p *platform) {
		began := time.Now()
		// The second look takes 27s and the ones at the stopping Machine 9s each.
		id := string(p.ids[1])
		p.fault(sim.Fault{Kind: sim.FaultSlow, Op: "machine_get", Machine: id, Duration: sim.Duration(9 * time.Second)})
		p.fault(sim.Fault{Kind: sim.FaultError, Op: "machine_get", Machine: id, Status: http.StatusServiceUnavailable, Count: 2})
		p.only(p.apply(destroy(p.ids[1])), scale.Skipped)
		if slices.Contains(p.did(), "machine_destroy") {
			t.Errorf("the Machine was destroyed; its lease ended 30s after it was taken, and this took %s", time.Since(began))
		}
	})
}
