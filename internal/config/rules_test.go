package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
)

// windows compares them as they were written.
var windows = cmp.Comparer(func(a, b policy.Window) bool {
	return (a == nil) == (b == nil) && (a == nil || a.String() == b.String())
})

// busyMetric declares the metric m of the app, and jobs of each Machine.
const busyMetric = `metric-collectors:
- {type: prometheus, metric-name: m, address: http://x, query: q, on-empty: zero, max-age: 2m}
- {type: prometheus, metric-name: jobs, address: http://x, query: q, by-machine: instance}
`

const everyRule = `app-name: a
started-machine-count: m
behavior:
  tolerance: {up: 5%, down: 12.5 %}
  scale-up: {stabilization-window: 10s, select-policy: min, policies: [{type: percent, value: 50, period: 15s}, {type: count, value: 4, period: 1m}]}
  scale-down: {stabilization-window: 5m, select-policy: disabled}
  fast: {machine-count: ceil(m / 10), factor: 1.5, hold: 30s}
on-loss: {after: 10m, machine-count: 4}
schedules:
- {name: office-hours, days: mon-fri, from: "08:00", to: "18:00", timezone: Europe/Berlin, min: 5, max: 10, hard: true}
- {name: nightly, cron: "0 2 * * *", for: 1h, min: 3}
- {name: weekend, days: sat-sun, max: 2}
limits:
  pause: down
  booting: 40%
  create-breaker: {failures: 4, within: 6m, pause: 2m, max-pause: 30m}
  destroy-budget: {percent: 20, period: 5m}
  machine-hours-per-day: 240.5
scale-to-zero: {activation: 0.5, idle-after: 3m, first: 2}
scale-in: {idle-mode: suspend, drain: 45s, busy: jobs, order: newest, protect: keep.me, min-lifetime: 90s, keep-standby: 2, standby-for: 1h}
` + busyMetric

func TestEveryRule(t *testing.T) {
	target := input{yaml: everyRule}.mustLoad(t).Targets[0]
	window := func(s string) policy.Window { return written(s) }
	want := config.Rules{
		Behavior: policy.Behavior{
			Tolerance: policy.Tolerance{Up: 0.05, Down: 0.125},
			Up: policy.Direction{
				Window: 10 * time.Second, Select: policy.SelectMin,
				Rates: []policy.Rate{{Percent: 50, Period: 15 * time.Second}, {Count: 4, Period: time.Minute}},
			},
			Down: policy.Direction{Window: 5 * time.Minute, Select: policy.SelectDisabled},
			Fast: policy.Fast{Program: compile(t, "ceil(m / 10)", "m"), Factor: 1.5, Hold: 30 * time.Second},
		},
		Loss: policy.Loss{After: 10 * time.Minute, Fallback: 4},
		Schedules: []policy.Schedule{
			{Name: "office-hours", Window: window("mon,tue,wed,thu,fri 08:00-18:00 Europe/Berlin"), Min: new(5), Max: new(10), Hard: true},
			{Name: "nightly", Window: window("0 2 * * * for 1h0m0s UTC"), Min: new(3)},
			{Name: "weekend", Window: window("sun,sat 00:00-24:00 UTC"), Max: new(2)},
		},
		Limits: policy.Limits{
			Pause: policy.PauseDown, Booting: 0.4, MachineHours: 240.5,
			Breaker: policy.Breaker{Failures: 4, Within: 6 * time.Minute, Pause: 2 * time.Minute, MaxPause: 30 * time.Minute},
			Destroy: policy.DestroyBudget{Percent: 20, Period: 5 * time.Minute},
		},
		Zero: policy.Zero{Gated: true, Activation: 0.5, IdleAfter: 3 * time.Minute, First: 2},
		ScaleIn: policy.ScaleIn{
			Mode: policy.IdleSuspend, Drain: 45 * time.Second, Busy: "jobs", Order: policy.NewestFirst, Protect: "keep.me",
			MinLifetime: 90 * time.Second, Standby: 2, StandbyFor: time.Hour,
		},
	}
	if diff := cmp.Diff(want, target.Rules, programs, windows); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	m, jobs := target.Collectors[0], target.Collectors[1]
	if !m.EmptyIsZero || m.MaxAge != 2*time.Minute || m.MachineLabel != "" || jobs.EmptyIsZero || jobs.MaxAge != 0 || jobs.MachineLabel != "instance" {
		t.Errorf("got collectors %+v and %+v", m, jobs)
	}
}

// written stands for a window in comparisons.
type written string

func (w written) Active(time.Time) (bool, time.Time) { return false, time.Time{} }
func (w written) String() string                     { return string(w) }

// Without any of these settings there are no rules.
func TestNoRules(t *testing.T) {
	for name, yaml := range map[string]string{
		"none":  ok,
		"empty": ok + "behavior:\non-loss: ~\nschedules:\nlimits:\nscale-to-zero:\nscale-in:\nprofile:\n",
		"inner": ok + "behavior: {tolerance: , scale-up: {policies: }, fast: }\nlimits: {create-breaker: }\nscale-in: {}\nschedules: []\n",
	} {
		if diff := cmp.Diff(config.Rules{}, input{yaml: yaml}.mustLoad(t).Targets[0].Rules); diff != "" {
			t.Errorf("%s: want -, got +\n%s", name, diff)
		}
	}
}

// A profile is a beginning: what is set beside it changes that alone.
func TestProfiles(t *testing.T) {
	load := func(more string) config.Rules {
		return input{yaml: "app-name: a\nstarted-machine-count: m\n" + more + busyMetric}.mustLoad(t).Targets[0].Rules
	}
	minute, rates := time.Minute, []policy.Rate{{Percent: 100, Period: 15 * time.Second}, {Count: 4, Period: 15 * time.Second}}
	web := config.Rules{
		Profile: "web",
		Behavior: policy.Behavior{
			Tolerance: policy.Tolerance{Up: 0.05, Down: 0.1}, Up: policy.Direction{Rates: rates},
			Down: policy.Direction{Window: 5 * minute, Rates: []policy.Rate{{Percent: 20, Period: minute}, {Count: 1, Period: minute}}},
		},
		Limits: policy.Limits{
			Booting: 0.5, Breaker: policy.Breaker{Failures: 3, Within: 5 * minute, Pause: minute, MaxPause: time.Hour},
			Destroy: policy.DestroyBudget{Percent: 10, Period: 10 * minute},
		},
		Zero:    policy.Zero{Gated: true, IdleAfter: 5 * minute, First: 1},
		ScaleIn: policy.ScaleIn{Mode: policy.IdleSuspend, MinLifetime: minute, Drain: 30 * time.Second},
	}
	batch := web
	batch.Profile, batch.Behavior.Tolerance, batch.ScaleIn = "batch", policy.Tolerance{}, policy.ScaleIn{MinLifetime: minute}
	batch.Behavior.Down.Rates = []policy.Rate{{Percent: 100, Period: minute}}
	queue := batch
	queue.Profile, queue.Behavior.Down.Window, queue.Zero.IdleAfter = "queue", 30*time.Second, 2*minute
	queue.Behavior.Up.Rates, queue.Limits.Booting = nil, 0
	busy := queue
	busy.ScaleIn.Busy, busy.ScaleIn.Drain = "jobs", 5*minute
	busyNow := busy
	busyNow.ScaleIn.Drain = 0
	changed := web
	changed.Behavior.Tolerance.Down, changed.Behavior.Up.Rates, changed.Behavior.Down.Window = 0.2, nil, 0
	changed.Limits.Booting, changed.Limits.Breaker.Failures, changed.Limits.Destroy.Percent = 0, 0, 0
	changed.Zero.IdleAfter = 0
	for _, test := range []struct {
		yaml string
		want config.Rules
	}{
		{"profile: web\n", web},
		{"profile: queue\n", queue},
		{"profile: batch\n", batch},
		{"profile: queue\nscale-in: {busy: jobs}\n", busy},
		{"profile: queue\nscale-in: {busy: jobs, drain: 0s}\n", busyNow},
		{
			"profile: web\nbehavior: {tolerance: {down: 20%}, scale-up: {policies: []}, scale-down: {stabilization-window: 0s}}\n" +
				"limits: {booting: 0%, create-breaker: {failures: 0}, destroy-budget: {percent: 0%}}\nscale-to-zero: {idle-after: 0s}\n", changed,
		},
	} {
		if diff := cmp.Diff(test.want, load(test.yaml), programs, windows); diff != "" {
			t.Errorf("%s: want -, got +\n%s", test.yaml, diff)
		}
	}
}

// Each section of the top level holds for the targets that do not have it.
func TestRulesAreInherited(t *testing.T) {
	const yaml = `profile: web
behavior: {tolerance: {up: 1%}}
limits: {pause: up, booting: 10%}
targets:
- {app-name: a, started-machine-count: 1}
- {app-name: b, started-machine-count: 1, profile: batch, limits: {machine-hours-per-day: 5}}
`
	for _, test := range []struct{ env, want string }{
		{"", "web 0.01 pause 1 booting 0.1 hours 0; batch 0.01 pause 0 booting 0.5 hours 5"},
		{"FAS_PAUSE=all", "web 0.01 pause 3 booting 0.1 hours 0; batch 0.01 pause 3 booting 0.5 hours 5"},
		{"FAS_PAUSE=none", "web 0.01 pause 0 booting 0.1 hours 0; batch 0.01 pause 0 booting 0.5 hours 5"},
		{"FAS_PROFILE=queue", "queue 0.01 pause 1 booting 0.1 hours 0; batch 0.01 pause 0 booting 0.5 hours 5"},
	} {
		var got []string
		for _, target := range (input{yaml: yaml, env: []string{test.env}}).mustLoad(t).Targets {
			got = append(got, fmt.Sprintf("%s %g pause %d booting %g hours %g", target.Profile,
				target.Behavior.Tolerance.Up, target.Limits.Pause, target.Limits.Booting, target.Limits.MachineHours))
		}
		if text := strings.Join(got, "; "); text != test.want {
			t.Errorf("%s: got %s, want %s", test.env, text, test.want)
		}
	}
}

// When a mapping is there, what is left out of it has a default.
func TestImpliedRules(t *testing.T) {
	got := input{yaml: "app-name: a\nstarted-machine-count: m\nbehavior: {fast: {machine-count: m}}\non-loss: {machine-count: 3}\n" +
		"limits: {create-breaker: {}, destroy-budget: {period: 1m}}\nscale-to-zero: {}\n" + busyMetric}.mustLoad(t).Targets[0].Rules
	want := config.Rules{
		Behavior: policy.Behavior{Fast: policy.Fast{Program: compile(t, "m", "m"), Factor: 2, Hold: time.Minute}},
		Loss:     policy.Loss{After: 15 * time.Minute, Fallback: 3},
		Limits: policy.Limits{
			Breaker: policy.Breaker{Failures: 3, Within: 5 * time.Minute, Pause: time.Minute, MaxPause: time.Hour},
			Destroy: policy.DestroyBudget{Percent: 10, Period: time.Minute},
		},
		Zero: policy.Zero{Gated: true, IdleAfter: 5 * time.Minute, First: 1},
	}
	if diff := cmp.Diff(want, got, programs); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

func TestRuleProblems(t *testing.T) {
	schedule := func(s string) string { return ok + "schedules:\n- " + s + "\n" }
	metrics := strings.Replace(ok, ": 1", ": m", 1) + busyMetric
	for _, test := range []struct{ yaml, want string }{
		// Names.
		{ok + "profile: wbe\n", `f.yml:3:10: profile: "wbe" is not valid, did you mean "web"?`},
		{ok + "behaviour: {}\n", `f.yml:3:1: behaviour: unknown key, did you mean "behavior"?`},
		{ok + "behavior: {scale_up: {}}\n", `f.yml:3:12: behavior.scale_up: unknown key, did you mean "scale-up"?`},
		{ok + "behavior: {scale-up: {window: 5s}}\n", "f.yml:3:23: behavior.scale-up.window: unknown key, known here: stabilization-window, select-policy, policies"},
		{ok + "scale-in: {idle-mode: pause}\n", `f.yml:3:23: scale-in.idle-mode: "pause" is not valid, want one of stop, suspend, destroy`},
		{ok + "limits: {pause: dwon}\n", `f.yml:3:17: limits.pause: "dwon" is not valid, did you mean "down"?`},
		{"targets:\n- app-name: a\n  started-machine-count: 1\n  scale-in: {odrer: oldest}\n", `f.yml:4:14: targets[0].scale-in.odrer: unknown key, did you mean "order"?`},

		// Kinds.
		{ok + "behavior: fast\n", "f.yml:3:11: behavior: want keys with values, got one value"},
		{ok + "behavior: {scale-up: {policies: {}}}\n", `f.yml:3:33: behavior.scale-up.policies: want a list, got keys with values, start each element with "- "`},
		{ok + "schedules: {name: a}\n", `f.yml:3:12: schedules: want a list, got keys with values, start each element with "- "`},
		{ok + "on-loss: {after: [1]}\n", "f.yml:3:10: on-loss: machine-count is required, without it what there is stays anyway\nf.yml:3:18: on-loss.after: want one value, got a list"},

		// Values.
		{ok + "behavior: {tolerance: {up: 0.05}}\n", `f.yml:3:28: behavior.tolerance.up: "0.05" is not a percentage, did you mean "5%"?`},
		{ok + "behavior: {tolerance: {up: 5}}\n", `f.yml:3:28: behavior.tolerance.up: "5" is not a percentage, did you mean "5%"?`},
		{ok + "behavior: {tolerance: {down: 100%}}\n", `f.yml:3:30: behavior.tolerance.down: "100%" is out of range, want 0% to 99%`},
		{ok + "limits: {booting: NaN%}\n", `f.yml:3:19: limits.booting: "NaN%" is out of range, want 0% to 100%`},
		{ok + "behavior: {scale-down: {stabilization-window: 300}}\n", `f.yml:3:47: behavior.scale-down.stabilization-window: "300" is not a duration, did you mean "300s"?`},
		{ok + "behavior: {scale-down: {stabilization-window: 2h}}\n", `f.yml:3:47: behavior.scale-down.stabilization-window: "2h" is out of range, want 0s to 1h`},
		{ok + "limits: {machine-hours-per-day: -1}\n", `f.yml:3:33: limits.machine-hours-per-day: "-1" is not valid, want a number from 0 to 2.4e+06`},
		{ok + "scale-to-zero: {first: 0}\n", `f.yml:3:24: scale-to-zero.first: "0" is not valid, want a whole number from 1 to 100000`},
		{ok + "scale-in: {protect: a/b}\n", `f.yml:3:22: scale-in.protect: "a/b" is not a metadata key, which is letters, digits and '-'`},

		// Policies.
		{ok + "behavior: {scale-up: {policies: [{type: pods, value: 4, period: 15s}]}}\n", `f.yml:3:41: behavior.scale-up.policies[0].type: "pods" is not valid, want percent or count`},
		{ok + "behavior: {scale-up: {policies: [{type: count, value: 1.5, period: 2h}]}}\n", "f.yml:3:55: behavior.scale-up.policies[0].value: \"1.5\" is not valid, want a whole number from 1 to 100000\nf.yml:3:68: behavior.scale-up.policies[0].period: \"2h\" is out of range, want 1s to 1h"},
		{ok + "behavior: {scale-down: {policies: [{type: percent, value: 120}]}}\n", "f.yml:3:36: behavior.scale-down.policies[0]: period is required, such as {type: percent, value: 100, period: 15s}"},
		{ok + "behavior: {scale-down: {policies: [{type: percent, value: 120, period: 1m}]}}\n", `f.yml:3:59: behavior.scale-down.policies[0].value: "120" is not valid, want a number from 0 to 100`},
		{ok + "behavior: {scale-down: {policies: [{type: percent, value: 0, period: 1m}]}}\n", "f.yml:3:59: behavior.scale-down.policies[0].value: it is 0, to allow no change set select-policy: disabled"},
		{ok + "behavior: {scale-up: {select-policy: min}}\n", "f.yml:3:38: behavior.scale-up.select-policy: there are no policies to select from, set policies beside it"},
		{ok + "behavior: {scale-up: {select-policy: disabled, policies: [{type: count, value: 1, period: 1m}]}}\n", "f.yml:3:38: behavior.scale-up.select-policy: nothing is left of the policies when the direction is disabled, leave one of the two out"},

		// Fast, loss, limits.
		{ok + "behavior: {fast: {factor: 3}}\n", "f.yml:3:18: behavior.fast: machine-count is required, such as ceil(short / 10), with a metric over a short time"},
		{"app-name: a\nmax-started-machine-count: 9\nbehavior: {fast: {machine-count: 3}}\n", "f.yml:3:34: behavior.fast.machine-count: there is no count of started Machines that it could raise, set started-machine-count or min-started-machine-count"},
		{ok + "behavior: {fast: {machine-count: 1 + n}}\n", `f.yml:3:38: behavior.fast.machine-count: unknown name "n", no metric is declared; created, started, starting, stopped, suspended are always known`},
		{"app-name: a\nmax-started-machine-count: 3\non-loss: {machine-count: 4}\n", "f.yml:3:26: on-loss.machine-count: it is above the most Machines that may be started, lower it"},
		{ok + "limits: {create-breaker: {pause: 5m, max-pause: 1m}}\n", "f.yml:3:49: limits.create-breaker.max-pause: the longest pause, 1m, is shorter than the first, 5m, raise max-pause, or lower pause"},
		{ok + "limits: {create-breaker: {pause: 2h}}\n", "f.yml:3:34: limits.create-breaker.pause: the longest pause, 1h, is shorter than the first, 2h, raise max-pause, or lower pause"},
		{ok + "scale-in: {standby-for: 1h}\n", "f.yml:3:25: scale-in.standby-for: there is no keep-standby, so that nothing is kept for this long, set keep-standby, or leave this out"},

		// Schedules.
		{schedule("{}"), "f.yml:4:3: schedules[0]: it does not say when, set days, from and to, or cron and for\nf.yml:4:3: schedules[0]: name is required, decisions tell of the schedule by it\nf.yml:4:3: schedules[0]: there is neither min nor max, set the fewest or the most Machines to run"},
		{schedule(`{name: a, cron: "0 2 * * *", for: 1h, days: mon, min: 1}`), "f.yml:4:47: schedules[0].days: cannot be combined with cron, see f.yml:4:19, leave one of the two out"},
		{schedule(`{name: a, cron: "0 2 * * *", min: 1}`), "f.yml:4:19: schedules[0].cron: for is required beside cron, how long it lasts, such as for: 1h"},
		{schedule(`{name: a, for: 1h, min: 1}`), `f.yml:4:18: schedules[0].for: there is no cron that tells when it begins, such as cron: "0 8 * * 1-5"`},
		{schedule(`{name: a, cron: "0 2 * * mon-fry", for: 1h, min: 1}`), `f.yml:4:32: schedules[0].cron: "fry" is not a day of the week, want a number from 0 to 7, or sun to sat`},
		{schedule(`{name: a, cron: "0 2 * * *", for: 30s, min: 1}`), `f.yml:4:37: schedules[0].for: "30s" is out of range, want 1m to 744h`},
		{schedule(`{name: a, days: "mon,tuz", min: 1}`), `f.yml:4:24: schedules[0].days: "tuz" is not a day of the week, want sun, mon, tue, wed, thu, fri or sat, as in mon-fri`},
		{schedule(`{name: a, from: 8:00, min: 1}`), `f.yml:4:19: schedules[0].from: "8:00" is not a time of day, want hours and minutes from "00:00" to "24:00"`},
		{schedule(`{name: a, from: "08:00", to: "08:00", min: 1}`), `f.yml:4:33: schedules[0].to: the window is empty, want a time after it begins; a whole day is "00:00" to "24:00"`},
		{schedule(`{name: a, days: mon, timezone: Europe/Berln, min: 1}`), `f.yml:4:34: schedules[0].timezone: "Europe/Berln" is not a time zone, did you mean "Europe/Berlin"?`},
		{schedule(`{name: a, days: mon, timezone: Local, min: 1}`), `f.yml:4:34: schedules[0].timezone: "Local" is not a time zone, want a name such as "Europe/Berlin" or "America/New_York"`},
		{schedule(`{name: a, days: mon, min: 3, max: 2}`), "f.yml:4:37: schedules[0].max: the maximum 2 is below the minimum 3, raise it, or lower min"},
		{schedule(`{name: a, days: mon, min: 1, hard: true}`), "f.yml:4:38: schedules[0].hard: only a max can be hard, set max, or leave this out"},
		{schedule("{name: a, days: mon, min: 1}\n- {name: a, days: tue, min: 1}"), `f.yml:5:10: schedules[1].name: "a" is already the name of another schedule, see f.yml:4:10`},
		{schedule(`{name: a, days: mon, min: x}`), `f.yml:4:29: schedules[0].min: "x" is not valid, want a whole number from 0 to 100000`},
		{schedule(`{name: a, days: mon, mni: 1}`), "f.yml:4:3: schedules[0]: there is neither min nor max, set the fewest or the most Machines to run\nf.yml:4:24: schedules[0].mni: unknown key, did you mean \"min\"?"},

		// Metrics.
		{metrics + "scale-in: {busy: jbos}\n", `f.yml:6:18: scale-in.busy: there is no metric "jbos", did you mean "jobs"?`},
		{metrics + "scale-in: {busy: m}\n", `f.yml:6:18: scale-in.busy: the metric "m" is one number for the whole app, set by-machine in its collector`},
		{ok + "scale-in: {busy: m}\n", `f.yml:3:18: scale-in.busy: there is no metric "m", declare it in metric-collectors, with by-machine`},
		{strings.Replace(metrics, ": m\n", ": m + jobs_1 ?? jobs\n", 1), `f.yml:2:28: started-machine-count: unknown name "jobs_1", did you mean jobs?`},
		{strings.Replace(metrics, ": m\n", ": m + jobs\n", 1), `f.yml:2:28: started-machine-count: the metric "jobs" is by Machine, for scale-in.busy alone, declare a second one without by-machine`},
		{strings.Replace(metrics, "max-age: 2m", "max-age: 0s", 1), `f.yml:4:92: metric-collectors[0].max-age: "0s" is out of range, want 1s to 24h`},
		{strings.Replace(metrics, "on-empty: zero", "on-empty: 0", 1), `f.yml:4:77: metric-collectors[0].on-empty: "0" is not valid, want unknown or zero`},
		{strings.Replace(metrics, "by-machine: instance", "by-machine: in-stance", 1), `f.yml:5:82: metric-collectors[1].by-machine: "in-stance" is not the name of a label, such as "instance"`},
		{strings.Replace(metrics, "by-machine: instance", "by-machine: app, group-by: app", 1), "f.yml:5:82: metric-collectors[1].by-machine: the same label cannot tell apart both apps and Machines"},
		{strings.Replace(metrics, "by-machine: instance", "by-machine: instance, on-empty: zero", 1), "f.yml:5:102: metric-collectors[1].on-empty: no answer tells of no Machine that it is idle, have the query give 0 for those that are, and leave this out"},
		{"org: o\n" + strings.Replace(metrics, "app-name: a", "app-name: a-*", 1), `f.yml:2:11: app-name: the metric "jobs" would bring the Machines of every app to each, name $APP_NAME in its query, or set group-by`},
	} {
		_, _, err := input{yaml: test.yaml}.load(t)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(strings.Split(test.want, "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("want -, got +\n%s\n%s", diff, test.yaml)
		}
	}
	if got := problemsOf(t, input{yaml: ok, env: []string{"FAS_PAUSE=stop", "FAS_PROFILE=none"}}).Error(); got !=
		"FAS_PAUSE: \"stop\" is not valid, want one of none, up, down, all\nFAS_PROFILE: \"none\" is not valid, want one of web, queue, batch" {
		t.Errorf("got %s", got)
	}
}

func TestRuleWarnings(t *testing.T) {
	for _, test := range []struct{ yaml, want string }{
		{"scale-to-zero: {}\n", "f.yml:3:16: scale-to-zero: has no effect, because at least 1 Machines are started"},
		{"schedules: [{name: a, days: mon, min: 3}]\n", "f.yml:3:39: schedules[0].min: the minimum 3 is above the maximum 1 of the target, and wins over it"},
		{"schedules: [{name: a, days: mon, max: 0}]\n", "f.yml:3:39: schedules[0].max: the maximum 0 is below the minimum 1 of the target, which wins over it unless hard is true"},
		{"schedules: [{name: a, days: mon, max: 0, hard: true}]\n", ""},
	} {
		_, warnings, err := input{yaml: ok + test.yaml}.load(t)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range warnings {
			got = append(got, w.String())
		}
		if text := strings.Join(got, "\n"); text != test.want {
			t.Errorf("got %s, want %s", text, test.want)
		}
	}
}
