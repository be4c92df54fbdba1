package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// A metrics server in trouble takes nothing away, and work goes on as soon as it
// is back.
func TestMetricsInTroubleRemoveNothing(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]sim.Fault{
		"error":            {Kind: sim.FaultError, Status: http.StatusInternalServerError},
		"unavailable":      {Kind: sim.FaultError, Status: http.StatusServiceUnavailable},
		"unauthorized":     {Kind: sim.FaultError, Status: http.StatusUnauthorized},
		"cut":              {Kind: sim.FaultCut},
		"never an answer":  {Kind: sim.FaultHang},
		"no rows":          {Kind: sim.FaultEmpty},
		"not a number":     {Kind: sim.FaultNaN},
		"infinite":         {Kind: sim.FaultInf},
		"several series":   {Kind: sim.FaultSeveral},
		"not even JSON":    {Kind: sim.FaultGarbage},
		"later than asked": {Kind: sim.FaultSlow, Duration: sim.Duration(5 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, workers(1, 4))
			p.depth(t, 4)
			s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_STARTED_MACHINE_COUNT=queue_depth"))
			eventually(t, 20*time.Second, "the metric is known", func() bool {
				return s.metric(t, `fas_metric_known{app="worker",metric="queue_depth",process_group="app"}`) == 1
			})
			trouble.Op = "prometheus_query"
			id := p.fault(t, trouble)
			s.morePasses(t, 2)
			p.depth(t, 1)
			s.morePasses(t, 4)
			if did := p.did("worker", changes()...); len(did) > 0 {
				t.Fatalf("while nobody knows the metric: %+v", did)
			}
			if known := s.metric(t, `fas_metric_known{app="worker",metric="queue_depth",process_group="app"}`); known != 0 {
				t.Error("the metric is said to be known")
			}

			passes := s.passes(t)
			began := time.Now()
			p.world.DropFault(id)
			eventually(t, 10*time.Second, "Machines are taken away again", func() bool {
				return len(p.did("worker", "machine_stop", "machine_destroy")) > 0
			})
			resumed := time.Since(began)
			// The pass under way when the server came back ends without the metric; the
			// one after it acts, and a third may have ended before it was counted here.
			if n := s.passes(t) - passes; n > 3 {
				t.Errorf("work resumed after %d passes, want it in the second", n)
			}
			eventually(t, 20*time.Second, "one Machine is left", func() bool {
				return p.count(t, "worker", "app") == 1 && p.count(t, "worker", "app", scale.StateStarted) == 1
			})
			t.Logf("resumed in %s", resumed.Round(time.Millisecond))
			p.fault(t, trouble)
			s.morePasses(t, 1)
			s.stopped(t, "the metrics server is in trouble")
		})
	}
}

// An app whose metric hangs does not hold up the others, on a platform that is
// slow and fails every second call.
func TestHealthyTargetConvergesWhileHalfOfEverythingIsDown(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, timings+`
seed: 3
apps:
  - app: healthy
    org: acme
    release: {version: 3, status: complete}
    machines: [{count: 2, region: iad, group: app}]
  - app: sick
    org: acme
    release: {version: 3, status: complete}
    machines: [{count: 2, region: iad, group: app}]
`)
	p.gauge(t, "acme", "healthy", "queue_depth", 4)
	p.gauge(t, "acme", "sick", "queue_depth", 1)
	p.faults(t,
		sim.Fault{Kind: sim.FaultHang, Op: "prometheus_query", App: "sick"},
		sim.Fault{Kind: sim.FaultSlow, Op: "machine_*", Duration: sim.Duration(time.Second)},
		sim.Fault{Kind: sim.FaultSlow, Op: "graphql", Duration: sim.Duration(time.Second)},
		sim.Fault{Kind: sim.FaultError, Op: "machine_*", Status: http.StatusServiceUnavailable, Probability: 0.5},
		sim.Fault{Kind: sim.FaultError, Op: "graphql", Status: http.StatusServiceUnavailable, Probability: 0.5},
	)
	s := serve(t, p.env(), "-config", writeFile(t, "config.yml", `
api-token: token
metric-collectors:
  - type: prometheus
    metric-name: queue_depth
    address: `+p.prometheus("acme")+`
    query: sum(queue_depth{app='$APP_NAME'})
targets:
  - app-name: healthy
    created-machine-count: queue_depth
  - app-name: sick
    created-machine-count: queue_depth
`))
	began := time.Now()
	eventually(t, 90*time.Second, "four Machines of the healthy app", func() bool { return p.count(t, "healthy", "app") == 4 })
	up := time.Since(began)
	p.gauge(t, "acme", "healthy", "queue_depth", 3)
	began = time.Now()
	eventually(t, 75*time.Second, "three Machines of the healthy app", func() bool { return p.count(t, "healthy", "app") == 3 })
	if least, most := p.existed("healthy", 2); least != 2 || most != 4 {
		t.Errorf("%d to %d Machines existed at a time, want 2 to 4", least, most)
	}
	if did := p.did("sick", changes()...); len(did) > 0 {
		t.Errorf("without its metric, the other app was changed: %+v", did)
	}
	t.Logf("up in %s, down in %s", up.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	s.stopped(t, "half of everything is down")
}
