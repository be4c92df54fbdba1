package e2e_test

import (
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// Whatever the process waits for, it ends within its time when told to.
func TestEndsInTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hangs string // the operation that never answers
		lost  bool   // and took effect
		depth int
		env   []string
	}{
		"a create hangs":               {hangs: "machine_create", depth: 6},
		"a create that was made hangs": {hangs: "machine_create", lost: true, depth: 6},
		"the list of Machines hangs":   {hangs: "machine_list", depth: 6},
		"the list of apps hangs":       {hangs: "graphql", depth: 3, env: []string{"FAS_APP_NAME=work*", "FAS_ORG=acme"}},
		"the release hangs":            {hangs: "graphql", depth: 6},
		"the metrics server hangs":     {hangs: "prometheus_query", depth: 6},
		"a lease hangs":                {hangs: "machine_lease_acquire", depth: 1},
		"the second look hangs":        {hangs: "machine_get", depth: 1},
		"a stop hangs":                 {hangs: "machine_stop", depth: 1},
		"a destroy hangs":              {hangs: "machine_destroy", depth: 1},
		"giving back a lease hangs":    {hangs: "machine_lease_release", depth: 1},
		"a start hangs":                {hangs: "machine_start", depth: 6, env: []string{"FAS_STARTED_MACHINE_COUNT=queue_depth"}},
		"everything hangs":             {hangs: "*", depth: 6},
		"everything hangs on the way":  {hangs: "machine_*", lost: true, depth: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, workers(1, 3)+"      - {count: 1, region: iad, state: stopped, group: app}\n")
			p.depth(t, c.depth)
			id := p.fault(t, sim.Fault{Kind: sim.FaultHang, Op: c.hangs, Applied: c.lost})
			s := serve(t, append(p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth"), c.env...))
			eventually(t, 20*time.Second, "a call hangs", func() bool { return p.struck(id) > 0 })
			s.stopped(t, name)
		})
	}
}

// A Machine that takes its time to stop does not keep the process from ending,
// and is destroyed by the next one.
func TestEndsWhileAMachineStops(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, timings+`
apps:
  - app: worker
    org: acme
    release: {version: 3, status: complete}
    machines:
      - count: 2
        region: iad
        group: app
        ignore-signals: true
        config: {image: "registry.fly.io/worker:1", stop_config: {timeout: 8s}}
`)
	p.depth(t, 1)
	env := p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth")
	s := serve(t, env)
	eventually(t, 20*time.Second, "a Machine is stopping", func() bool {
		return p.count(t, "worker", "app", scale.StateStopping) == 1
	})
	s.stopped(t, "a Machine takes its time to stop")
	if n := len(p.did("worker", "machine_destroy")); n != 0 {
		t.Fatalf("%d Machines were destroyed before they had stopped", n)
	}
	serve(t, env)
	eventually(t, 40*time.Second, "one Machine is left, running", func() bool {
		return p.count(t, "worker", "app") == 1 && p.count(t, "worker", "app", scale.StateStarted) == 1
	})
	if stops, destroys := len(p.did("worker", "machine_stop")), len(p.did("worker", "machine_destroy")); stops != 1 || destroys != 1 {
		t.Errorf("%d Machines were stopped and %d destroyed, want one each", stops, destroys)
	}
}
