package decide_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// hours is a window that is open between two moments, the last excluded.
type hours struct{ from, to time.Time }

func (h hours) Active(now time.Time) (bool, time.Time) {
	switch {
	case now.Before(h.from):
		return false, h.from
	case now.Before(h.to):
		return true, h.to
	}
	return false, time.Time{}
}

func (h hours) String() string { return fmt.Sprint(h.from, "-", h.to) }

// always is a window without an end.
var always = hours{epoch.Add(-24 * time.Hour), epoch.Add(1000 * time.Hour)}

// moment is one pass of a story.
type moment struct {
	now      time.Time
	samples  []scale.Sample
	before   decide.Memory
	after    decide.Memory // of Decide and Observe
	decision scale.Decision
	plan     scale.Plan
	outcomes []scale.Outcome
	ceiling  int // what the schedules allow, -1 for all
	floor    int // and ask for
}

// asked is what was wanted before it was fitted to what the Machines allow.
func (m moment) asked() scale.Count {
	if last := m.decision.Steps[len(m.decision.Steps)-1]; last.Stage == scale.StageSupply {
		return last.In
	}
	return m.decision.Want
}

func (m moment) String() string {
	return fmt.Sprintf("%s %v: %s %v", m.now.Format(time.TimeOnly), m.samples, m.decision.Line(), m.plan.Actions)
}

// story is a target that lives through time: its decisions are carried out, Machines
// boot and fail to, and metrics move and get lost.
type story struct {
	drawn
	created int // Machines made, for their identifiers
	past    []moment
}

// genStory draws a target with settings at the beginning of its story.
func genStory(t *rapid.T) *story {
	s := &story{drawn: genTarget(t).plain()}
	genSettings(t, s.policy)
	return s
}

// genSettings draws every setting of the stages.
func genSettings(t *rapid.T, p *policy.Policy) {
	maybe := func(label string) bool { return rapid.Bool().Draw(t, label) }
	seconds := func(label string, lo, hi int) time.Duration {
		return time.Duration(rapid.IntRange(lo, hi).Draw(t, label)) * time.Second
	}
	direction := func(label string) policy.Direction {
		var d policy.Direction
		if maybe(label + " window") {
			d.Window = seconds(label+" window", 1, 120)
		}
		for range rapid.IntRange(0, 2).Draw(t, label+" rates") {
			r := policy.Rate{Period: seconds(label+" period", 1, 90)}
			if maybe(label + " percent") {
				r.Percent = float64(rapid.SampledFrom([]int{1, 20, 50, 100, 300}).Draw(t, label+" percentage"))
			} else {
				r.Count = rapid.IntRange(1, 4).Draw(t, label+" count")
			}
			d.Rates = append(d.Rates, r)
		}
		d.Select = policy.Select(max(0, rapid.IntRange(-5, 2).Draw(t, label+" select")))
		return d
	}
	p.Behavior.Up, p.Behavior.Down = direction("up"), direction("down")
	if maybe("tolerance") {
		p.Behavior.Tolerance = policy.Tolerance{
			Up:   rapid.SampledFrom([]float64{0, 0.05, 0.3}).Draw(t, "up tolerance"),
			Down: rapid.SampledFrom([]float64{0, 0.1, 0.4}).Draw(t, "down tolerance"),
		}
	}
	if rapid.IntRange(0, 4).Draw(t, "looks back") == 0 {
		back := mustCompile(rapid.SampledFrom([]string{`avg_over(x, "1m")`, `max_over(y, "30s")`, `x + min_over(y, "90s")`}).Draw(t, "back"))
		p.MinStarted, p.MaxStarted = back, back
	}
	if maybe("fast") {
		p.Behavior.Fast = policy.Fast{Program: genProgram(t, "fast program"), Factor: 2, Hold: seconds("fast hold", 0, 60)}
	}
	if maybe("loss") {
		p.Loss = policy.Loss{After: seconds("loss after", 0, 90), Fallback: rapid.IntRange(0, 6).Draw(t, "fallback")}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "schedules") {
		from := rapid.IntRange(-60, 300).Draw(t, "schedule from")
		s := policy.Schedule{Name: fmt.Sprint("s", i), Window: hours{
			epoch.Add(time.Duration(from) * time.Second), epoch.Add(time.Duration(from)*time.Second + seconds("schedule length", 1, 300)),
		}}
		if maybe("schedule min") {
			s.Min = new(rapid.IntRange(0, 8).Draw(t, "schedule floor"))
		}
		if maybe("schedule max") {
			s.Max = new(rapid.IntRange(0, 8).Draw(t, "schedule ceiling"))
			s.Hard = maybe("hard")
		}
		p.Schedules = append(p.Schedules, s)
	}
	p.Limits.Pause = policy.Pause(max(0, rapid.IntRange(-9, 3).Draw(t, "pause")))
	if maybe("booting") {
		p.Limits.Booting = rapid.SampledFrom([]float64{0.1, 0.5, 0.9, 1}).Draw(t, "booting share")
	}
	if maybe("breaker") {
		p.Limits.Breaker = policy.Breaker{
			Failures: rapid.IntRange(1, 3).Draw(t, "failures"), Within: seconds("breaker within", 10, 120),
			Pause: seconds("breaker pause", 5, 60), MaxPause: seconds("breaker max", 60, 200),
		}
	}
	if maybe("destroy budget") {
		p.Limits.Destroy = policy.DestroyBudget{Percent: float64(rapid.IntRange(1, 60).Draw(t, "budget")), Period: seconds("budget period", 10, 120)}
	}
	if rapid.IntRange(0, 4).Draw(t, "machine hours") == 0 {
		p.Limits.MachineHours = float64(rapid.IntRange(1, 20).Draw(t, "hours")) / 40
	}
	if maybe("zero") {
		p.Zero = policy.Zero{
			Gated: true, Activation: rapid.SampledFrom([]float64{0, 0, 0.5, 1, 3}).Draw(t, "activation"),
			IdleAfter: seconds("idle after", 0, 90), First: rapid.IntRange(0, 4).Draw(t, "first"),
		}
	}
}

// span is the floor and the ceiling of the schedules, told anew.
func span(p *policy.Policy, now time.Time) (floor, ceiling int) {
	floor, ceiling = 0, -1
	hard := -1
	for _, s := range p.Schedules {
		if active, _ := s.Window.Active(now); !active {
			continue
		}
		if s.Min != nil {
			floor = max(floor, *s.Min)
		}
		if s.Max != nil && (ceiling < 0 || *s.Max < ceiling) {
			ceiling = *s.Max
		}
		if s.Max != nil && s.Hard && (hard < 0 || *s.Max < hard) {
			hard = *s.Max
		}
	}
	if hard >= 0 {
		floor = min(floor, hard)
	}
	if ceiling >= 0 {
		ceiling = max(ceiling, floor)
	}
	return floor, ceiling
}

// pass decides, acts on the outcomes that fate deals, and returns what happened.
func (s *story) pass(fate func(scale.Action) scale.Result) moment {
	m := moment{now: s.now, samples: s.samples, before: s.memory}
	s.snapshot.TakenAt = s.now
	m.floor, m.ceiling = span(s.policy, s.now)
	was := freeze(s.memory)
	var mem decide.Memory
	m.decision, mem = decide.Decide(s.snapshot, s.samples, s.policy, s.memory, s.now)
	m.plan = plan.Build(s.snapshot, m.decision, s.policy)
	decided := freeze(mem)
	done := m.plan
	done.Actions = nil
	for _, a := range m.plan.Actions {
		o := scale.Outcome{Action: a, Result: fate(a), At: s.now, Machine: a.Machine}
		if o.Result == scale.Refused {
			o.Refusal = scale.RefusedOther
		} else {
			done.Actions = append(done.Actions, a)
		}
		m.outcomes = append(m.outcomes, o)
	}
	s.snapshot = apply(s.snapshot, done, true)
	for i := range s.snapshot.Machines { // a later create must not take the identifier of this one
		if c := &s.snapshot.Machines[i]; c.ID[0] == 'n' {
			s.created++
			c.ID, c.InstanceID = scale.MachineID(fmt.Sprintf("x%05d", s.created)), fmt.Sprintf("01x%05d", s.created)
			for j := range m.outcomes {
				if m.outcomes[j].Action.Verb == scale.Create && m.outcomes[j].Action.Name == c.Name {
					m.outcomes[j].Machine = c.ID
				}
			}
		}
	}
	slices.SortFunc(s.snapshot.Machines, func(a, b scale.Machine) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	s.memory = mem
	if len(m.outcomes) > 0 {
		s.memory = decide.Observe(mem, m.outcomes, s.now)
	}
	m.after = s.memory
	// Another future of the same past leaves this one as it is.
	kept, other := freeze(s.memory), slices.Clone(s.samples)
	for i := range other {
		other[i].Value += 7
	}
	decide.Decide(s.snapshot, other, s.policy, m.before, s.now)
	decide.Observe(mem, []scale.Outcome{
		{Action: scale.Action{Verb: scale.Stop, Machine: "other", Running: true}, Result: scale.Unknown},
		{Action: scale.Action{Verb: scale.Create, Name: "other"}, Result: scale.Refused},
	}, s.now)
	if freeze(m.before) != was || freeze(mem) != decided || freeze(s.memory) != kept {
		panic("a memory was written to")
	}
	s.past = append(s.past, m)
	return m
}

// freeze returns all of a memory.
func freeze(m decide.Memory) string {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func succeed(scale.Action) scale.Result { return scale.Done }

// sometimes deals outcomes of which some are not what was hoped for.
func sometimes(t *rapid.T) func(scale.Action) scale.Result {
	if rapid.Bool().Draw(t, "all goes well") {
		return succeed
	}
	return func(scale.Action) scale.Result {
		return rapid.SampledFrom([]scale.Result{scale.Done, scale.Done, scale.Refused, scale.Unknown}).Draw(t, "result")
	}
}

// boots lets all Machines that are on their way arrive.
func (s *story) boots() {
	machines := slices.Clone(s.snapshot.Machines)
	for i := range machines {
		switch m := &machines[i]; m.State {
		case scale.StateStarting, scale.StateUpdating:
			m.State, m.UpdatedAt = scale.StateStarted, s.now
		case scale.StateStopping:
			m.State, m.UpdatedAt = scale.StateStopped, s.now
		}
	}
	s.snapshot.Machines = machines
}

// waits lets time pass and the world change.
func (s *story) waits(t *rapid.T) {
	s.now = s.now.Add(time.Duration(rapid.IntRange(1, 45).Draw(t, "wait")) * time.Second)
	if rapid.IntRange(0, 2).Draw(t, "boots") > 0 {
		s.boots()
	}
	s.hears(t)
}

// hears draws new readings.
func (s *story) hears(t *rapid.T) {
	samples := slices.Clone(s.samples)
	for i := range samples {
		x := &samples[i]
		x.At = s.now
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			x.Value, x.Quality, x.Reason = 0, scale.Fresh, ""
		case 1:
			x.Value, x.Quality, x.Reason = float64(rapid.IntRange(0, 48).Draw(t, x.Metric))/4, scale.Fresh, ""
		case 2:
			x.Quality, x.Reason = scale.Error, "no answer"
		default:
			x.Quality, x.Reason = scale.Fresh, ""
		}
	}
	s.samples = samples
}

// tell lives through some passes.
func (s *story) tell(t *rapid.T, each func(moment)) {
	fate := sometimes(t)
	for range rapid.IntRange(1, 12).Draw(t, "passes") {
		each(s.pass(fate))
		s.waits(t)
	}
}

// known reports whether all of the decision's limits are known.
func (m moment) known() bool {
	return !slices.ContainsFunc(slices.Collect(eachLimit(m.decision.Limits)), func(l scale.Limit) bool { return l.Defined && !l.Known })
}

func eachLimit(l scale.Limits) func(func(scale.Limit) bool) {
	return func(yield func(scale.Limit) bool) {
		for _, x := range l.Each() {
			if !yield(x.Limit) {
				return
			}
		}
	}
}

// tellsOfMetrics reports whether any of the policy's limits follows a metric.
func tellsOfMetrics(p *policy.Policy) bool {
	for _, program := range []*expr.Program{p.MinCreated, p.MaxCreated, p.MinStarted, p.MaxStarted} {
		if program != nil && len(program.Metrics()) > 0 {
			return true
		}
	}
	return false
}
