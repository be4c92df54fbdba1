package elasticity_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/test/elasticity"
)

var (
	days = flag.Int("days", 0, "play this many `days` of the recorded workload, 21 at most, and all policies; 0 plays half a busy day by the profile")
	seed = flag.Uint64("seed", 1, "of the times at which jobs come and that they take")
)

// Settings of the workers.
const (
	app        = "app-name: workers\n"
	collectors = `metric-collectors:
- {type: prometheus, metric-name: visible, address: "http://localhost", query: visible}
- {type: prometheus, metric-name: in_flight, address: "http://localhost", query: in_flight}
- {type: prometheus, metric-name: jobs, address: "http://localhost", query: jobs, by-machine: instance}
`
	eachJob = "started-machine-count: min(visible + in_flight, 120)\n"
	queue   = "profile: queue\n"
	busy    = "scale-in: {busy: jobs}\n"
)

// load returns the policy of settings.
func load(t *testing.T, yaml string) *policy.Policy {
	t.Helper()
	s, _, err := config.Load(config.Input{File: []byte(app + yaml + collectors)})
	if err != nil {
		t.Fatal(err)
	}
	return s.Targets[0].Policy(30 * time.Second)
}

// scene returns what is played: of the recorded three weeks as many days as are asked
// for, or else half of a busy one.
func scene(t *testing.T, boot time.Duration) elasticity.Queue {
	t.Helper()
	trace, err := elasticity.Jobs()
	if err != nil {
		t.Fatal(err)
	}
	if *days > 0 {
		trace = trace.Days(0, *days)
	} else {
		trace = trace.Days(15, 1)
		trace.Counts = trace.Counts[len(trace.Counts)/2:]
	}
	if len(trace.Counts) == 0 {
		t.Fatal("the trace is empty")
	}
	return elasticity.Queue{Trace: trace, Factor: 20, Seed: *seed, Machines: 120, Boot: boot, Period: 15 * time.Second}
}

func run(t *testing.T, name string, q elasticity.Queue, p *policy.Policy) elasticity.Waits {
	t.Helper()
	w, err := q.Run(p)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if want := 20 * sum(q.Trace.Counts); w.Jobs != want || w.Busy <= 0 {
		t.Fatalf("%s: %d jobs were done, and %d came", name, w.Jobs, want)
	}
	tell(t, "%s, boot %s: %s", name, q.Boot, w)
	return w
}

// tell logs a result, and prints it where it was asked for.
func tell(t *testing.T, format string, args ...any) {
	t.Helper()
	if *days > 0 && !testing.Verbose() {
		fmt.Printf(format+"\n", args...)
	} else {
		t.Logf(format, args...)
	}
}

func sum(counts []int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

// The profile for queues, with a metric that tells who is at work, kills no job, and
// keeps waits and costs within what is promised of it.
func TestQueueProfile(t *testing.T) {
	t.Parallel()
	p := load(t, eachJob+queue+busy)
	for _, test := range []struct {
		boot, p99 time.Duration
		cost      float64
	}{
		{2 * time.Second, 15 * time.Second, 1.25},
		{45 * time.Second, 55 * time.Second, 1.40},
	} {
		w := run(t, "queue", scene(t, test.boot), p)
		if w.Kills != 0 || w.P99 > test.p99 || w.Cost() > test.cost {
			t.Errorf("boot %s: %s; want none killed, p99 of at most %s and a cost of at most %g", test.boot, w, test.p99, test.cost)
		}
	}
}

// Metrics that are older when they are read make waits longer, and kill no job.
func TestQueueLag(t *testing.T) {
	t.Parallel()
	q := scene(t, 2*time.Second)
	q.Lag = 10 * time.Second
	if w := run(t, "queue, metrics 10 s old", q, load(t, eachJob+queue+busy)); w.Kills != 0 || w.P99 > 25*time.Second {
		t.Errorf("%s; want none killed, and p99 of at most 25 s", w)
	}
}

// Workers that are not drained are stopped at work, which shows that kills are seen.
func TestWithoutDrain(t *testing.T) {
	t.Parallel()
	if w := run(t, "visible + in_flight, no drain", scene(t, 2*time.Second), load(t, eachJob+queue)); w.Kills == 0 {
		t.Error("no job was killed, although nobody looked who was at work")
	}
}

// The same run twice is the same.
func TestRepeatable(t *testing.T) {
	t.Parallel()
	q, p := scene(t, 2*time.Second), load(t, eachJob+queue+busy)
	q.Trace.Counts = q.Trace.Counts[60:90]
	if a, b := run(t, "first", q, p), run(t, "second", q, p); a != b {
		t.Errorf("first %s, and then %s", a, b)
	}
}

// Other policies, to compare with: only when days are asked for.
func TestCompare(t *testing.T) {
	t.Parallel()
	if *days == 0 {
		t.Skip("-days is not set")
	}
	const (
		down = "behavior: {scale-down: {stabilization-window: %s}}\n"
		deep = "scale-in: {busy: jobs, drain: 15m}\n"
		few  = "started-machine-count: min(ceil(visible / 5), 120)\n"
	)
	window := func(s string) string { return fmt.Sprintf(down, s) }
	for _, c := range []struct {
		name, yaml string
		boot       time.Duration
		pulls      bool
		lag        time.Duration
	}{
		{name: "static 60", yaml: "started-machine-count: 60\n"},
		{name: "visible / 5, down 300 s", yaml: few + window("300s")},
		{name: "visible / 5, down 300 s, drain", yaml: few + window("300s") + deep},
		{name: "visible + in_flight, down 300 s", yaml: eachJob + window("300s")},
		{name: "visible + in_flight, down 300 s, drain", yaml: eachJob + window("300s") + deep},
		{name: "visible + in_flight, down 60 s, drain", yaml: eachJob + window("60s") + deep},
		{name: "visible + in_flight, drain", yaml: eachJob + deep},
		{name: "in_flight + visible * S / 60 s, queue", yaml: "started-machine-count: min(in_flight + ceil(visible * 28.9 / 60), 120)\n" + queue + busy},
		{name: "visible + in_flight, down 60 s, drain", yaml: eachJob + window("60s") + deep, boot: 45 * time.Second},
		{name: "queue, metrics 10 s old", yaml: eachJob + queue + busy, boot: 45 * time.Second, lag: 10 * time.Second},
		{name: "queue, workers that drain take jobs", yaml: eachJob + queue + busy, pulls: true},
		{name: "queue, workers that drain take jobs, metrics 10 s old", yaml: eachJob + queue + busy, pulls: true, lag: 10 * time.Second},
	} {
		q := scene(t, max(c.boot, 2*time.Second))
		q.Pulls, q.Lag = c.pulls, c.lag
		run(t, c.name, q, load(t, c.yaml))
	}
}
