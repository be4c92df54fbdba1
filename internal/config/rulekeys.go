package config

import (
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
)

// ruleKey is one value within the sections of a target's rules.
type ruleKey struct {
	path  string // "behavior.tolerance.up"
	apply func(*ruleResolver, text, *Rules)
}

// The longest times that settings take. What is remembered of a target grows with
// those of behavior.
const (
	longestWindow = time.Hour
	longestWait   = 24 * time.Hour
)

// ruleKeys are all values of rules but the lists.
var ruleKeys = []ruleKey{
	{"behavior.tolerance.up", share(0, 99, func(o *Rules) *float64 { return &o.Behavior.Tolerance.Up })},
	{"behavior.tolerance.down", share(0, 99, func(o *Rules) *float64 { return &o.Behavior.Tolerance.Down })},
	{"behavior.scale-up.stabilization-window", duration(0, longestWindow, func(o *Rules) *time.Duration { return &o.Behavior.Up.Window })},
	{"behavior.scale-up.select-policy", oneOf(selections, func(o *Rules) *policy.Select { return &o.Behavior.Up.Select })},
	{"behavior.scale-down.stabilization-window", duration(0, longestWindow, func(o *Rules) *time.Duration { return &o.Behavior.Down.Window })},
	{"behavior.scale-down.select-policy", oneOf(selections, func(o *Rules) *policy.Select { return &o.Behavior.Down.Select })},
	{"behavior.fast.machine-count", func(r *ruleResolver, t text, o *Rules) { o.Behavior.Fast.Program = r.expression(t, r.metrics) }},
	{"behavior.fast.factor", number(1.01, 100, func(o *Rules) *float64 { return &o.Behavior.Fast.Factor })},
	{"behavior.fast.hold", duration(0, longestWindow, func(o *Rules) *time.Duration { return &o.Behavior.Fast.Hold })},

	{"on-loss.after", duration(0, longestWait, func(o *Rules) *time.Duration { return &o.Loss.After })},
	{"on-loss.machine-count", whole(1, maxMachines, func(o *Rules) *int { return &o.Loss.Fallback })},

	{"limits.pause", oneOf(pauses, func(o *Rules) *policy.Pause { return &o.Limits.Pause })},
	{"limits.booting", share(0, 100, func(o *Rules) *float64 { return &o.Limits.Booting })},
	{"limits.create-breaker.failures", whole(0, 1000, func(o *Rules) *int { return &o.Limits.Breaker.Failures })},
	{"limits.create-breaker.within", duration(time.Second, longestWait, func(o *Rules) *time.Duration { return &o.Limits.Breaker.Within })},
	{"limits.create-breaker.pause", duration(time.Second, longestWait, func(o *Rules) *time.Duration { return &o.Limits.Breaker.Pause })},
	{"limits.create-breaker.max-pause", duration(time.Second, longestWait, func(o *Rules) *time.Duration { return &o.Limits.Breaker.MaxPause })},
	{"limits.destroy-budget.percent", number(0, 100, func(o *Rules) *float64 { return &o.Limits.Destroy.Percent })},
	{"limits.destroy-budget.period", duration(time.Second, longestWait, func(o *Rules) *time.Duration { return &o.Limits.Destroy.Period })},
	{"limits.machine-hours-per-day", number(0, 24*maxMachines, func(o *Rules) *float64 { return &o.Limits.MachineHours })},

	{"scale-to-zero.activation", number(0, maxMachines, func(o *Rules) *float64 { return &o.Zero.Activation })},
	{"scale-to-zero.idle-after", duration(0, longestWait, func(o *Rules) *time.Duration { return &o.Zero.IdleAfter })},
	{"scale-to-zero.first", whole(1, maxMachines, func(o *Rules) *int { return &o.Zero.First })},

	{"scale-in.idle-mode", oneOf(idleModes, func(o *Rules) *policy.IdleMode { return &o.ScaleIn.Mode })},
	{"scale-in.drain", duration(0, longestWait, func(o *Rules) *time.Duration { return &o.ScaleIn.Drain })},
	{"scale-in.busy", func(r *ruleResolver, t text, o *Rules) { o.ScaleIn.Busy = r.busy(t) }},
	{"scale-in.order", oneOf(orders, func(o *Rules) *policy.Order { return &o.ScaleIn.Order })},
	{"scale-in.protect", func(r *ruleResolver, t text, o *Rules) { o.ScaleIn.Protect = r.name(t, "a metadata key", ".") }},
	{"scale-in.min-lifetime", duration(0, longestWait, func(o *Rules) *time.Duration { return &o.ScaleIn.MinLifetime })},
	{"scale-in.keep-standby", whole(0, maxMachines, func(o *Rules) *int { return &o.ScaleIn.Standby })},
	{"scale-in.standby-for", duration(0, 31*24*time.Hour, func(o *Rules) *time.Duration { return &o.ScaleIn.StandbyFor })},
}

// maxMachines is the most Machines that a setting may name.
const maxMachines = 100_000

// Lists within the sections.
const (
	keySchedules    = "schedules"
	keyUpPolicies   = "behavior.scale-up.policies"
	keyDownPolicies = "behavior.scale-down.policies"
)

// ruleSections are the keys of rules at the top level and in targets.
var ruleSections = []string{"behavior", "on-loss", keySchedules, "limits", "scale-to-zero", "scale-in"}

// rawRate is one element of policies.
type rawRate struct {
	origin              origin
	kind, value, period text
}

var rateKeys = []struct {
	yaml  string
	field func(*rawRate) *text
}{
	{"type", func(r *rawRate) *text { return &r.kind }},
	{"value", func(r *rawRate) *text { return &r.value }},
	{"period", func(r *rawRate) *text { return &r.period }},
}

// rawSchedule is one element of schedules.
type rawSchedule struct {
	origin                        origin
	name                          text
	days, from, to, cron, length  text
	timezone, lowest, most, fixed text
}

var scheduleKeys = []struct {
	yaml  string
	field func(*rawSchedule) *text
}{
	{"name", func(s *rawSchedule) *text { return &s.name }},
	{"days", func(s *rawSchedule) *text { return &s.days }},
	{"from", func(s *rawSchedule) *text { return &s.from }},
	{"to", func(s *rawSchedule) *text { return &s.to }},
	{"cron", func(s *rawSchedule) *text { return &s.cron }},
	{"for", func(s *rawSchedule) *text { return &s.length }},
	{"timezone", func(s *rawSchedule) *text { return &s.timezone }},
	{"min", func(s *rawSchedule) *text { return &s.lowest }},
	{"max", func(s *rawSchedule) *text { return &s.most }},
	{"hard", func(s *rawSchedule) *text { return &s.fixed }},
}

// rawSection is one section of rules as written.
type rawSection struct {
	values    map[string]text      // by path
	origins   map[string]origin    // of mappings, by path
	rates     map[string][]rawRate // of the lists that were given, by path
	schedules []rawSchedule
}

// rawRules is the sections that were given.
type rawRules map[string]*rawSection

// value returns what was written for a path.
func (r rawRules) value(path string) text {
	if s := r[firstKey(path)]; s != nil {
		return s.values[path]
	}
	return text{}
}

// given returns where a mapping was written, and whether it was.
func (r rawRules) given(path string) (origin, bool) {
	if s := r[firstKey(path)]; s != nil {
		at, ok := s.origins[path]
		return at, ok
	}
	return origin{}, false
}

// inherit adds the sections of the top level that are not in r.
func (r rawRules) inherit(top rawRules) rawRules {
	out := rawRules{}
	for _, key := range ruleSections {
		if s := r[key]; s != nil {
			out[key] = s
		} else if s := top[key]; s != nil {
			out[key] = s
		}
	}
	return out
}

func firstKey(path string) string {
	first, _, _ := strings.Cut(path, ".")
	return first
}

// below returns the keys that a mapping of rules takes, in order.
func below(path string) []string {
	var out []string
	add := func(full string) {
		if rest, ok := strings.CutPrefix(full, path+"."); ok {
			if key := firstKey(rest); !slices.Contains(out, key) {
				out = append(out, key)
			}
		}
	}
	for _, k := range ruleKeys {
		add(k.path)
	}
	add(keyUpPolicies)
	add(keyDownPolicies)
	return out
}

// isValue reports whether a path is that of one value.
func isValue(path string) bool {
	return slices.ContainsFunc(ruleKeys, func(k ruleKey) bool { return k.path == path })
}
