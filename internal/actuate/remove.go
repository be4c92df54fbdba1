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

// held does something to a Machine under its lease, so that no deploy and no person
// changes it meanwhile, and after it has looked at it again: a Machine that is no longer
// as it was planned is left alone.
func (r *run) held(ctx context.Context, action scale.Action, act func(ctx context.Context, m scale.Machine, nonce scale.Secret) scale.Outcome) scale.Outcome {
	app, id := r.plan.App, action.Machine
	// The lease ends no sooner than its time after it was asked for.
	end := time.Now().Add(leaseTTL)
	lease, err := r.api.AcquireLease(ctx, app, id, leaseTTL, r.leaseDescription)
	if err != nil {
		if flyapi.KindOf(err) == flyapi.KindNotFound && action.Verb == scale.Destroy {
			return scale.Outcome{Action: action, Result: scale.Done, Reason: "it was gone already"}
		}
		return fromError(action, err)
	}
	nonce := lease.Nonce
	defer func() {
		// Left behind, the lease would keep everybody out until it expires.
		if err := r.api.ReleaseLease(ctx, app, id, nonce); err != nil {
			r.logger.Debug("release lease", "app", app, "machine", id, "error", err)
		}
	}()
	// Past it the Machine may be somebody else's, whatever was seen before.
	heldCtx, cancel := context.WithDeadlineCause(ctx, end, errLeaseOver)
	defer cancel()
	m, err := r.api.GetMachine(heldCtx, app, id)
	if err != nil {
		return fromError(action, err)
	}
	if why := r.changed(action, m); why != "" {
		return scale.Outcome{Action: action, Result: scale.Skipped, Refusal: scale.RefusedChanged, Reason: why}
	}
	return act(heldCtx, m, nonce)
}

// remove stops, suspends or destroys a Machine.
func (r *run) remove(ctx, callCtx context.Context, action scale.Action) scale.Outcome {
	return r.held(callCtx, action, func(heldCtx context.Context, m scale.Machine, nonce scale.Secret) scale.Outcome {
		if action.Verb != scale.Destroy {
			return r.rest(heldCtx, action, m, nonce)
		}
		if !atRest(m.State) {
			if o, stopped := r.stopFirst(ctx, heldCtx, action, m, nonce); !stopped {
				return o
			}
		}
		return fromError(action, r.api.DestroyMachine(heldCtx, r.plan.App, m.ID, nonce, false))
	})
}

// rest stops or suspends a Machine. One that cannot be suspended, such as for its size,
// is stopped. One that was drained is rid of our mark as soon as it does not serve any
// more, so that the proxy may wake it.
func (r *run) rest(ctx context.Context, action scale.Action, m scale.Machine, nonce scale.Secret) scale.Outcome {
	app, reason := r.plan.App, ""
	err := error(nil)
	if action.Verb == scale.Suspend {
		err = r.api.SuspendMachine(ctx, app, m.ID, nonce)
		switch flyapi.KindOf(err) {
		case flyapi.KindPrecondition, flyapi.KindInvalid:
			reason = "stopped, because it cannot be suspended: " + err.Error()
		}
	}
	if action.Verb == scale.Stop || reason != "" {
		err = r.api.StopMachine(ctx, app, m.ID, nonce)
	}
	if err != nil {
		return fromError(action, err)
	}
	if m.Drained() {
		// Should it fail, a later pass sees the mark and takes it off.
		err := r.api.UncordonMachine(ctx, app, m.ID, nonce)
		if err == nil {
			err = r.api.DeleteMetadata(ctx, app, m.ID, nonce, scale.MetaDrain)
		}
		if err != nil {
			r.logger.Debug("take the mark off", "app", app, "machine", m.ID, "error", err)
		}
	}
	return scale.Outcome{Action: action, Result: scale.Done, Reason: reason}
}

// changed says in which way the Machine is not as it was planned; "" if it is.
func (r *run) changed(action scale.Action, m scale.Machine) string {
	switch {
	case m.InstanceID != action.InstanceID:
		return fmt.Sprintf("its config is version %s, not %s as planned", m.InstanceID, action.InstanceID)
	case m.Group != r.plan.Group:
		return fmt.Sprintf("it belongs to process group %q now", m.Group)
	case m.Host != scale.HostOK:
		return fmt.Sprintf("its host is %s", m.Host)
	case action.Drained && !m.Drained():
		return "it was taken back into service"
	case !action.Drained && m.Drained():
		return "it drains already"
	case m.Cordoned && !action.Drained:
		return "it was cordoned"
	case !m.Cordoned && r.wasCordoned(m.ID) && action.Verb != scale.Drain && action.Verb != scale.Undrain && action.Verb != scale.Start:
		return "it was uncordoned"
	}
	// Nearer to the end than planned is fine; started again is not.
	allowed := []scale.State{action.State}
	switch action.State {
	case scale.StateStarted, scale.StateStarting, scale.StateCreated:
		allowed = append(allowed, scale.StateStarted, scale.StateStarting)
	}
	switch action.Verb {
	case scale.Destroy:
		allowed = append(allowed, scale.StateStopping, scale.StateStopped, scale.StateSuspending, scale.StateSuspended, scale.StateFailed)
	case scale.Undrain, scale.Start:
		return "" // our mark comes off whatever the Machine does
	}
	if !slices.Contains(allowed, m.State) {
		return fmt.Sprintf("it is %s, not %s as planned", m.State, action.State)
	}
	return ""
}

// wasCordoned reports whether the Machine was cordoned when the plan was made.
func (r *run) wasCordoned(id scale.MachineID) bool {
	return slices.ContainsFunc(r.snapshot.Machines, func(m scale.Machine) bool { return m.ID == id && m.Cordoned })
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
