package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// parse reads Machines written as "state@region", with marks behind the region:
// "!" cordoned, "~" host out of reach, "%" with a volume, "w" of group worker.
func parse(t testing.TB, text string) []scale.Machine {
	t.Helper()
	var out []scale.Machine
	for i, word := range strings.Fields(text) {
		state, rest, ok := strings.Cut(word, "@")
		if !ok || len(rest) < 3 {
			t.Fatalf("cannot read Machine %q", word)
		}
		m := scale.Machine{
			ID: scale.MachineID(fmt.Sprintf("m%d", i+1)), State: scale.State(state), Region: scale.Region(rest[:3]), Group: "app",
			Host: scale.HostOK, Config: []byte("{}"), CreatedAt: epoch.Add(-time.Hour), UpdatedAt: epoch.Add(-time.Minute),
		}
		for _, mark := range rest[3:] {
			switch mark {
			case '!':
				m.Cordoned = true
			case '~':
				m.Host, m.Config = scale.HostUnreachable, nil
			case '%':
				m.HasMounts = true
			case 'w':
				m.Group = "worker"
			}
		}
		out = append(out, m)
	}
	return out
}

// rules reads a policy written as "min-created=… max-started=… regions=a,b
// initial=stopped"; created= and started= are exact.
func rules(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p := &policy.Policy{Group: "app", Launch: true}
	for word := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(word, "=")
		compile := func() *expr.Program {
			program, err := expr.Compile(value, []string{"q"})
			if err != nil {
				t.Fatal(err)
			}
			return program
		}
		switch key {
		case "created":
			p.MinCreated = compile()
			p.MaxCreated = p.MinCreated
		case "started":
			p.MinStarted = compile()
			p.MaxStarted = p.MinStarted
		case "min-created":
			p.MinCreated = compile()
		case "max-created":
			p.MaxCreated = compile()
		case "min-started":
			p.MinStarted = compile()
		case "max-started":
			p.MaxStarted = compile()
		case "regions":
			for r := range strings.SplitSeq(value, ",") {
				p.Regions = append(p.Regions, scale.Region(r))
			}
		case "initial":
			p.Launch = value == "started"
		default:
			t.Fatalf("unknown rule %q", word)
		}
	}
	return p
}

func TestPlans(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		machines string
		rules    string
		q        float64 // negative: unknown
		memory   decide.Memory
		want     []string
	}{
		{name: "nothing to do", machines: "started@iad stopped@iad", rules: "started=1"},
		{name: "start by id, suspended first", machines: "started@iad stopped@iad suspended@iad stopped@iad", rules: "started=q", q: 3, want: []string{"start m3 in iad", "start m2 in iad"}},
		{name: "stop by id", machines: "started@iad started@iad started@iad", rules: "started=q", q: 1, want: []string{"stop m1 in iad", "stop m2 in iad"}},
		{name: "to zero", machines: "started@iad started@iad", rules: "started=0", want: []string{"stop m1 in iad", "stop m2 in iad"}},
		{name: "booting counts", machines: "starting@iad created@iad stopped@iad", rules: "started=2"},
		{name: "booting goes first", machines: "started@iad starting@iad", rules: "started=1", want: []string{"stop m2 in iad"}},
		{name: "minimum only starts", machines: "started@iad started@iad stopped@iad", rules: "min-started=1"},
		{name: "maximum only stops", machines: "stopped@iad stopped@iad", rules: "max-started=1"},
		{name: "no more than there are", machines: "started@iad stopped@iad", rules: "started=9", want: []string{"start m2 in iad"}},
		{name: "floor wins over a ceiling below it", machines: "started@iad stopped@iad stopped@iad", rules: "min-started=2 max-started=1", want: []string{"start m2 in iad"}},

		{name: "clone in the source's region", machines: "started@ord", rules: "created=3", want: []string{"create fas-app-1 in ord", "create fas-app-2 in ord"}},
		{name: "round robin over regions", machines: "started@iad", rules: "created=5 regions=iad,ord,lhr", want: []string{"create fas-app-1 in ord", "create fas-app-2 in lhr", "create fas-app-3 in iad", "create fas-app-4 in ord"}},
		{name: "created settles before started", machines: "started@iad stopped@iad", rules: "created=4 started=4", want: []string{"start m2 in iad", "create fas-app-1 in iad", "create fas-app-2 in iad"}},
		{name: "no more boot than the ceiling allows", machines: "started@iad", rules: "created=3 started=1", want: []string{"create fas-app-1 in iad", "create fas-app-2 in iad"}},
		{name: "nothing to clone", machines: "started@iad~", rules: "created=3"},
		{name: "a Machine with a volume is not cloned", machines: "started@iad%", rules: "created=3"},
		{name: "an empty app stays empty", machines: "", rules: "created=3 started=3"},
		{name: "creates wait after refusals", machines: "started@iad", rules: "created=3", memory: decide.Memory{CreateFailures: 2, NoCreateBefore: epoch.Add(time.Second)}},

		{name: "destroy stopped before started", machines: "started@iad stopped@iad started@iad failed@iad", rules: "created=2", want: []string{"destroy m4 in iad", "destroy m2 in iad"}},
		{name: "destroy running Machines last, by id", machines: "started@iad started@iad started@iad", rules: "created=1", want: []string{"destroy m1 in iad", "destroy m2 in iad"}},
		{name: "the last Machine is kept", machines: "stopped@iad stopped@iad", rules: "created=0", want: []string{"destroy m1 in iad"}},
		{name: "the last within reach is kept", machines: "started@iad started@iad~ started@iad~", rules: "created=1"},
		{name: "volumes are kept", machines: "stopped@iad% stopped@iad stopped@iad%", rules: "created=1", want: []string{"destroy m2 in iad"}},

		{name: "cordoned is counted as created and left alone", machines: "started@iad! started@iad stopped@iad", rules: "created=3 started=1"},
		{name: "out of reach does not count as started", machines: "started@iad~ stopped@iad", rules: "started=1", want: []string{"start m2 in iad"}},
		{name: "out of reach is not replaced at once", machines: "started@iad~ started@iad", rules: "created=2"},
		{
			name: "out of reach is replaced after a while", machines: "started@iad~ started@iad", rules: "created=2",
			memory: decide.Memory{Lost: map[scale.MachineID]time.Time{"m1": epoch.Add(-3 * time.Minute)}}, want: []string{"create fas-app-1 in iad"},
		},
		{name: "other groups are not counted", machines: "started@iadw stopped@iadw started@iad", rules: "created=1 started=1"},

		{name: "unknown holds", machines: "started@iad started@iad", rules: "started=q", q: -1},
		{name: "what is known may still raise", machines: "started@iad stopped@iad", rules: "min-started=2 max-started=q", q: -1, want: []string{"start m2 in iad"}},
		{name: "one unknown keeps the other from removing", machines: "started@iad stopped@iad", rules: "created=q started=0", q: -1},
		{name: "own counts", machines: "started@iad stopped@iad stopped@iad", rules: "started=min(started+1,10)", want: []string{"start m2 in iad"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := scale.Snapshot{App: "web", Machines: parse(t, tt.machines), TakenAt: epoch, Complete: true}
			sample := scale.Sample{Metric: "q", Value: tt.q, Quality: scale.Fresh}
			if tt.q < 0 {
				sample = scale.Sample{Metric: "q", Quality: scale.Empty, Reason: "the query has no result"}
			}
			p := rules(t, tt.rules)
			d, _ := decide.Decide(s, []scale.Sample{sample}, p, tt.memory, epoch)
			var got []string
			for _, a := range plan.Build(s, d, p).Actions {
				got = append(got, a.String())
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("%s\nactions (-got +want):\n%s", d.Line(), diff)
			}
		})
	}
}

// Fewer Machines boot than are created where the ceiling or the initial state
// says so; what the floor needs boots in any case.
func TestLaunch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rules string
		want  int
	}{
		{"created=4", 3},
		{"created=4 max-started=2", 1},
		{"created=4 initial=stopped", 0},
		{"created=4 started=3 initial=stopped", 2},
	} {
		s := scale.Snapshot{App: "web", Machines: parse(t, "started@iad"), TakenAt: epoch, Complete: true}
		p := rules(t, tt.rules)
		d, _ := decide.Decide(s, nil, p, decide.Memory{}, epoch)
		got := 0
		for _, a := range plan.Build(s, d, p).Actions {
			if a.Launch {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%s: %d boot, want %d (%s)", tt.rules, got, tt.want, d.Line())
		}
	}
}

// A name counts as used whoever bears it, also with the suffix that stands for a
// destroyed holder; the lowest free numbers come first.
func TestNames(t *testing.T) {
	t.Parallel()
	machines := parse(t, "started@iad stopped@iad stopped@iadw started@iad")
	machines[1].Name, machines[2].Name, machines[3].Name = "fas-app-2", "fas-app-3", "fas-app-4-148e2"
	s := scale.Snapshot{App: "web", Machines: machines, TakenAt: epoch, Complete: true}
	p := rules(t, "created=6")
	d, _ := decide.Decide(s, nil, p, decide.Memory{}, epoch)
	var got []string
	for _, a := range plan.Build(s, d, p).Actions {
		got = append(got, a.Name)
	}
	if diff := cmp.Diff(got, []string{"fas-app-1", "fas-app-5", "fas-app-6"}); diff != "" {
		t.Errorf("names (-got +want):\n%s", diff)
	}
	if got, want := plan.NamePrefix("Web_Tier"), "fas-web-tier-"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkDecideAndPlan50(b *testing.B) {
	machines := parse(b, strings.Repeat("started@iad stopped@ord ", 25))
	s := scale.Snapshot{App: "web", Machines: machines, TakenAt: epoch, Complete: true}
	for _, bm := range []struct {
		name string
		q    float64
	}{{"hold", 25}, {"start10", 35}, {"stop10", 15}} {
		b.Run(bm.name, func(b *testing.B) {
			samples := []scale.Sample{{Metric: "q", Value: bm.q, Quality: scale.Fresh}}
			p := rules(b, "started=min(q,50) created=50 regions=iad,ord")
			b.ReportAllocs()
			for b.Loop() {
				d, _ := decide.Decide(s, samples, p, decide.Memory{}, epoch)
				plan.Build(s, d, p)
			}
		})
	}
}

// BenchmarkDecideAndPlan4 is what a pass over a small app costs besides input and
// output.
func BenchmarkDecideAndPlan4(b *testing.B) {
	machines := parse(b, "started@iad stopped@iad started@ord stopped@ord")
	s := scale.Snapshot{App: "web", Machines: machines, TakenAt: epoch, Complete: true, Overview: true}
	for _, bm := range []struct {
		name string
		q    float64
		want int // actions
	}{{"quiet", 2, 0}, {"start2", 4, 2}} {
		b.Run(bm.name, func(b *testing.B) {
			samples := []scale.Sample{{Metric: "q", Value: bm.q, Quality: scale.Fresh}}
			p := rules(b, "started=max(1,ceil(q))")
			b.ReportAllocs()
			for b.Loop() {
				d, _ := decide.Decide(s, samples, p, decide.Memory{}, epoch)
				if actions := plan.Build(s, d, p).Actions; len(actions) != bm.want {
					b.Fatalf("%d actions, want %d", len(actions), bm.want)
				}
			}
		})
	}
}
