package actuate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	// leaseTTL covers one removal. It is short, because after a crash nobody else
	// can touch the Machine until it has passed.
	leaseTTL = 30 * time.Second
	// stopWait is how long a destroy waits for its Machine to stop, well within
	// the lease. A Machine that takes longer is destroyed by a later pass.
	stopWait = 15 * time.Second
	// stopPoll is how often the Machine is looked at meanwhile.
	stopPoll = time.Second
)

// errLeaseOver is the cause of a removal that outlived its lease.
var errLeaseOver = fmt.Errorf("the lease of %s is over", leaseTTL)

// remove stops or destroys a Machine. It takes the Machine's lease first, so that
// no deploy and no person changes it meanwhile, and then looks at it again: a
// Machine that is no longer as it was planned is left alone.
func (r *run) remove(ctx, callCtx context.Context, action scale.Action) scale.Outcome {
	app, id := r.plan.App, action.Machine
	// The lease ends no sooner than its time after it was asked for.
	end := time.Now().Add(leaseTTL)
	lease, err := r.api.AcquireLease(callCtx, app, id, leaseTTL, r.leaseDescription)
	if err != nil {
		if flyapi.KindOf(err) == flyapi.KindNotFound && action.Verb == scale.Destroy {
			return scale.Outcome{Action: action, Result: scale.Done, Reason: "it was gone already"}
		}
		return fromError(action, err)
	}
	nonce := lease.Nonce
	defer func() {
		// Left behind, the lease would keep everybody out until it expires.
		if err := r.api.ReleaseLease(callCtx, app, id, nonce); err != nil {
			r.logger.Debug("release lease", "app", app, "machine", id, "error", err)
		}
	}()
	// Past it the Machine may be somebody else's, whatever was seen before.
	heldCtx, cancel := context.WithDeadlineCause(callCtx, end, errLeaseOver)
	defer cancel()
	m, err := r.api.GetMachine(heldCtx, app, id)
	if err != nil {
		return fromError(action, err)
	}
	if why := changed(action, m, r.plan.Group); why != "" {
		return scale.Outcome{Action: action, Result: scale.Skipped, Refusal: scale.RefusedChanged, Reason: why}
	}
	if action.Verb == scale.Stop {
		return fromError(action, r.api.StopMachine(heldCtx, app, id, nonce))
	}
	if !atRest(m.State) {
		if o, stopped := r.stopFirst(ctx, heldCtx, action, m, nonce); !stopped {
			return o
		}
	}
	return fromError(action, r.api.DestroyMachine(heldCtx, app, id, nonce, false))
}

// changed says in which way the Machine is not as it was planned; "" if it is.
func changed(action scale.Action, m scale.Machine, group scale.ProcessGroup) string {
	switch {
	case m.InstanceID != action.InstanceID:
		return fmt.Sprintf("its config is version %s, not %s as planned", m.InstanceID, action.InstanceID)
	case m.Group != group:
		return fmt.Sprintf("it belongs to process group %q now", m.Group)
	case m.Host != scale.HostOK:
		return fmt.Sprintf("its host is %s", m.Host)
	case m.Cordoned:
		return "it was cordoned"
	}
	// Nearer to the end than planned is fine; started again is not.
	allowed := []scale.State{action.State}
	switch action.State {
	case scale.StateStarted, scale.StateStarting, scale.StateCreated:
		allowed = append(allowed, scale.StateStarted, scale.StateStarting)
	}
	if action.Verb == scale.Destroy {
		allowed = append(allowed, scale.StateStopping, scale.StateStopped, scale.StateSuspending, scale.StateSuspended, scale.StateFailed)
	}
	if !slices.Contains(allowed, m.State) {
		return fmt.Sprintf("it is %s, not %s as planned", m.State, action.State)
	}
	return ""
}

// atRest reports whether the platform destroys a Machine in this state without
// force.
func atRest(s scale.State) bool {
	switch s {
	case scale.StateStopped, scale.StateSuspended, scale.StateCreated, scale.StateFailed:
		return true
	}
	return false
}

// stopFirst stops the Machine with the signal and the time that its app asks for
// and waits until it has. Destroying by force would kill it in mid-work.
func (r *run) stopFirst(ctx, heldCtx context.Context, action scale.Action, m scale.Machine, nonce scale.Secret) (scale.Outcome, bool) {
	if m.State != scale.StateStopping && m.State != scale.StateSuspending {
		if err := r.api.StopMachine(heldCtx, r.plan.App, m.ID, nonce); err != nil {
			return fromError(action, err), false
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopWait, fmt.Errorf("not stopped within %s", stopWait))
	defer cancel()
	ticker := time.NewTicker(stopPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return scale.Outcome{Action: action, Result: scale.Skipped, Refusal: scale.RefusedDeadline, Reason: "it is stopping and will be destroyed once it has: " + context.Cause(ctx).Error()}, false
		case <-ticker.C:
		}
		now, err := r.api.GetMachine(heldCtx, r.plan.App, m.ID)
		if err != nil {
			return fromError(action, err), false
		}
		if atRest(now.State) {
			return scale.Outcome{}, true
		}
	}
}
