package journal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// rules are a policy's settings, as the program would put them into an entry.
type rules struct {
	Group               scale.ProcessGroup
	Regions             []scale.Region
	Launch              bool
	MinCreated, Started string
	MaxAge              time.Duration
}

func (r rules) compile() (*policy.Policy, error) {
	p := &policy.Policy{Group: r.Group, Regions: r.Regions, Launch: r.Launch, MaxAge: r.MaxAge}
	for _, e := range []struct {
		source string
		to     []**expr.Program
	}{{r.MinCreated, []**expr.Program{&p.MinCreated}}, {r.Started, []**expr.Program{&p.MinStarted, &p.MaxStarted}}} {
		program, err := expr.Compile(e.source, []string{"queue"})
		if err != nil {
			return nil, err
		}
		for _, to := range e.to {
			*to = program
		}
	}
	return p, nil
}

// again makes the decision of an entry, as the program would.
func again(in journal.Inputs) (decision, planned json.RawMessage, err error) {
	var r rules
	if err := json.Unmarshal(in.Policy, &r); err != nil {
		return nil, nil, err
	}
	p, err := r.compile()
	if err != nil {
		return nil, nil, err
	}
	var mem decide.Memory
	if err := json.Unmarshal(in.Memory, &mem); err != nil {
		return nil, nil, err
	}
	d, _ := decide.Decide(in.Snapshot, in.Samples, p, mem, in.Now)
	if decision, err = json.Marshal(d); err != nil {
		return nil, nil, err
	}
	planned, err = json.Marshal(plan.Build(in.Snapshot, d, p))
	return decision, planned, err
}

func mustJSON(tb rapid.TB, v any) json.RawMessage {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatalf("encode: %v", err)
	}
	return data
}

func drawMachine(t *rapid.T, i int, now time.Time) scale.Machine {
	age := func(label string) time.Time {
		return now.Add(-time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, label)))
	}
	m := scale.Machine{
		ID: scale.MachineID(fmt.Sprintf("%014x", i)), Name: rapid.SampledFrom([]string{"fas-app-1", "fas-app-2", "still-bird"}).Draw(t, "name"),
		State:  rapid.SampledFrom([]scale.State{scale.StateStarted, scale.StateStopped, scale.StateSuspended, scale.StateStarting, scale.StateCreated, scale.StateFailed}).Draw(t, "state"),
		Region: rapid.SampledFrom([]scale.Region{"iad", "ams"}).Draw(t, "region"), Group: rapid.SampledFrom([]scale.ProcessGroup{"app", "app", "app", "worker"}).Draw(t, "group"),
		InstanceID: "01J", Host: scale.HostOK, CreatedAt: age("created"), UpdatedAt: age("updated"),
		Cordoned: rapid.IntRange(0, 9).Draw(t, "cordoned") == 0, HasMounts: rapid.IntRange(0, 9).Draw(t, "mounts") == 0,
		Metadata: map[string]string{scale.MetaReleaseVersion: rapid.SampledFrom([]string{"7", "7", "7", "8"}).Draw(t, "release"), "mine": "secret"},
		Config:   json.RawMessage(`{"image":"x","env":{"A":"b"}}`),
	}
	if rapid.Bool().Draw(t, "meta") {
		m.Metadata[rapid.SampledFrom([]string{scale.MetaNotLaunched, scale.MetaCanary, scale.MetaBuilderID, scale.MetaManagedPostgres}).Draw(t, "key")] = "1"
	}
	if rapid.IntRange(0, 9).Draw(t, "host") == 0 {
		m.Host, m.Config = scale.HostUnreachable, nil
	}
	return m
}

// An entry of the journal, read back, decides to the same bytes; and when its
// inputs had been others, Replay tells.
func TestReplay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := noon.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "now")))
		s := scale.Snapshot{App: "web", TakenAt: now.Add(-time.Second), Complete: rapid.IntRange(0, 4).Draw(t, "complete") > 0}
		for i := range rapid.IntRange(0, 6).Draw(t, "machines") {
			s.Machines = append(s.Machines, drawMachine(t, i, now))
		}
		if rapid.Bool().Draw(t, "release") {
			s.Release = scale.Release{Known: true, Exists: true, Version: 7, Status: rapid.SampledFrom([]string{"complete", "running"}).Draw(t, "status"), CreatedAt: now.Add(-time.Minute)}
		}
		samples := rapid.SampledFrom([][]scale.Sample{
			nil,
			{},
			{{Metric: "queue", Value: 0.1 + 0.2, At: now, Quality: scale.Fresh}},
			{{Metric: "queue", Value: 61.7, At: now, Quality: scale.Fresh}},
			{{Metric: "queue", At: now, Quality: scale.Error, Reason: "no <answer>"}},
		}).Draw(t, "samples")
		mem := decide.Memory{CreateFailures: rapid.IntRange(0, 3).Draw(t, "failures"), NoCreateBefore: now.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "before")) * time.Second)}
		if len(s.Machines) > 0 {
			mem.Lost = map[scale.MachineID]time.Time{s.Machines[0].ID: now.Add(-time.Minute)}
			mem.Created = map[scale.MachineID]time.Time{s.Machines[0].ID: now.Add(-time.Minute)}
		}
		r := rules{Group: "app", Regions: []scale.Region{"ams", "iad"}, Launch: true, MinCreated: "min(ceil(queue / 10), 5)", Started: "ceil(queue / 20)", MaxAge: time.Minute}
		p, err := r.compile()
		if err != nil {
			t.Fatalf("compile: %v", err)
		}
		d, _ := decide.Decide(s, samples, p, mem, now)
		e := journal.Entry{
			App: "web", Group: "app", Kind: journal.Acted, At: now, Decision: mustJSON(t, d), Plan: mustJSON(t, plan.Build(s, d, p)),
			Inputs: &journal.Inputs{Snapshot: s, Samples: samples, Policy: mustJSON(t, r), Memory: mustJSON(t, mem), Now: now},
		}
		data, err := journal.Encode(e)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		got, err := journal.Decode(data)
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		if err := journal.Replay(got, again); err != nil {
			t.Fatalf("replay: %v", err)
		}
		got.Inputs.Now = got.Inputs.Now.Add(time.Nanosecond)
		if _, ok := errors.AsType[*journal.Difference](journal.Replay(got, again)); !ok {
			t.Fatal("a replay at another time shows no difference")
		}
	})
}

func TestReplayOfFailures(t *testing.T) {
	t.Parallel()
	if err := journal.Replay(journal.Entry{Kind: journal.Failed}, again); !errors.Is(err, journal.ErrNoInputs) {
		t.Errorf("got %v, want %v", err, journal.ErrNoInputs)
	}
	broken := errors.New("broken")
	e := journal.Entry{Inputs: &journal.Inputs{}, Decision: json.RawMessage(`{"a":1}`), Plan: json.RawMessage(`{"b":1}`)}
	if err := journal.Replay(e, func(journal.Inputs) (_, _ json.RawMessage, err error) { return nil, nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	same := json.RawMessage(`{ "a": 1 }`)
	if err := journal.Replay(e, func(journal.Inputs) (d, p json.RawMessage, err error) { return same, json.RawMessage(`{"b":1}`), nil }); err != nil {
		t.Errorf("spaces make a difference: %v", err)
	}
	err := journal.Replay(e, func(journal.Inputs) (d, p json.RawMessage, err error) { return same, json.RawMessage(`{"b":2}`), nil })
	if diff, ok := errors.AsType[*journal.Difference](err); !ok || diff.What != "plan" || diff.Then != `{"b":1}` || diff.Now != `{"b":2}` {
		t.Errorf("got %v, want a difference of plans", err)
	}
}
