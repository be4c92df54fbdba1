package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/test/server"
)

// A real Prometheus server scrapes the platform, and Machines follow what it
// says: a burst of jobs comes, is worked off by more Machines, and they go.
func TestRealPrometheus(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, briskly+`
apps:
  - app: worker
    org: acme
    release: {version: 3, status: complete}
    machines:
      - {count: 1, region: iad, state: started, group: app}
      - {count: 5, region: iad, state: stopped, group: app}
    load:
      - queue: {arrivals: {pulse: {at: 4s, for: 5s, value: 24}}, service: 1s, slots: 4}
`)
	address := server.Prometheus(t, exporter(t, p))
	s := daemon(t, p.env(
		"FAS_INTERVAL=500ms", "FAS_APP_NAME=worker", "FAS_API_TOKEN=FlyV1 "+deployToken,
		"FAS_STARTED_MACHINE_COUNT=clamp(ceil(queue_depth / 8), 1, 6)",
		"FAS_PROMETHEUS_ADDRESS="+address, "FAS_PROMETHEUS_METRIC_NAME=queue_depth",
		"FAS_PROMETHEUS_QUERY=sum(queue_depth{app='$APP_NAME', org='acme'})",
	))
	started := func() int { return p.count(t, "worker", "app", scale.StateStarted) }
	eventually(t, 30*time.Second, "the burst starts Machines", func() bool { return started() >= 5 })
	eventually(t, 30*time.Second, "one is left when the jobs are done", func() bool { return started() == 1 })
	if value, ok := series(t, s, `fas_metric_value{app="worker",metric="queue_depth",process_group="app"}`); !ok || value > 8 {
		t.Errorf("the metric says %g (known: %v), want at most 8 jobs left", value, ok)
	}
	if n := p.requests(t, "prometheus_query"); n > 0 {
		t.Errorf("the platform's own metrics were asked %d times", n)
	}
}

// exporter serves the platform's series at the path that Prometheus scrapes, and
// returns its host and port.
func exporter(t *testing.T, p *platform) string {
	t.Helper()
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, p.URL()+"/_sim/metrics", http.NoBody)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		resp, err := new(http.Client).Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		_, _ = io.Copy(w, resp.Body) // a scrape that is cut short fails at the server
	}))
	t.Cleanup(exporter.Close)
	return strings.TrimPrefix(exporter.URL, "http://")
}
