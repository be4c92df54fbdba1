package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func TestQuantile(t *testing.T) {
	for _, test := range []struct {
		values []time.Duration
		share  float64
		want   time.Duration
	}{
		{[]time.Duration{7}, 0, 7},
		{[]time.Duration{7}, 0.5, 7},
		{[]time.Duration{7}, 1, 7},
		{[]time.Duration{1, 2}, 0.5, 1},
		{[]time.Duration{1, 2, 3}, 0, 1},
		{[]time.Duration{1, 2, 3}, 0.5, 2},
		{[]time.Duration{1, 2, 3}, 1, 3},
		{[]time.Duration{1, 2, 3, 4}, 0.5, 2},
		{[]time.Duration{1, 2, 3, 4}, 0.51, 3},
	} {
		if got := quantile(test.values, test.share); got != test.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", test.values, test.share, got, test.want)
		}
	}
}

// The quantile is one of the values, with enough of them at or below it, and it
// is the smallest such.
func TestQuantileIsTheSmallestThatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, 20).Draw(t, "value"))
		}), 1, 50).Draw(t, "values")
		slices.Sort(values)
		share := rapid.Float64Range(0, 1).Draw(t, "share")
		got := quantile(values, share)
		if !slices.Contains(values, got) {
			t.Fatalf("%v is none of the values", got)
		}
		upTo := func(limit time.Duration) float64 {
			n := 0
			for _, v := range values {
				if v <= limit {
					n++
				}
			}
			return float64(n)
		}
		needed := share * float64(len(values))
		if upTo(got) < needed {
			t.Fatalf("only %v of %d values are at most %v", upTo(got), len(values), got)
		}
		if got > values[0] && upTo(got-1) >= needed && upTo(got-1) > 0 {
			t.Fatalf("%v would do", got-1)
		}
	})
}

func TestStartDelays(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(0, 0).Add(time.Duration(s * float64(time.Second))) }
	start := func(app string, s float64) sim.Mutation {
		return sim.Mutation{Op: "machine_start", App: app, At: at(s)}
	}
	lease := sim.Mutation{Op: "machine_lease_acquire", App: "a", At: at(2)}
	set := map[string]time.Time{"a": at(1), "b": at(2)}
	for _, test := range []struct {
		name    string
		history []sim.Mutation
		want    []time.Duration
		problem string
	}{
		{
			"each app from its own step",
			[]sim.Mutation{lease, start("a", 3), start("b", 3), start("a", 4), start("b", 17.5)},
			[]time.Duration{2 * time.Second, time.Second, 3 * time.Second, 15500 * time.Millisecond},
			"",
		},
		{
			"one short",
			[]sim.Mutation{start("a", 3), start("b", 3), start("a", 4)},
			[]time.Duration{2 * time.Second, time.Second, 3 * time.Second},
			"1 apps got fewer than 2 Machines started, 0 got more",
		},
		{
			"one too many",
			[]sim.Mutation{start("a", 3), start("b", 3), start("a", 4), start("b", 3), start("b", 3)},
			[]time.Duration{2 * time.Second, time.Second, 3 * time.Second, time.Second, time.Second},
			"0 apps got fewer than 2 Machines started, 1 got more",
		},
		{
			"something else",
			[]sim.Mutation{start("a", 3), {Op: "machine_create", App: "a", At: at(3)}},
			[]time.Duration{2 * time.Second},
			"changes that nobody wanted: map[machine_create:1]",
		},
		{"a stranger", []sim.Mutation{start("c", 3)}, nil, `machine_start of app "c", which is none of ours`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := startDelays(test.history, set, 2)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			problem := ""
			if err != nil {
				problem = err.Error()
			}
			if problem != test.problem {
				t.Errorf("error %q, want %q", problem, test.problem)
			}
		})
	}
}

func TestDelays(t *testing.T) {
	var none, r result
	none.delays(nil)
	if none.First != nil || none.Median != nil {
		t.Errorf("without starts: first %v, median %v", none.First, none.Median)
	}
	r.delays([]time.Duration{3 * time.Second, -time.Second, time.Second})
	r.end(14*time.Second, 15*time.Second)
	if *r.First != 0 || *r.Median != 1 || *r.Last != 14 || *r.Late != -1 {
		t.Errorf("first %v, median %v, last %v, late %v, want 0, 1, 14, -1", *r.First, *r.Median, *r.Last, *r.Late)
	}
}

func TestMutations(t *testing.T) {
	ops := map[string]int{"machine_list": 50, "machine_start": 3, "machine_lease_acquire": 2, "prometheus_query": 7}
	if got := mutations(ops); got != 5 {
		t.Errorf("got %d, want 5", got)
	}
	want := map[string]float64{"machine_list": 12.5, "machine_start": 0.75, "machine_lease_acquire": 0.5, "prometheus_query": 1.75}
	if diff := cmp.Diff(want, perCycle(ops, 4)); diff != "" {
		t.Errorf("per cycle: want -, got +\n%s", diff)
	}
}

func TestUsage(t *testing.T) {
	stat := []byte("7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 25 9 9 20 0 5 0 100 1000 50\n")
	status := []byte("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n")
	got, err := parseUsage(stat, status)
	if want := (usage{cpu: 1750 * time.Millisecond, peak: 2 << 20}); got != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for name, in := range map[string][2][]byte{
		"short stat": {[]byte("7 (a) S 1"), status}, "words in stat": {[]byte("7 (a)" + strings.Repeat(" x", 20)), status},
		"no peak": {stat, []byte("Name:\tx\n")},
	} {
		if _, err := parseUsage(in[0], in[1]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
