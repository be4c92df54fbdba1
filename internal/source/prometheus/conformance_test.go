package prometheus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/sourcetest"
	"github.com/fly-autoscaler/fly-autoscaler/test/server"
)

const secret scale.Secret = "FlyV1 fm2_dGhlIHNlY3JldA==,fm2_b3RoZXIgc2VjcmV0"

// exposition is what the exporter in the test shows to the real server.
const exposition = `# TYPE one gauge
one 42
# TYPE broken gauge
broken NaN
# TYPE endless gauge
endless +Inf
# TYPE depth gauge
depth{app="web",part="a"} 42
depth{app="api-2",part="a"} 7
# TYPE many gauge
many{part="a"} 1
many{part="b"} 2
`

// queries bring the real server to give each answer.
var queries = map[sourcetest.Condition]string{
	sourcetest.Right:   `one`,
	sourcetest.Empty:   `nothing_of_this_name`,
	sourcetest.Several: `many`,
	sourcetest.NaN:     `broken`,
	sourcetest.Inf:     `endless`,
	sourcetest.Text:    `"text"`,
	sourcetest.PerApp:  `depth{app="$APP_NAME"}`,
}

func TestConformanceRealServer(t *testing.T) {
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, exposition)
	}))
	t.Cleanup(exporter.Close)
	address := server.Prometheus(t, strings.TrimPrefix(exporter.URL, "http://"))
	awaitScrape(t, address)
	sourcetest.Run(t, sourcetest.Harness{
		Secret: secret,
		Open: func(t *testing.T, c sourcetest.Condition, timeout time.Duration) source.Source {
			query, answers := queries[c]
			if !answers {
				return openOdd(t, c, timeout)
			}
			return open(t, prometheus.Config{Address: address, Query: query, Timeout: timeout})
		},
	})
	t.Run("per-app forms", func(t *testing.T) {
		for _, query := range []string{
			`sum(depth{app='${APP_NAME}'})`, `depth{app=~"$APP_NAME"}`, "scalar(depth{app=`$APP_NAME`})", `max_over_time(depth{app="$APP_NAME"}[1m])`,
		} {
			src := open(t, prometheus.Config{Address: address, Query: query})
			got := src.Collect(t.Context(), []scale.App{"web", "api-2"})
			if got["web"].Value != 42 || got["api-2"].Value != 7 {
				t.Errorf("%s gave %+v", query, got)
			}
			if age := time.Since(got["web"].At); age < -time.Minute || age > time.Minute {
				t.Errorf("%s: sample is from %v", query, got["web"].At)
			}
			closeSource(t, src)
		}
	})
	t.Run("refused query", func(t *testing.T) {
		src := open(t, prometheus.Config{Address: address, Query: `sum(`})
		defer closeSource(t, src)
		got := src.Collect(t.Context(), []scale.App{"web"})["web"]
		if got.Quality != scale.Error || !strings.Contains(got.Reason, "HTTP status 400: server says bad_data") {
			t.Errorf("sample is %+v", got)
		}
	})
}

// TestConformanceStub runs the suite against answers that a real server gives
// only now and then, on one port, as JSON in the bytes of the API.
func TestConformanceStub(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{Secret: secret, Open: openOdd})
}

// openOdd opens a source whose server is a stand-in.
func openOdd(t *testing.T, c sourcetest.Condition, timeout time.Duration) source.Source {
	t.Helper()
	cfg := prometheus.Config{Query: "q", Timeout: timeout}
	switch c {
	case sourcetest.Down:
		listener := listen(t)
		cfg.Address = "http://" + listener.Addr().String()
		if err := listener.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		return open(t, cfg)
	case sourcetest.Hang:
		// The kernel completes connections that nobody accepts.
		listener := listen(t)
		t.Cleanup(func() { _ = listener.Close() })
		cfg.Address = "http://" + listener.Addr().String()
		return open(t, cfg)
	case sourcetest.PerApp:
		cfg.Query = `q{app="$APP_NAME"}`
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch c {
		case sourcetest.Empty:
			answer(w, "vector")
		case sourcetest.Several:
			answer(w, "vector", "1", "2")
		case sourcetest.NaN:
			answer(w, "vector", "NaN")
		case sourcetest.Inf:
			answer(w, "vector", "-Inf")
		case sourcetest.Text:
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>Sign in as "+r.Header.Get("Authorization")+"</html>")
		case sourcetest.Refused:
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(map[string]string{
				"status": "error", "errorType": "forbidden",
				"error": "bad token " + r.Header.Get("Authorization") + " " + url.QueryEscape(string(secret[6:26])),
			})
		case sourcetest.PerApp:
			switch r.FormValue("query") {
			case `q{app="web"}`:
				answer(w, "vector", "42")
			case `q{app="api-2"}`:
				answer(w, "vector", "7")
			default:
				answer(w, "vector")
			}
		default:
			answer(w, "vector", "42")
		}
	}))
	t.Cleanup(srv.Close)
	cfg.Address = srv.URL + "/prometheus/my-org/"
	return open(t, cfg)
}

// answer writes an answer of the query API with the given values.
func answer(w http.ResponseWriter, resultType string, values ...string) {
	elements := make([]string, len(values))
	for i, v := range values {
		elements[i] = fmt.Sprintf(`{"metric":{"part":"%d"},"value":[1700000000.5,%q]}`, i, v)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":%q,"result":[%s]}}`, resultType, strings.Join(elements, ","))
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	return listener
}

// open opens a source of the metric "depth" with the secret as its token.
func open(t *testing.T, cfg prometheus.Config) *prometheus.Source {
	t.Helper()
	cfg.Metric = "depth"
	if cfg.Token == "" {
		cfg.Token = secret
	}
	src, err := prometheus.New(cfg)
	if err != nil {
		t.Fatalf("new: %v", err)
	}
	return src
}

func closeSource(t *testing.T, src source.Source) {
	t.Helper()
	if err := src.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// awaitScrape waits until the server has scraped, so long ago that subqueries see it
// too: these look at whole seconds.
func awaitScrape(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	src := open(t, prometheus.Config{Address: address, Query: "max_over_time(one[1m:1s])"})
	defer closeSource(t, src)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		sample := src.Collect(ctx, []scale.App{"web"})["web"]
		if sample.Known() {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the server scraped nothing: %+v", sample)
		}
	}
}
