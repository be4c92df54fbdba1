package e2e_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// lateCreates has every create take a while, and effect also when its sender has
// died meanwhile. It returns the fault's identifier.
func (p *platform) lateCreates(t *testing.T, d time.Duration) string {
	t.Helper()
	return p.fault(t, sim.Fault{Kind: sim.FaultSlow, Op: "machine_create", Duration: sim.Duration(d), Applied: true})
}

// answeredCreates returns how many creates were answered, those refused by the
// rate limit left out: they never were under way.
func (p *platform) answeredCreates() int {
	n := 0
	for status, count := range p.Handler.Stats().Statuses["machine_create"] {
		if status != strconv.Itoa(http.StatusTooManyRequests) {
			n += count
		}
	}
	return n
}

// However often the process is killed while creates are under way, which take
// effect after its death, the count is exact and was never above.
func TestKilledWhileCreating(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 1))
	p.depth(t, 16)
	// Longer than the next process takes to start and look.
	creates := p.lateCreates(t, 1500*time.Millisecond)
	env := p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_REGIONS=iad,ord")
	underWay := 0
	for life := range 5 {
		sent := p.struck(creates)
		s := serve(t, env)
		eventually(t, 20*time.Second, "a create is under way", func() bool { return p.struck(creates) > sent })
		// From right after it was sent until shortly before its answer.
		pause(t, time.Duration(life)*250*time.Millisecond)
		answered := p.answeredCreates()
		s.kill()
		underWay += p.struck(creates) - answered
	}
	if underWay < 5 {
		t.Errorf("only %d creates were under way when the process was killed: the test shows nothing", underWay)
	}
	began := time.Now()
	s := serve(t, env)
	eventually(t, 45*time.Second, "sixteen Machines", func() bool { return p.count(t, "worker", "app") == 16 })
	s.morePasses(t, 3)
	if n, created := p.count(t, "worker", "app"), len(p.did("worker", "machine_create")); n != 16 || created != 15 {
		t.Errorf("%d Machines after %d creates, want 16 after 15", n, created)
	}
	t.Logf("%d creates were under way in five kills; at the target %s after the last start", underWay, time.Since(began).Round(time.Millisecond))
}

// Two replicas on the same app make nothing twice and take nothing twice.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 1))
	p.depth(t, 8)
	creates := p.lateCreates(t, 200*time.Millisecond)
	env := p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_REGIONS=iad,ord")
	one, two := serve(t, env), serve(t, env)
	reach := func(want int) {
		t.Helper()
		p.depth(t, want)
		eventually(t, 40*time.Second, "the count is reached", func() bool { return p.count(t, "worker", "app") == want })
		one.morePasses(t, 2)
		two.morePasses(t, 2)
		if n := p.count(t, "worker", "app"); n != want {
			t.Errorf("%d Machines, want %d", n, want)
		}
	}
	reach(8)
	reach(3)
	reach(6)
	created, destroyed := len(p.did("worker", "machine_create")), len(p.did("worker", "machine_destroy"))
	if created != 10 || destroyed != 5 {
		t.Errorf("%d Machines were created and %d destroyed, want 10 and 5", created, destroyed)
	}
	t.Logf("%d creates were sent by two replicas for 10 Machines", p.struck(creates))
}
