package sim_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

var start = time.Unix(1_800_000_000, 0).UTC()

// newLoads makes loads from YAML.
func newLoads(t rapid.TB, seed uint64, text string) sim.Loads {
	t.Helper()
	var specs sim.LoadSpecs
	if err := yaml.Load([]byte(text), &specs, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	loads, err := specs.New(seed, start, nil)
	if err != nil {
		t.Fatal(err)
	}
	return loads
}

// machinesIn returns started Machines, one per region named; the group "" is
// the default.
func machinesIn(group string, regions ...string) []sim.LoadMachine {
	var machines []sim.LoadMachine
	for i, region := range regions {
		machines = append(machines, sim.LoadMachine{
			ID: fmt.Sprintf("%014x", i+1), Region: region, Group: group, Started: true, StartedAt: start,
		})
	}
	return machines
}

// values returns the samples of a load by name and labels.
func values(load sim.Load, now time.Time) map[string]float64 {
	all := map[string]float64{}
	for _, s := range load.Series(now) {
		key := s.Name
		if !s.Labels.IsEmpty() {
			key += s.Labels.String()
		}
		if _, twice := all[key]; twice {
			panic("sample exported twice: " + key)
		}
		all[key] = s.Value
	}
	return all
}

// run steps a load for so many seconds.
func run(load sim.Load, from, seconds int, machines []sim.LoadMachine) time.Time {
	now := start.Add(time.Duration(from) * time.Second)
	for range seconds {
		now = now.Add(time.Second)
		load.Step(now, machines)
	}
	return now
}

func TestQueue(t *testing.T) {
	// Arrivals end after a minute, so that the counts below do not move.
	queue := newLoads(t, 1, `[{queue: {arrivals: {pulse: {value: 1, at: 0s, for: 1m}}, service: 10s, group: worker}}]`)[0].(*sim.QueueLoad)
	other := machinesIn("web", "fra", "fra")
	now := run(queue, 0, 60, other)
	arrived := float64(queue.Stats().Arrived)
	if arrived < 30 || arrived > 90 {
		t.Fatalf("%v jobs arrived in a minute at 1 per second", arrived)
	}
	got := values(queue, now)
	if age := got["oldest_job_age_seconds"]; age < 50 || age > 60 {
		t.Errorf("the oldest job is %v s old, want about a minute", age)
	}
	delete(got, "oldest_job_age_seconds")
	if diff := cmp.Diff(map[string]float64{
		"queue_depth": arrived, "queue_depth_in_flight": 0, "jobs_done_total": 0, "jobs_killed_total": 0, "jobs_rejected_total": 0,
	}, got); diff != "" {
		t.Errorf("with no Machine of its group:\n%s", diff)
	}

	workers := machinesIn("worker", "fra", "fra")
	now = run(queue, 60, 11, workers)
	got = values(queue, now)
	for name, want := range map[string]float64{
		"queue_depth": arrived - 4, "queue_depth_in_flight": 2, "jobs_done_total": 2,
		`jobs_running{host="` + sim.Host(workers[0].ID) + `", instance="00000000000001", region="fra"}`: 1,
	} {
		if got[name] != want {
			t.Errorf("with two Machines, %s: got %v, want %v", name, got[name], want)
		}
	}
	if !queue.Busy(workers[0].ID) || queue.Busy(other[0].ID+"x") {
		t.Error("a Machine with a job is not busy, or one without is")
	}

	now = run(queue, 71, 1, workers[:1])
	got = values(queue, now)
	for name, want := range map[string]float64{"queue_depth": arrived - 3, "queue_depth_in_flight": 1, "jobs_killed_total": 1} {
		if got[name] != want {
			t.Errorf("after a Machine stopped, %s: got %v, want %v", name, got[name], want)
		}
	}
	workers[0].StartedAt = now
	run(queue, 72, 1, workers[:1])
	if got := queue.Stats().Killed; got != 2 {
		t.Errorf("killed after a restart: got %d, want 2", got)
	}

	run(queue, 73, int(arrived)*10, workers)
	want := sim.QueueStats{Arrived: uint64(arrived), Done: uint64(arrived), Killed: 2, Service: time.Duration(arrived) * 10 * time.Second}
	if diff := cmp.Diff(want, queue.Stats()); diff != "" {
		t.Errorf("in the end:\n%s", diff)
	}
	if queue.Busy(workers[0].ID) {
		t.Error("a Machine is busy with an empty queue")
	}
}

func TestQueueSlotsAndLabels(t *testing.T) {
	queue := newLoads(t, 1, `[{queue: {metric: mail, labels: {queue: out}, arrivals: 100, service: 1h, slots: 3}}]`)[0]
	now := run(queue, 0, 2, machinesIn("", "iad", "iad"))
	if got := values(queue, now)[`mail_in_flight{queue="out"}`]; got != 6 {
		t.Errorf("two Machines with three slots: got %v in flight, want 6", got)
	}
}

// TestQueueUtilisation compares with the theory of queues: with one worker, 0.5
// jobs per second and 1 s each, the mean wait is 0.5 s (Pollaczek-Khinchine), and the
// share of jobs that do not wait is one half.
func TestQueueUtilisation(t *testing.T) {
	queue := newLoads(t, 7, `[{queue: {arrivals: 0.5, service: 1s}}]`)[0].(*sim.QueueLoad)
	run(queue, 0, 200_000, machinesIn("", "iad"))
	stats := queue.Stats()
	if rate := float64(stats.Arrived) / 200_000; math.Abs(rate-0.5) > 0.01 {
		t.Errorf("arrival rate: got %v, want 0.5", rate)
	}
	if median := queue.Wait(0.49); median > 10*time.Millisecond {
		t.Errorf("49th percentile of the wait: got %v, want none", median)
	}
	// 1-(1-rho)*sum of the first terms: for D service at rho 0.5, P(W > 1 s) is 0.1756.
	if at := queue.Wait(1 - 0.1756); at < 900*time.Millisecond || at > 1100*time.Millisecond {
		t.Errorf("82nd percentile of the wait: got %v, want about 1 s", at)
	}
}

func TestQueueLogNormalService(t *testing.T) {
	queue := newLoads(t, 3, `[{queue: {arrivals: 50, service: {mean: 28900ms, sd: 20900ms}, slots: 1000}}]`)[0].(*sim.QueueLoad)
	run(queue, 0, 4000, machinesIn("", "iad", "iad", "iad"))
	stats := queue.Stats()
	if mean := stats.Service.Seconds() / float64(stats.Done); math.Abs(mean-28.9) > 0.3 {
		t.Errorf("mean service time: got %v s, want 28.9", mean)
	}
}

func TestQueueConservesJobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		queue := newLoads(t, rapid.Uint64().Draw(t, "seed"), fmt.Sprintf(
			`[{queue: {arrivals: %v, slots: %d, service: {mean: %dms, sd: %dms}}}]`,
			rapid.Float64Range(0, 20).Draw(t, "rate"), rapid.IntRange(1, 3).Draw(t, "slots"),
			rapid.IntRange(1, 5000).Draw(t, "mean"), rapid.IntRange(0, 5000).Draw(t, "sd"),
		))[0].(*sim.QueueLoad)
		machines := machinesIn("", "fra", "fra", "iad", "iad", "nrt")
		var before sim.QueueStats
		for second := range rapid.IntRange(1, 60).Draw(t, "seconds") {
			now := start.Add(time.Duration(second) * time.Second)
			for i := range machines {
				switch rapid.IntRange(0, 9).Draw(t, "change") {
				case 0:
					machines[i].Started = !machines[i].Started
				case 1:
					machines[i].StartedAt = now
				}
			}
			queue.Step(now, machines)
			stats := queue.Stats()
			if got := stats.Done + uint64(stats.Waiting+stats.InFlight) + stats.Rejected; got != stats.Arrived {
				t.Fatalf("%d jobs arrived, %d are accounted for: %+v", stats.Arrived, got, stats)
			}
			if stats.Done < before.Done || stats.Killed < before.Killed {
				t.Fatalf("a counter went back: %+v, then %+v", before, stats)
			}
			before = stats
			var running float64
			for name, value := range values(queue, now) {
				if strings.HasPrefix(name, "jobs_running") {
					running += value
				}
			}
			idle := 0
			for _, m := range machines {
				if !m.Started && queue.Busy(m.ID) {
					t.Fatalf("Machine %s is stopped and busy", m.ID)
				}
				if m.Started && !queue.Busy(m.ID) {
					idle++
				}
			}
			if int(running) != stats.InFlight {
				t.Fatalf("%v jobs run on Machines, %d are in flight", running, stats.InFlight)
			}
			if idle > 0 && stats.Waiting > 0 {
				t.Fatalf("%d jobs wait while %d Machines are idle", stats.Waiting, idle)
			}
		}
	})
}

const everything = `
- queue: {arrivals: {sine: {min: 0, max: 5, period: 1m}}, service: {mean: 2s, sd: 1s}, group: worker}
- web: {requests: 300, regions: {fra: 2, iad: 1, syd: 1}, errors: 0.1, capacity: 100, gauge: connection_count}
- gauge: {metric: g, labels: {k: v}, value: {sine: {min: 0, max: 5, period: 1m}}}
`

func TestSameSeedSameSamples(t *testing.T) {
	machines := append(machinesIn("worker", "fra", "iad"), sim.LoadMachine{ID: "w", Region: "ams", Started: true})
	reversed := []sim.LoadMachine{machines[2], machines[1], machines[0]}
	first, second, other := newLoads(t, 5, everything), newLoads(t, 5, everything), newLoads(t, 6, everything)
	now := run(first, 0, 100, machines)
	run(second, 0, 100, reversed)
	run(other, 0, 100, machines)
	compare := cmp.Comparer(func(a, b sim.Sample) bool {
		return a.Name == b.Name && a.Labels.String() == b.Labels.String() && a.Value == b.Value
	})
	if diff := cmp.Diff(first.Series(now), second.Series(now), compare); diff != "" {
		t.Errorf("same seed, Machines in another order:\n%s", diff)
	}
	if cmp.Equal(first.Series(now), other.Series(now), compare) {
		t.Error("another seed gives the same samples")
	}
}

func TestWeb(t *testing.T) {
	web := newLoads(t, 1, `[{web: {requests: 100, regions: {fra: 3, iad: 1}, latency: 50ms, gauge: connection_count}}]`)[0].(*sim.WebLoad)
	machines := machinesIn("", "cdg", "cdg", "ord")
	now := run(web, 0, 1001, machines) // they start at the end of the first second
	got := values(web, now)
	share := func(name string, want, within float64) {
		t.Helper()
		if math.Abs(got[name]-want) > within {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
	machine := func(i int) string {
		return `{host="` + sim.Host(machines[i].ID) + `", instance="` + machines[i].ID + `", region="` + machines[i].Region + `"`
	}
	edge := func(region, status string) string {
		return `fly_edge_http_responses_count{host="` + sim.Host("edge-"+region) + `", proxy_id="blue", region="` + region + `", status="` + status + `"}`
	}
	share(edge("fra", "200"), 75_000, 1500)
	share(edge("iad", "200"), 25_000, 1000)
	share("fly_app_http_responses_count"+machine(0)+`, status="200"}`, 37_500, 1000)
	share("fly_app_http_responses_count"+machine(1)+`, status="200"}`, 37_500, 1000)
	share("fly_app_http_responses_count"+machine(2)+`, status="200"}`, 25_000, 1000)
	share("fly_app_concurrency"+machine(0)+"}", 37.5*0.05, 1)
	share("connection_count"+machine(0)+"}", 37.5*0.05, 1)
	stats := web.Stats()
	if stats.Unserved == 0 || stats.Unserved > 200 {
		t.Errorf("unserved: got %d, want those of the first second only", stats.Unserved)
	}
	// Frankfurt to Paris 450 km, Ashburn to Chicago 950 km.
	mean := stats.RoundTrip / time.Duration(stats.Requests)
	if mean < 7*time.Millisecond || mean > 10*time.Millisecond {
		t.Errorf("mean round trip: got %v, want about 8 ms", mean)
	}
	if !web.Busy(machines[0].ID) {
		t.Error("a Machine with requests is not busy")
	}

	for i := range machines[:2] {
		machines[i].Cordoned = true
	}
	now = run(web, 1001, 1, machines)
	got = values(web, now)
	if _, there := got["fly_app_concurrency"+machine(0)+"}"]; there {
		t.Error("a cordoned Machine still gets requests")
	}
	share("fly_app_concurrency"+machine(2)+"}", 5, 3)
}

func TestWebOverload(t *testing.T) {
	web := newLoads(t, 1, `[{web: {requests: 100, regions: {fra: 1}, capacity: 20, errors: 0.5}}]`)[0].(*sim.WebLoad)
	machines := machinesIn("", "fra", "fra", "syd")
	run(web, 0, 101, machines)
	stats := web.Stats()
	answered := stats.Requests - stats.Unserved
	if answered != 100*3*20 {
		t.Errorf("three Machines answered %d in 100 s at 20/s each", answered)
	}
	if share := float64(stats.Failed) / float64(answered); math.Abs(share-0.5) > 0.05 {
		t.Errorf("share of failed: got %v, want 0.5", share)
	}
	got := values(web, start)
	var inFlight float64
	for name, v := range got {
		if strings.HasPrefix(name, "fly_app_concurrency") {
			inFlight += v
		}
	}
	if inFlight < 7 || inFlight > 13 {
		t.Errorf("requests in flight: got %v, want about 10, also those beyond capacity", inFlight)
	}
}

func TestLoadProblems(t *testing.T) {
	for _, tc := range []struct {
		name, yaml string
		want       []string
	}{
		{"two in one", "[{queue: {arrivals: 1, service: 1s}, gauge: {metric: a, value: 1}}]", []string{
			"[0]: 2 loads given, want exactly one of queue, web, gauge",
		}},
		{"queue", "[{queue: {metric: 1x, arrivals: -1, service: 0s, slots: -2}}]", []string{
			`[0].queue.metric: "1x" is not a metric name`,
			"[0].queue.arrivals.constant: -1 is not a rate, want a finite number that is not negative",
			"[0].queue.slots: -2 jobs at a time, want at least 1",
			"[0].queue.service.mean: 0s is not a length of time, want more than 0s",
		}},
		{"web", "[{web: {requests: .inf, regions: {xxx: 1, fra: -1}, errors: 2, gauge: a b}}]", []string{
			"[0].web.requests.constant: +Inf is not a rate, want a finite number that is not negative",
			"[0].web.regions.fra: -1 is not a share, want a finite number that is not negative",
			"[0].web.regions.xxx: no such region",
			"[0].web.regions: all shares are 0",
			"[0].web.errors: 2 is not a share, want 0 to 1",
			`[0].web.gauge: "a b" is not a metric name`,
		}},
		{"web without regions", "[{web: {requests: 1}}]", []string{"[0].web.regions: no region given, want a share per region where users are"}},
		{"gauge", "[{gauge: {metric: '', labels: {app: x, __y: z, e: ''}, value: {}}}]", []string{
			`[0].gauge.metric: "" is not a metric name`,
			"[0].gauge.labels.__y: not a label name",
			"[0].gauge.labels.app: the platform sets this label itself",
			"[0].gauge.labels.e: an empty value is the same as no label",
			"[0].gauge.value: 0 shapes given, want exactly one of constant, steps, ramp, sine, pulse, trace, sum",
		}},
		{"the same series twice", "[{gauge: {metric: a, labels: {k: v}, value: 1}}, {gauge: {metric: a, value: 1}}, {gauge: {metric: a, labels: {k: v}, value: 2}}]", []string{
			`[2]: series a{k="v"} is already exported by [0]; give one of them other labels or another name`,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var specs sim.LoadSpecs
			if err := yaml.Load([]byte(tc.yaml), &specs); err != nil {
				t.Fatal(err)
			}
			_, err := specs.New(1, start, nil)
			if diff := cmp.Diff(tc.want, messages(err)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("unknown key", func(t *testing.T) {
		var specs sim.LoadSpecs
		err := yaml.Load([]byte("[{queue: {arrivals: 1, services: 1s}}]"), &specs)
		if err == nil || !strings.Contains(err.Error(), "services") {
			t.Errorf("got %v, want an error that names the key", err)
		}
	})
}

func BenchmarkQueueStep(b *testing.B) {
	queue := newLoads(b, 1, `[{queue: {arrivals: 2, service: 2s}}]`)
	machines := machinesIn("", "fra", "fra", "iad", "iad", "nrt")
	now := start
	for b.Loop() {
		now = now.Add(time.Second)
		queue.Step(now, machines)
	}
}
