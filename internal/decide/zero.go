package decide

import (
	"fmt"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// idle notes since when the target has been idle, which is while all is known of its
// demand and that is at most the policy's activation. So small a demand asks for
// nothing, and a larger one for the policy's first Machines.
func idle(d *scale.Decision, p *policy.Policy, f force, mem *Memory, now time.Time) string {
	demand, all := demandOf(d, p)
	if demand > p.Zero.Activation {
		mem.Demand.IdleSince = time.Time{}
		if first := max(1, p.Zero.First); p.MinStarted != nil && d.Within.MinStarted.Value < first {
			raise(d, p, f, first)
			return fmt.Sprintf("not idle: at least %d", d.Within.MinStarted.Value)
		}
		return ""
	}
	if !all {
		mem.Demand.IdleSince = time.Time{}
		return ""
	}
	mem.Demand.IdleSince = since(mem.Demand.IdleSince, now)
	least := &d.Within.MinStarted
	if !least.Known || least.Value == 0 {
		return ""
	}
	least.Value = 0
	if p.MaxStarted == p.MinStarted {
		d.Within.MaxStarted.Value = 0
	}
	return fmt.Sprintf("idle: the demand of %.3g is at most %.3g", demand, p.Zero.Activation)
}

// demandOf returns the demand for started Machines, as far as it is known, and reports
// whether all limits are known, with all the history that they ask for.
func demandOf(d *scale.Decision, p *policy.Policy) (demand float64, all bool) {
	all = true
	for _, l := range d.Limits.Each() {
		all = all && (!l.Defined || l.Known && l.Young == "")
	}
	demand = d.Limits.MinStarted.Demand
	if p.MaxStarted != nil && p.MaxStarted != p.MinStarted && !p.MaxStarted.Fixed() {
		demand = max(demand, d.Limits.MaxStarted.Demand)
	}
	return demand, all
}

// zero lets the last started Machine go only when the target has been idle for long
// enough.
func zero(d *scale.Decision, p *policy.Policy, mem Memory, now time.Time) {
	if !p.Zero.Gated || d.Want.Started > 0 || d.Have.Started == 0 {
		return
	}
	reason := "the last stays: it is not idle"
	if from := mem.Demand.IdleSince; !from.IsZero() {
		open := from.Add(p.Zero.IdleAfter)
		if !now.Before(open) {
			return
		}
		reason = fmt.Sprintf("the last stays until %s, idle for %s", open.UTC().Format(time.TimeOnly), short(p.Zero.IdleAfter))
	}
	d.Within.MinStarted = atLeast(d.Within.MinStarted, 1)
	step(d, scale.StageZero, scale.Count{Created: max(1, d.Want.Created), Started: 1}, reason)
}
