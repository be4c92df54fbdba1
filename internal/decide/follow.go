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
func follow(d *scale.Decision, p *policy.Policy, env expr.Env, mem *Memory, now time.Time) string {
	var said []string
	say := func(text string) {
		if text != "" {
			said = append(said, text)
		}
	}
	if p.Zero.Gated {
		say(idle(d, p, mem, now))
	} else {
		mem.Demand.IdleSince = time.Time{}
	}
	if p.Behavior.Fast.Program != nil {
		say(fast(d, p, env, mem, now))
	} else {
		mem.Demand.FastAt = time.Time{}
	}
	if p.Loss.Fallback > 0 {
		say(fallback(d, p, mem, now))
	} else {
		mem.Demand.UnknownSince = time.Time{}
	}
	return strings.Join(said, "; ")
}

// raise raises the least of the started count to n, and that of the created count,
// where the target creates Machines, so that there is something to start. Limits that
// bound the count rather than follow the demand stay what they are.
func raise(l scale.Limits, p *policy.Policy, n int) scale.Limits {
	if p.MaxStarted != p.MinStarted && l.MaxStarted.Known {
		l.MinStarted = atLeast(l.MinStarted, min(n, l.MaxStarted.Value))
	} else {
		l.MinStarted = atLeast(l.MinStarted, n)
	}
	return raiseCreated(l, p, n)
}

func raiseCreated(l scale.Limits, p *policy.Policy, n int) scale.Limits {
	switch {
	case p.MinCreated == nil:
		return l
	case p.MaxCreated == nil, p.MaxCreated == p.MinCreated:
	case l.MaxCreated.Known:
		n = min(n, l.MaxCreated.Value)
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

// fast raises the least to what the fast twin asks for, once that is much more than
// what is ready and for a while after.
func fast(d *scale.Decision, p *policy.Policy, env expr.Env, mem *Memory, now time.Time) string {
	twin := p.Behavior.Fast
	l := evaluate(twin.Program, d.Samples, env)
	at := mem.Demand.FastAt
	if at.After(now) {
		at = now
	}
	if ready := d.Counts.Started; l.Known && l.Value > ready && l.Demand >= twin.Factor*float64(ready) {
		at = now
	}
	if at.IsZero() || now.Sub(at) > twin.Hold {
		mem.Demand.FastAt = time.Time{}
		return ""
	}
	mem.Demand.FastAt = at
	if least := d.Within.MinStarted; !l.Known || least.Known && l.Value <= least.Value {
		return ""
	}
	d.Within = raise(d.Within, p, l.Value)
	return fmt.Sprintf("fast %s = %d until %s", l.Source, l.Value, at.Add(twin.Hold).UTC().Format(time.TimeOnly))
}

// fallback raises the least once nothing has been known of the demand for too long.
func fallback(d *scale.Decision, p *policy.Policy, mem *Memory, now time.Time) string {
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
	d.Within = raise(d.Within, p, p.Loss.Fallback)
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
