package actuate

import (
	"context"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// drain takes a Machine out of service. The mark comes before the cordon: whoever finds
// the one without the other, after a crash, knows that the Machine is ours, and goes on.
// A cordon without our mark is a person's. Both may be done again.
func (r *run) drain(ctx context.Context, action scale.Action) scale.Outcome {
	return r.held(ctx, action, func(ctx context.Context, m scale.Machine, nonce scale.Secret) scale.Outcome {
		err := r.api.SetMetadata(ctx, r.plan.App, m.ID, nonce, scale.MetaDrain, scale.DrainMark(action.Until))
		if err != nil {
			return fromError(action, err)
		}
		return halfway(action, r.api.CordonMachine(ctx, r.plan.App, m.ID, nonce), "it bears the mark, and was not cordoned")
	})
}

// undrain takes a drained Machine back into service. The mark is the last to go, see
// drain.
func (r *run) undrain(ctx context.Context, action scale.Action) scale.Outcome {
	return r.held(ctx, action, func(ctx context.Context, m scale.Machine, nonce scale.Secret) scale.Outcome {
		if err := r.api.UncordonMachine(ctx, r.plan.App, m.ID, nonce); err != nil {
			return fromError(action, err)
		}
		return halfway(action, r.api.DeleteMetadata(ctx, r.plan.App, m.ID, nonce, scale.MetaDrain), "it was uncordoned, and bears the mark still")
	})
}

// halfway is the outcome of what has been done in part when there is an error.
func halfway(action scale.Action, err error, how string) scale.Outcome {
	o := fromError(action, err)
	if err != nil {
		o.Result, o.Refusal, o.Reason = scale.Unknown, "", how+": "+o.Reason
	}
	return o
}
