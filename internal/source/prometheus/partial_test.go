package prometheus_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
)

// partialAnswers are ways to say that an answer is partial, and what of them is
// told.
var partialAnswers = map[string]string{
	`"isPartial":true`: "the answer is partial: the server did not hear from all of its storage",
	`"warnings":["other","PARTIAL response: store 10.0.0.7 is gone"]`: "the answer is partial: PARTIAL response: store 10.0.0.7 is gone",
	`"infos":["results are Partial"]`:                                 "the answer is partial: results are Partial",
}

// partly writes an answer with one element for each app, and with more in its
// envelope. The element of no app has no label.
func partly(w http.ResponseWriter, more string, apps ...string) {
	elements := make([]string, len(apps))
	for i, app := range apps {
		if app != "" {
			app = fmt.Sprintf(`"app":%q`, app)
		}
		elements[i] = `{"metric":{` + app + `},"value":[1700000000.5,"42"]}`
	}
	_, _ = io.WriteString(w, `{"status":"success",`+more+`,"data":{"resultType":"vector","result":[`+strings.Join(elements, ",")+`]}}`)
}

func wantPartial(t *testing.T, got map[scale.App]scale.Sample, reason string, apps ...scale.App) {
	t.Helper()
	for _, app := range apps {
		if s := got[app]; s.Quality != scale.Error || s.Value != 0 || !strings.Contains(s.Reason, reason) {
			t.Errorf("the sample of %s is %+v, want an error with %q", app, s, reason)
		}
	}
}

func TestPartialAnswers(t *testing.T) {
	for more, reason := range partialAnswers {
		for name, elements := range map[string][]string{"a value": {""}, "nothing": nil, "several": {"", "web"}} {
			src := open(t, prometheus.Config{Query: `depth{app="$APP_NAME"}`, Address: serve(t, func(w http.ResponseWriter, _ *http.Request) {
				partly(w, more, elements...)
			})})
			t.Log(more, name)
			wantPartial(t, src.Collect(t.Context(), []scale.App{"web"}), reason, "web")
			closeSource(t, src)
		}
	}
	// Neither is partial.
	for _, more := range []string{`"isPartial":false,"warnings":["other"],"infos":["metric might not be a counter"]`, `"isPartial":null,"infos":null`} {
		src := open(t, prometheus.Config{Query: `depth`, Address: serve(t, func(w http.ResponseWriter, _ *http.Request) {
			partly(w, more, "")
		})})
		if got := one(t, src); !got.Known() || got.Value != 42 {
			t.Errorf("%s: the sample is %+v", more, got)
		}
		closeSource(t, src)
	}
}

// TestPartialGroupedAnswers has a server that is partial about many apps. It is
// not asked again: the halves would be partial as well.
func TestPartialGroupedAnswers(t *testing.T) {
	for more, reason := range partialAnswers {
		for name, cfg := range map[string]prometheus.Config{
			"rewritten":  {Query: `depth{app="$APP_NAME"}`},
			"by a label": {Query: `sum by (app) (depth)`, GroupLabel: "app"},
		} {
			e := newEngineServer(gauge(3, "__name__", "depth", "app", "a"), gauge(4, "__name__", "depth", "app", "b"))
			partial := true
			e.meddle = func(w http.ResponseWriter, _ string, _ time.Time) bool {
				if partial {
					partly(w, more, "a", "c")
				}
				return partial
			}
			cfg.Address = serve(t, e.ServeHTTP)
			src := open(t, cfg)
			apps := []scale.App{"a", "b", "c"}
			for range 2 { // before and after the check
				t.Log(more, name)
				partial = true
				e.asked()
				wantPartial(t, src.Collect(t.Context(), apps), reason, apps...)
				if n := len(e.asked()); n != 1 {
					t.Errorf("asked %d times, want once", n)
				}
				partial = false
				collect(t, src, map[scale.App]string{"a": "3", "b": "4", "c": "empty"})
			}
			if grouped, why := src.Mode(); !grouped {
				t.Errorf("given up: %s", why)
			}
			closeSource(t, src)
		}
	}
}

// TestPartialCheck has a server that is partial when the query about one app is
// compared with the one about many, or when the latter is asked again for that.
func TestPartialCheck(t *testing.T) {
	for _, partialAt := range []int{2, 3} {
		e := newEngineServer(gauge(3, "__name__", "depth", "app", "a"), gauge(4, "__name__", "depth", "app", "b"))
		var count atomic.Int64
		e.meddle = func(w http.ResponseWriter, query string, _ time.Time) bool {
			asked := int(count.Add(1))
			switch {
			case asked == partialAt && strings.Contains(query, "|"):
				partly(w, `"isPartial":true`, "a")
			case asked == partialAt, asked == 2: // 42 differs, so that both are asked again
				more := `"isPartial":false`
				if asked == partialAt {
					more = `"isPartial":true`
				}
				partly(w, more, "a")
			default:
				return false
			}
			return true
		}
		src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: `depth{app="$APP_NAME"}`})
		// What the check could not confirm was asked for app by app.
		collect(t, src, map[scale.App]string{"a": "3", "b": "4"})
		if n := len(e.asked()); n != partialAt+2 {
			t.Errorf("asked %d times, want %d", n, partialAt+2)
		}
		if grouped, why := src.Mode(); !grouped {
			t.Errorf("partial at question %d: given up: %s", partialAt, why)
		}
		closeSource(t, src)
	}
}
