package prometheus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
)

// engineServer answers queries over series in memory with the engine of a
// Prometheus server, and keeps what it was asked.
type engineServer struct {
	engine *promql.Engine
	// meddle, unless nil, may answer in the engine's place.
	meddle func(w http.ResponseWriter, query string, at time.Time) (answered bool)
	hangs  bool // what meddle says it answered is never answered

	mu      sync.Mutex
	data    dataSet  // guarded by mu
	queries []string // guarded by mu
}

func newEngineServer(series ...storage.Series) *engineServer {
	return &engineServer{data: series, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{}),
	})}
}

// gauge is a series with one value, of the time that servers evaluate at.
func gauge(value float64, set ...string) storage.Series {
	return storage.NewListSeries(labels.FromStrings(set...), []chunks.Sample{sample{groupStart.UnixMilli(), value}})
}

// ServeHTTP implements http.Handler.
func (e *engineServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, at := r.FormValue("query"), groupStart
	if text := r.FormValue("time"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			http.Error(w, "time", http.StatusBadRequest)
			return
		}
		at = time.UnixMilli(int64(math.Round(seconds * 1000)))
	}
	e.mu.Lock()
	e.queries = append(e.queries, query)
	data := e.data
	e.mu.Unlock()
	if e.meddle != nil && e.meddle(w, query, at) {
		if e.hangs {
			<-r.Context().Done()
		}
		return
	}
	q, err := e.engine.NewInstantQuery(r.Context(), data, nil, query, at)
	if err != nil {
		refuse(w, http.StatusBadRequest, "bad_data", err.Error())
		return
	}
	defer q.Close()
	res := q.Exec(r.Context())
	vector, ok := res.Value.(promql.Vector)
	if res.Err != nil || !ok {
		refuse(w, http.StatusUnprocessableEntity, "execution", fmt.Sprint(res.Err))
		return
	}
	elements := []any{}
	for _, s := range vector {
		elements = append(elements, map[string]any{
			"metric": s.Metric.Map(),
			"value":  []any{float64(s.T) / 1000, strconv.FormatFloat(s.F, 'g', -1, 64)},
		})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": "success", "data": map[string]any{"resultType": "vector", "result": elements},
	})
}

func refuse(w http.ResponseWriter, status int, kind, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": kind, "error": text})
}

// asked returns the queries since the last call.
func (e *engineServer) asked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	queries := e.queries
	e.queries = nil
	return queries
}

// summary is a sample in a few words.
func summary(s scale.Sample) string {
	switch s.Quality {
	case scale.Fresh:
		return fmt.Sprint(s.Value)
	case scale.Empty:
		return "empty"
	default:
		return "error"
	}
}

func summaries(samples map[scale.App]scale.Sample) map[scale.App]string {
	all := map[scale.App]string{}
	for app, s := range samples {
		all[app] = summary(s)
	}
	return all
}

// collect collects and compares.
func collect(t *testing.T, src *prometheus.Source, want map[scale.App]string) map[scale.App]scale.Sample {
	t.Helper()
	apps := make([]scale.App, 0, len(want))
	for app := range want {
		apps = append(apps, app)
	}
	got := src.Collect(t.Context(), apps)
	if diff := cmp.Diff(want, summaries(got)); diff != "" {
		t.Errorf("samples differ (-want +got):\n%s\n%+v", diff, got)
	}
	return got
}

func wantAsked(t *testing.T, e *engineServer, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, e.asked()); diff != "" {
		t.Errorf("queries differ (-want +got):\n%s", diff)
	}
}

func TestCollectGrouped(t *testing.T) {
	e := newEngineServer(
		gauge(3, "__name__", "depth", "app", "web", "part", "x"), gauge(4, "__name__", "depth", "app", "web", "part", "y"),
		gauge(5, "__name__", "depth", "app", "api"), gauge(6, "__name__", "depth", "app", "foreign"), gauge(7, "__name__", "depth"),
		gauge(math.NaN(), "__name__", "depth", "app", "nan"), gauge(math.Inf(1), "__name__", "depth", "app", "inf"),
	)
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `sum(depth{app="$APP_NAME"})`})
	defer closeSource(t, src)
	want := map[scale.App]string{"web": "7", "api": "5", "none": "empty", "nan": "error", "inf": "error", "Odd": "empty", "": "error"}
	const grouped = `sum by (app) (depth{app=~"api|inf|nan|none|web"})`
	got := collect(t, src, want)
	wantAsked(t, e, grouped, `sum(depth{app="api"})`, `sum(depth{app="Odd"})`)
	if at := got["web"].At; !at.Equal(groupStart) || !got["none"].At.Equal(groupStart) {
		t.Errorf("samples are of %v and %v, want the server's %v", at, got["none"].At, groupStart)
	}
	for range 2 {
		collect(t, src, want)
		wantAsked(t, e, grouped, `sum(depth{app="Odd"})`)
	}
	// For one app the query is the user's own.
	collect(t, src, map[scale.App]string{"web": "7"})
	wantAsked(t, e, `sum(depth{app="web"})`)
	if grouped, reason := src.Mode(); !grouped || reason != "" {
		t.Errorf("mode is %v, %q", grouped, reason)
	}
}

func TestCollectGroupedSeveralSeries(t *testing.T) {
	e := newEngineServer(
		gauge(3, "__name__", "depth", "app", "web", "part", "x"), gauge(4, "__name__", "depth", "app", "web", "part", "y"),
		gauge(5, "__name__", "depth", "app", "api", "part", "x"),
	)
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"}`})
	defer closeSource(t, src)
	got := collect(t, src, map[scale.App]string{"web": "error", "api": "5"})["web"]
	want := `prometheus: collect "depth": the query returned 2 series, want one (aggregate it, for example with sum or max): depth{part="x"}, depth{part="y"}`
	if got.Reason != want {
		t.Errorf("got  %s\nwant %s", got.Reason, want)
	}
}

func TestCollectGroupedAbsent(t *testing.T) {
	e := newEngineServer(gauge(3, "__name__", "depth", "app", "web"))
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `sum(depth{app="$APP_NAME"}) or vector(-1)`})
	defer closeSource(t, src)
	collect(t, src, map[scale.App]string{"web": "3", "none": "-1"})
	collect(t, src, map[scale.App]string{"none": "-1", "other": "-1"})
	wantAsked(t, e, `sum by (app) (depth{app=~"none|web"})`, `sum(depth{app="web"}) or vector(-1)`, `sum by (app) (depth{app=~"none|other"})`)
}

// TestCheckWithoutValues looks at another app each time.
func TestCheckWithoutValues(t *testing.T) {
	e := newEngineServer()
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"}`})
	defer closeSource(t, src)
	const grouped = `depth{app=~"a|b"}`
	for _, single := range []string{`depth{app="a"}`, `depth{app="b"}`, `depth{app="a"}`} {
		collect(t, src, map[scale.App]string{"a": "empty", "b": "empty"})
		wantAsked(t, e, grouped, single)
	}
	e.mu.Lock()
	e.data = dataSet{gauge(3, "__name__", "depth", "app", "b")}
	e.mu.Unlock()
	collect(t, src, map[scale.App]string{"a": "empty", "b": "3"})
	wantAsked(t, e, grouped, `depth{app="b"}`)
	collect(t, src, map[scale.App]string{"a": "empty", "b": "3"})
	wantAsked(t, e, grouped)
}

// TestCheckFindsDifference has servers that say something else when asked for
// many apps.
func TestCheckFindsDifference(t *testing.T) {
	var log bytes.Buffer
	tests := []struct {
		name   string
		meddle func(w http.ResponseWriter, query string) bool
		reason string
	}{
		{"another value", func(w http.ResponseWriter, _ string) bool {
			_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"app":"a"},"value":[1700000000,"8"]}]}}`)
			return true
		}, "of app a the server says 8 when asked for many apps at once, but 3 when asked for it alone"},
		{"nothing", func(w http.ResponseWriter, _ string) bool {
			answer(w, "vector")
			return true
		}, "no series for the app"},
		{"no labels", func(w http.ResponseWriter, _ string) bool {
			answer(w, "vector", "8")
			return true
		}, "refuses the query for several apps: none of the 1 series that the query returned has the label app"},
		{"does not understand", func(w http.ResponseWriter, _ string) bool {
			refuse(w, http.StatusBadRequest, "bad_data", "what?")
			return true
		}, "refuses the query for several apps"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log.Reset()
			e := newEngineServer(gauge(3, "__name__", "depth", "app", "a"), gauge(4, "__name__", "depth", "app", "b"))
			e.meddle = func(w http.ResponseWriter, query string, _ time.Time) bool {
				return strings.Contains(query, "|") && tt.meddle(w, query)
			}
			src := open(t, prometheus.Config{
				Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"}`, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			defer closeSource(t, src)
			want := map[scale.App]string{"a": "3", "b": "4"}
			collect(t, src, want)
			e.asked()
			collect(t, src, want)
			queries := e.asked()
			slices.Sort(queries)
			if diff := cmp.Diff([]string{`depth{app="a"}`, `depth{app="b"}`}, queries); diff != "" {
				t.Errorf("later queries differ (-want +got):\n%s", diff)
			}
			if grouped, reason := src.Mode(); grouped || !strings.Contains(reason, tt.reason) {
				t.Errorf("mode is %v, %q", grouped, reason)
			}
			if n := strings.Count(log.String(), "asked for by itself from now on"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, log.String())
			}
		})
	}
}

// TestCheckWhileDataArrives has a sample come in between the two questions.
func TestCheckWhileDataArrives(t *testing.T) {
	e := newEngineServer(gauge(3, "__name__", "depth", "app", "a"))
	asked := 0
	e.meddle = func(_ http.ResponseWriter, _ string, at time.Time) bool {
		if asked++; asked == 2 {
			if !at.Equal(groupStart) {
				t.Errorf("asked for %v, want the time of the first answer", at)
			}
			e.mu.Lock()
			e.data = dataSet{gauge(4, "__name__", "depth", "app", "a")}
			e.mu.Unlock()
		}
		return false
	}
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"}`})
	defer closeSource(t, src)
	src.Collect(t.Context(), []scale.App{"a", "b"})
	src.Collect(t.Context(), []scale.App{"a", "b"})
	if grouped, reason := src.Mode(); !grouped {
		t.Errorf("given up: %s", reason)
	}
}

// TestCheckUndecided has a server that fails at the first questions about one app,
// until it is no longer asked again.
func TestCheckUndecided(t *testing.T) {
	e := newEngineServer(gauge(3, "__name__", "depth", "app", "a"), gauge(4, "__name__", "depth", "app", "b"))
	failed := 0
	e.meddle = func(w http.ResponseWriter, query string, _ time.Time) bool {
		if strings.Contains(query, "|") || failed == 3 {
			return false
		}
		failed++
		refuse(w, http.StatusServiceUnavailable, "timeout", "busy")
		return true
	}
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"}`})
	defer closeSource(t, src)
	want := map[scale.App]string{"a": "3", "b": "4"}
	collect(t, src, want)
	if n := len(e.asked()); n != 6 {
		t.Errorf("asked %d times, want for both, three times for one, and then for each", n)
	}
	collect(t, src, want)
	wantAsked(t, e, `depth{app=~"a|b"}`, `depth{app="b"}`)
	collect(t, src, want)
	wantAsked(t, e, `depth{app=~"a|b"}`)
}

// fleet returns the names of many apps, and a value for each.
func fleet(n int) (apps []scale.App, series []storage.Series) {
	for i := range n {
		app := fmt.Sprintf("application-%08d", i)
		apps = append(apps, scale.App(app))
		series = append(series, gauge(float64(i), "__name__", "depth", "app", app), gauge(2, "__name__", "size", "app", app))
	}
	return apps, series
}

// TestOneAppSpoilsNoOther has two series of one app where only one may be, for
// which the server refuses the whole query.
func TestOneAppSpoilsNoOther(t *testing.T) {
	apps, series := fleet(200)
	e := newEngineServer(series...)
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"} / on () size{app="$APP_NAME"}`})
	defer closeSource(t, src)
	want := map[scale.App]string{}
	for i, app := range apps {
		want[app] = fmt.Sprint(float64(i) / 2)
	}
	collect(t, src, want)
	bad := apps[77]
	e.mu.Lock()
	e.data = append(e.data, gauge(2, "__name__", "size", "app", string(bad), "part", "x"))
	e.mu.Unlock()
	e.asked()
	want[bad] = "error"
	got := collect(t, src, want)[bad]
	if !strings.Contains(got.Reason, "many-to-one") && !strings.Contains(got.Reason, "duplicate") {
		t.Errorf("the reason is %s", got.Reason)
	}
	if n := len(e.asked()); n > 18 {
		t.Errorf("asked %d times to find one app of 200", n)
	}
	// The same when it is so from the start.
	fresh := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"} / on () size{app="$APP_NAME"}`})
	defer closeSource(t, fresh)
	collect(t, fresh, want)
	e.asked()
	collect(t, fresh, want)
	if n := len(e.asked()); n > 18 {
		t.Errorf("asked %d times to find one app of 200", n)
	}
}

// TestOutageIsAskedAboutThreeTimes has a server that is down for the grouped query.
func TestOutageIsAskedAboutThreeTimes(t *testing.T) {
	apps, series := fleet(50)
	e := newEngineServer(series...)
	down := false
	e.meddle = func(w http.ResponseWriter, _ string, _ time.Time) bool {
		if down {
			refuse(w, http.StatusServiceUnavailable, "unavailable", "down")
		}
		return down
	}
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"}`})
	defer closeSource(t, src)
	down = true
	want := map[scale.App]string{}
	for _, app := range apps {
		want[app] = "error"
	}
	for range 2 { // before and after the check
		collect(t, src, want)
		if n := len(e.asked()); n != 3 {
			t.Errorf("asked %d times, want three times and not for each app", n)
		}
		down = false
		src.Collect(t.Context(), apps)
		e.asked()
		down = true
	}
}

// Half of what is asked is answered with an error at once, as by one of two servers
// behind an address. The values of all apps do not depend on one answer.
func TestHalfDown(t *testing.T) {
	apps, series := fleet(50)
	e := newEngineServer(series...)
	n := 0
	e.meddle = func(w http.ResponseWriter, _ string, _ time.Time) bool {
		if n++; n%2 == 1 {
			http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
		}
		return n%2 == 1
	}
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"}`})
	defer closeSource(t, src)
	for range 3 {
		for app, sample := range src.Collect(t.Context(), apps) {
			if !sample.Known() {
				t.Errorf("%s: %+v", app, sample)
			}
		}
		if n := len(e.asked()); n > 4 {
			t.Errorf("asked %d times", n)
		}
	}
}

func TestChunks(t *testing.T) {
	apps, series := fleet(3000)
	e := newEngineServer(series...)
	limit := 15_000
	e.meddle = func(w http.ResponseWriter, query string, _ time.Time) bool {
		if len(query) > limit {
			refuse(w, http.StatusBadRequest, "bad_data", "too long")
		}
		return len(query) > limit
	}
	for _, tt := range []struct {
		query      string
		apps, want int
		all        bool
	}{
		{`sum(depth{app="$APP_NAME"})`, 700, 1, false},
		{`sum(depth{app="$APP_NAME"})`, 1500, 3, false},
		{`sum(depth{app="$APP_NAME"})`, 3000, 1, true},
		{`sum(depth{app="$APP_NAME"}) / sum(size{app="$APP_NAME"})`, 340, 1, false},
		{`sum(depth{app="$APP_NAME"}) / sum(size{app="$APP_NAME"})`, 1000, 3, false},
	} {
		src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: tt.query})
		want := map[scale.App]string{}
		for i, app := range apps[:tt.apps] {
			want[app] = fmt.Sprint(i)
			if strings.Contains(tt.query, "size") {
				want[app] = fmt.Sprint(float64(i) / 2)
			}
		}
		collect(t, src, want)
		e.asked()
		collect(t, src, want)
		queries := e.asked()
		if len(queries) != tt.want || strings.Contains(queries[0], `!=""`) != tt.all {
			t.Errorf("%s for %d apps: %d queries, the first %.80s", tt.query, tt.apps, len(queries), queries[0])
		}
		closeSource(t, src)
	}
}

// TestChunksAfterRefusal has a server that refuses to answer for all apps.
func TestChunksAfterRefusal(t *testing.T) {
	apps, series := fleet(2500)
	e := newEngineServer(series...)
	refusing := false
	e.meddle = func(w http.ResponseWriter, query string, _ time.Time) bool {
		if refusing && strings.Contains(query, `!=""`) {
			refuse(w, http.StatusUnprocessableEntity, "execution", "query processing would load too many samples into memory")
			return true
		}
		return false
	}
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `sum(depth{app="$APP_NAME"})`})
	defer closeSource(t, src)
	want := map[scale.App]string{}
	for i, app := range apps {
		want[app] = fmt.Sprint(i)
	}
	collect(t, src, want)
	refusing = true
	e.asked()
	collect(t, src, want)
	if n := len(e.asked()); n != 5 {
		t.Errorf("asked %d times, want for all and in four parts", n)
	}
}

func TestGroupLabelOfTheUser(t *testing.T) {
	e := newEngineServer(
		gauge(3, "__name__", "depth", "app", "web", "part", "x"), gauge(4, "__name__", "depth", "app", "api", "part", "x"),
		gauge(5, "__name__", "depth", "app", "api", "part", "y"), gauge(5, "__name__", "depth"),
	)
	address := serve(t, e.ServeHTTP)
	src := open(t, prometheus.Config{Address: address, Query: `max by (app) (depth)`, GroupLabel: "app"})
	defer closeSource(t, src)
	collect(t, src, map[scale.App]string{"web": "3", "api": "5", "none": "empty", "": "empty", `x"y`: "empty"})
	collect(t, src, map[scale.App]string{"web": "3"})
	wantAsked(t, e, `max by (app) (depth)`, `max by (app) (depth)`)
	if grouped, reason := src.Mode(); !grouped || reason != "" {
		t.Errorf("mode is %v, %q", grouped, reason)
	}
	for query, want := range map[string]string{
		`sum(depth)`:         "none of the 1 series that the query returned has the label app",
		`sum(`:               "HTTP status 400",
		`sum by (app) (nil)`: "no series for the app",
	} {
		other := open(t, prometheus.Config{Address: address, Query: query, GroupLabel: "app"})
		e.asked()
		for app, got := range other.Collect(t.Context(), []scale.App{"web", "api"}) {
			if got.Known() || !strings.Contains(got.Reason, want) {
				t.Errorf("%s: sample of %s is %+v, want %q", query, app, got, want)
			}
		}
		wantAsked(t, e, query)
		closeSource(t, other)
	}
	for query, label := range map[string]string{`sum(depth{app="$APP_NAME"})`: "app", `sum(depth)`: "a.b"} {
		_, err := prometheus.New(prometheus.Config{Metric: "m", Address: address, Query: query, GroupLabel: label})
		if err == nil {
			t.Errorf("%s grouped by %s was taken", query, label)
		}
	}
}

func TestMode(t *testing.T) {
	for query, want := range map[string]string{
		`sum(depth{app="$APP_NAME"})`:          "",
		`sum(depth)`:                           "the query does not hold $APP_NAME and is the same for all apps",
		`topk(1, depth{app="$APP_NAME"})`:      "topk picks series across apps",
		`sum(depth{app=~"$APP_NAME"})`:         `$APP_NAME must stand alone as the value of a matcher such as app="$APP_NAME"`,
		`sum(depth{app="$APP_NAME"}) / sum(x)`: `one side of "/" is about the app and the other is not; make a number of it with scalar(…)`,
	} {
		src := open(t, prometheus.Config{Address: "http://127.0.0.1:1", Query: query})
		if grouped, reason := src.Mode(); grouped != (want == "") || reason != want {
			t.Errorf("%s: mode is %v, %q; want %q", query, grouped, reason, want)
		}
		closeSource(t, src)
	}
}

// canned is a transport that gives one answer to the grouped query, and the first
// app's to any other.
type canned struct{ many, one []byte }

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	form, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body := c.one
	if bytes.Contains(form, []byte("by")) {
		body = c.many
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}

// BenchmarkCollect10000 reads an answer of 10,000 rows, without the network.
func BenchmarkCollect10000(b *testing.B) {
	const n = 10_000
	apps := make([]scale.App, n)
	var many bytes.Buffer
	many.WriteString(`{"status":"success","data":{"resultType":"vector","result":[`)
	for i := range apps {
		apps[i] = scale.App(fmt.Sprintf("application-%08d", i))
		if i > 0 {
			many.WriteByte(',')
		}
		fmt.Fprintf(&many, `{"metric":{"app":%q},"value":[1700000000.123,"%d.25"]}`, apps[i], i)
	}
	many.WriteString(`]}}`)
	src, err := prometheus.New(prometheus.Config{
		Metric: "depth", Address: "http://127.0.0.1:9090", Query: `sum(depth{app="$APP_NAME"})`,
		Transport: canned{many.Bytes(), []byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000000.123,"0.25"]}]}}`)},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		got := src.Collect(context.Background(), apps)
		if len(got) != n || !got[apps[n-1]].Known() {
			b.Fatalf("%d samples, the last %+v", len(got), got[apps[n-1]])
		}
	}
}
