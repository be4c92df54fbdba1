package actuate

import (
	"context"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// survivorAsks is how many Machines are asked for until one is found that stays.
const survivorAsks = 3

// survives makes certain that a Machine of the group exists that the plan does not
// destroy. The list that the plan was made from may lag, and somebody else may have
// destroyed the very one that was to stay: then there would be nothing to clone the
// next one from.
func (r *run) survives(ctx context.Context) bool {
	destroyed := make(map[scale.MachineID]bool)
	for _, action := range r.plan.Actions {
		if action.Verb == scale.Destroy {
			destroyed[action.Machine] = true
		}
	}
	asked := 0
	for _, m := range r.snapshot.Machines {
		if destroyed[m.ID] || !r.stays(m) {
			continue
		}
		if asked++; asked > survivorAsks {
			return false
		}
		if now, err := r.api.GetMachine(ctx, r.plan.App, m.ID); err == nil && r.stays(now) {
			return true
		}
	}
	return false
}

// stays reports whether a Machine is one of the group's that can be cloned.
func (r *run) stays(m scale.Machine) bool {
	return m.Group == r.plan.Group && m.Host == scale.HostOK && !m.Standby && !m.Scheduled && !m.AutoDestroy &&
		m.State != scale.StateDestroying && m.State != scale.StateDestroyed
}

// sparedLast records that nothing is destroyed because nothing might be left.
func (r *run) sparedLast(ctx context.Context) {
	for _, action := range r.plan.Actions {
		if action.Verb == scale.Destroy {
			r.record(ctx, scale.Outcome{
				Action: action, Result: scale.Skipped, Refusal: scale.RefusedChanged, At: time.Now(),
				Reason: "it is not certain that another Machine of the group is left to clone",
			})
		}
	}
}
