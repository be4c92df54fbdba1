package prometheus_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
)

// network carries requests to a handler in virtual time: 30 ms there and back.
type network struct{ http.Handler }

// latency is what every question costs.
const latency = 30 * time.Millisecond

// RoundTrip implements http.RoundTripper.
func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(latency):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	n.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// shared is a source that many apps share, on an engine.
type shared struct {
	*engineServer
	*source.Shared
	src  *prometheus.Source
	apps []scale.App
	log  *bytes.Buffer
}

// ratio is a query that two sizes of one app make the server refuse for all.
const ratio = `depth{app="$APP_NAME"} / on () size{app="$APP_NAME"}`

func openShared(t *testing.T, apps int, query string) *shared {
	t.Helper()
	names, series := fleet(apps)
	s := &shared{engineServer: newEngineServer(series...), apps: names, log: &bytes.Buffer{}}
	s.src = open(t, prometheus.Config{
		Metric: "depth", Address: "http://127.0.0.1:1", Query: query, Timeout: 10 * time.Second,
		Transport: network{s.engineServer}, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	s.Shared = source.NewShared(s.src, func() []scale.App { return names }, 5*time.Second)
	return s
}

// spoil gives an app two sizes.
func (s *shared) spoil(app scale.App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = append(slices.Clone(s.data), gauge(2, "__name__", "size", "app", string(app), "part", "x"))
}

// heal takes the second size away.
func (s *shared) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = s.data[:len(s.data)-1]
}

// hang has the server never answer queries that fit.
func (s *shared) hang(fits func(query string) bool) {
	s.meddle = func(_ http.ResponseWriter, query string, _ time.Time) bool { return fits(query) }
	s.hangs = true
}

// round asks for every app at the same time, and returns how many queries that
// were, and when the last of the well ones had its value. It checks all values.
func (s *shared) round(t *testing.T, ill ...scale.App) (queries int, took time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	began := time.Now()
	s.asked()
	for i, app := range s.apps {
		wg.Go(func() {
			got := s.Collect(t.Context(), []scale.App{app})[app]
			mu.Lock()
			defer mu.Unlock()
			if slices.Contains(ill, app) {
				if got.Known() || got.Reason == "" {
					t.Errorf("%s is ill and yet %+v", app, got)
				}
				return
			}
			took = max(took, time.Since(began))
			if want := float64(i) / 2; !got.Known() || got.Value != want {
				t.Errorf("%s: got %+v, want %g", app, got, want)
			}
		})
	}
	wg.Wait()
	return len(s.asked()), took
}

// interval lets the time to the next round pass.
func interval() { time.Sleep(15 * time.Second) }

// An app that spoils the query for all is found once, and then costs one query
// beside the one for the others, and nobody's time.
func TestSpoilerIsSetApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShared(t, 300, ratio)
		bad := s.apps[177]
		s.round(t)
		interval()
		healthy, calm := s.round(t)
		if calm != latency || healthy != 1 {
			t.Errorf("%d queries in %s, want one in %s", healthy, calm, latency)
		}
		s.spoil(bad)
		interval()
		n, took := s.round(t, bad)
		t.Logf("found with %d queries in %s", n, took)
		if n > 22 || took > 6*latency {
			t.Errorf("found with %d queries in %s, want at most 22 in %s", n, took, 6*latency)
		}
		for range 15 {
			interval()
			if n, took := s.round(t, bad); n != healthy+1 || took != latency {
				t.Fatalf("%d queries in %s, want one more than %d, and %s", n, took, healthy, latency)
			}
		}
		if n := strings.Count(s.log.String(), "app="+string(bad)); n != 1 {
			t.Errorf("the app is named %d times in the log, want once:\n%s", n, s.log)
		}
		// As long as it is refused alone it is not tried again among the others.
		for range 30 {
			interval()
			if n, _ := s.round(t, bad); n != healthy+1 {
				t.Fatalf("%d queries, want one more than %d", n, healthy)
			}
		}
		s.heal()
		rounds := 0
		for n := 0; n != healthy && rounds <= 50; rounds++ {
			interval()
			if n, took = s.round(t); took != latency {
				t.Errorf("%s for a round, want %s", took, latency)
			}
		}
		if rounds > 2*20+1 {
			t.Errorf("the app that is well is asked for with the others after %d rounds, want within ten minutes", rounds)
		}
		// The same when it is so from the start.
		s = openShared(t, 300, ratio)
		s.spoil(bad)
		for range 3 {
			s.round(t, bad)
			interval()
		}
		if n, took := s.round(t, bad); n != healthy+1 || took != latency {
			t.Errorf("spoilt from the start: %d queries in %s, want one more than %d, and %s", n, took, healthy, latency)
		}
	})
}

// An app that spoils the query for all, and about which the server never answers,
// costs the others nothing.
func TestSpoilerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShared(t, 200, ratio)
		bad := s.apps[77]
		s.spoil(bad)
		own := `depth{app="` + string(bad) + `"}` // alone, and when it is searched for
		s.hang(func(query string) bool { return strings.HasPrefix(query, own) })
		for range 3 {
			s.round(t, bad)
			interval()
		}
		for range 10 {
			if n, took := s.round(t, bad); n != 2 || took != latency {
				t.Fatalf("%d queries in %s, want 2 in %s", n, took, latency)
			}
			interval()
		}
	})
}

// An app of which the server has so much that it never answers a query that is
// also about that app is found as well, in a few rounds.
func TestHeavyApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShared(t, 200, ratio)
		bad := s.apps[77]
		s.round(t)
		interval()
		s.hang(func(query string) bool { return strings.Contains(query, string(bad)) })
		rounds := 0
		for ; rounds < 10; rounds++ {
			well := 0
			for _, sample := range s.src.CollectTogether(t.Context(), s.apps) {
				if sample.Known() {
					well++
				}
			}
			t.Logf("round %d: %d apps have a value", rounds, well)
			if well == len(s.apps)-1 {
				break
			}
			if want := []int{0, 150, 187, 196, 199}; rounds < len(want) && well < want[rounds] {
				t.Errorf("round %d: %d apps have a value, want %d", rounds, well, want[rounds])
			}
			interval()
		}
		if rounds > 4 {
			t.Errorf("not found in %d rounds", rounds)
		}
		for range 50 {
			interval()
			if n, took := s.round(t, bad); n != 2 || took != latency {
				t.Fatalf("%d queries in %s, want 2 in %s", n, took, latency)
			}
		}
	})
}

// A server that never answers is not asked much more often for that, and all is
// well at once when it is back.
func TestServerThatHangsIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShared(t, 200, ratio)
		s.round(t)
		interval()
		down := true
		s.hang(func(string) bool { return down })
		total := 0
		for range 20 {
			n, _ := s.round(t, s.apps...)
			total += n
			interval()
		}
		if total > 20+2*3 {
			t.Errorf("asked %d times in 20 rounds", total)
		}
		down = false
		if n, took := s.round(t); n > 4 || took != latency {
			t.Errorf("%d queries in %s once it is back, want %s", n, took, latency)
		}
	})
}

// With a query that is asked app by app, those about which the server never
// answers leave the others their turn.
func TestHangingAppsAloneLeaveOthersTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShared(t, 200, `max(depth{app=~"$APP_NAME"}) / max(size{app=~"$APP_NAME"})`)
		if grouped, _ := s.src.Mode(); grouped {
			t.Fatal("the query is grouped")
		}
		_, calm := s.round(t)
		interval()
		bad := s.apps[20:35:35]
		s.hang(func(query string) bool {
			return slices.ContainsFunc(bad, func(app scale.App) bool { return strings.Contains(query, string(app)) })
		})
		for range 3 { // in which they are found to be late, eight at a time
			var wg sync.WaitGroup
			for _, app := range s.apps {
				wg.Go(func() { s.Collect(t.Context(), []scale.App{app}) })
			}
			wg.Wait()
			interval()
		}
		for range 5 {
			if _, took := s.round(t, bad...); took > calm {
				t.Errorf("the others took %s, want %s as without those that hang", took, calm)
			}
			interval()
		}
	})
}

// The query for all apps that the server knows leaves spoilers out.
func TestSpoilerAmongAllApps(t *testing.T) {
	apps, series := fleet(3000)
	e := newEngineServer(series...)
	src := open(t, prometheus.Config{Address: serve(t, e.ServeHTTP), Query: ratio})
	defer closeSource(t, src)
	want := map[scale.App]string{}
	for i, app := range apps {
		want[app] = fmt.Sprint(float64(i) / 2)
	}
	collect(t, src, want)
	bad := apps[2222]
	e.mu.Lock()
	e.data = append(e.data, gauge(2, "__name__", "size", "app", string(bad), "part", "x"))
	e.mu.Unlock()
	want[bad] = "error"
	collect(t, src, want)
	e.asked()
	collect(t, src, want)
	queries := e.asked()
	if len(queries) != 2 || !slices.ContainsFunc(queries, func(q string) bool { return strings.Contains(q, `app!~"|`+string(bad)+`"`) }) {
		t.Errorf("%d queries, the first %.200s; want one for all but %s, and one for that", len(queries), queries[0], bad)
	}
}
