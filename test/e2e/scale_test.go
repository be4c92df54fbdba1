package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// The main job: Machines follow a metric, up and down, created and destroyed,
// started and stopped.
func TestMachinesFollowTheMetric(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, `
apps:
  - app: worker
    org: acme
    release: {version: 3, status: complete}
    machines:
      - {count: 1, region: iad, state: started, group: app}
      - {count: 2, region: iad, state: stopped, group: app}
`)
	p.gauge(t, "acme", "worker", "queue_depth", 10)
	s := serve(t, p.env(
		"FAS_APP_NAME=worker", "FAS_API_TOKEN=token", "FAS_REGIONS=iad,ord",
		"FAS_CREATED_MACHINE_COUNT=max(3, ceil(queue_depth / 10))", "FAS_STARTED_MACHINE_COUNT=ceil(queue_depth / 10)",
		"FAS_PROMETHEUS_ADDRESS="+p.prometheus("acme"), "FAS_PROMETHEUS_METRIC_NAME=queue_depth",
		"FAS_PROMETHEUS_QUERY=sum(queue_depth{app='$APP_NAME'})",
	))
	eventually(t, 10*time.Second, "ready", func() bool {
		status, _ := getStatus(t, s.address+"/readyz")
		return status == 200
	})
	p.gauge(t, "acme", "worker", "queue_depth", 58)
	eventually(t, 30*time.Second, "six Machines started", func() bool {
		return p.count(t, "worker", "app", scale.StateStarted) == 6 && p.count(t, "worker", "app") == 6
	})
	if body := get(t, s.address+"/api/v1/targets"); !strings.Contains(body, "queue_depth 58") {
		t.Errorf("the targets do not tell the metric: %s", body)
	}
	p.gauge(t, "acme", "worker", "queue_depth", 5)
	eventually(t, 40*time.Second, "one started of three", func() bool {
		return p.count(t, "worker", "app", scale.StateStarted) == 1 && p.count(t, "worker", "app") == 3
	})
	if created := p.did("worker", "machine_create"); len(created) != 3 {
		t.Errorf("%d Machines were created, want 3", len(created))
	}
	metrics := get(t, s.address+"/metrics")
	for _, want := range []string{
		`fas_machine_create_count{status="ok"} 3`, `fas_target_machine_count{app="worker",kind="started",process_group="app"} 1`,
		`fas_metric_value{app="worker",metric="queue_depth",process_group="app"} 5`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}
