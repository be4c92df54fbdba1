package app

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Every rule of the settings is in the policy.
func TestPolicyHasTheRules(t *testing.T) {
	content, err := os.ReadFile("../../examples/fly-autoscaler.yml")
	if err != nil {
		t.Fatal(err)
	}
	settings, _, err := config.Load(config.Input{File: content, Environ: []string{"FAS_API_TOKEN=x", "FAS_PROMETHEUS_TOKEN=y"}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(settings, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, want := a.now.Load().rules[0].policy, settings.Targets[0]
	for name, pair := range map[string][2]any{
		"behavior": {got.Behavior, want.Behavior}, "on-loss": {got.Loss, want.Loss}, "schedules": {len(got.Schedules), len(want.Schedules)},
		"limits": {got.Limits, want.Limits}, "scale-to-zero": {got.Zero, want.Zero}, "scale-in": {got.ScaleIn, want.ScaleIn},
	} {
		if a, b := fmt.Sprintf("%+v", pair[0]), fmt.Sprintf("%+v", pair[1]); a != b || a == "0" {
			t.Errorf("%s: got %s, want %s", name, a, b)
		}
	}
}

// What a collector says of empty and of old answers, and of Machines, holds.
func TestCollectorSettings(t *testing.T) {
	now := time.Now()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rows := map[string]string{
			"young":    fmt.Sprintf(`{"metric":{},"value":[%d,"5"]}`, now.Add(-90*time.Second).Unix()),
			"old":      fmt.Sprintf(`{"metric":{},"value":[%d,"5"]}`, now.Add(-10*time.Minute).Unix()),
			"machines": fmt.Sprintf(`{"metric":{"instance":"m1"},"value":[%d,"5"]}`, now.Unix()),
		}
		query := r.FormValue("query")
		if strings.HasPrefix(query, "bad") {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, rows[query])
	}))
	defer srv.Close()
	a := &App{metrics: newMetrics("test", newPasses())}
	g := &generation{settings: &config.Settings{Interval: 15 * time.Second, Timeout: 30 * time.Second}}
	target := config.Target{Name: "flat", AppPattern: "web"}
	for name, c := range map[string]config.Collector{
		"empty": {Query: "none"}, "zero": {Query: "none", EmptyIsZero: true}, "error": {Query: "bad", EmptyIsZero: true},
		"stale": {Query: "young"}, "fresh": {Query: "young", MaxAge: 2 * time.Minute}, "older": {Query: "old", MaxAge: 2 * time.Minute, EmptyIsZero: true},
		"machines": {Query: "machines", MachineLabel: "instance"},
	} {
		c.Type, c.MetricName, c.Address = "prometheus", name, srv.URL
		target.Collectors = append(target.Collectors, c)
	}
	r, err := newRule(a, g, target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}()
	got := map[string]string{}
	for _, s := range r.sources {
		sample := s.Collect(t.Context(), []scale.App{"web"})["web"]
		got[s.Metric()] = fmt.Sprint(sample.Quality, " ", sample.Value, " ", sample.Machines)
		if sample.Known() != (sample.Reason == "") || sample.At.IsZero() {
			t.Errorf("%s: got %+v", s.Metric(), sample)
		}
	}
	want := map[string]string{
		"empty": "empty 0 map[]", "zero": "fresh 0 map[]", "error": "error 0 map[]", "stale": "stale 0 map[]",
		"fresh": "fresh 5 map[]", "older": "stale 0 map[]", "machines": "fresh 5 map[m1:5]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}
