package scenario

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// Report is what came of a scenario.
type Report struct {
	Passes []Pass
	// Failures counts the expectations that were not met.
	Failures int
}

// Pass is one pass of a scenario.
type Pass struct {
	At      time.Duration // since the start
	Metrics string        // as set by now
	Line    string        // the decision
	Actions []string
	Failed  []string // expectations that were not met
}

// Run plays the scenario to its end. The error is about what cannot be played; what
// was expected and did not come is in the report.
func (s *Scenario) Run(ctx context.Context) (Report, error) {
	// The Machines have been there for a while when the first pass is made.
	world := sim.New(sim.Config{Seed: 1, Start: s.Start.Add(-time.Hour), Timings: &s.Timings})
	p := &platform{world: world, app: string(s.app()), names: map[string]scale.MachineID{}, ids: map[scale.MachineID]string{}}
	ids, err := world.AddApp(sim.Call{}, sim.AppSpec{Org: "my-org", App: p.app, Machines: s.Machines})
	if err != nil {
		return Report{}, fmt.Errorf("make the world: %w", err)
	}
	for i, id := range ids {
		name := fmt.Sprintf("m%d", i+1)
		p.names[name], p.ids[scale.MachineID(id)] = scale.MachineID(id), name
	}
	spec := s.settings.Targets[0]
	target := reconcile.Target{App: s.app(), Policy: spec.Policy(0), Fleet: p, Actuator: p}
	metrics := map[string]*metric{}
	for _, c := range spec.Collectors {
		m := &metric{name: c.MetricName, platform: p}
		metrics[c.MetricName] = m
		var from source.Source = m
		if c.EmptyIsZero {
			from = source.EmptyIsZero(from)
		}
		target.Sources = append(target.Sources, from)
	}

	var report Report
	var memory decide.Memory
	options := reconcile.Options{Now: world.Now, Act: true}
	for at := time.Duration(0); at <= s.end(); at += s.settings.Interval {
		world.Advance(s.Start.Add(at))
		for _, step := range s.Timeline {
			if time.Duration(step.At) != at {
				continue
			}
			for name, value := range step.Metrics {
				metrics[name].value = &value
			}
			if step.Capacity != nil {
				if err := world.SetCapacity(*step.Capacity); err != nil {
					return report, fmt.Errorf("at %s: capacity: %w", at, err)
				}
			}
			if step.Forget {
				memory = decide.Memory{}
			}
		}
		var r reconcile.Report
		r, memory = reconcile.Pass(ctx, target, memory, options)
		if r.Decision == nil {
			return report, fmt.Errorf("at %s: %w", at, r.Err)
		}
		world.Advance(world.Now().Add(time.Second))
		pass := Pass{At: at, Metrics: told(metrics), Line: r.Decision.Line()}
		for _, o := range r.Outcomes {
			pass.Actions = append(pass.Actions, p.tell(o))
		}
		seen, err := p.look()
		if err != nil {
			return report, fmt.Errorf("at %s: %w", at, err)
		}
		for _, e := range s.expected(at) {
			pass.Failed = append(pass.Failed, e.unmet(seen, *r.Decision)...)
		}
		report.Failures += len(pass.Failed)
		report.Passes = append(report.Passes, pass)
	}
	return report, nil
}

// told tells the values of metrics.
func told(metrics map[string]*metric) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		switch v := metrics[name].value; {
		case v == nil:
		case v.Word != "":
			out = append(out, name+" "+v.Word)
		case v.Machines != nil:
			out = append(out, fmt.Sprint(name, " ", strings.TrimPrefix(fmt.Sprint(v.Machines), "map")))
		default:
			out = append(out, fmt.Sprintf("%s %g", name, v.Number))
		}
	}
	return strings.Join(out, ", ")
}

// tell tells an action and what came of it.
func (p *platform) tell(o scale.Outcome) string {
	text := string(o.Action.Verb)
	if name := p.ids[o.Action.Machine]; name != "" {
		text += " " + name
	}
	if o.Result != scale.Done {
		text += fmt.Sprintf(" %s (%s)", o.Result, o.Reason)
	}
	return text
}

// view is the Machines after a pass.
type view struct {
	created, started, starting, stopped, suspended, draining int

	states map[string]string
}

func (p *platform) look() (view, error) {
	list, err := p.machines()
	v := view{states: map[string]string{}}
	for _, m := range list {
		state := string(m.State)
		switch m.State {
		case scale.StateDestroying:
			continue
		case scale.StateStarted:
			v.started++
		case scale.StateStarting:
			v.started, v.starting = v.started+1, v.starting+1
		case scale.StateCreated:
			if m.Metadata[scale.MetaNotLaunched] == "" {
				v.started, v.starting = v.started+1, v.starting+1
			}
		case scale.StateStopped:
			v.stopped++
		case scale.StateSuspended:
			v.suspended++
		}
		v.created++
		if m.Metadata[scale.MetaDrain] != "" && m.State == scale.StateStarted {
			v.draining++
			state = "draining"
		}
		v.states[p.ids[m.ID]] = state
	}
	return v, err
}

// unmet tells which expectations are not met.
func (e *Expect) unmet(v view, d scale.Decision) []string {
	var out []string
	for _, one := range []struct {
		name string
		want *int
		got  int
	}{
		{"created", e.Created, v.created},
		{"started", e.Started, v.started},
		{"starting", e.Starting, v.starting},
		{"stopped", e.Stopped, v.stopped},
		{"suspended", e.Suspended, v.suspended},
		{"draining", e.Draining, v.draining},
	} {
		if one.want != nil && *one.want != one.got {
			out = append(out, fmt.Sprintf("%s: want %d, got %d", one.name, *one.want, one.got))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Machines)) {
		got := v.states[name]
		if got == "" {
			got = "gone"
		}
		if want := e.Machines[name]; got != want {
			out = append(out, fmt.Sprintf("%s: want %s, got %s", name, want, got))
		}
	}
	if !strings.Contains(d.Line(), e.Says) {
		out = append(out, fmt.Sprintf("want a decision that says %q", e.Says))
	}
	changed := func(s scale.Step) bool { return s.Stage == e.Stage }
	if e.Stage != "" && !slices.ContainsFunc(d.Steps, changed) {
		out = append(out, fmt.Sprintf("want a word of the stage %s", e.Stage))
	}
	return out
}

// String returns the timeline: what the metrics said, what was decided and done, and
// below that what was expected instead. Passes like the one before are left out.
func (r Report) String() string {
	var b strings.Builder
	var before Pass
	for i, p := range r.Passes {
		if i > 0 && slices.Equal(p.Failed, before.Failed) && len(p.Actions) == 0 && p.Line == before.Line && p.Metrics == before.Metrics {
			continue
		}
		before = p
		fmt.Fprintf(&b, "%8s  %s  %s\n", p.At, p.Metrics, p.Line)
		if len(p.Actions) > 0 {
			fmt.Fprintf(&b, "          %s\n", strings.Join(p.Actions, ", "))
		}
		for _, failed := range p.Failed {
			fmt.Fprintf(&b, "     !!!  %s\n", failed)
		}
	}
	return b.String()
}
