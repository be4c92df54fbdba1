package flysim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/api"
	prom "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

var metricsStart = time.Unix(1_800_000_000, 0).UTC()

// metricsWorld is a world with its metrics, on a server.
type metricsWorld struct {
	*sim.World
	url string
}

// newMetricsWorld makes a world with the apps named: those of org "acme", and
// "foreign/…" of another.
func newMetricsWorld(t *testing.T, apps ...string) metricsWorld {
	t.Helper()
	world := sim.New(sim.Config{Start: metricsStart})
	for _, org := range []string{"acme", "foreign"} {
		if err := world.AddOrg(org, org, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, app := range apps {
		org, name := "acme", app
		if before, after, found := strings.Cut(app, "/"); found {
			org, name = before, after
		}
		if _, err := world.CreateApp(sim.Call{}, sim.AppInput{Name: name, Org: org}); err != nil {
			t.Fatal(err)
		}
	}
	handler := flysim.New(world, flysim.Options{Now: world.Now})
	flysim.NewPrometheus(world, world.RecordSeries(sim.SeriesOptions{})).Mount(handler)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return metricsWorld{world, server.URL}
}

func (w metricsWorld) load(t *testing.T, app, text string) {
	t.Helper()
	var specs sim.LoadSpecs
	if err := yaml.Load([]byte(text), &specs); err != nil {
		t.Fatal(err)
	}
	loads, err := specs.New(1, w.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.AddLoad(app, loads); err != nil {
		t.Fatal(err)
	}
}

func (w metricsWorld) advance(d time.Duration) { w.Advance(w.Now().Add(d)) }

// get asks an endpoint of an organization's metrics, with the parameters in
// pairs, and returns the status and the body.
func (w metricsWorld) get(t *testing.T, method, org, path string, params ...string) (int, string) {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(params); i += 2 {
		form.Add(params[i], params[i+1])
	}
	target := w.url + "/prometheus/" + org + "/api/v1/" + path
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	} else {
		target += "?" + form.Encode()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "FlyV1 fm2_test")
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return roundTrip(t, r)
}

func roundTrip(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// query asks for the value of a query now, in org "acme".
func (w metricsWorld) query(t *testing.T, query string) string {
	t.Helper()
	status, body := w.get(t, http.MethodGet, "acme", "query", "query", query)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", query, status, body)
	}
	return body
}

// values returns the values of a vector by one label.
func (w metricsWorld) values(t *testing.T, query string, label model.LabelName) map[string]float64 {
	t.Helper()
	var answer struct {
		Data struct{ Result model.Vector }
	}
	if err := json.Unmarshal([]byte(w.query(t, query)), &answer); err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, sample := range answer.Data.Result {
		values[string(sample.Metric[label])] = float64(sample.Value)
	}
	return values
}

func (w metricsWorld) setGauge(t *testing.T, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/_sim/gauge", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return roundTrip(t, r)
}

const noRows = `{"status":"success","data":{"resultType":"vector","result":[]}}`

func TestPrometheusQueue(t *testing.T) {
	w := newMetricsWorld(t, "a", "b", "foreign/c")
	for app, jobs := range map[string]string{"a": "5", "b": "7", "c": "9"} {
		w.load(t, app, `[{gauge: {metric: queue_depth, value: `+jobs+`}}]`)
	}
	w.advance(20 * time.Second)
	if got, want := w.query(t, `sum(queue_depth{app='a'})`),
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1800000020,"5"]}]}}`; got != want {
		t.Errorf("one app:\ngot  %s\nwant %s", got, want)
	}
	if diff := cmp.Diff(map[string]float64{"a": 5, "b": 7}, w.values(t, `sum by (app) (queue_depth)`, "app")); diff != "" {
		t.Errorf("all apps of the organization, and no other:\n%s", diff)
	}
	if got := w.query(t, `no_such_metric`); got != noRows {
		t.Errorf("absent metric: got %s", got)
	}
	if got, want := w.query(t, `1 + 0.5`), `{"status":"success","data":{"resultType":"scalar","result":[1800000020,"1.5"]}}`; got != want {
		t.Errorf("scalar: got %s, want %s", got, want)
	}
	if got, want := w.query(t, `"a\"b"`), `{"status":"success","data":{"resultType":"string","result":[1800000020,"a\"b"]}}`; got != want {
		t.Errorf("string: got %s, want %s", got, want)
	}
	status, body := w.get(t, http.MethodPost, "foreign", "query", "query", `queue_depth`, "time", "1800000016.5")
	if want := `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"queue_depth","app":"c"},"value":[1800000016.5,"9"]}]}}`; status != 200 || body != want {
		t.Errorf("POST with a time:\ngot  %s\nwant %s", body, want)
	}
	status, body = w.get(t, http.MethodGet, "acme", "query_range", "query", `queue_depth{app="a"}`,
		"start", "2027-01-15T08:00:00Z", "end", "1800000045", "step", "15")
	if want := `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"queue_depth","app":"a"},"values":[[1800000015,"5"],[1800000030,"5"],[1800000045,"5"]]}]}}`; status != 200 || body != want {
		t.Errorf("range:\ngot  %s\nwant %s", body, want)
	}
}

func TestPrometheusWebTraffic(t *testing.T) {
	w := newMetricsWorld(t, "web")
	for _, region := range []string{"fra", "iad"} {
		if _, _, err := w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Region: region, Config: []byte(`{"image":"registry.fly.io/web:1"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	w.advance(10 * time.Second)
	w.load(t, "web", `[{web: {requests: 100, regions: {ams: 3, ewr: 1}}}]`)
	w.advance(2 * time.Minute)
	rates := w.values(t, `sum(rate(fly_edge_http_responses_count[1m])) by (region)`, "region")
	if len(rates) != 2 || math.Abs(rates["ams"]-75) > 8 || math.Abs(rates["ewr"]-25) > 5 {
		t.Errorf("rates by edge: got %v, want about 75 in ams and 25 in ewr", rates)
	}
	rates = w.values(t, `sum(rate(fly_app_http_responses_count{status="200"}[1m])) by (region)`, "region")
	if len(rates) != 2 || math.Abs(rates["fra"]-75) > 8 || math.Abs(rates["iad"]-25) > 5 {
		t.Errorf("rates by Machine: got %v, want about 75 in fra and 25 in iad", rates)
	}
	if got := w.values(t, `sum(fly_instance_up) by (app)`, "app"); got["web"] != 2 {
		t.Errorf("Machines up: got %v, want 2", got)
	}
}

func TestPrometheusStaleness(t *testing.T) {
	w := newMetricsWorld(t, "web")
	machine, _, err := w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Region: "fra", Config: []byte(`{"image":"registry.fly.io/web:1"}`)})
	if err != nil {
		t.Fatal(err)
	}
	w.advance(15 * time.Second)
	if got := w.values(t, `sum(fly_instance_up) by (app)`, "app"); got["web"] != 1 {
		t.Fatalf("got %v, want the Machine", got)
	}
	if err := w.StopMachine(sim.Call{}, "web", machine.ID, sim.StopInput{}); err != nil {
		t.Fatal(err)
	}
	w.advance(15 * time.Second)
	if got := w.query(t, `sum(fly_instance_up)`); got != noRows {
		t.Errorf("after it stopped: got %s, want no rows", got)
	}
	if got := w.query(t, `sum(fly_instance_up offset 15s)`); got == noRows {
		t.Error("what was before is forgotten")
	}
}

func TestPrometheusRefusals(t *testing.T) {
	w := newMetricsWorld(t, "web")
	for _, tc := range []struct {
		name, org, path string
		params          []string
		status          int
		want            string
	}{
		{
			"syntax", "acme", "query",
			[]string{"query", "sum("},
			400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}`,
		},
		{
			"no query", "acme", "query", nil, 400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": unknown position: parse error: no expression found in input"}`,
		},
		{
			"time", "acme", "query",
			[]string{"query", "x", "time", "noon"},
			400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"time\": cannot parse \"noon\" to a valid timestamp"}`,
		},
		{
			"timeout", "acme", "query",
			[]string{"query", "x", "timeout", "-1s"},
			400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"timeout\": cannot parse \"-1s\" to a valid duration"}`,
		},
		{
			"execution", "acme", "query",
			[]string{"query", `label_replace(x, "", "", "", "")`},
			422,
			`{"status":"error","errorType":"execution","error":"invalid destination label name in label_replace(): "}`,
		},
		{
			"range without start", "acme", "query_range",
			[]string{"query", "x"},
			400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"}`,
		},
		{
			"range backwards", "acme", "query_range",
			[]string{"query", "x", "start", "5", "end", "4", "step", "1"},
			400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"end\": end timestamp must not be before start time"}`,
		},
		{
			"step", "acme", "query_range",
			[]string{"query", "x", "start", "5", "end", "6", "step", "0"},
			400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"}`,
		},
		{
			"too many points", "acme", "query_range",
			[]string{"query", "x", "start", "0", "end", "20000", "step", "1s"},
			400,
			`{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11000 points per timeseries. Try decreasing the query resolution (?step=XX)"}`,
		},
		{
			"series without selector", "acme", "series", nil, 400,
			`{"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}`,
		},
		{
			"unknown organization", "nobody", "query",
			[]string{"query", "1"},
			404,
			`{"status":"error","errorType":"not_found","error":"organization \"nobody\" not found"}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body := w.get(t, http.MethodGet, tc.org, tc.path, tc.params...)
			if status != tc.status || body != tc.want {
				t.Errorf("got  %d %s\nwant %d %s", status, body, tc.status, tc.want)
			}
		})
	}
	t.Run("no authorization", func(t *testing.T) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/prometheus/acme/api/v1/query?query=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := roundTrip(t, r); status != http.StatusUnauthorized {
			t.Errorf("got %d %s, want 401", status, body)
		}
	})
}

func TestPrometheusTimeout(t *testing.T) {
	w := newMetricsWorld(t, "web")
	w.load(t, "web", `[{gauge: {metric: x, value: 1}}]`)
	w.advance(time.Minute)
	status, body := w.get(t, http.MethodGet, "acme", "query", "query", `max_over_time(x[1h:1ms])`, "timeout", "0.001")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, `"errorType":"timeout"`) {
		t.Errorf("got %d %s, want a timeout", status, body)
	}
}

func TestPrometheusGauge(t *testing.T) {
	w := newMetricsWorld(t, "web", "foreign/other")
	w.load(t, "web", `[{gauge: {metric: depth, value: 3}}]`)
	w.advance(15 * time.Second)
	for _, step := range []struct{ body, want string }{
		{`{"app":"web","metric":"depth","value":12.5}`, `12.5`},
		{`{"org":"acme","app":"web","metric":"depth","value":"NaN"}`, `NaN`},
		{`{"app":"web","metric":"depth","value":"+Inf"}`, `+Inf`},
		{`{"app":"web","metric":"depth","value":"-Inf"}`, `-Inf`},
		{`{"app":"web","metric":"depth","value":1e300}`, `1e+300`},
		{`{"app":"web","metric":"depth","delete":true}`, ``},
		{`{"app":"web","metric":"depth","value":0.0000001}`, `1e-07`},
	} {
		if status, body := w.setGauge(t, step.body); status != http.StatusNoContent {
			t.Fatalf("%s: %d %s", step.body, status, body)
		}
		want := noRows
		if step.want != "" {
			want = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"depth","app":"web"},"value":[1800000015,"` + step.want + `"]}]}}`
		}
		if got := w.query(t, `depth`); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", step.body, got, want)
		}
	}
	w.advance(15 * time.Second)
	if got := w.values(t, `depth`, "app"); got["web"] != 1e-7 {
		t.Errorf("at the next scrape: got %v, want what was set", got)
	}
	if status, body := w.setGauge(t, `{"app":"web","metric":"depth","value":null}`); status != http.StatusNoContent {
		t.Fatalf("release: %d %s", status, body)
	}
	w.advance(15 * time.Second)
	if got := w.values(t, `depth`, "app"); got["web"] != 3 {
		t.Errorf("released: got %v, want what the load says", got)
	}

	for _, tc := range []struct {
		body string
		want int
	}{
		{`{"app":"none","metric":"x","value":1}`, 404},
		{`{"org":"acme","app":"other","metric":"x","value":1}`, 404},
		{`{"app":"web","metric":"x"}`, 400},
		{`{"app":"web","metric":"x","value":"many"}`, 400},
		{`{"app":"web","metric":"x","value":[1]}`, 400},
		{`{"app":"web","metric":"a b","value":1}`, 400},
		{`{"app":"web","metric":"x","value":1,"labels":{"app":"other"}}`, 400},
		{`{"app":"web","metric":"x","values":1}`, 400},
		{`{`, 400},
	} {
		if status, body := w.setGauge(t, tc.body); status != tc.want || !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("%s: got %d %s, want %d with an error", tc.body, status, body, tc.want)
		}
	}
}

func TestPrometheusFaults(t *testing.T) {
	w := newMetricsWorld(t, "web", "shop")
	for _, app := range []string{"web", "shop"} {
		w.load(t, app, `[{gauge: {metric: depth, value: 3}}]`)
	}
	w.advance(15 * time.Second)
	order := func(t *testing.T, f sim.Fault) {
		t.Helper()
		f.Op = flysim.OpPrometheusQuery
		if _, err := w.OrderFault(f); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.ClearFaults)
	}
	row := func(app, more, value string) string {
		return `{"metric":{"__name__":"depth","app":"` + app + `"` + more + `},"value":[1800000015,"` + value + `"]}`
	}
	vector := func(rows ...string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(rows, ",") + `]}}`
	}
	const query = `depth{app="web"}`
	for _, tc := range []struct {
		name       string
		fault      sim.Fault
		query      string
		wantStatus int
		want       string
	}{
		{"error", sim.Fault{Kind: sim.FaultError, Status: 502}, query, 502, "Bad Gateway\n"},
		{"error with a text", sim.Fault{Kind: sim.FaultError, Status: 429, Message: "slow down"}, query, 429, "slow down\n"},
		{"empty", sim.Fault{Kind: sim.FaultEmpty}, query, 200, noRows},
		{"empty scalar", sim.Fault{Kind: sim.FaultEmpty}, `1`, 200, noRows},
		{"not a number", sim.Fault{Kind: sim.FaultNaN}, query, 200, vector(row("web", "", "NaN"))},
		{"infinite", sim.Fault{Kind: sim.FaultInf}, query, 200, vector(row("web", "", "+Inf"))},
		{"several", sim.Fault{Kind: sim.FaultSeveral}, query, 200, vector(row("web", `,"replica":"a"`, "3"), row("web", `,"replica":"b"`, "3"))},
		{"error of this app", sim.Fault{Kind: sim.FaultError, Status: 503, App: "web"}, query, 503, "Service Unavailable\n"},
		{"error of another app", sim.Fault{Kind: sim.FaultError, Status: 503, App: "shop"}, query, 200, vector(row("web", "", "3"))},
		{"of another app", sim.Fault{Kind: sim.FaultNaN, App: "shop"}, query, 200, vector(row("web", "", "3"))},
		{"of another organization", sim.Fault{Kind: sim.FaultNaN, Org: "foreign"}, query, 200, vector(row("web", "", "3"))},
		{"of this app", sim.Fault{Kind: sim.FaultNaN, App: "web", Org: "acme"}, query, 200, vector(row("web", "", "NaN"))},
		{"of one app, asked for all", sim.Fault{Kind: sim.FaultNaN, App: "web"}, `sum(depth)`, 200, vector(`{"metric":{},"value":[1800000015,"6"]}`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			order(t, tc.fault)
			status, body := w.get(t, http.MethodGet, "acme", "query", "query", tc.query)
			if status != tc.wantStatus || body != tc.want {
				t.Errorf("got  %d %s\nwant %d %s", status, body, tc.wantStatus, tc.want)
			}
		})
	}
	t.Run("garbage", func(t *testing.T) {
		order(t, sim.Fault{Kind: sim.FaultGarbage})
		if status, body := w.get(t, http.MethodGet, "acme", "query", "query", query); status != 200 || json.Valid([]byte(body)) {
			t.Errorf("got %d %s, want 200 and no JSON", status, body)
		}
	})
	request := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/prometheus/acme/api/v1/query?query=1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer x")
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	t.Run("cut", func(t *testing.T) {
		order(t, sim.Fault{Kind: sim.FaultCut})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := request(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a cut connection", err)
		}
	})
	t.Run("hang", func(t *testing.T) {
		order(t, sim.Fault{Kind: sim.FaultHang})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := request(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the client to give up", err)
		}
	})
	// The world's time stands still, so these end when it is moved on.
	for _, kind := range []sim.FaultKind{sim.FaultSlow, sim.FaultHang} {
		t.Run(string(kind)+" for a minute", func(t *testing.T) {
			order(t, sim.Fault{Kind: kind, Duration: sim.Duration(time.Minute)})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			answered := make(chan error, 1)
			go func() { answered <- request(ctx) }()
			for w.Faults()[0].Struck == 0 && ctx.Err() == nil {
				runtime.Gosched()
			}
			w.advance(59 * time.Second)
			select {
			case err := <-answered:
				t.Fatalf("answered too early: %v", err)
			default:
			}
			w.advance(time.Hour)
			if err := <-answered; err != nil {
				t.Error(err)
			}
		})
	}
}

// withToken adds what the platform wants to every request.
type withToken struct{}

func (withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer test")
	return http.DefaultTransport.RoundTrip(r)
}

// TestPrometheusOfficialClient asks with the client library that most users
// have.
func TestPrometheusOfficialClient(t *testing.T) {
	w := newMetricsWorld(t, "web", "shop")
	w.load(t, "web", `[{gauge: {metric: depth, value: 3}}, {gauge: {metric: odd, labels: {k: "a\"\\\n\u00e9"}, value: .nan}}]`)
	w.load(t, "shop", `[{gauge: {metric: depth, value: 4}}]`)
	w.advance(time.Minute)
	client, err := api.NewClient(api.Config{Address: w.url + "/prometheus/acme/", RoundTripper: withToken{}})
	if err != nil {
		t.Fatal(err)
	}
	metrics := prom.NewAPI(client)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	check := func(what string, got any, err error, want string) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if text := fmt.Sprint(got); text != want {
			t.Errorf("%s: got %s, want %s", what, text, want)
		}
	}
	value, _, _, err := metrics.Query(ctx, `sum(depth)`, w.Now(), prom.WithTimeout(time.Second))
	check("query", value, err, `{} => 7 @[1800000060]`)
	value, _, _, err = metrics.Query(ctx, `odd`, w.Now())
	check("odd characters", value, err, `odd{app="web", k="a\"\\\né"} => NaN @[1800000060]`)
	value, _, _, err = metrics.QueryRange(ctx, `depth{app="web"}`, prom.Range{Start: w.Now().Add(-30 * time.Second), End: w.Now(), Step: 30 * time.Second})
	check("range", value, err, "depth{app=\"web\"} =>\n3 @[1800000030]\n3 @[1800000060]")
	sets, _, _, err := metrics.Series(ctx, []string{`depth`, `{app="shop"}`}, metricsStart, w.Now())
	check("series", sets, err, `[{__name__="depth", app="shop"} {__name__="depth", app="web"}]`)
	names, _, _, err := metrics.LabelNames(ctx, nil, metricsStart, w.Now())
	check("label names", names, err, `__name__, app, k`)
	values, _, _, err := metrics.LabelValues(ctx, "app", nil, time.Time{}, w.Now())
	check("label values", values, err, `[shop web]`)
	values, _, _, err = metrics.LabelValues(ctx, "app", []string{`odd`}, metricsStart, w.Now())
	check("label values of a selector", values, err, `[web]`)

	_, _, _, err = metrics.Query(ctx, `sum(`, w.Now())
	var refusal *prom.Error
	if !errors.As(err, &refusal) || refusal.Type != prom.ErrBadData {
		t.Errorf("bad query: got %v, want %s", err, prom.ErrBadData)
	}
}

func TestPrometheusExposition(t *testing.T) {
	w := newMetricsWorld(t, "web", "foreign/other")
	w.load(t, "web", `[{queue: {arrivals: 0, service: 1s}}, {gauge: {metric: odd, labels: {k: "a\"\\\nb"}, value: .nan}}]`)
	w.load(t, "other", `[{gauge: {metric: queue_depth, value: .inf}}]`)
	w.advance(15 * time.Second)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/_sim/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, body := roundTrip(t, r)
	want := `# TYPE jobs_done_total counter
jobs_done_total{app="web",org="acme"} 0
# TYPE jobs_killed_total counter
jobs_killed_total{app="web",org="acme"} 0
# TYPE jobs_rejected_total counter
jobs_rejected_total{app="web",org="acme"} 0
# TYPE odd gauge
odd{app="web",k="a\"\\\nb",org="acme"} NaN
# TYPE oldest_job_age_seconds gauge
oldest_job_age_seconds{app="web",org="acme"} 0
# TYPE queue_depth gauge
queue_depth{app="web",org="acme"} 0
queue_depth{app="other",org="foreign"} +Inf
# TYPE queue_depth_in_flight gauge
queue_depth_in_flight{app="web",org="acme"} 0
`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Error(diff)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil || len(families) != 7 {
		t.Errorf("the parser of the format reads %d families: %v", len(families), err)
	}
}

// TestScenarioMetrics plays a scenario with a trace and an interval of its own.
func TestScenarioMetrics(t *testing.T) {
	scenario, err := flysim.ParseScenario([]byte(`
metrics: {interval: 1s, retention: 10s}
apps:
  - app: job
    count: 2
    org: acme
    load:
      - queue: {arrivals: {trace: {file: jobs.csv}}, service: 10s}
      - gauge: {metric: level, value: 4}
`))
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	world, err := scenario.World(metricsStart, func(name string) (io.ReadCloser, error) {
		opened++
		if name != "jobs.csv" {
			return nil, fmt.Errorf("unexpected file %s", name)
		}
		return io.NopCloser(strings.NewReader("unix_seconds,value\n0,600\n60,600\n")), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if opened != 1 {
		t.Errorf("the trace of two apps was opened %d times, want once", opened)
	}
	opts := scenario.Options()
	opts.Now = world.Now
	server, err := flysim.Start(t.Context(), "127.0.0.1:0", world, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := metricsWorld{world, server.URL()}
	w.advance(20 * time.Second)
	if got := w.values(t, `count_over_time(level[1m])`, "app"); got["job-1"] != 11 {
		t.Errorf("samples kept: got %v, want those of 10 s at 1 s", got)
	}
	depths := w.values(t, `queue_depth`, "app")
	if one, other := depths["job-1"], depths["job-2"]; one < 130 || one > 270 || one == other {
		t.Errorf("jobs after 20 s at 10 per second: got %v, want about 200 each and not the same", depths)
	}

	_, err = flysim.ParseScenario([]byte("metrics: {interval: 1500ms}"))
	if err == nil || err.Error() != "read scenario: metrics: interval: 1.5s is not a number of whole seconds" {
		t.Errorf("got %v", err)
	}
}

// BenchmarkPrometheusTenThousandApps measures one query for all apps.
func BenchmarkPrometheusTenThousandApps(b *testing.B) {
	world := sim.New(sim.Config{Start: metricsStart})
	if err := world.AddOrg("acme", "Acme", false); err != nil {
		b.Fatal(err)
	}
	store := sim.NewSeriesStore(sim.SeriesOptions{})
	for i := range 10_000 {
		app := fmt.Sprintf("app-%05d", i)
		scrape := sim.Scrape{Org: "acme", App: app}
		for m := range 4 {
			scrape.Machines = append(scrape.Machines, sim.LoadMachine{ID: fmt.Sprintf("%014x", i*4+m), Region: "fra", Started: true})
		}
		store.Add(metricsStart, scrape)
	}
	handler := flysim.New(world, flysim.Options{Now: world.Now})
	flysim.NewPrometheus(world, store).Mount(handler)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/prometheus/acme/api/v1/query?query="+url.QueryEscape("sum by (app) (fly_instance_up)"), nil)
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Body.Len() < 400_000 {
			b.Fatal(w.Code, w.Body.Len())
		}
	}
}
