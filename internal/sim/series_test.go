package sim_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func equal(name, v string) *labels.Matcher { return labels.MustNewMatcher(labels.MatchEqual, name, v) }

// read returns what a selection holds as text: one line per series, with each
// sample as value@second.
func read(views []sim.SeriesView) []string {
	var lines []string
	for _, v := range views {
		var line strings.Builder
		line.WriteString(v.Labels.String())
		for _, run := range v.Runs {
			for i := range int64(run.Count) {
				at := float64(run.Start+i*v.Step-start.UnixMilli()) / 1000
				if value.IsStaleNaN(run.Value) {
					fmt.Fprintf(&line, " end@%v", at)
					continue
				}
				fmt.Fprintf(&line, " %v@%v", run.Value, at)
			}
		}
		lines = append(lines, line.String())
	}
	return lines
}

func all(store *sim.SeriesStore, matchers ...*labels.Matcher) []string {
	return read(store.Select("acme", math.MinInt64/2, math.MaxInt64/2, matchers...))
}

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func sample(name string, v float64, set ...string) sim.Sample {
	return sim.Sample{Name: name, Labels: labels.FromStrings(set...), Value: v}
}

func TestSeriesOfMachines(t *testing.T) {
	store := sim.NewSeriesStore(sim.SeriesOptions{})
	machines := machinesIn("", "fra", "iad")
	busy := func(id string) bool { return id == machines[0].ID }
	add := func(second int) {
		store.Add(at(second), sim.Scrape{Org: "acme", App: "web", Machines: machines, Busy: busy})
	}
	add(0)
	add(15)
	machines[1].Started = false
	add(30)
	machines[1].Started = true
	add(45)
	set := func(i int) string {
		return fmt.Sprintf(`app="web", host="%s", instance="%s"`, sim.Host(machines[i].ID), machines[i].ID)
	}
	want := []string{
		`{__name__="fly_instance_up", ` + set(0) + `, region="fra"} 1@0 1@15 1@30 1@45`,
		`{__name__="fly_instance_load_average", ` + set(0) + `, minutes="1", region="fra"} 0.22@0 0.39@15 0.53@30 0.63@45`,
		`{__name__="fly_instance_up", ` + set(1) + `, region="iad"} 1@0 1@15 end@30 1@45`,
		`{__name__="fly_instance_load_average", ` + set(1) + `, minutes="1", region="iad"} 0@0 0@15 end@30 0@45`,
	}
	if diff := cmp.Diff(want, all(store, equal("app", "web"))); diff != "" {
		t.Error(diff)
	}
	if got := sim.Host(machines[0].ID); len(got) != 4 || got == sim.Host(machines[1].ID) {
		t.Errorf("hosts: got %q and %q, want two of four digits", got, sim.Host(machines[1].ID))
	}
}

func TestSeriesSelect(t *testing.T) {
	store := sim.NewSeriesStore(sim.SeriesOptions{Interval: time.Second})
	for _, app := range []string{"a", "b", "c"} {
		store.Add(at(0), sim.Scrape{Org: "acme", App: app, Samples: []sim.Sample{sample("x", 1, "k", app), sample("y", 2)}})
	}
	store.Add(at(0), sim.Scrape{Org: "other", App: "a", Samples: []sim.Sample{sample("x", 9)}})
	for _, tc := range []struct {
		name     string
		matchers []*labels.Matcher
		want     []string
	}{
		{"by name", []*labels.Matcher{equal("__name__", "y")}, []string{
			`{__name__="y", app="a"} 2@0`, `{__name__="y", app="b"} 2@0`, `{__name__="y", app="c"} 2@0`,
		}},
		{"by app and name", []*labels.Matcher{equal("__name__", "x"), equal("app", "b")}, []string{`{__name__="x", app="b", k="b"} 1@0`}},
		{"by a list of apps", []*labels.Matcher{equal("__name__", "x"), labels.MustNewMatcher(labels.MatchRegexp, "app", "c|a|none|a")}, []string{
			`{__name__="x", app="a", k="a"} 1@0`, `{__name__="x", app="c", k="c"} 1@0`,
		}},
		{"by a pattern of names", []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", "[x-z]"), equal("app", "a")}, []string{
			`{__name__="x", app="a", k="a"} 1@0`, `{__name__="y", app="a"} 2@0`,
		}},
		{"by a label that is not there", []*labels.Matcher{equal("k", ""), equal("app", "a")}, []string{`{__name__="y", app="a"} 2@0`}},
		{"by anything but a label", []*labels.Matcher{labels.MustNewMatcher(labels.MatchNotEqual, "k", "b"), equal("__name__", "x")}, []string{
			`{__name__="x", app="a", k="a"} 1@0`, `{__name__="x", app="c", k="c"} 1@0`,
		}},
		{"none", []*labels.Matcher{equal("app", "none")}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, all(store, tc.matchers...)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := store.Select("nobody", 0, math.MaxInt64/2, equal("__name__", "x")); got != nil {
		t.Errorf("org without metrics: got %v", got)
	}
}

func TestSeriesSetByHand(t *testing.T) {
	store := sim.NewSeriesStore(sim.SeriesOptions{})
	loaded := []sim.Sample{sample("depth", 5)}
	add := func(second int) {
		store.Add(at(second), sim.Scrape{Org: "acme", App: "web", Samples: loaded})
	}
	check := func(what, want string) {
		t.Helper()
		if diff := cmp.Diff([]string{`{__name__="depth", app="web"}` + want}, all(store)); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	add(0)
	must(store.SetGauge(at(3), "acme", "web", "depth", nil, 7))
	check("at once", " 5@0 7@3")
	must(store.SetGauge(at(3), "acme", "web", "depth", nil, math.NaN()))
	check("again at the same time", " 5@0 NaN@3")
	add(15)
	add(30)
	check("kept", " 5@0 NaN@3 NaN@15 NaN@30")
	must(store.RemoveGauge(at(31), "acme", "web", "depth", nil))
	add(45)
	check("removed", " 5@0 NaN@3 NaN@15 NaN@30 end@31")
	must(store.ReleaseGauge("acme", "web", "depth", nil))
	add(60)
	check("released", " 5@0 NaN@3 NaN@15 NaN@30 end@31 5@60")
	loaded = nil
	add(75)
	check("gone", " 5@0 NaN@3 NaN@15 NaN@30 end@31 5@60 end@75")

	for _, err := range []error{
		store.SetGauge(at(80), "acme", "web", "no name", nil, 1),
		store.RemoveGauge(at(80), "acme", "web", "depth", map[string]string{"org": "x"}),
		store.ReleaseGauge("acme", "web", "", nil),
	} {
		if err == nil {
			t.Error("a series that cannot be is accepted")
		}
	}
}

func TestSeriesWithoutMarkers(t *testing.T) {
	store := sim.NewSeriesStore(sim.SeriesOptions{NoStaleMarkers: true})
	store.Add(at(0), sim.Scrape{Org: "acme", App: "web", Samples: []sim.Sample{sample("x", 1)}})
	store.Add(at(15), sim.Scrape{Org: "acme", App: "web"})
	if diff := cmp.Diff([]string{`{__name__="x", app="web"} 1@0`}, all(store)); diff != "" {
		t.Error(diff)
	}
	if got := store.Live(); got != nil {
		t.Errorf("live: got %v, want none", got)
	}
}

func TestSeriesLive(t *testing.T) {
	store := sim.NewSeriesStore(sim.SeriesOptions{})
	for _, second := range []int{0, 15} {
		store.Add(at(second), sim.Scrape{Org: "b", App: "web", Samples: []sim.Sample{sample("x", float64(second))}})
	}
	store.Add(at(15), sim.Scrape{Org: "a", App: "web", Samples: []sim.Sample{sample("y", 1), sample("x", 2, "k", "v")}})
	var got []string
	for _, s := range store.Live() {
		got = append(got, fmt.Sprintf("%s%v %v", s.Org, s.Labels, s.Value))
	}
	want := []string{
		`a{__name__="x", app="web", k="v"} 2`, `b{__name__="x", app="web"} 15`, `a{__name__="y", app="web"} 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSeriesAgainstModel compares the store, which keeps runs, with a plain list of
// samples.
func TestSeriesAgainstModel(t *testing.T) {
	type point struct {
		at    int64
		value float64
	}
	rapid.Check(t, func(t *rapid.T) {
		const retention = 60
		store := sim.NewSeriesStore(sim.SeriesOptions{Interval: 2 * time.Second, Retention: retention * time.Second})
		var model []point
		now := 0
		for range rapid.IntRange(1, 80).Draw(t, "scrapes") {
			now += rapid.SampledFrom([]int{0, 1, 2, 2, 2, 2, 20}).Draw(t, "step")
			p := point{at(now).UnixMilli(), float64(rapid.IntRange(1, 2).Draw(t, "value"))}
			present := rapid.IntRange(0, 9).Draw(t, "present") > 0
			var samples []sim.Sample
			if present {
				samples = append(samples, sample("x", p.value))
			} else {
				p.value = 0 // the end
			}
			store.Add(at(now), sim.Scrape{Org: "acme", App: "web", Samples: samples})
			newest := point{}
			if len(model) > 0 {
				newest = model[len(model)-1]
			}
			switch {
			case !present && newest.value == 0: // had ended before
			case newest.at == p.at:
				model[len(model)-1] = p
			default:
				model = append(model, p)
			}
		}
		from := rapid.IntRange(-5, now+5).Draw(t, "from")
		to := rapid.IntRange(from, now+5).Draw(t, "to")
		var want, got []point
		for _, p := range model {
			if p.at >= at(max(from, now-retention)).UnixMilli() && p.at <= at(to).UnixMilli() {
				want = append(want, p)
			}
		}
		for _, view := range store.Select("acme", at(from).UnixMilli(), at(to).UnixMilli()) {
			for _, run := range view.Runs {
				v := run.Value
				if value.IsStaleNaN(v) {
					v = 0
				}
				for i := range int64(run.Count) {
					got = append(got, point{run.Start + i*view.Step, v})
				}
			}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(point{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestSeriesForgets checks that what is too old takes no memory: the store keeps
// the series of a thousand Machines that came and went one after the other.
func TestSeriesForgets(t *testing.T) {
	store := sim.NewSeriesStore(sim.SeriesOptions{Interval: time.Second, Retention: 10 * time.Second})
	for second := range 1000 {
		m := sim.LoadMachine{ID: fmt.Sprint(second), Region: "fra", Started: true}
		store.Add(at(second), sim.Scrape{Org: "acme", App: "web", Machines: []sim.LoadMachine{m}, Samples: []sim.Sample{sample("x", float64(second))}})
	}
	views := store.Select("acme", math.MinInt64/2, math.MaxInt64/2)
	if len(views) < 2*10+1 || len(views) > 2*12+1 {
		t.Errorf("%d series are left, want those of about 11 Machines", len(views))
	}
	for _, v := range views {
		if len(v.Runs) > 11 {
			t.Errorf("%v has %d runs, want at most 11", v.Labels, len(v.Runs))
		}
	}
}

func TestSeriesFromManyGoroutines(t *testing.T) {
	store := sim.NewSeriesStore(sim.SeriesOptions{Interval: time.Second, Retention: 5 * time.Second})
	var group sync.WaitGroup
	for i := range 4 {
		app := fmt.Sprint("app", i)
		group.Go(func() {
			for second := range 200 {
				store.Add(at(second), sim.Scrape{Org: "acme", App: app, Machines: machinesIn("", "fra", "iad")[:second%3%2+1], Samples: []sim.Sample{sample("x", float64(second))}})
				if err := store.SetGauge(at(second), "acme", app, "y", nil, 1); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			for range 200 {
				for _, line := range all(store, equal("__name__", "x")) {
					if !strings.HasPrefix(line, `{__name__="x", app="app`) {
						t.Errorf("got %s", line)
					}
				}
				store.Live()
			}
		})
	}
	group.Wait()
}

// fleetOf returns the scrapes of so many apps with four Machines each.
func fleetOf(apps int) []sim.Scrape {
	scrapes := make([]sim.Scrape, apps)
	for i := range scrapes {
		scrapes[i] = sim.Scrape{Org: "acme", App: fmt.Sprintf("app-%05d", i), Samples: []sim.Sample{
			sample("queue_depth", float64(i)), sample("queue_depth_in_flight", 4), sample("jobs_done_total", float64(i)),
		}}
		for m := range 4 {
			scrapes[i].Machines = append(scrapes[i].Machines, sim.LoadMachine{ID: fmt.Sprintf("%014x", i*4+m), Region: "fra", Started: true})
		}
	}
	return scrapes
}

// TestSeriesOfTenThousandApps holds the memory of a quarter of an hour of 10,000 apps with
// 40,000 Machines to a bound: a third of the series changes at every scrape.
func TestSeriesOfTenThousandApps(t *testing.T) {
	if testing.Short() {
		t.Skip("builds 110,000 series")
	}
	scrapes := fleetOf(10_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	store := sim.NewSeriesStore(sim.SeriesOptions{})
	for n := range 61 {
		for i := range scrapes {
			scrapes[i].Samples[0].Value = float64(i + n)
			store.Add(at(15*n), scrapes[i])
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := (after.HeapAlloc - before.HeapAlloc) >> 20
	t.Logf("%d MiB", used)
	if used > 192 {
		t.Errorf("a quarter of an hour of 10,000 apps takes %d MiB, want at most 192", used)
	}
	runtime.KeepAlive(store)
}

func BenchmarkSeriesAddTenThousandApps(b *testing.B) {
	scrapes := fleetOf(10_000)
	store := sim.NewSeriesStore(sim.SeriesOptions{})
	n := 0
	for b.Loop() {
		for i := range scrapes {
			scrapes[i].Samples[0].Value = float64(i + n)
			store.Add(at(15*n), scrapes[i])
		}
		n++
	}
}

func BenchmarkSeriesSelectTenThousandApps(b *testing.B) {
	store := sim.NewSeriesStore(sim.SeriesOptions{})
	for _, scrape := range fleetOf(10_000) {
		store.Add(start, scrape)
	}
	from := start.Add(-5 * time.Minute).UnixMilli()
	b.ReportAllocs()
	for b.Loop() {
		if got := store.Select("acme", from, start.UnixMilli(), equal("__name__", "queue_depth")); len(got) != 10_000 {
			b.Fatal(len(got))
		}
	}
}
