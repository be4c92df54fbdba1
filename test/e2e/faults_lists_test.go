package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// shops is a scenario with three apps that one pattern matches, each with
// Machines in two regions.
func shops() string {
	app := func(name string) string {
		return `
  - app: shop-` + name + `
    org: acme
    release: {version: 3, status: complete}
    machines: [{count: 2, region: iad, group: app}, {count: 1, region: ord, group: app}]`
	}
	return timings + "apps:" + app("a") + app("b") + app("c") + "\n"
}

func (p *platform) shopEnv(more ...string) []string {
	return p.env(append([]string{
		"FAS_APP_NAME=shop-*", "FAS_ORG=acme", "FAS_API_TOKEN=token", "FAS_REGIONS=iad,ord",
		"FAS_PROMETHEUS_ADDRESS=" + p.prometheus("acme"), "FAS_PROMETHEUS_METRIC_NAME=queue_depth",
		"FAS_PROMETHEUS_QUERY=sum(queue_depth{app='$APP_NAME'})", "FAS_CREATED_MACHINE_COUNT=queue_depth",
	}, more...)...)
}

// One app whose list of Machines is wrong for a moment, or fails for as long as
// it likes, does not trouble the others, and nothing of it is made twice or taken
// away.
func TestListOfOneAppInTrouble(t *testing.T) {
	t.Parallel()
	apps := []string{"shop-a", "shop-b", "shop-c"}
	for name, c := range map[string]struct {
		fault   sim.Fault
		atStart bool
	}{
		"empty once":           {fault: sim.Fault{Kind: sim.FaultEmpty, Count: 1}},
		"empty first":          {fault: sim.Fault{Kind: sim.FaultEmpty, Count: 1}, atStart: true},
		"empty for long":       {fault: sim.Fault{Kind: sim.FaultEmpty}},
		"short once":           {fault: sim.Fault{Kind: sim.FaultPartial, Regions: []string{"iad"}, Count: 1}},
		"error":                {fault: sim.Fault{Kind: sim.FaultError, Status: http.StatusInternalServerError}},
		"error from the start": {fault: sim.Fault{Kind: sim.FaultError, Status: http.StatusInternalServerError}, atStart: true},
		"hang":                 {fault: sim.Fault{Kind: sim.FaultHang}},
		"not found":            {fault: sim.Fault{Kind: sim.FaultError, Status: http.StatusNotFound}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, shops())
			// A token that may not see the organization's list: each app's own is read.
			p.fault(t, sim.Fault{Kind: sim.FaultError, Op: "org_machine_list", Status: http.StatusForbidden})
			fault := c.fault
			fault.Op, fault.App = "machine_list", "shop-b"
			for _, app := range apps {
				p.gauge(t, "acme", app, "queue_depth", 3)
			}
			var id string
			if c.atStart {
				id = p.fault(t, fault)
			}
			s := serve(t, p.shopEnv())
			s.ready(t)
			s.morePasses(t, 3)
			if !c.atStart {
				id = p.fault(t, fault)
			}
			eventually(t, 20*time.Second, "the list is in trouble", func() bool { return p.struck(id) > 0 })
			s.morePasses(t, 4)
			for _, app := range apps {
				if did := p.did(app, changes()...); len(did) > 0 {
					t.Errorf("%s has the Machines that are wanted, and yet: %+v", app, did)
				}
			}
			for _, app := range []string{"shop-a", "shop-c"} {
				p.gauge(t, "acme", app, "queue_depth", 5)
				eventually(t, 20*time.Second, "five Machines of "+app, func() bool { return p.count(t, app, "app") == 5 })
			}
			p.gauge(t, "acme", "shop-a", "queue_depth", 2)
			eventually(t, 20*time.Second, "two Machines of shop-a", func() bool { return p.count(t, "shop-a", "app") == 2 })
			if did := p.did("shop-b", changes()...); len(did) > 0 {
				t.Errorf("shop-b has the Machines that are wanted, and yet: %+v", did)
			}

			p.world.DropFault(id)
			p.gauge(t, "acme", "shop-b", "queue_depth", 4)
			eventually(t, 30*time.Second, "four Machines of shop-b", func() bool { return p.count(t, "shop-b", "app") == 4 })
			s.morePasses(t, 4)
			if least, most := p.existed("shop-b", 3); least != 3 || most != 4 {
				t.Errorf("%d to %d Machines of shop-b existed at a time, want 3 to 4", least, most)
			}
			p.fault(t, fault)
			s.stopped(t, "the list of Machines is in trouble")
		})
	}
}

// lagging starts the program on a platform that is old enough to have a past, and
// from then on has its lists show what was some time ago.
func (p *platform) lagging(t *testing.T, lag time.Duration) *process {
	t.Helper()
	began := p.world.Now()
	s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth"))
	s.ready(t)
	eventually(t, 2*lag, "the platform is old enough to show its past", func() bool { return p.world.Now().Sub(began) > lag })
	p.fault(t, sim.Fault{Kind: sim.FaultStale, Op: "machine_list", Duration: sim.Duration(lag)})
	return s
}

// Lists that show what was seconds ago make nothing twice and take nothing
// twice.
func TestListsThatLag(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 2))
	p.depth(t, 2)
	s := p.lagging(t, 4*time.Second)
	for _, want := range []int{6, 3, 5} {
		p.depth(t, want)
		eventually(t, 40*time.Second, "the count is reached", func() bool { return p.count(t, "worker", "app") == want })
		// Longer than the lists lag.
		s.morePasses(t, 6)
		if n := p.count(t, "worker", "app"); n != want {
			t.Errorf("%d Machines, want %d", n, want)
		}
	}
	created, destroyed := len(p.did("worker", "machine_create")), len(p.did("worker", "machine_destroy"))
	if created != 6 || destroyed != 3 {
		t.Errorf("%d Machines were created and %d destroyed, want 6 and 3", created, destroyed)
	}
}

// A create whose answer was lost, and which no list shows for seconds, is not
// made again.
func TestLostAnswersWhileListsLag(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 2))
	p.depth(t, 2)
	s := p.lagging(t, 4*time.Second)
	lost := p.fault(t, sim.Fault{Kind: sim.FaultCut, Op: "machine_create", Applied: true, Probability: 0.6})
	p.depth(t, 8)
	eventually(t, 40*time.Second, "eight Machines", func() bool { return p.count(t, "worker", "app") == 8 })
	s.morePasses(t, 6)
	if n, created := p.count(t, "worker", "app"), len(p.did("worker", "machine_create")); n != 8 || created != 6 {
		t.Errorf("%d Machines after %d creates, want 8 after 6", n, created)
	}
	if p.struck(lost) == 0 {
		t.Error("not one answer was lost: the test shows nothing")
	}
	t.Logf("the answers of %d creates were lost", p.struck(lost))
}
