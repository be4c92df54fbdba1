package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// timings are those of a platform that is in no one's way, so that a test waits
// for the trouble it is about and not for Machines to boot.
const timings = `
timings:
  prepare: {min: 50ms, max: 200ms}
  boot: {min: 50ms, max: 200ms}
  start: {min: 50ms, max: 200ms}
  resume: {min: 20ms, max: 50ms}
  stop: {min: 50ms, max: 200ms}
  destroy: {min: 50ms, max: 200ms}
  destroyed-visible: 1s
`

// workers is a scenario with the app "worker" and some started Machines.
func workers(seed, started int) string {
	return timings + fmt.Sprintf(`
seed: %d
apps:
  - app: worker
    org: acme
    release: {version: 3, status: complete}
    machines:
      - {count: %d, region: iad, state: started, group: app}
`, seed, started)
}

// governed is the environment of a process that holds the app "worker", with
// queue_depth as its metric.
func (p *platform) governed(more ...string) []string {
	return p.env(append([]string{
		"FAS_APP_NAME=worker", "FAS_API_TOKEN=token",
		"FAS_PROMETHEUS_ADDRESS=" + p.prometheus("acme"), "FAS_PROMETHEUS_METRIC_NAME=queue_depth",
		"FAS_PROMETHEUS_QUERY=sum(queue_depth{app='$APP_NAME'})",
	}, more...)...)
}

// depth sets what the app's counts follow.
func (p *platform) depth(t *testing.T, value any) {
	t.Helper()
	p.gauge(t, "acme", "worker", "queue_depth", value)
}

// faults orders trouble of several kinds.
func (p *platform) faults(t *testing.T, list ...sim.Fault) {
	t.Helper()
	for _, f := range list {
		p.fault(t, f)
	}
}

// struck returns how often the fault has struck.
func (p *platform) struck(id string) int {
	for _, f := range p.world.Faults() {
		if f.ID == id {
			return f.Struck
		}
	}
	return 0
}

// existed returns the least and the most Machines of the app that existed at any
// one moment, beginning with the number that the scenario made.
func (p *platform) existed(app string, before int) (least, most int) {
	n := before
	least, most = n, n
	for _, m := range p.did(app, "machine_create", "machine_destroy") {
		if m.Op == "machine_create" {
			n++
		} else {
			n--
		}
		least, most = min(least, n), max(most, n)
	}
	return least, most
}

// changes are the operations that change Machines, without leases: taking one
// and giving it back leaves no trace.
func changes() []string {
	return []string{
		"machine_create", "machine_destroy", "machine_start", "machine_stop", "machine_suspend", "machine_restart",
		"machine_update", "machine_cordon", "machine_uncordon", "machine_signal", "metadata_set", "metadata_delete",
	}
}

// passes returns how many passes the program has finished.
func (p *process) passes(t *testing.T) int {
	t.Helper()
	n := 0.0
	for line := range strings.Lines(get(t, p.address+"/metrics")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == "fas_pass_duration_seconds_count" {
			n = number(t, value)
		}
	}
	return int(n)
}

// metric returns one series of the program's own metrics; 0 when it is not there.
func (p *process) metric(t *testing.T, series string) float64 {
	t.Helper()
	for line := range strings.Lines(get(t, p.address+"/metrics")) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			return number(t, value)
		}
	}
	return 0
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// morePasses waits until the program has finished n more passes.
func (p *process) morePasses(t *testing.T, n int) {
	t.Helper()
	until := p.passes(t) + n
	eventually(t, time.Duration(n)*4*time.Second+10*time.Second, fmt.Sprintf("%d more passes", n), func() bool {
		return p.passes(t) >= until
	})
}

// ready waits until the program's first pass is through.
func (p *process) ready(t *testing.T) {
	t.Helper()
	eventually(t, 20*time.Second, "ready", func() bool {
		status, _ := getStatus(t, p.address+"/readyz")
		return status == http.StatusOK
	})
}

// stopped tells the process to end and logs how long that took.
func (p *process) stopped(t *testing.T, while string) {
	t.Helper()
	began := time.Now()
	p.stop(t)
	t.Logf("ended %s after SIGTERM while %s", time.Since(began).Round(time.Millisecond), while)
}

// writeFile writes a file that lasts as long as the test.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
