package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// limit sets how many Machines a region takes; negative is without limit.
func (p *platform) limit(t *testing.T, region string, most, status int) {
	t.Helper()
	if err := p.world.SetCapacity(sim.Capacity{Region: region, Max: most, Status: status}); err != nil {
		t.Fatal(err)
	}
}

// With no room anywhere, creates are tried now and then and cost next to
// nothing; once there is room the target is reached.
func TestRefusedCreatesAreBoundedAndRecover(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnprocessableEntity, http.StatusConflict} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, workers(1, 1))
			for region, most := range map[string]int{"iad": 1, "ord": 0, "fra": 0} {
				p.limit(t, region, most, status)
			}
			p.depth(t, 6)
			s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_REGIONS=iad,ord,fra"))
			eventually(t, 20*time.Second, "a refused create", func() bool { return p.requests(t, "machine_create") > 0 })

			before := s.metric(t, "process_cpu_seconds_total")
			holds(t, 15*time.Second, "one Machine without capacity", func() bool { return p.count(t, "worker", "app") == 1 })
			cpu := s.metric(t, "process_cpu_seconds_total") - before
			tries := p.requests(t, "machine_create")
			if tries > 60 {
				t.Errorf("%d creates in 15 s without capacity, want at most 60", tries)
			}
			if cpu > 1 {
				t.Errorf("%.2f s of processor time in 15 s without capacity, want at most 1", cpu)
			}
			for _, region := range []string{"iad", "ord", "fra"} {
				p.limit(t, region, -1, status)
			}
			began := time.Now()
			eventually(t, 30*time.Second, "six Machines once there is room", func() bool { return p.count(t, "worker", "app") == 6 })
			if _, most := p.existed("worker", 1); most != 6 {
				t.Errorf("%d Machines existed at a time, want at most 6", most)
			}
			recovered := time.Since(began).Round(time.Millisecond)
			s.stop(t)
			t.Logf("%d tries and %.2f s of processor time in 15 s, %s in all; recovered in %s", tries, cpu, s.cpu(), recovered)
		})
	}
}

// A process that is refused ends when told to.
func TestEndsWhileCreatesAreRefused(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 1))
	p.limit(t, "iad", 1, 0)
	s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=9", "FAS_REGIONS=iad"))
	eventually(t, 20*time.Second, "a refused create", func() bool { return p.requests(t, "machine_create") > 0 })
	s.stopped(t, "creates are refused")
}

// A region without room is passed over for the next.
func TestFullRegionFallsBackToTheNext(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 1))
	p.limit(t, "iad", 1, 0)
	p.limit(t, "fra", 2, 0)
	p.depth(t, 7)
	serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_REGIONS=iad,fra,ord"))
	eventually(t, 30*time.Second, "seven Machines", func() bool { return p.count(t, "worker", "app") == 7 })
	in := map[string]int{}
	for _, m := range p.machines(t, "worker") {
		in[m.Region]++
	}
	if in["iad"] != 1 || in["fra"] != 2 || in["ord"] != 4 {
		t.Errorf("Machines by region: %v, want 1 in iad, 2 in fra, 4 in ord", in)
	}
}

// A Machine whose host has no room is passed over for another that stands by,
// in the same pass.
func TestRefusedStartFallsBackToAnotherMachine(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 1)+"      - {count: 3, region: iad, state: stopped, group: app}\n")
	p.depth(t, 1)
	s := serve(t, p.governed("FAS_STARTED_MACHINE_COUNT=queue_depth"))
	s.ready(t)
	// The one that would be taken is the first by its identifier.
	first := ""
	for _, m := range p.machines(t, "worker") {
		if m.State == scale.StateStopped && (first == "" || m.ID < first) {
			first = m.ID
		}
	}
	full := p.fault(t, sim.Fault{Kind: sim.FaultCapacity, Op: "machine_start", Machine: first})
	p.depth(t, 3)
	eventually(t, 20*time.Second, "three Machines run", func() bool {
		return p.count(t, "worker", "app", scale.StateStarted) == 3
	})
	for _, m := range p.did("worker", "machine_start") {
		if m.Machine == first {
			t.Errorf("Machine %s was started on a host without room", first)
		}
	}
	if n := p.struck(full); n == 0 || n > 2 {
		t.Errorf("the start was refused %d times, want once or twice", n)
	}
	s.morePasses(t, 2)
	if n := p.requests(t, "machine_start"); n > 4 {
		t.Errorf("%d starts were asked for, want at most 4", n)
	}
}
