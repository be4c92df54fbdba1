package server

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// prometheusListens finds the address in the server's own log, which is the
// only place that tells which free port it took.
var prometheusListens = regexp.MustCompile(`msg="Listening on" address="?(127\.0\.0\.1:\d+)`)

// Prometheus starts a Prometheus server that scrapes the given targets
// ("host:port", path /metrics) every second, waits until it is ready, and
// returns its address as a URL. The first scrape takes up to six seconds more.
func Prometheus(t testing.TB, scrapeTargets ...string) (url string) {
	t.Helper()
	binary := installed(t, "prometheus", "prometheus")
	dir := t.TempDir()
	var config strings.Builder
	config.WriteString("global: {scrape_interval: 1s, scrape_timeout: 1s}\n")
	config.WriteString("scrape_configs:\n- job_name: test\n  static_configs:\n  - targets:\n")
	for _, target := range scrapeTargets {
		fmt.Fprintf(&config, "    - %q\n", target)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatalf("write the configuration of prometheus: %v", err)
	}
	p := start(t, prometheusListens, binary,
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	url = "http://" + p.address
	p.waitReady(t, url+"/-/ready")
	return url
}
