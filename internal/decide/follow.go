package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// follow does to the limits what belongs to the demand besides the expressions, and
// says so: the fast twin, the fallback of a demand that is lost, and a demand that is
// so small that the target is idle.
func follow(d *scale.Decision, p *policy.Policy, f force, env expr.Env, mem *Memory, now time.Time) string {
	var said []string
	say := func(text string) {
		if text != "" {
			said = append(said, text)
		}
	}
	if p.Zero.Gated {
		say(idle(d, p, f, mem, now))
	} else {
		mem.Demand.IdleSince = time.Time{}
	}
	if p.Behavior.Fast.Program != nil {
		say(fast(d, p, f, env, mem, now))
	} else {
		mem.Demand.FastAt = time.Time{}
	}
	if p.Loss.Fallback > 0 {
		say(fallback(d, p, f, mem, now))
	} else {
		mem.Demand.UnknownSince = time.Time{}
	}
	return strings.Join(said, "; ")
}

// raise raises the least of the started count to n, and that of the created count,
// where the target creates Machines, so that there is something to start.
func raise(d *scale.Decision, p *policy.Policy, f force, n int) {
	n = f.allowed(n)
	d.Within.MinStarted = atLeast(d.Within.MinStarted, allowed(d, p, n))
	d.Within = raiseCreated(d.Within, d.Limits, p, n)
}

// allowed returns as much of n as a maximum that stands by itself allows to run.
func allowed(d *scale.Decision, p *policy.Policy, n int) int {
	if most := d.Limits.MaxStarted; p.MaxStarted != p.MinStarted && most.Known {
		return min(n, most.Value)
	}
	return n
}

// raiseCreated raises the least of the created count, up to a maximum that stands by
// itself. Told are the limits as the
// expressions tell them.
func raiseCreated(l, told scale.Limits, p *policy.Policy, n int) scale.Limits {
	switch {
	case p.MinCreated == nil:
		return l
	case p.MaxCreated == nil, p.MaxCreated == p.MinCreated:
	case told.MaxCreated.Known:
		n = min(n, told.MaxCreated.Value)
	default:
		return l // who can tell how many may be created?
	}
	l.MinCreated = atLeast(l.MinCreated, n)
	return l
}

func atLeast(l scale.Limit, n int) scale.Limit {
	if l.Known && l.Value >= n {
		return l
	}
	l.Defined, l.Known, l.Value, l.Demand = true, true, n, float64(n)
	return l
}

func atMost(l scale.Limit, n int) scale.Limit {
	if l.Known && l.Value <= n {
		return l
	}
	l.Defined, l.Known, l.Value, l.Demand = true, true, n, float64(n)
	return l
}

// fast raises the least to what the fast twin asks for, while that is much more than
// what is ready and for a while after. What the twin would bring back at once is not
// taken, and a twin that is not known may be such a one: nothing is removed then.
func fast(d *scale.Decision, p *policy.Policy, f force, env expr.Env, mem *Memory, now time.Time) string {
	twin := p.Behavior.Fast
	l := evaluate(twin.Program, d.Samples, env)
	at := mem.Demand.FastAt
	if at.After(now) {
		at = now
	}
	mem.Demand.FastAt = at
	if !l.Known {
		why := "fast " + l.Source + " is unknown (" + l.Reason + ")"
		doubt(&d.Within, why)
		return why
	}
	if l.Young != "" {
		doubt(&d.Within, l.Young)
	}
	enough := min(l.Value, int(l.Demand/twin.Factor)+1) // so many ready ones do not set it off
	if d.Counts.Started < enough {
		at = now
	}
	until := at.Add(twin.Hold)
	if at.IsZero() || now.After(until) {
		mem.Demand.FastAt = time.Time{}
		return keep(d, p, f, enough, l)
	}
	mem.Demand.FastAt = at
	kept, before := keep(d, p, f, enough, l), d.Within
	raise(d, p, f, l.Value)
	if d.Within == before {
		return kept
	}
	return fmt.Sprintf("fast %s = %d until %s", l.Source, l.Value, until.UTC().Format(time.TimeOnly))
}

// keep takes no more from those that run, and from those that exist, than leaves n that
// are ready: those that boot are not yet.
func keep(d *scale.Decision, p *policy.Policy, f force, n int, twin scale.Limit) string {
	if n <= 0 {
		return ""
	}
	before := moved(d)
	n = f.allowed(n + d.Counts.Starting)
	d.Within.MinStarted = atLeast(d.Within.MinStarted, min(allowed(d, p, n), d.Have.Started))
	d.Within = raiseCreated(d.Within, d.Limits, p, min(n, d.Have.Created))
	if moved(d) == before {
		return ""
	}
	return fmt.Sprintf("fast %s = %d keeps %d", twin.Source, twin.Value, n)
}

// doubt has the limits remove nothing.
func doubt(l *scale.Limits, why string) {
	for _, limit := range [...]*scale.Limit{&l.MinCreated, &l.MaxCreated, &l.MinStarted, &l.MaxStarted} {
		if limit.Defined && limit.Young == "" {
			limit.Young = why
		}
	}
}

// fallback raises the least once nothing has been known of the demand for too long.
func fallback(d *scale.Decision, p *policy.Policy, f force, mem *Memory, now time.Time) string {
	if !lost(d, p) {
		mem.Demand.UnknownSince = time.Time{}
		return ""
	}
	from := since(mem.Demand.UnknownSince, now)
	mem.Demand.UnknownSince = from
	if deadline := from.Add(p.Loss.After); now.Before(deadline) {
		return fmt.Sprintf("nothing is known of the demand since %s: at least %d run from %s on",
			from.UTC().Format(time.TimeOnly), p.Loss.Fallback, deadline.UTC().Format(time.TimeOnly))
	}
	raise(d, p, f, p.Loss.Fallback)
	return fmt.Sprintf("degraded: nothing is known of the demand since %s: at least %d run", from.UTC().Format(time.TimeOnly), p.Loss.Fallback)
}

// lost reports whether nothing is known of the demand: some limit is not known, and
// none that is known tells of a metric.
func lost(d *scale.Decision, p *policy.Policy) bool {
	unknown := false
	for i, l := range d.Limits.Each() {
		program := [...]*expr.Program{p.MinCreated, p.MaxCreated, p.MinStarted, p.MaxStarted}[i]
		switch {
		case l.Defined && !l.Known:
			unknown = true
		case l.Known && len(program.Metrics()) > 0:
			return false
		}
	}
	return unknown
}
