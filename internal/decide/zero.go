package decide

import (
	"fmt"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// idle notes since when the target has been idle, which is while all is known of its
// demand and that is at most the policy's activation. So small a demand asks for
// nothing.
func idle(d *scale.Decision, p *policy.Policy, mem *Memory, now time.Time) string {
	demand, ok := demandOf(d, p)
	if !ok || demand > p.Zero.Activation {
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
	return "idle: the demand of " + strconv.FormatFloat(demand, 'g', 3, 64) + " is at most " + strconv.FormatFloat(p.Zero.Activation, 'g', 3, 64)
}

// demandOf returns the demand for started Machines. It is known when all limits are,
// with all their history.
func demandOf(d *scale.Decision, p *policy.Policy) (float64, bool) {
	for _, l := range d.Limits.Each() {
		if l.Defined && (!l.Known || l.Young != "") {
			return 0, false
		}
	}
	demand := d.Limits.MinStarted.Demand
	if p.MaxStarted != nil && p.MaxStarted != p.MinStarted && !p.MaxStarted.Fixed() {
		demand = max(demand, d.Limits.MaxStarted.Demand)
	}
	return demand, true
}

// zero lets the last started Machine go only when the target has been idle for long
// enough, and has the first ones come together.
func zero(d *scale.Decision, p *policy.Policy, f force, mem Memory, now time.Time) {
	if !p.Zero.Gated {
		return
	}
	want, reason := d.Want, ""
	switch idle := mem.Demand.IdleSince; {
	case d.Have.Started > 0 && want.Started == 0:
		open := idle.Add(p.Zero.IdleAfter)
		switch {
		case idle.IsZero():
			want.Started, reason = 1, "the last stays: it is not idle"
		case now.Before(open):
			want.Started, reason = 1, "the last stays until it has been idle for "+short(p.Zero.IdleAfter)+" at "+open.UTC().Format(time.TimeOnly)
		}
		// Somebody has to run what stays.
		want.Created = max(want.Created, want.Started)
	case d.Have.Started == 0 && want.Started > 0:
		first := min(max(p.Zero.First, f.floor), max(want.Created, want.Started))
		if f.hard >= 0 {
			first = min(first, f.hard)
		}
		if first > want.Started {
			want.Started, reason = first, fmt.Sprintf("the first are %d", first)
		}
	}
	step(d, scale.StageZero, want, reason)
}
