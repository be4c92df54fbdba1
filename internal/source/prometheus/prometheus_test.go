package prometheus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
)

// one collects for one app. Its bound is only for a source that has none.
func one(t *testing.T, src source.Source) scale.Sample {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return src.Collect(ctx, []scale.App{"web"})["web"]
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestRequest(t *testing.T) {
	type request struct{ Method, Path, Query, Auth, Other string }
	var got request
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = request{r.Method, r.URL.Path, r.PostFormValue("query"), r.Header.Get("Authorization"), r.URL.RawQuery}
		answer(w, "vector", "42")
	})
	tests := []struct {
		name    string
		address string
		token   scale.Secret
		want    request
	}{
		{"Fly token", address, "FlyV1 fm2_abc", request{"POST", "/api/v1/query", "up", "FlyV1 fm2_abc", ""}},
		{"bare macaroon", address, "fm2_abc", request{"POST", "/api/v1/query", "up", "FlyV1 fm2_abc", ""}},
		{"bare macaroons", address, " fm1r_abc,fm1a_def,fm2_ghi\n", request{"POST", "/api/v1/query", "up", "FlyV1 fm1r_abc,fm1a_def,fm2_ghi", ""}},
		{"bare discharge", address, "fm1a_def", request{"POST", "/api/v1/query", "up", "FlyV1 fm1a_def", ""}},
		{"nearly a macaroon", address, "fm3_abc", request{"POST", "/api/v1/query", "up", "Bearer fm3_abc", ""}},
		{"macaroon with another scheme", address, "Bearer fm2_abc", request{"POST", "/api/v1/query", "up", "Bearer fm2_abc", ""}},
		{"bearer token", address + "/", "abcdef", request{"POST", "/api/v1/query", "up", "Bearer abcdef", ""}},
		{"with its scheme", address, "bearer abcdef", request{"POST", "/api/v1/query", "up", "Bearer abcdef", ""}},
		{"line of a file", address, " FlyV1 fm2_abc\n", request{"POST", "/api/v1/query", "up", "FlyV1 fm2_abc", ""}},
		{"path and parameters", address + "/prometheus/my-org/?latency_offset=1s#x", "abcdef", request{"POST", "/prometheus/my-org/api/v1/query", "up", "Bearer abcdef", "latency_offset=1s"}},
		{
			"user and password", strings.Replace(address, "http://", "http://me:pass%20word@", 1), "",
			request{"POST", "/api/v1/query", "up", "Basic bWU6cGFzcyB3b3Jk", ""},
		},
		{"no credential", address, "", request{"POST", "/api/v1/query", "up", "", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := prometheus.New(prometheus.Config{Metric: "depth", Address: tt.address, Query: "up", Token: tt.token})
			if err != nil {
				t.Fatalf("new: %v", err)
			}
			defer closeSource(t, src)
			want := scale.Sample{Metric: "depth", Value: 42, At: time.UnixMilli(1700000000500), Quality: scale.Fresh}
			if diff := cmp.Diff(want, one(t, src)); diff != "" {
				t.Errorf("sample differs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("request differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	good := prometheus.Config{Metric: "depth", Address: "http://127.0.0.1:9090", Query: "up"}
	tests := []struct {
		name   string
		change func(*prometheus.Config)
		want   string
	}{
		{"metric", func(c *prometheus.Config) { c.Metric = "" }, "metric has no name"},
		{"query", func(c *prometheus.Config) { c.Query = " \n" }, "query is empty"},
		{"timeout", func(c *prometheus.Config) { c.Timeout = -1 }, "negative"},
		{"maximum age", func(c *prometheus.Config) { c.MaxAge = -1 }, "maximum age -1ns is negative"},
		{"no address", func(c *prometheus.Config) { c.Address = "" }, "http:// or https://"},
		{"no scheme", func(c *prometheus.Config) { c.Address = "localhost:9090" }, "http:// or https://"},
		{"no host", func(c *prometheus.Config) { c.Address = "http://:9090" }, "names no host"},
		{"no URL", func(c *prometheus.Config) { c.Address = "http://me:hunter22@host:port" }, "not a valid URL"},
		{"token of two lines", func(c *prometheus.Config) { c.Token = "hunter22\nhunter22" }, "control character"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			_, err := prometheus.New(cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter22") {
				t.Errorf("error is %v, want %q and no secret", err, tt.want)
			}
			if e, ok := errors.AsType[*source.Error](err); !ok || e.Kind != prometheus.Kind || e.Metric != cfg.Metric {
				t.Errorf("error %#v is not a source.Error of this source", err)
			}
		})
	}
}

func TestOddAnswers(t *testing.T) {
	tests := []struct {
		name   string
		status int
		kind   string
		body   string
		want   string
	}{
		{"page", 200, "text/html", "<html>\n<b>Sign in</b>", `received text/html: "<html> <b>Sign in</b>"; is this a Prometheus address?`},
		{"long page", 502, "text/plain", strings.Repeat("x", 1000), `HTTP status 502: not an answer`},
		{"binary", 200, "application/octet-stream", "\x00\x01\xffELF", `received application/octet-stream: "ELF"`},
		{"not found", 404, "text/plain", "404 page not found", "HTTP status 404"},
		{"unauthorised", 401, "text/plain", "no", "HTTP status 401: the credential was refused"},
		{"execution", 422, "application/json", `{"status":"error","errorType":"execution","error":"many-to-many"}`, "HTTP status 422: server says execution: many-to-many"},
		{"value with an error status", 500, "application/json", `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`, "HTTP status 500"},
		{"long error", 400, "application/json", `{"status":"error","errorType":"bad_data","error":"` + strings.Repeat("y", 5000) + `"}`, "yyy…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := open(t, prometheus.Config{Query: "up", Address: serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})})
			defer closeSource(t, src)
			if got := one(t, src); got.Quality != scale.Error || !strings.Contains(got.Reason, tt.want) || len(got.Reason) > source.MaxReason {
				t.Errorf("sample is %+v, want an error with %q", got, tt.want)
			}
		})
	}
}

func TestBodyBound(t *testing.T) {
	var sent atomic.Int64
	src := open(t, prometheus.Config{Query: "up", Address: serve(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for r.Context().Err() == nil && sent.Load() < 1<<30 {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})})
	got := one(t, src)
	closeSource(t, src)
	if got.Quality != scale.Error || !strings.Contains(got.Reason, "larger than 16 MiB") {
		t.Errorf("sample is %+v", got)
	}
	if sent.Load() > 100<<20 {
		t.Errorf("%d bytes of an endless answer were read", sent.Load())
	}
}

// TestSlowBody has a server that begins an answer and never ends it.
func TestSlowBody(t *testing.T) {
	src := open(t, prometheus.Config{Query: "up", Timeout: 200 * time.Millisecond, Address: serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"status":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})})
	defer closeSource(t, src)
	if got := one(t, src); got.Quality != scale.Error || !strings.Contains(got.Reason, "no answer within 200ms") {
		t.Errorf("sample is %+v", got)
	}
}

func TestFallsBackToGet(t *testing.T) {
	var mu sync.Mutex
	var methods []string
	src := open(t, prometheus.Config{Query: "up + 1", Address: serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		methods = append(methods, r.Method+" "+r.URL.Query().Get("query"))
		mu.Unlock()
		if r.Method != http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		answer(w, "vector", "42")
	})})
	defer closeSource(t, src)
	for range 2 {
		if got := one(t, src); got.Value != 42 || !got.Known() {
			t.Errorf("sample is %+v", got)
		}
	}
	if want := []string{"POST ", "GET up + 1", "GET up + 1"}; !slices.Equal(methods, want) {
		t.Errorf("requests were %q, want %q", methods, want)
	}
}

func TestRedirects(t *testing.T) {
	tests := []struct {
		name     string
		status   int
		other    bool // to another host
		wantAuth string
	}{
		{"same host, method kept", http.StatusTemporaryRedirect, false, string(secret)},
		{"same host, method lost", http.StatusMovedPermanently, false, string(secret)},
		{"other host, method kept", http.StatusPermanentRedirect, true, ""},
		{"other host, method lost", http.StatusFound, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var query, auth string
			target := func(w http.ResponseWriter, r *http.Request) {
				query, auth = r.FormValue("query"), r.Header.Get("Authorization")
				answer(w, "vector", "42")
			}
			other := serve(t, target)
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/elsewhere":
					target(w, r)
				case tt.other:
					http.Redirect(w, r, other, tt.status)
				default:
					http.Redirect(w, r, "/elsewhere", tt.status)
				}
			})
			src := open(t, prometheus.Config{Query: `up{a="&"}`, Address: address})
			defer closeSource(t, src)
			if got := one(t, src); got.Value != 42 {
				t.Errorf("sample is %+v", got)
			}
			if query != `up{a="&"}` || auth != tt.wantAuth {
				t.Errorf("target got query %q, credential %q; want the query and %q", query, auth, tt.wantAuth)
			}
		})
	}
}

func TestRedirectLoopEnds(t *testing.T) {
	var hops atomic.Int64
	src := open(t, prometheus.Config{Query: "up", Address: serve(t, func(w http.ResponseWriter, r *http.Request) {
		hops.Add(1)
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	})})
	defer closeSource(t, src)
	if got := one(t, src); got.Quality != scale.Error || !strings.Contains(got.Reason, "redirects") || hops.Load() > 10 {
		t.Errorf("after %d hops the sample is %+v", hops.Load(), got)
	}
}

func TestAsksOnceWithoutTheVariable(t *testing.T) {
	var asked, running, most atomic.Int64
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		defer running.Add(-1)
		answer(w, "scalar")
	})
	apps := make([]scale.App, 100)
	for i := range apps {
		apps[i] = scale.App(fmt.Sprintf("app-%d", i))
	}
	for query, want := range map[string]int64{"up": 1, `up{app=~"$APP_NAME"}`: 100, `up{app="$APP_NAME_SUFFIX"}`: 1} {
		asked.Store(0)
		src := open(t, prometheus.Config{Query: query, Address: address})
		if got := src.Collect(t.Context(), apps); len(got) != len(apps) {
			t.Errorf("%s: %d samples for %d apps", query, len(got), len(apps))
		}
		closeSource(t, src)
		if asked.Load() != want {
			t.Errorf("%s was asked %d times, want %d", query, asked.Load(), want)
		}
	}
	if most.Load() > 8 {
		t.Errorf("%d queries at a time", most.Load())
	}
}

func TestOneAppsNameFailsAlone(t *testing.T) {
	src := open(t, prometheus.Config{Query: "$APP_NAME", Address: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "vector", "42")
	})})
	defer closeSource(t, src)
	got := src.Collect(t.Context(), []scale.App{"web", "x or y"})
	if !got["web"].Known() || got["x or y"].Quality != scale.Error {
		t.Errorf("samples are %+v", got)
	}
}

func TestWarningsAreLoggedOncePerChange(t *testing.T) {
	var warnings atomic.Value
	warnings.Store(`[]`)
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"status":"success","warnings":%s,"data":{"resultType":"scalar","result":[1,"1"]}}`, warnings.Load())
	})
	var log bytes.Buffer
	src := open(t, prometheus.Config{Query: `x{app=~"$APP_NAME"}`, Address: address, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	defer closeSource(t, src)
	for i, step := range []struct {
		warnings string
		want     int
	}{
		{`[]`, 0},
		{`["b","a"]`, 1},
		{`["a","b","a"]`, 0},
		{`["c \nfm2_b3RoZXIgc2VjcmV0"]`, 1},
		{`[]`, 0},
		{`["c"]`, 1},
	} {
		warnings.Store(step.warnings)
		log.Reset()
		src.Collect(t.Context(), []scale.App{"web", "api"})
		if got := strings.Count(log.String(), "level=WARN"); got != step.want || strings.Contains(log.String(), "fm2_") {
			t.Errorf("step %d, warnings %s: %d lines, want %d and no secret:\n%s", i, step.warnings, got, step.want, log.String())
		}
	}
}

func TestObserve(t *testing.T) {
	var mu sync.Mutex
	var got []string
	src := open(t, prometheus.Config{
		Query: `x{app=~"$APP_NAME"}`,
		Address: serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.FormValue("query") {
			case `x{app=~"fresh"}`:
				answer(w, "vector", "1")
			case `x{app=~"empty"}`:
				answer(w, "vector")
			default:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}),
		Observe: func(d time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			_, typed := errors.AsType[*source.Error](err)
			got = append(got, fmt.Sprintf("took=%t ok=%t empty=%t typed=%t", d > 0, err == nil, errors.Is(err, source.ErrEmpty), typed))
		},
	})
	defer closeSource(t, src)
	src.Collect(t.Context(), []scale.App{"fresh", "empty", "down"})
	slices.Sort(got)
	want := []string{
		"took=true ok=false empty=false typed=true",
		"took=true ok=false empty=true typed=true",
		"took=true ok=true empty=false typed=false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("observations differ (-want +got):\n%s", diff)
	}
}
