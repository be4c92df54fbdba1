package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
)

// ruleResolver gives the rules of one target their meaning.
type ruleResolver struct {
	*resolver
	raw     rawRules
	metrics metricNames
	target  *Target // with its counts
}

// rules resolves the rules of a target whose counts are resolved already.
func (r *resolver) rules(profile text, raw rawRules, metrics metricNames, target *Target) Rules {
	rr := &ruleResolver{resolver: r, raw: raw, metrics: metrics, target: target}
	var name string
	if profile.set() {
		name = r.oneOf(profile, Profiles()...)
	}
	out := profileRules(name)
	rr.implied(&out)
	for _, k := range ruleKeys {
		if t := raw.value(k.path); t.set() {
			k.apply(rr, t, &out)
		}
	}
	if s := raw["behavior"]; s != nil {
		if rates, ok := s.rates[keyUpPolicies]; ok {
			out.Behavior.Up.Rates = rr.rates(rates, 10_000)
		}
		if rates, ok := s.rates[keyDownPolicies]; ok {
			out.Behavior.Down.Rates = rr.rates(rates, 100)
		}
	}
	if s := raw[keySchedules]; s != nil {
		out.Schedules = rr.schedules(s.schedules)
	}
	rr.check(&out)
	return out
}

// implied sets what holds because a mapping is there, where a profile has not set it.
func (r *ruleResolver) implied(out *Rules) {
	if _, ok := r.raw.given("behavior.fast"); ok {
		out.Behavior.Fast = policy.Fast{Factor: defaultFactor, Hold: defaultHold}
	}
	if _, ok := r.raw.given("on-loss"); ok {
		out.Loss.After = defaultLossAfter
	}
	if _, ok := r.raw.given("limits.create-breaker"); ok {
		out.Limits.Breaker = defaultBreaker
	}
	if _, ok := r.raw.given("limits.destroy-budget"); ok {
		out.Limits.Destroy = defaultDestroy
	}
	if _, ok := r.raw.given("scale-to-zero"); ok && !out.Zero.Gated {
		out.Zero = policy.Zero{Gated: true, IdleAfter: defaultIdleAfter, First: 1}
	}
	if out.Profile == "queue" && r.raw.value("scale-in.busy").set() {
		out.ScaleIn.Drain = queueDrain
	}
}

// check looks for what is missing, contradicts itself, or does nothing.
func (r *ruleResolver) check(out *Rules) {
	most, bounded := constant(r.target.MaxStarted)
	if at, ok := r.raw.given("behavior.fast"); ok {
		switch count := r.raw.value("behavior.fast.machine-count"); {
		case !count.set():
			r.problem(at, "machine-count is required", "such as ceil(short / 10), with a metric over a short time")
		case r.target.MinStarted == nil:
			r.problem(count.origin, "there is no count of started Machines that it could raise", "set started-machine-count or min-started-machine-count")
		}
	}
	if at, ok := r.raw.given("on-loss"); ok {
		count := r.raw.value("on-loss.machine-count")
		if !count.set() {
			r.problem(at, "machine-count is required", "without it what there is stays anyway")
		} else if bounded && float64(out.Loss.Fallback) > most {
			r.problem(count.origin, "it is above the most Machines that may be started", "lower it")
		}
	}
	for _, one := range []struct {
		path      string
		direction policy.Direction
	}{{"behavior.scale-up", out.Behavior.Up}, {"behavior.scale-down", out.Behavior.Down}} {
		t := r.raw.value(one.path + ".select-policy")
		switch given := r.raw["behavior"]; {
		case !t.set():
		case one.direction.Select == policy.SelectDisabled && given.rates[one.path+".policies"] != nil:
			r.problem(t.origin, "nothing is left of the policies when the direction is disabled", "leave one of the two out")
		case one.direction.Select != policy.SelectDisabled && len(one.direction.Rates) == 0:
			r.problem(t.origin, "there are no policies to select from", "set policies beside it")
		}
	}
	if b := out.Limits.Breaker; b.Failures > 0 && b.MaxPause < b.Pause {
		t := r.raw.value("limits.create-breaker.max-pause")
		if !t.set() {
			t = r.raw.value("limits.create-breaker.pause")
		}
		r.problem(t.origin, fmt.Sprintf("the longest pause, %s, is shorter than the first, %s", short(b.MaxPause), short(b.Pause)), "raise max-pause, or lower pause")
	}
	if t := r.raw.value("scale-in.standby-for"); t.set() && out.ScaleIn.Standby == 0 {
		r.problem(t.origin, "there is no keep-standby, so that nothing is kept for this long", "set keep-standby, or leave this out")
	}
	if at, ok := r.raw.given("scale-to-zero"); ok {
		if least, ok := constant(r.target.MinStarted); ok && least >= 1 {
			r.warn(at, "has no effect", fmt.Sprintf("because at least %g Machines are started", least))
		}
	}
}

// constant returns the value of an expression that is always the same.
func constant(p *expr.Program) (float64, bool) {
	if p == nil {
		return 0, false
	}
	return p.Const()
}

// rates resolves a list of policies. An empty one sets no bound.
func (r *ruleResolver) rates(list []rawRate, mostPercent float64) []policy.Rate {
	const most = 10 // that anybody can think through
	var out []policy.Rate
	for i, rate := range list {
		if i == most {
			r.problem(rate.origin, fmt.Sprintf("there are more than %d policies", most), "")
			break
		}
		missing := false
		for _, k := range rateKeys {
			if !k.field(&rate).set() {
				r.problem(rate.origin, k.yaml+" is required", "such as {type: percent, value: 100, period: 15s}")
				missing = true
			}
		}
		if missing {
			continue
		}
		var one policy.Rate
		switch r.oneOf(rate.kind, "percent", "count") {
		case "percent":
			if v, ok := r.numberIn(rate.value, 0, mostPercent); ok && v == 0 {
				r.problem(rate.value.origin, "it is 0", "to allow no change set select-policy: disabled")
			} else {
				one.Percent = v
			}
		case "count":
			one.Count, _ = r.wholeIn(rate.value, 1, maxMachines)
		}
		r.resolver.duration(rate.period, &one.Period, time.Second, longestWindow)
		out = append(out, one)
	}
	return out
}

// busy checks the name of the metric that tells each Machine's work.
func (r *ruleResolver) busy(t text) string {
	switch {
	case slices.Contains(r.metrics.byMachine, t.value):
	case slices.Contains(r.metrics.names, t.value):
		r.problem(t.origin, fmt.Sprintf("the metric %s is one number for the whole app", t.quoted()), "set by-machine in its collector")
	default:
		hint := "declare it in metric-collectors, with by-machine"
		if near := expr.Nearest(t.value, r.metrics.byMachine); near != "" && !t.expanded {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		r.problem(t.origin, fmt.Sprintf("there is no metric %s", t.quoted()), hint)
	}
	return t.value
}

// The words of settings that have a few, in the order of their values from 0.
var (
	selections = []string{"max", "min", "disabled"}
	pauses     = []string{"none", "up", "down", "all"}
	idleModes  = []string{"stop", "suspend", "destroy"}
	orders     = []string{"any", "oldest", "newest"}
)

func oneOf[T ~int](words []string, into func(*Rules) *T) func(*ruleResolver, text, *Rules) {
	return func(r *ruleResolver, t text, o *Rules) {
		if word := r.oneOf(t, words...); word != "" {
			*into(o) = T(slices.Index(words, word))
		}
	}
}

func duration(lowest, highest time.Duration, into func(*Rules) *time.Duration) func(*ruleResolver, text, *Rules) {
	return func(r *ruleResolver, t text, o *Rules) { r.resolver.duration(t, into(o), lowest, highest) }
}

func whole(lowest, highest int, into func(*Rules) *int) func(*ruleResolver, text, *Rules) {
	return func(r *ruleResolver, t text, o *Rules) {
		if n, ok := r.wholeIn(t, lowest, highest); ok {
			*into(o) = n
		}
	}
}

func number(lowest, highest float64, into func(*Rules) *float64) func(*ruleResolver, text, *Rules) {
	return func(r *ruleResolver, t text, o *Rules) {
		if v, ok := r.numberIn(t, lowest, highest); ok {
			*into(o) = v
		}
	}
}

// share is a part of the whole, written in percent.
func share(lowest, highest float64, into func(*Rules) *float64) func(*ruleResolver, text, *Rules) {
	return func(r *ruleResolver, t text, o *Rules) {
		digits, percent := strings.CutSuffix(t.value, "%")
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		switch {
		case err != nil || !percent:
			hint := `want one such as "10%"`
			if err == nil && !t.expanded {
				if v > 0 && v < 1 {
					v *= 100
				}
				hint = fmt.Sprintf("did you mean %q?", fmt.Sprintf("%g%%", v))
			}
			r.problem(t.origin, fmt.Sprintf("%s is not a percentage", t.quoted()), hint)
		case !(v >= lowest && v <= highest):
			r.problem(t.origin, fmt.Sprintf("%s is out of range", t.quoted()), fmt.Sprintf("want %g%% to %g%%", lowest, highest))
		default:
			*into(o) = v / 100
		}
	}
}

// numberIn reads a number, which may be followed by %.
func (r *resolver) numberIn(t text, lowest, highest float64) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSuffix(t.value, "%"), 64)
	if err == nil && v >= lowest && v <= highest {
		return v, true
	}
	r.problem(t.origin, fmt.Sprintf("%s is not valid", t.quoted()), fmt.Sprintf("want a number from %g to %g", lowest, highest))
	return 0, false
}

func (r *resolver) wholeIn(t text, lowest, highest int) (int, bool) {
	n, err := strconv.Atoi(t.value)
	if err == nil && n >= lowest && n <= highest {
		return n, true
	}
	r.problem(t.origin, fmt.Sprintf("%s is not valid", t.quoted()), fmt.Sprintf("want a whole number from %d to %d", lowest, highest))
	return 0, false
}
