package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// release changes the status of the app's release as a deploy does.
func (p *platform) release(t *testing.T, status string, isNew bool) {
	t.Helper()
	if _, err := p.world.PutRelease(sim.Call{Request: "deploy"}, "worker", sim.ReleaseInput{Status: status, New: isNew}); err != nil {
		t.Fatal(err)
	}
}

// While a release is rolled out the app is left alone, whichever way the count
// goes; afterwards work goes on.
func TestNothingIsDoneDuringADeploy(t *testing.T) {
	t.Parallel()
	for name, depth := range map[string]int{"more wanted": 6, "fewer wanted": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, workers(1, 3))
			p.depth(t, depth)
			p.release(t, "running", true)
			s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth"))
			s.ready(t)
			s.morePasses(t, 5)
			if did := p.did("worker", append(changes(), "machine_lease_acquire")...); len(did) > 0 {
				t.Fatalf("during a deploy: %+v", did)
			}
			passes := s.passes(t)
			p.release(t, "complete", false)
			eventually(t, 10*time.Second, "work goes on", func() bool {
				return len(p.did("worker", "machine_create", "machine_stop", "machine_destroy")) > 0
			})
			if n := s.passes(t) - passes; n > 3 {
				t.Errorf("work went on after %d passes, want it in the first or second", n)
			}
			eventually(t, 30*time.Second, "the count is reached", func() bool { return p.count(t, "worker", "app") == depth })
		})
	}
}

// While somebody else holds the lease of any Machine of the app, the app is left
// alone; once the lease has ended, work goes on.
func TestNothingIsDoneUnderALeaseOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for name, depth := range map[string]int{"more wanted": 6, "fewer wanted": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The leased Machine is of another group.
			p := newPlatform(t, workers(1, 3)+"      - {count: 1, region: iad, group: cron}\n")
			var leased string
			for _, m := range p.machines(t, "worker") {
				if m.Group == "cron" {
					leased = m.ID
				}
			}
			lease, err := p.world.AcquireLease(sim.Call{Owner: "someone@example.com"}, "worker", leased, "deploy", 8*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			p.depth(t, depth)
			serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth"))
			eventually(t, 40*time.Second, "the count is reached", func() bool { return p.count(t, "worker", "app") == depth })
			// The platform's clock is up to a second behind that of the program.
			ends := lease.ExpiresAt.Add(-time.Second)
			for _, m := range p.did("worker", changes()...) {
				if m.At.Before(ends) {
					t.Errorf("%s of Machine %s at %s, under a lease until %s", m.Op, m.Machine, m.At, lease.ExpiresAt)
				}
			}
			if late := p.did("worker", changes()...)[0].At.Sub(ends); late > 5*time.Second {
				t.Errorf("work went on %s after the lease ended", late)
			}
		})
	}
}

// When nobody can tell whether a release is rolled out, what adds goes ahead and
// what removes waits.
func TestReleasesOutOfReachHoldBackRemovals(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sim.Fault{
		"error": {Kind: sim.FaultError, Op: "graphql", Status: http.StatusInternalServerError},
		"hang":  {Kind: sim.FaultHang, Op: "graphql"},
		"cut":   {Kind: sim.FaultCut, Op: "graphql"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, workers(1, 3)+"      - {count: 2, region: iad, state: stopped, group: app}\n")
			p.depth(t, 7)
			id := p.fault(t, fault)
			s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_STARTED_MACHINE_COUNT=queue_depth"))
			began := time.Now()
			eventually(t, 60*time.Second, "seven Machines run", func() bool {
				return p.count(t, "worker", "app", scale.StateStarted) == 7
			})
			t.Logf("added in %s", time.Since(began).Round(time.Millisecond))
			p.depth(t, 2)
			eventually(t, 60*time.Second, "fewer are wanted", func() bool {
				return s.metric(t, `fas_metric_value{app="worker",metric="queue_depth",process_group="app"}`) == 2
			})
			if did := p.did("worker", "machine_stop", "machine_destroy"); len(did) > 0 {
				t.Fatalf("removed without knowing of releases: %+v", did)
			}
			p.world.DropFault(id)
			eventually(t, 60*time.Second, "two Machines are left", func() bool { return p.count(t, "worker", "app") == 2 })
		})
	}
}
