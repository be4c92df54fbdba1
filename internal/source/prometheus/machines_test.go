package prometheus_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
	"github.com/fly-autoscaler/fly-autoscaler/test/server"
)

// jobs are the series of a metric of each Machine, evaluated by the engine of a
// Prometheus server.
func jobs() *engineServer {
	return newEngineServer(
		gauge(2, "__name__", "jobs", "app", "a", "instance", "m1"),
		gauge(3, "__name__", "jobs", "app", "a", "instance", "m1", "queue", "slow"),
		gauge(0, "__name__", "jobs", "app", "a", "instance", "m2"),
		gauge(9, "__name__", "jobs", "app", "a"),
		gauge(7, "__name__", "jobs", "app", "b", "instance", "m3"),
		gauge(5, "__name__", "jobs", "app", "d"),
		gauge(math.NaN(), "__name__", "jobs", "app", "e", "instance", "m4"),
		gauge(1, "__name__", "jobs", "app", "e", "instance", "m5"),
	)
}

func TestMachines(t *testing.T) {
	for name, cfg := range map[string]prometheus.Config{
		"alone":      {Query: `sum by (instance) (jobs{app="$APP_NAME"})`},
		"raw":        {Query: `jobs{app="$APP_NAME"}`},
		"together":   {Query: "sum by (app, instance) (jobs)", GroupLabel: "app"},
		"unadded up": {Query: "jobs", GroupLabel: "app"},
	} {
		t.Run(name, func(t *testing.T) {
			engine := jobs()
			srv := httptest.NewServer(engine)
			defer srv.Close()
			cfg.Address, cfg.MachineLabel = srv.URL, "instance"
			src := open(t, cfg)
			defer closeSource(t, src)
			got := src.Collect(t.Context(), []scale.App{"a", "b", "c", "d", "e"})
			want := map[scale.App]string{
				"a": "5 map[m1:5 m2:0]", "b": "7 map[m3:7]", "c": "empty", "d": "has the label instance", "e": "of Machine m4: value is NaN",
			}
			for app, text := range want {
				s := got[app]
				switch {
				case s.Known():
					if shown := fmt.Sprint(s.Value, s.Machines); shown != text {
						t.Errorf("%s: got %s, want %s", app, shown, text)
					}
				case s.Machines != nil || s.Quality == scale.Empty != (text == "empty") || text != "empty" && !strings.Contains(s.Reason, text):
					t.Errorf("%s: got %+v, want %s", app, s, text)
				}
			}
			queries := len(engine.asked())
			if together := cfg.GroupLabel != ""; together != (queries == 1) {
				t.Errorf("asked %d times", queries)
			}
			if grouped, why := src.Mode(); grouped != (cfg.GroupLabel != "") {
				t.Errorf("grouped is %t: %s", grouped, why)
			}
		})
	}
}

// One answer with the Machines of all is the same for each app.
func TestMachinesOfOneQuery(t *testing.T) {
	srv := httptest.NewServer(jobs())
	defer srv.Close()
	src := open(t, prometheus.Config{Address: srv.URL, Query: `sum by (instance) (jobs{app=~"a|b"})`, MachineLabel: "instance"})
	defer closeSource(t, src)
	got := src.Collect(t.Context(), []scale.App{"a", "z"})
	want := map[scale.MachineID]float64{"m1": 5, "m2": 0, "m3": 7}
	for _, app := range []scale.App{"a", "z"} {
		if diff := cmp.Diff(want, got[app].Machines); diff != "" {
			t.Errorf("%s: want -, got +\n%s", app, diff)
		}
	}
}

// What is no vector has no Machines.
func TestMachinesOfOtherAnswers(t *testing.T) {
	for query, want := range map[string]string{
		"1":        "the query returned a scalar without labels, not series for each Machine",
		"\"x\"":    "the query returned a string, not a number",
		"jobs[5m]": "matrix",
	} {
		kind := map[string]string{"1": `"scalar","result":[1,"1"]`, "\"x\"": `"string","result":[1,"x"]`, "jobs[5m]": `"matrix","result":[]`}[query]
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":`+kind+`}}`)
		})
		src := open(t, prometheus.Config{Address: address, Query: query, MachineLabel: "instance"})
		if got := one(t, src); got.Quality != scale.Error || !strings.Contains(got.Reason, want) {
			t.Errorf("%s: got %+v, want an error with %q", query, got, want)
		}
		closeSource(t, src)
	}
}

func TestMachineLabelThatIsNone(t *testing.T) {
	for _, cfg := range []prometheus.Config{
		{MachineLabel: "in-stance"}, {MachineLabel: "app", GroupLabel: "app"},
	} {
		cfg.Metric, cfg.Address, cfg.Query = "jobs", "http://x", "jobs"
		if _, err := prometheus.New(cfg); err == nil {
			t.Errorf("%q beside %q is accepted", cfg.MachineLabel, cfg.GroupLabel)
		}
	}
}

// TestMachinesRealServer asks a real server.
func TestMachinesRealServer(t *testing.T) {
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, "# TYPE one gauge\none 42\n# TYPE jobs gauge\njobs{app=\"a\",machine=\"m1\",q=\"x\"} 2\njobs{app=\"a\",machine=\"m1\",q=\"y\"} 1\njobs{app=\"a\",machine=\"m2\"} 0\njobs{app=\"b\",machine=\"m3\"} 4\n")
	}))
	t.Cleanup(exporter.Close)
	address := server.Prometheus(t, strings.TrimPrefix(exporter.URL, "http://"))
	awaitScrape(t, address)
	src := open(t, prometheus.Config{Address: address, Query: `sum by (machine) (jobs{app="$APP_NAME"})`, MachineLabel: "machine", Timeout: time.Minute})
	defer closeSource(t, src)
	got := src.Collect(t.Context(), []scale.App{"a", "b"})
	for app, want := range map[scale.App]string{"a": "3 map[m1:3 m2:0]", "b": "4 map[m3:4]"} {
		if shown := fmt.Sprint(got[app].Value, got[app].Machines); shown != want {
			t.Errorf("%s: got %s, want %s (%s)", app, shown, want, got[app].Reason)
		}
	}
}
