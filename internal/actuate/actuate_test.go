package actuate_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func start(id scale.MachineID) scale.Action { return scale.Action{Verb: scale.Start, Machine: id} }

// What adds is done before what removes, in whichever order the plan has it.
func TestUpsComeBeforeDowns(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(3), stopped(2)}, func(t *testing.T, p *platform) {
		p.fault(sim.Fault{Kind: sim.FaultSlow, Op: "machine_create", Duration: sim.Duration(5 * time.Second)})
		p.fault(sim.Fault{Kind: sim.FaultSlow, Op: "machine_start", Duration: sim.Duration(3 * time.Second)})
		for _, o := range p.apply(destroy(p.ids[1]), stop(p.ids[2]), p.create("1"), start(p.ids[3]), start(p.ids[4]), p.create("2")) {
			if o.Result != scale.Done {
				t.Errorf("%s: %s (%s)", o.Action, o.Result, o.Reason)
			}
		}
		did := p.did()
		for i, op := range did {
			if adds := op == "machine_create" || op == "machine_start"; adds != (i < 4) {
				t.Errorf("did %v, want what adds first", did)
				break
			}
		}
	})
}

// What an overview tells may be long over.
func TestNothingIsDoneFromAnOverview(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(2), stopped(1)}, func(t *testing.T, p *platform) {
		s, plan := p.plan(stop(p.ids[0]), start(p.ids[2]))
		s.Overview = true
		outcomes := p.carryOut(t.Context(), s, plan)
		if len(outcomes) != 2 || outcomes[0].Result != scale.Refused || outcomes[1].Result != scale.Refused || len(p.did()) > 0 {
			t.Errorf("did %v, outcomes %v", p.did(), outcomes)
		}
	})
}

// A start that is refused is made up for by a Machine that stands by, until
// there is none left.
func TestSparesStandIn(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(1), stopped(5)}, func(t *testing.T, p *platform) {
		for _, full := range []int{1, 3} {
			p.fault(sim.Fault{Kind: sim.FaultCapacity, Op: "machine_start", Machine: string(p.ids[full])})
		}
		s, plan := p.plan(start(p.ids[1]), start(p.ids[2]))
		_, spares := p.plan(start(p.ids[3]), start(p.ids[4]), start(p.ids[5]))
		plan.Spares = spares.Actions
		got := map[scale.MachineID]scale.Result{}
		for _, o := range p.carryOut(t.Context(), s, plan) {
			got[o.Machine] = o.Result
		}
		if got[p.ids[1]] != scale.Refused || got[p.ids[2]] != scale.Done || got[p.ids[3]] != scale.Refused || got[p.ids[4]] != scale.Done {
			t.Errorf("outcomes %v of %v", got, p.ids)
		}
		if _, used := got[p.ids[5]]; used {
			t.Error("a spare was started that nobody needed")
		}
	})
	inBubble(t, []sim.MachineSpec{started(1), stopped(3)}, func(t *testing.T, p *platform) {
		p.fault(sim.Fault{Kind: sim.FaultCapacity, Op: "machine_start"})
		s, plan := p.plan(start(p.ids[1]))
		_, spares := p.plan(start(p.ids[2]), start(p.ids[3]))
		plan.Spares = spares.Actions
		if n := len(p.carryOut(t.Context(), s, plan)); n != 3 {
			t.Errorf("%d outcomes, want one for each Machine that could be started", n)
		}
		if n := p.requests("machine_start"); n != 3 {
			t.Errorf("%d starts were sent, want 3", n)
		}
	})
}

// Whatever fails without end, the number of tries has one.
func TestTriesAreBounded(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusTooManyRequests} {
		inBubble(t, []sim.MachineSpec{started(3), stopped(1)}, func(t *testing.T, p *platform) {
			s, plan := p.plan(start(p.ids[3]), p.create("1"), stop(p.ids[1]), destroy(p.ids[2]))
			p.fault(sim.Fault{Kind: sim.FaultError, Op: "*", Status: status})
			p.handler.ResetStats()
			began := time.Now()
			for _, o := range p.carryOut(t.Context(), s, plan) {
				if o.Result == scale.Done {
					t.Errorf("%d: %s was done", status, o.Action)
				}
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%d: took %s", status, took)
			}
			if n := p.requests("machine_create"); n > 3 || n > 1 && status >= 500 {
				t.Errorf("%d: %d creates were sent", status, n)
			}
			// Two Machines may be left by the destroy, and are asked for.
			if n := p.handler.Stats().Total; n > (4+2)*3+3 {
				t.Errorf("%d: %d requests for four actions", status, n)
			}
			if did := p.did(); len(did) > 0 {
				t.Errorf("%d: did %v", status, did)
			}
		})
	}
}

// Whatever hangs, Apply returns within its grace after the pass has ended, and
// what was not begun is skipped.
func TestApplyEndsWithThePass(t *testing.T) {
	ended := errors.New("told to end")
	for op := range strings.FieldsSeq("machine_start machine_create machine_list machine_lease_acquire machine_get machine_stop machine_destroy machine_lease_release *") {
		for _, applied := range []bool{false, true} {
			name := op
			if applied {
				name += " after effect"
			}
			t.Run(name, func(t *testing.T) {
				inBubble(t, []sim.MachineSpec{started(14), stopped(1)}, func(t *testing.T, p *platform) {
					actions := []scale.Action{start(p.ids[14]), p.create("1"), p.create("2"), p.create("3"), p.create("4"), stop(p.ids[1])}
					for _, id := range p.ids[2:14] {
						actions = append(actions, destroy(id))
					}
					s, plan := p.plan(actions...)
					p.fault(sim.Fault{Kind: sim.FaultHang, Op: op, Applied: applied})
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(1500*time.Millisecond, func() { cancel(ended) })
					began := time.Now()
					p.carryOut(ctx, s, plan)
					if took := time.Since(began); took > 4500*time.Millisecond {
						t.Errorf("returned after %s, want within 3s of the end of the pass at 1.5s", took)
					}
				})
			})
		}
	}
}

// A pass that has ended before its plan begins does nothing and says so.
func TestApplyAfterThePass(t *testing.T) {
	inBubble(t, []sim.MachineSpec{started(2), stopped(1)}, func(t *testing.T, p *platform) {
		s, plan := p.plan(start(p.ids[2]), p.create("1"), stop(p.ids[1]))
		p.handler.ResetStats()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("told to end"))
		for _, o := range p.carryOut(ctx, s, plan) {
			if o.Result != scale.Skipped || o.Refusal != scale.RefusedDeadline || !strings.Contains(o.Reason, "told to end") {
				t.Errorf("%s: %s for %s (%s)", o.Action, o.Result, o.Refusal, o.Reason)
			}
		}
		if n := p.handler.Stats().Total; n != 0 {
			t.Errorf("%d requests after the end", n)
		}
	})
}
