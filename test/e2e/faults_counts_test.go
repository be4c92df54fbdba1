package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// unreliable is a platform on which three calls in ten fail without effect, of
// all kinds, metric queries included, and one in five of those that change a
// Machine takes effect and has its answer lost.
func unreliable() []sim.Fault {
	var list []sim.Fault
	for _, op := range []string{"machine_create", "machine_start", "machine_stop", "machine_destroy"} {
		list = append(list,
			sim.Fault{Kind: sim.FaultError, Op: op, Status: http.StatusBadGateway, Applied: true, Probability: 0.1},
			sim.Fault{Kind: sim.FaultCut, Op: op, Applied: true, Probability: 0.1},
		)
	}
	// Each is asked only when those before it did not strike: together 30 %.
	return append(list,
		sim.Fault{Kind: sim.FaultError, Status: http.StatusInternalServerError, Probability: 0.085},
		sim.Fault{Kind: sim.FaultError, Status: http.StatusServiceUnavailable, Probability: 0.085},
		sim.Fault{Kind: sim.FaultError, Status: http.StatusTooManyRequests, Probability: 0.085},
		sim.Fault{Kind: sim.FaultCut, Probability: 0.085},
	)
}

// The count of Machines that exist is exact on an unreliable platform, and no
// moment saw more of them than wanted, nor fewer on the way down.
func TestCreatedCountIsExactWhileCallsFail(t *testing.T) {
	t.Parallel()
	for seed := 1; seed <= 4; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, workers(seed, 1))
			p.depth(t, 8)
			p.faults(t, unreliable()...)
			s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_REGIONS=iad,ord"))

			began := time.Now()
			eventually(t, 60*time.Second, "eight Machines", func() bool { return p.count(t, "worker", "app") == 8 })
			up := time.Since(began)
			s.morePasses(t, 2)
			if _, most := p.existed("worker", 1); most != 8 {
				t.Errorf("%d Machines existed at a time on the way up, want at most 8", most)
			}
			p.world.ClearHistory()
			p.depth(t, 2)
			began = time.Now()
			eventually(t, 90*time.Second, "two Machines", func() bool { return p.count(t, "worker", "app") == 2 })
			down := time.Since(began)
			s.morePasses(t, 2)
			least, most := p.existed("worker", 8)
			if least != 2 || most != 8 {
				t.Errorf("%d to %d Machines existed at a time on the way down, want 2 to 8", least, most)
			}
			t.Logf("up in %s, down in %s", up.Round(time.Millisecond), down.Round(time.Millisecond))
			lost := 0
			for _, f := range p.world.Faults() {
				if f.Applied {
					lost += f.Struck
				}
			}
			if lost == 0 {
				t.Error("not one answer was lost: the test shows nothing")
			}
		})
	}
}

// The same for Machines that are started and stopped.
func TestStartedCountIsExactWhileCallsFail(t *testing.T) {
	t.Parallel()
	for seed := 1; seed <= 2; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, workers(seed, 1)+"      - {count: 8, region: iad, state: stopped, group: app}\n")
			p.depth(t, 8)
			p.faults(t, unreliable()...)
			serve(t, p.governed("FAS_STARTED_MACHINE_COUNT=queue_depth"))
			started := func() int { return p.count(t, "worker", "app", scale.StateStarted) }

			began := time.Now()
			eventually(t, 60*time.Second, "eight Machines run", func() bool { return started() == 8 })
			up := time.Since(began)
			if n := len(p.did("worker", "machine_start")); n != 7 {
				t.Errorf("%d Machines were started, want 7", n)
			}
			p.depth(t, 2)
			began = time.Now()
			eventually(t, 90*time.Second, "two Machines run", func() bool { return started() == 2 })
			if n := len(p.did("worker", "machine_stop")); n != 6 {
				t.Errorf("%d Machines were stopped, want 6", n)
			}
			if n := len(p.did("worker", "machine_create", "machine_destroy")); n != 0 {
				t.Errorf("%d Machines were created or destroyed, want none", n)
			}
			t.Logf("up in %s, down in %s", up.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		})
	}
}
