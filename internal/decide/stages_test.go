package decide_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// follows is a policy that has as many started as x says, of enough that exist.
func follows(change func(*policy.Policy)) *policy.Policy {
	x := mustCompile("x")
	p := &policy.Policy{Group: group, MinStarted: x, MaxStarted: x}
	change(p)
	return p
}

// fleet returns a story with n Machines of which some are started.
func fleet(n, started int, p *policy.Policy) *story {
	var machines []scale.Machine
	for i := range n {
		state := scale.StateStopped
		if i < started {
			state = scale.StateStarted
		}
		machines = append(machines, machine(fmt.Sprintf("%04d", i), state))
	}
	return &story{drawn: drawn{snapshot: snapshot(machines...), policy: p, now: epoch}}
}

// hear sets the readings: "x=3 y=?".
func (s *story) hear(text string) {
	s.samples = nil
	for word := range strings.FieldsSeq(text) {
		metric, value, _ := strings.Cut(word, "=")
		x := scale.Sample{Metric: metric, At: s.now, Quality: scale.Error, Reason: "no answer"}
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			x.Value, x.Quality, x.Reason = n, scale.Fresh, ""
		}
		s.samples = append(s.samples, x)
	}
}

// scene is what is read at a time, in seconds from the beginning, and what comes of it.
type scene struct {
	at   int
	read string
	want int    // started
	says string // a part of the decision's line
}

// A story for each stage, told by what comes of each reading.
func TestStages(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }
	for _, tc := range []struct {
		name     string // the behaviour; where others fail in this, how
		machines int
		started  int
		policy   *policy.Policy
		boots    bool // Machines are ready at the next scene
		scenes   []scene
	}{
		{
			name: "without settings, the expression at once", machines: 10, started: 5, policy: follows(func(*policy.Policy) {}), boots: true,
			scenes: []scene{{0, "x=8", 8, "started x = 8 with x 8"}, {15, "x=1", 1, "started x = 1"}, {30, "x=?", 1, "unknown"}},
		},
		{
			name: "down window: the highest of it holds, flapping metrics move nothing down", machines: 10, started: 5, boots: true,
			policy: follows(func(p *policy.Policy) { p.Behavior.Down.Window = 5 * time.Minute }),
			scenes: []scene{
				{0, "x=9", 9, "started x = 9"},
				{15, "x=2", 9, "window holds 9 until 12:05:15"},
				{30, "x=7", 9, "window holds 9 until 12:05:15"},
				{300, "x=3", 9, "window holds 9 until 12:05:15"},
				{316, "x=3", 7, "window holds 7 until 12:10:00"},
				{600, "x=3", 3, "started x = 3"},
			},
		},
		{
			// A cold start that forgets what ran cuts capacity at once.
			name: "a first pass takes nothing within the down window", machines: 10, started: 8, boots: true,
			policy: follows(func(p *policy.Policy) { p.Behavior.Down.Window = time.Minute }),
			scenes: []scene{{0, "x=1", 8, "window holds 8 until 12:01:00"}, {45, "x=1", 8, "window holds 8"}, {60, "x=1", 1, "started x = 1"}},
		},
		{
			// A single cooldown for both directions keeps load waiting.
			name: "a down window does not delay what adds", machines: 10, started: 8, boots: true,
			policy: follows(func(p *policy.Policy) { p.Behavior.Down.Window = time.Hour }),
			scenes: []scene{{0, "x=1", 8, "window"}, {15, "x=10", 10, "started x = 10"}},
		},
		{
			// One-sided stabilisation added Machines in the middle of a decline.
			name: "nothing comes while demand declines", machines: 10, started: 4, boots: true,
			policy: follows(func(p *policy.Policy) {
				p.Behavior.Up.Window, p.Behavior.Down.Window = time.Minute, time.Minute
			}),
			scenes: []scene{{0, "x=9", 4, "window holds 4"}, {15, "x=8", 4, ""}, {30, "x=6", 4, ""}, {45, "x=3", 4, ""}, {59, "x=2", 4, ""}, {105, "x=2", 3, ""}, {120, "x=2", 2, ""}},
		},
		{
			name: "up window: what does not hold is not followed", machines: 10, started: 2, boots: true,
			policy: follows(func(p *policy.Policy) { p.Behavior.Up.Window = 30 * time.Second }),
			scenes: []scene{
				{0, "x=9", 2, "window holds 2 until 12:00:30"}, {15, "x=5", 2, "window holds 2"}, {30, "x=8", 5, "window holds 5 until 12:01:00"},
				{45, "x=?", 5, "unknown"}, {61, "x=8", 8, "started x = 8"},
			},
		},
		{
			// An outage read as zero scaled to the minimum, and after it too.
			name: "an outage holds, and the window begins when it is over", machines: 10, started: 6, boots: true,
			policy: follows(func(p *policy.Policy) { p.Behavior.Down.Window = time.Minute }),
			scenes: []scene{{0, "x=6", 6, ""}, {15, "x=?", 6, "unknown"}, {600, "x=?", 6, "unknown"}, {615, "x=1", 6, "window holds 6 until 12:11:15"}, {675, "x=1", 1, ""}},
		},
		{
			name: "tolerance: hardly more or less changes nothing", machines: 40, started: 20, boots: true,
			policy: follows(func(p *policy.Policy) { p.Behavior.Tolerance = policy.Tolerance{Up: 0.05, Down: 0.1} }),
			scenes: []scene{
				{0, "x=21", 20, "20 is close enough"}, {15, "x=21.6", 22, "started x = 22"}, {30, "x=20", 22, "22 is close enough"},
				{45, "x=19.5", 20, "started x = 20"}, {60, "x=?", 20, "unknown"},
			},
		},
		{
			// Ten percent of four is nothing, and of four hundred forty.
			name: "tolerance in small fleets: a removal is of a whole Machine", machines: 10, started: 4, boots: true,
			policy: follows(func(p *policy.Policy) { p.Behavior.Tolerance.Down = 0.1 }),
			scenes: []scene{{0, "x=3.4", 4, "4 is close enough"}, {15, "x=3", 3, "started x = 3"}, {30, "x=3.6", 4, "started x = 4"}},
		},
		{
			// Floors jittered by the tolerance.
			name: "floors and ceilings are exact, within tolerance too", machines: 40, started: 20, boots: true,
			policy: follows(func(p *policy.Policy) {
				p.Behavior.Tolerance = policy.Tolerance{Up: 0.2, Down: 0.2}
				p.Schedules = []policy.Schedule{
					{Name: "floor", Window: hours{at(0), at(30)}, Min: new(21)},
					{Name: "ceiling", Window: hours{at(30), at(60)}, Max: new(19)},
				}
			}),
			scenes: []scene{{0, "x=20", 21, "floor 21 (schedule floor)"}, {30, "x=20", 19, "ceiling 19 (schedule ceiling)"}, {60, "x=20", 19, "19 is close enough"}},
		},
		{
			name: "a schedule is in force from its first moment to before its last, whatever windows and rates", machines: 10, started: 1, boots: true,
			policy: follows(func(p *policy.Policy) {
				p.Behavior.Up = policy.Direction{Window: time.Hour, Rates: []policy.Rate{{Count: 1, Period: time.Hour}}}
				p.Schedules = []policy.Schedule{{Name: "office-hours", Window: hours{at(60), at(120)}, Min: new(6)}}
			}),
			scenes: []scene{{59, "x=1", 1, ""}, {60, "x=1", 6, "floor 6 (schedule office-hours)"}, {119, "x=1", 6, "floor 6"}, {120, "x=1", 1, "started x = 1"}},
		},
		{
			// A floor above the maximum was an error at night.
			name: "of several floors the highest, of several ceilings the lowest, a floor before a ceiling", machines: 10, started: 5, boots: true,
			policy: follows(func(p *policy.Policy) {
				p.Schedules = []policy.Schedule{
					{Name: "a", Window: hours{at(0), at(100)}, Min: new(2), Max: new(8)},
					{Name: "b", Window: hours{at(0), at(100)}, Min: new(4)},
					{Name: "c", Window: hours{at(30), at(100)}, Max: new(3)},
					{Name: "d", Window: hours{at(45), at(100)}, Max: new(2), Hard: true},
				}
			}),
			scenes: []scene{{0, "x=1", 4, "floor 4 (schedule b)"}, {15, "x=10", 8, "ceiling 8 (schedule a)"}, {30, "x=10", 4, "ceiling 4 (schedule b)"}, {45, "x=10", 2, "ceiling 2 (schedule d, hard)"}},
		},
		{
			name: "rates: the largest of them, by what was done", machines: 100, started: 4, boots: true,
			policy: follows(func(p *policy.Policy) {
				p.Behavior.Up.Rates = []policy.Rate{{Count: 4, Period: time.Minute}, {Percent: 100, Period: time.Minute}}
				p.Behavior.Down.Rates = []policy.Rate{{Count: 2, Period: time.Minute}}
			}),
			scenes: []scene{
				{0, "x=50", 8, "rate +4/1m: 8"}, {15, "x=50", 8, "rate +4/1m: 8"}, {60, "x=50", 16, "rate +100%/1m: 16"},
				{120, "x=3", 14, "rate −2/1m: 14"}, {150, "x=3", 14, "rate −2/1m: 14"}, {180, "x=3", 12, ""},
				{195, "x=12", 12, ""}, {196, "x=?", 12, ""},
			},
		},
		{
			name: "rates: the smallest of them, or none", machines: 100, started: 10, boots: true,
			policy: follows(func(p *policy.Policy) {
				p.Behavior.Up = policy.Direction{Rates: []policy.Rate{{Count: 4, Period: time.Minute}, {Percent: 10, Period: time.Minute}}, Select: policy.SelectMin}
				p.Behavior.Down.Select = policy.SelectDisabled
			}),
			scenes: []scene{{0, "x=50", 11, "rate +10%/1m: 11"}, {60, "x=50", 13, ""}, {61, "x=1", 13, "rate down is off: 13"}},
		},
		{
			// A dead trigger left a target at zero, where a fallback did not reach.
			name: "on loss: hold, and then the fallback, from zero too", machines: 10, started: 0, boots: true,
			policy: follows(func(p *policy.Policy) { p.Loss = policy.Loss{After: time.Minute, Fallback: 3} }),
			scenes: []scene{
				{0, "x=?", 0, "nothing is known of the demand since 12:00:00: at least 3 run from 12:01:00 on"}, {59, "x=?", 0, ""},
				{60, "x=?", 3, "degraded: nothing is known of the demand since 12:00:00: at least 3 run"}, {75, "x=?", 3, "degraded"},
				{90, "x=1", 1, "started x = 1"}, {105, "x=?", 1, "since 12:01:45"},
			},
		},
		{
			name: "on loss: what runs beyond the fallback stays", machines: 10, started: 5, boots: true,
			policy: follows(func(p *policy.Policy) { p.Loss = policy.Loss{Fallback: 3} }),
			scenes: []scene{{0, "x=?", 5, "degraded"}},
		},
		{
			// The end of a panic dumped all the capacity at once.
			name: "the fast twin only raises, and its end is one of the window", machines: 20, started: 2, boots: true,
			policy: follows(func(p *policy.Policy) {
				p.Behavior.Fast = policy.Fast{Program: mustCompile("y"), Factor: 2, Hold: time.Minute}
				p.Behavior.Down.Window = 2 * time.Minute
			}),
			scenes: []scene{
				{0, "x=2 y=3", 2, "started x = 2"}, {15, "x=2 y=8", 8, "fast y = 8 until 12:01:15"}, {30, "x=3 y=1", 8, "window holds 8"},
				{120, "x=3 y=1", 8, "window holds 8 until 12:02:30"}, {150, "x=3 y=1", 3, "started x = 3"}, {165, "x=1 y=?", 3, "window holds 3"}, {300, "x=1 y=?", 3, "started x = 1 with x 1; fast y is unknown (y is error: no answer) → window holds 3"},
			},
		},
		{
			// Everything was at zero a moment after it was made, and the end of the work
			// was the end of the last worker.
			name: "zero only after it has been idle for long enough", machines: 3, started: 2, boots: true,
			policy: follows(func(p *policy.Policy) { p.Zero = policy.Zero{Gated: true, IdleAfter: time.Minute} }),
			scenes: []scene{
				{0, "x=0", 1, "the last stays until 12:01:00, idle for 1m"}, {59, "x=0", 1, ""}, {60, "x=?", 1, ""}, {61, "x=0", 1, "until 12:02:01"},
				{121, "x=0", 0, "started x = 0"}, {136, "x=?", 0, ""}, {151, "x=0.2", 1, "not idle: at least 1"},
			},
		},
		{
			name: "from zero: no window and no rate keeps the first waiting", machines: 9, started: 0, boots: true,
			policy: follows(func(p *policy.Policy) {
				p.Zero = policy.Zero{Gated: true, Activation: 0.5, First: 3}
				p.Behavior.Up = policy.Direction{Window: time.Hour, Rates: []policy.Rate{{Count: 1, Period: time.Hour}}}
			}),
			scenes: []scene{{0, "x=0.5", 0, "idle: the demand of 0.5 is at most 0.5"}, {15, "x=0.6", 3, "not idle: at least 3"}, {30, "x=7", 3, "window holds 3"}, {45, "x=0.4", 0, "started x = 0"}},
		},
		{
			name: "paused upwards", machines: 9, started: 3, policy: follows(func(p *policy.Policy) { p.Limits.Pause = policy.PauseUp }), boots: true,
			scenes: []scene{{0, "x=5", 3, "paused: nothing is added"}, {15, "x=2", 2, ""}},
		},
		{
			name: "paused downwards", machines: 9, started: 3, policy: follows(func(p *policy.Policy) { p.Limits.Pause = policy.PauseDown }), boots: true,
			scenes: []scene{{0, "x=2", 3, "paused: nothing is removed"}, {15, "x=5", 5, ""}},
		},
		{
			name: "paused, floors too", machines: 9, started: 3, boots: true, policy: follows(func(p *policy.Policy) {
				p.Limits.Pause = policy.PauseAll
				p.Schedules = []policy.Schedule{{Name: "a", Window: always, Min: new(7)}}
			}),
			scenes: []scene{{0, "x=2", 3, "paused: nothing is changed"}, {15, "x=9", 3, "paused"}},
		},
		{
			// Start-up that looked like load started more, and those more.
			name: "no more boot at a time than the share, but for a floor", machines: 30, started: 2,
			policy: follows(func(p *policy.Policy) {
				p.Limits.Booting = 0.5
				p.Schedules = []policy.Schedule{{Name: "a", Window: hours{at(30), at(60)}, Min: new(7)}}
			}),
			scenes: []scene{{0, "x=20", 4, "at most 50% boot at a time"}, {15, "x=20", 4, "at most 50%"}, {30, "x=20", 7, "at most 50%"}, {60, "x=20", 7, ""}},
		},
		{
			name: "machine hours: once they are used up, one and the floors run", machines: 30, started: 10, boots: true,
			policy: follows(func(p *policy.Policy) {
				p.Limits.MachineHours = 5
				p.Schedules = []policy.Schedule{{Name: "a", Window: hours{at(3600), at(7200)}, Min: new(3)}}
			}),
			scenes: []scene{
				{0, "x=10", 10, ""}, {900, "x=10", 10, ""}, {1800, "x=10", 1, "ceiling 1 (5 Machine hours of today are used up)"},
				{3600, "x=10", 3, "ceiling 3 (schedule a)"}, {12 * 3600, "x=10", 10, ""},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := fleet(tc.machines, tc.started, tc.policy)
			for _, scene := range tc.scenes {
				s.now = at(scene.at)
				if tc.boots {
					s.boots()
				}
				s.hear(scene.read)
				m := s.pass(succeed)
				if m.decision.Want.Started != scene.want || !strings.Contains(m.decision.Line(), scene.says) {
					t.Errorf("got %s\nwant %d, and %q", m, scene.want, scene.says)
				}
			}
		})
	}
}

// The whole chain reads as one sentence.
func TestLineOfAllStages(t *testing.T) {
	t.Parallel()
	s := fleet(20, 12, follows(func(p *policy.Policy) {
		p.Schedules = []policy.Schedule{{Name: "office-hours", Window: always, Min: new(8)}}
		p.Behavior.Down = policy.Direction{Window: 5 * time.Minute, Rates: []policy.Rate{{Count: 2, Period: time.Minute}}}
	}))
	for _, scene := range []struct {
		after time.Duration
		read  string
		want  string
	}{
		{0, "x=9", "hold at 12 started of 20: started x = 9 with x 9 → window holds 12 until 12:05:00"},
		{5 * time.Minute, "x=7", "started 12 → 10: started x = 7 with x 7 → floor 8 (schedule office-hours) → window holds 9 until 12:10:00 → rate −2/1m: 10"},
		{5*time.Minute + 15*time.Second, "x=7", "hold at 10 started of 20: started x = 7 with x 7 → floor 8 (schedule office-hours) → window holds 9 until 12:10:00 → rate −2/1m: 10"},
		{6 * time.Minute, "x=1", "started 10 → 9: started x = 1 with x 1 → floor 8 (schedule office-hours) → window holds 9 until 12:10:00"},
		{10 * time.Minute, "x=1", "started 9 → 8: started x = 1 with x 1 → floor 8 (schedule office-hours)"},
	} {
		s.now = epoch.Add(scene.after)
		s.hear(scene.read)
		if got := s.pass(succeed).decision.Line(); got != scene.want {
			t.Errorf("got  %s\nwant %s", got, scene.want)
		}
	}
}

// A breaker stops creates that keep failing for longer each time, without a floor
// getting past it, and lets go with the first that comes up. Without one, creates go
// on within seconds of the end of a shortage.
func TestBreaker(t *testing.T) {
	t.Parallel()
	n := mustCompile("3")
	p := &policy.Policy{
		Group: group, Launch: true, MinCreated: n, MaxCreated: n,
		Limits:    policy.Limits{Breaker: policy.Breaker{Failures: 3, Within: 5 * time.Minute, Pause: time.Minute, MaxPause: 3 * time.Minute}},
		Schedules: []policy.Schedule{{Name: "a", Window: always, Min: new(3)}},
	}
	tries := func(s *story, until time.Duration) (out []string) {
		for s.now.Before(epoch.Add(until)) {
			if m := s.pass(func(scale.Action) scale.Result { return scale.Refused }); m.plan.Count(scale.Create) > 0 {
				out = append(out, s.now.Format(time.TimeOnly))
			}
			s.now = s.now.Add(15 * time.Second)
		}
		return out
	}
	s := fleet(1, 1, p)
	got := fmt.Sprint(tries(s, 12*time.Minute))
	const want = "[12:00:00 12:00:15 12:01:15 12:03:15 12:06:15 12:09:15]"
	if got != want {
		t.Errorf("creates were tried at %s, want %s", got, want)
	}
	if line := s.past[len(s.past)-1].decision.Line(); !strings.Contains(line, "creates kept failing: none is tried until 12:12:15") {
		t.Errorf("got %s", line)
	}
	s.now = epoch.Add(12*time.Minute + 15*time.Second)
	if m := s.pass(succeed); m.plan.Count(scale.Create) != 2 {
		t.Errorf("after the pause: %s", m)
	}
	s.boots()
	s.now = s.now.Add(15 * time.Second)
	if m := s.pass(succeed); freeze(decide.Memory{Breaker: m.after.Breaker}) != `{"breaker":{"watch":3}}` {
		t.Errorf("after they came up: %s", freeze(m.after))
	}

	p.Limits = policy.Limits{}
	s = fleet(1, 1, p)
	if got := tries(s, time.Minute); len(got) != 4 {
		t.Errorf("without a breaker creates were tried at %s, want each pass of a shortage of a minute", got)
	}
}

// What is destroyed is bounded by a share of what there was, within any period.
func TestDestroyBudget(t *testing.T) {
	t.Parallel()
	n := mustCompile("2")
	p := &policy.Policy{Group: group, MaxCreated: n, Limits: policy.Limits{Destroy: policy.DestroyBudget{Percent: 10, Period: 10 * time.Minute}}}
	s := fleet(30, 0, p)
	var got []int
	for range 5 {
		got = append(got, s.pass(succeed).plan.Count(scale.Destroy))
		s.now = s.now.Add(5 * time.Minute)
	}
	if want := "[3 0 2 0 2]"; fmt.Sprint(got) != want {
		t.Errorf("got %v destroyed every five minutes, want %s: %s", got, want, s.past[1])
	}
	if line := s.past[1].decision.Line(); !strings.Contains(line, "at most 10% are destroyed within 10m") {
		t.Errorf("got %s", line)
	}
}

// What drains is counted when it leaves service, and not again when it is stopped.
func TestDrainsAreCountedOnce(t *testing.T) {
	t.Parallel()
	mem := decide.Memory{Keep: time.Hour}
	done := func(v scale.Verb, running, drained bool) scale.Outcome {
		return scale.Outcome{Action: scale.Action{Verb: v, Running: running, Drained: drained}, Result: scale.Done}
	}
	mem = decide.Observe(mem, []scale.Outcome{done(scale.Drain, true, false), done(scale.Drain, true, false)}, epoch)
	mem = decide.Observe(mem, []scale.Outcome{done(scale.Stop, false, true), done(scale.Destroy, false, true)}, epoch.Add(time.Minute))
	mem = decide.Observe(mem, []scale.Outcome{done(scale.Undrain, false, true), {Action: scale.Action{Verb: scale.Start}, Result: scale.Refused}}, epoch.Add(2*time.Minute))
	want := `[{"at":"2026-11-01T12:00:00Z","stopped":2},{"at":"2026-11-01T12:01:00Z","destroyed":1},{"at":"2026-11-01T12:02:00Z","started":1}]`
	if got := freeze(decide.Memory{Changes: mem.Changes}); got != `{"changes":`+want+`}` {
		t.Errorf("got %s, want %s", got, want)
	}
}

// History is kept as far back as an expression asks for, of the metrics that it asks
// for, by the readings' own times, and a reading that several passes share is one.
func TestHistory(t *testing.T) {
	t.Parallel()
	avg := mustCompile(`avg_over(x, "1m")`)
	p := &policy.Policy{Group: group, MinStarted: avg, MaxStarted: avg}
	s := fleet(10, 4, p)
	for i := range 9 {
		s.now = epoch.Add(time.Duration(i) * 15 * time.Second)
		s.hear(fmt.Sprintf("x=%d y=3", 8-i%2*4))
		m := s.pass(succeed)
		switch {
		case i == 0 && (m.decision.Want.Started != 8 || m.decision.Limits.MinStarted.Young == ""):
			t.Errorf("young, it may add: %s", m)
		case i == 8 && m.decision.Want.Started != 6:
			t.Errorf("old, it may remove: %s", m)
		case i == 2 && !strings.Contains(m.decision.Line(), "nothing is removed"):
			t.Errorf("young, it removes nothing: %s", m)
		}
		s.pass(succeed) // shares the reading
		s.boots()
	}
	if h := s.memory.Demand.History; len(h) != 1 || len(h["x"]) != 6 {
		t.Errorf("kept %v", h)
	}
	s.now = s.now.Add(-20 * time.Second)
	s.hear("x=8")
	s.pass(succeed)
	for _, x := range s.memory.Demand.History["x"] {
		if x.At.After(s.now) {
			t.Errorf("of the future: %v", x)
		}
	}
	s.policy = follows(func(*policy.Policy) {})
	if s.pass(succeed); s.memory.Demand.History != nil {
		t.Errorf("nobody asks for %v", s.memory.Demand.History)
	}
}
