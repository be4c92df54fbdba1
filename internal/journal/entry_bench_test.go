package journal_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// busy returns the entry of a pass that starts and creates Machines, with ids as
// random as real ones.
func busy(tb testing.TB, machines int) journal.Entry {
	tb.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	now := noon
	s := scale.Snapshot{App: "web", TakenAt: now, Complete: true, Release: scale.Release{Known: true, Exists: true, Version: 7, Status: "complete", CreatedAt: now.Add(-time.Hour)}}
	for i := range machines {
		state := scale.StateStarted
		if i%4 == 3 {
			state = scale.StateStopped
		}
		s.Machines = append(s.Machines, scale.Machine{
			ID: scale.MachineID(fmt.Sprintf("%014x", random.Uint64()>>8)), Name: fmt.Sprintf("still-bird-%d", random.IntN(10_000)), State: state,
			Region: []scale.Region{"iad", "ams", "syd"}[i%3], Group: "app", InstanceID: fmt.Sprintf("01J%023X", random.Uint64()), Host: scale.HostOK,
			CreatedAt: now.Add(-time.Duration(random.Int64N(int64(time.Hour)))), UpdatedAt: now.Add(-time.Duration(random.Int64N(int64(time.Hour)))),
			Metadata: map[string]string{
				scale.MetaReleaseVersion: "7", scale.MetaReleaseID: "RQj8pLqXDkbv1sYMrJ3ZqG9Wk", scale.MetaProcessGroup: "app",
				"fly_platform_version": "v2", "fly_flyctl_version": "0.3.50",
			},
			Image:  "registry.fly.io/web:deployment-01JBXYZ7K9QWERTYUIOPASDFGH@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			Config: json.RawMessage(`{"image":"x"}`),
		})
	}
	samples := []scale.Sample{{Metric: "queue", Value: 20 * float64(machines+2), At: now, Quality: scale.Fresh}}
	r := rules{Group: "app", Regions: []scale.Region{"iad", "ams", "syd"}, Launch: true, MinCreated: "ceil(queue / 20)", Started: "ceil(queue / 20)", MaxAge: time.Minute}
	p, err := r.compile()
	if err != nil {
		tb.Fatalf("compile: %v", err)
	}
	d, _ := decide.Decide(s, samples, p, decide.Memory{}, now)
	planned := plan.Build(s, d, p)
	if planned.Empty() {
		tb.Fatal("there is nothing to do")
	}
	var outcomes []scale.Outcome
	for _, a := range planned.Actions {
		outcomes = append(outcomes, scale.Outcome{Action: a, Result: scale.Done, Machine: scale.MachineID(fmt.Sprintf("%014x", random.Uint64()>>8)), Region: a.Region, At: now})
	}
	return journal.Entry{
		App: "web", Group: "app", Kind: journal.Acted, At: now, Took: 1234567890,
		Decision: mustJSON(tb, d), Plan: mustJSON(tb, planned), Outcomes: mustJSON(tb, outcomes),
		Inputs: &journal.Inputs{Snapshot: s, Samples: samples, Policy: mustJSON(tb, r), Memory: mustJSON(tb, decide.Memory{}), Now: now},
	}
}

// The retention's bytes hold its number of entries, and an app of any size fits
// into one.
func TestSizes(t *testing.T) {
	t.Parallel()
	for machines, most := range map[int]int{4: 2_000, 1000: 400_000} {
		data, err := journal.Encode(busy(t, machines))
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		t.Logf("%d Machines: %d bytes", machines, len(data))
		if len(data) > most {
			t.Errorf("an entry of %d Machines has %d bytes, want at most %d", machines, len(data), most)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := busy(b, 4)
	var n int
	for b.Loop() {
		data, err := journal.Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		n = len(data)
	}
	b.ReportMetric(float64(n), "bytes/entry")
	b.ReportMetric(float64(len(mustJSON(b, e))), "JSON-bytes/entry")
}

func BenchmarkDecode(b *testing.B) {
	data, err := journal.Encode(busy(b, 4))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := journal.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
