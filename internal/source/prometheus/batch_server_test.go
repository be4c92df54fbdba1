package prometheus_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
	"github.com/fly-autoscaler/fly-autoscaler/test/server"
)

// counting counts the requests that it passes on.
type counting struct {
	next  http.RoundTripper
	count *atomic.Int64
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.count.Add(1)
	return c.next.RoundTrip(r)
}

// TestGroupedRealServer asks a real server for fifty apps, in one request and one
// by one. The exporter's values never change, so that both must give the same.
func TestGroupedRealServer(t *testing.T) {
	const n = 50
	var text strings.Builder
	text.WriteString("# TYPE one gauge\none 42\n# TYPE depth gauge\n# TYPE size gauge\n# TYPE work histogram\n")
	want := map[scale.App]bool{}
	for i := range n {
		app := fmt.Sprintf("app-%02d", i)
		want[scale.App(app)] = true
		if i%7 == 3 {
			continue // no data at all
		}
		for part := range 1 + i%3 {
			fmt.Fprintf(&text, "depth{app=%q,part=\"%d\"} %d\n", app, part, 3*i+part)
			fmt.Fprintf(&text, "size{app=%q,part=\"%d\"} %d\n", app, part, 1+part)
		}
		for le, count := range map[string]int{"1": i, "5": 2 * i, "+Inf": 3 * i} {
			fmt.Fprintf(&text, "work_bucket{app=%q,le=%q} %d\n", app, le, count)
		}
	}
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, text.String())
	}))
	t.Cleanup(exporter.Close)
	address := server.Prometheus(t, strings.TrimPrefix(exporter.URL, "http://"))
	awaitScrape(t, address)
	apps := make([]scale.App, 0, n)
	for app := range want {
		apps = append(apps, app)
	}
	for _, query := range []string{
		`depth{app="$APP_NAME",part="0"}`,
		`sum(depth{app="$APP_NAME"})`,
		`max by (part) (depth{app='${APP_NAME}'})`,
		`avg without (app, part, instance, job) (depth{app="$APP_NAME"})`,
		`sum(depth{app="$APP_NAME"}) or vector(0)`,
		`max(depth{app="$APP_NAME",part="2"}) or on () vector(-1)`,
		`ceil(sum(depth{app="$APP_NAME"}) / 10)`,
		`sum(depth{app="$APP_NAME"}) / sum(size{app="$APP_NAME"})`,
		`max(depth{app="$APP_NAME"} / on (part) size{app="$APP_NAME"})`,
		`sum(depth{app="$APP_NAME"}) / scalar(sum(depth))`,
		`max_over_time(sum(depth{app="$APP_NAME"})[5m:1s])`,
		`histogram_quantile(0.9, sum by (le) (work_bucket{app="$APP_NAME"}))`,
		`quantile(0.5, depth{app="$APP_NAME"}) > 20 and on () one > 1`,
		`sum(last_over_time(depth{app="$APP_NAME"}[5m])) ^ 2 - -1`,
	} {
		var asked atomic.Int64
		transport := &http.Transport{}
		grouped := open(t, prometheus.Config{Address: address, Query: query, Transport: counting{transport, &asked}, Timeout: time.Minute})
		single := open(t, prometheus.Config{Address: address, Query: query, Timeout: time.Minute})
		grouped.Collect(t.Context(), apps)
		if asked.Load() != 2 {
			t.Errorf("%s: asked %d times at first, want once for all and once for one", query, asked.Load())
		}
		asked.Store(0)
		got := grouped.Collect(t.Context(), apps)
		if asked.Load() != 1 {
			t.Errorf("%s: asked %d times for %d apps", query, asked.Load(), len(apps))
		}
		if ok, reason := grouped.Mode(); !ok {
			t.Errorf("%s: %s", query, reason)
		}
		values := 0
		for _, app := range apps {
			alone := single.Collect(t.Context(), []scale.App{app})[app]
			if summary(alone) != summary(got[app]) {
				t.Errorf("%s: %s is %+v with others, %+v alone", query, app, got[app], alone)
			}
			if alone.Known() {
				values++
			}
		}
		if values < 10 {
			t.Errorf("%s: only %d apps have a value", query, values)
		}
		closeSource(t, grouped)
		closeSource(t, single)
		transport.CloseIdleConnections()
	}
}
