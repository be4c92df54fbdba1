package prometheus_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
)

// of writes an answer with the value 42 of a time.
func of(w http.ResponseWriter, at time.Time, labels string) {
	_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{%s},"value":[%d.250,"42"]}]}}`, labels, at.Unix())
}

func TestStale(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name   string
		maxAge time.Duration
		date   time.Time // zero is no header
		at     time.Time
		want   string // the reason; "" when the value is fresh
	}{
		{"young", time.Minute, groupStart, groupStart.Add(-50 * time.Second), ""},
		{"old", time.Minute, groupStart, groupStart.Add(-90 * time.Second), `prometheus: collect "depth": the value is 1m30s old, which is more than 1m0s`},
		{"old, no bound", 0, groupStart, groupStart.Add(-90 * time.Second), ""},
		{"of the server's future", time.Minute, groupStart, groupStart.Add(time.Hour), ""},
		{"server's clock behind ours", time.Minute, now.Add(-time.Hour), now.Add(-time.Hour), ""},
		{"server's clock before ours", time.Minute, now.Add(time.Hour), now, "the value is 1h0m0s old"},
		{"young, no date", time.Minute, time.Time{}, now, ""},
		{"old, no date", time.Minute, time.Time{}, now.Add(-time.Hour), "the value is 1h0m"},
		{"no time", time.Minute, groupStart, time.Unix(-1, 0), ""},
	}
	for _, tt := range tests {
		for name, cfg := range map[string]prometheus.Config{
			"shared":     {Query: "depth"},
			"per app":    {Query: `topk(1, depth{app="$APP_NAME"})`},
			"rewritten":  {Query: `depth{app="$APP_NAME"}`},
			"by a label": {Query: "sum by (app) (depth)", GroupLabel: "app"},
		} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				cfg.MaxAge = tt.maxAge
				cfg.Address = serve(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header()["Date"] = nil
					if !tt.date.IsZero() {
						w.Header().Set("Date", tt.date.UTC().Format(http.TimeFormat))
					}
					if strings.Contains(r.FormValue("query"), `"b"`) {
						answer(w, "vector")
						return
					}
					of(w, tt.at, `"app":"a"`)
				})
				src := open(t, cfg)
				defer closeSource(t, src)
				apps := []scale.App{"a", "b"}
				for range 2 { // before and after the check
					got := src.Collect(t.Context(), apps)["a"]
					switch {
					case tt.want == "" && (got.Quality != scale.Fresh || got.Value != 42):
						t.Errorf("the sample is %+v, want a fresh one", got)
					case tt.want != "" && (got.Quality != scale.Stale || got.Value != 0 || !strings.Contains(got.Reason, tt.want) || got.At.Unix() != tt.at.Unix()):
						t.Errorf("the sample is %+v, want a stale one with %q", got, tt.want)
					}
				}
				if grouped, why := src.Mode(); name == "rewritten" && !grouped {
					t.Errorf("given up: %s", why)
				}
			})
		}
	}
}

// TestDateThatIsNone is measured with our clock.
func TestDateThatIsNone(t *testing.T) {
	src := open(t, prometheus.Config{Query: "depth", MaxAge: time.Minute, Address: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "yesterday")
		of(w, groupStart, "")
	})})
	defer closeSource(t, src)
	if got := one(t, src); got.Quality != scale.Stale {
		t.Errorf("the sample is %+v, want a stale one", got)
	}
}

// TestStaleIsNoOtherAnswer compares the two forms of a query as of the time of a
// value that is too old by then.
func TestStaleIsNoOtherAnswer(t *testing.T) {
	asked := 0
	src := open(t, prometheus.Config{Query: `depth{app="$APP_NAME"}`, MaxAge: time.Minute, Address: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Date", groupStart.Add(time.Duration(asked)*40*time.Second).UTC().Format(http.TimeFormat))
		of(w, groupStart, `"app":"a"`)
	})})
	defer closeSource(t, src)
	got := src.Collect(t.Context(), []scale.App{"a", "b"})
	if got["a"].Quality != scale.Fresh || asked != 2 {
		t.Errorf("after %d questions, want two, the sample is %+v, want a fresh one", asked, got["a"])
	}
}

// TestStaleDoesNotHideErrors has an old value that is none.
func TestStaleDoesNotHideErrors(t *testing.T) {
	src := open(t, prometheus.Config{Query: "depth", MaxAge: time.Minute, Address: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}`)
	})})
	defer closeSource(t, src)
	if got := one(t, src); got.Quality != scale.Error || !strings.Contains(got.Reason, "NaN") {
		t.Errorf("the sample is %+v, want an error", got)
	}
}
