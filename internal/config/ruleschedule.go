package config

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // a container may have no time zones of its own

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/schedule"
)

// schedules resolves a list of schedules.
func (r *ruleResolver) schedules(list []rawSchedule) []policy.Schedule {
	const most = 100
	var out []policy.Schedule
	names := map[string]origin{}
	for i, raw := range list {
		if i == most {
			r.problem(raw.origin, fmt.Sprintf("there are more than %d schedules", most), "")
			break
		}
		one := policy.Schedule{Name: raw.name.value}
		if !raw.name.set() {
			r.problem(raw.origin, "name is required", "decisions tell of the schedule by it")
		} else if first, twice := names[raw.name.value]; twice {
			r.problem(raw.name.origin, fmt.Sprintf("%s is already the name of another schedule", raw.name.quoted()), "see "+first.String())
		} else {
			r.name(raw.name, "a name", " .")
			names[raw.name.value] = raw.name.origin
		}
		one.Window = r.window(raw)
		r.counts(raw, &one)
		out = append(out, one)
	}
	return out
}

// counts resolves what a schedule asks for.
func (r *ruleResolver) counts(raw rawSchedule, out *policy.Schedule) {
	read := func(t text) *int {
		if !t.set() {
			return nil
		}
		n, ok := r.wholeIn(t, 0, maxMachines)
		if !ok {
			return nil
		}
		return &n
	}
	out.Min, out.Max = read(raw.lowest), read(raw.most)
	r.bool(raw.fixed, &out.Hard)
	least, hasLeast := constant(r.target.MinStarted)
	most, hasMost := constant(r.target.MaxStarted)
	switch {
	case !raw.lowest.set() && !raw.most.set():
		r.problem(raw.origin, "there is neither min nor max", "set the fewest or the most Machines to run")
	case out.Min != nil && out.Max != nil && *out.Min > *out.Max:
		r.problem(raw.most.origin, fmt.Sprintf("the maximum %d is below the minimum %d", *out.Max, *out.Min), "raise it, or lower min")
	case out.Hard && !raw.most.set():
		r.problem(raw.fixed.origin, "only a max can be hard", "set max, or leave this out")
	case out.Min != nil && hasMost && float64(*out.Min) > most:
		r.warn(raw.lowest.origin, fmt.Sprintf("the minimum %d is above the maximum %g of the target", *out.Min, most), "and wins over it")
	case out.Max != nil && !out.Hard && hasLeast && float64(*out.Max) < least:
		r.warn(raw.most.origin, fmt.Sprintf("the maximum %d is below the minimum %g of the target", *out.Max, least), "which wins over it unless hard is true")
	}
}

// window resolves when a schedule is in force. It is nil after a problem.
func (r *ruleResolver) window(raw rawSchedule) policy.Window {
	loc := r.zone(raw.timezone)
	weekly := first(raw.days, raw.from, raw.to)
	switch {
	case raw.cron.set() && weekly.set():
		r.problem(weekly.origin, fmt.Sprintf("cannot be combined with cron, see %s", raw.cron.origin), "leave one of the two out")
	case raw.cron.set() && !raw.length.set():
		r.problem(raw.cron.origin, "for is required beside cron", "how long it lasts, such as for: 1h")
	case raw.length.set() && !raw.cron.set():
		r.problem(raw.length.origin, "there is no cron that tells when it begins", `such as cron: "0 8 * * 1-5"`)
	case raw.cron.set():
		return r.cron(raw, loc)
	case weekly.set():
		return r.weekly(raw, loc)
	default:
		r.problem(raw.origin, "it does not say when", `set days, from and to, or cron and for`)
	}
	return nil
}

func first(list ...text) text {
	for _, t := range list {
		if t.set() {
			return t
		}
	}
	return text{}
}

func (r *ruleResolver) cron(raw rawSchedule, loc *time.Location) policy.Window {
	e, err := schedule.ParseExpression(raw.cron.value)
	bad := r.mistake(raw.cron, err)
	var length time.Duration
	r.resolver.duration(raw.length, &length, schedule.MinLength, schedule.MaxLength)
	if bad || length == 0 {
		return nil
	}
	return schedule.NewCron(e, length, loc)
}

// weekly resolves days and times of day, which are all days, and the whole of them,
// where nothing is said.
func (r *ruleResolver) weekly(raw rawSchedule, loc *time.Location) policy.Window {
	if !raw.days.set() {
		raw.days.value = "sun-sat"
	}
	if !raw.from.set() {
		raw.from.value = "00:00"
	}
	if !raw.to.set() {
		raw.to.value = "24:00"
	}
	days, err := schedule.ParseDays(raw.days.value)
	bad := r.mistake(raw.days, err)
	from, err := schedule.ParseClock(raw.from.value)
	bad = r.mistake(raw.from, err) || bad
	to, err := schedule.ParseClock(raw.to.value)
	bad = r.mistake(raw.to, err) || bad
	if bad {
		return nil
	}
	w, err := schedule.NewWeekly(days, from, to, loc)
	if raw.to.origin.file == "" {
		raw.to.origin = raw.from.origin
	}
	if r.mistake(raw.to, err) {
		return nil
	}
	return w
}

// mistake reports what is wrong with a written window, and whether anything is.
func (r *ruleResolver) mistake(t text, err error) bool {
	e, ok := errors.AsType[*schedule.Error](err)
	switch {
	case !ok:
		return false
	case t.expanded:
		r.problem(t.origin, "the value is not valid with its variables filled in", "write it without ${…} to see why")
	default:
		line, column := t.origin.at(e.Offset)
		r.problemAt(t.origin, line, column, e.Message, e.Hint)
	}
	return true
}

// zone resolves the name of a time zone, which is UTC where there is none.
func (r *ruleResolver) zone(t text) *time.Location {
	if !t.set() {
		return time.UTC
	}
	// "Local" would mean another zone on another computer.
	loc, err := time.LoadLocation(t.value)
	if err != nil || t.value == "Local" {
		hint := `want a name such as "Europe/Berlin" or "America/New_York"`
		if near := expr.Nearest(t.value, knownZones); near != "" && !t.expanded {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		r.problem(t.origin, fmt.Sprintf("%s is not a time zone", t.quoted()), hint)
		return time.UTC
	}
	return loc
}

// knownZones are those that hints name; any of the IANA database will do.
var knownZones = []string{
	"UTC", "Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi",
	"America/Argentina/Buenos_Aires", "America/Bogota", "America/Chicago", "America/Denver", "America/Los_Angeles",
	"America/Mexico_City", "America/New_York", "America/Phoenix", "America/Santiago", "America/Sao_Paulo", "America/Toronto",
	"Asia/Bangkok", "Asia/Dubai", "Asia/Hong_Kong", "Asia/Jakarta", "Asia/Jerusalem", "Asia/Karachi", "Asia/Kolkata",
	"Asia/Manila", "Asia/Seoul", "Asia/Shanghai", "Asia/Singapore", "Asia/Tokyo",
	"Australia/Melbourne", "Australia/Sydney", "Europe/Amsterdam", "Europe/Athens", "Europe/Berlin", "Europe/Bucharest",
	"Europe/Dublin", "Europe/Helsinki", "Europe/Istanbul", "Europe/Kyiv", "Europe/Lisbon", "Europe/London", "Europe/Madrid",
	"Europe/Paris", "Europe/Prague", "Europe/Rome", "Europe/Stockholm", "Europe/Vienna", "Europe/Warsaw", "Europe/Zurich",
	"Pacific/Auckland",
}
