package actuate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// create makes the action's Machine, in the first of its regions that has room.
//
// It is never made twice: the name is derived from the names in use, so that
// whoever makes this create again asks for the same name, and the platform keeps
// names unique in an app. Between two tries it is certain that the first had no
// effect. ctx says whether to begin another try; a call that was begun runs
// under callCtx.
func (r *run) create(ctx, callCtx context.Context, action scale.Action) scale.Outcome {
	request, err := r.clone(action)
	if err != nil {
		return scale.Outcome{Action: action, Result: scale.Refused, Refusal: scale.RefusedOther, Reason: err.Error()}
	}
	var last scale.Outcome
	for _, region := range slices.Concat([]scale.Region{action.Region}, action.Fallbacks) {
		if skip, ok := r.skipCreate(action, region); ok {
			last = skip
			continue
		}
		if ctx.Err() != nil {
			break
		}
		request.Region = region
		last = r.createIn(callCtx, action, request)
		if last.Region == "" {
			last.Region = region
		}
		if last.Refusal != scale.RefusedCapacity {
			break
		}
	}
	if last.Result == "" {
		last = scale.Outcome{Action: action, Result: scale.Skipped, Refusal: scale.RefusedDeadline, Reason: "the pass ended before its turn"}
	}
	return last
}

// clone returns the request that makes the action's Machine from its template.
func (r *run) clone(action scale.Action) (flyapi.CreateRequest, error) {
	at := slices.IndexFunc(r.snapshot.Machines, func(m scale.Machine) bool { return m.ID == action.Template })
	if at < 0 {
		return flyapi.CreateRequest{}, fmt.Errorf("clone Machine %s: it is not in the list any more", action.Template)
	}
	metadata := map[string]string{scale.MetaCreateID: action.CreateID}
	if !action.Launch {
		metadata[scale.MetaNotLaunched] = "true"
	}
	var omit []string
	if action.Omit != "" {
		omit = append(omit, action.Omit)
	}
	config, err := flyapi.CloneConfig(r.snapshot.Machines[at], metadata, omit...)
	if err != nil {
		return flyapi.CreateRequest{}, fmt.Errorf("clone Machine %s: %w", action.Template, err)
	}
	return flyapi.CreateRequest{Name: action.Name, Config: config, SkipLaunch: !action.Launch}, nil
}

// skipCreate says whether a create in the region is hopeless in this pass, with
// the outcome that stands for it.
func (r *run) skipCreate(action scale.Action, region scale.Region) (scale.Outcome, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.noCreate != "" {
		return scale.Outcome{Action: action, Result: scale.Skipped, Refusal: scale.RefusedOther, Reason: r.noCreate}, true
	}
	if reason, full := r.full[region]; full {
		return scale.Outcome{Action: action, Result: scale.Skipped, Refusal: scale.RefusedCapacity, Reason: reason}, true
	}
	return scale.Outcome{}, false
}

// createIn makes the Machine in the request's region.
func (r *run) createIn(ctx context.Context, action scale.Action, request flyapi.CreateRequest) scale.Outcome {
	m, err := r.api.CreateMachine(ctx, r.plan.App, request)
	if apiErr, ok := errors.AsType[*flyapi.Error](err); ok && apiErr.Kind == flyapi.KindNameTaken {
		return r.nameTaken(ctx, action, request, apiErr)
	}
	return r.created(ctx, action, request, m, err)
}

// created turns the answer to a create into an outcome.
func (r *run) created(ctx context.Context, action scale.Action, request flyapi.CreateRequest, m scale.Machine, err error) scale.Outcome {
	if err == nil {
		return scale.Outcome{Action: action, Result: scale.Done, Machine: m.ID, Region: m.Region, Clone: &m}
	}
	o := fromError(action, err)
	switch flyapi.KindOf(err) {
	case flyapi.KindUnknown:
		// Look for it now; should it turn up later, its name stands for it.
		if found, ok := r.find(ctx, action); ok {
			return scale.Outcome{Action: action, Result: scale.Done, Machine: found.ID, Region: found.Region, Clone: &found, Reason: "its answer was lost, and it was found again"}
		}
	case flyapi.KindCapacity:
		r.mu.Lock()
		r.full[request.Region] = o.Reason
		r.mu.Unlock()
	case flyapi.KindUnauthorized, flyapi.KindInvalid, flyapi.KindNotFound:
		// The next create would be refused in the same words.
		r.mu.Lock()
		r.noCreate = o.Reason
		r.mu.Unlock()
	}
	return o
}

// nameTaken deals with a name that a Machine bears already. Most often that is
// the very Machine that this action is to make, from an earlier try; it may also
// be one that was destroyed and whose name the platform has not given free.
func (r *run) nameTaken(ctx context.Context, action scale.Action, request flyapi.CreateRequest, conflict *flyapi.Error) scale.Outcome {
	holder := conflict.ConflictID
	if holder == "" {
		return fromError(action, conflict)
	}
	m, err := r.api.GetMachine(ctx, r.plan.App, holder)
	switch {
	case flyapi.KindOf(err) == flyapi.KindNotFound, err == nil && m.State == scale.StateDestroyed:
		return r.pastDestroyed(ctx, action, request, holder)
	case err != nil:
		return scale.Outcome{Action: action, Result: scale.Unknown, Reason: err.Error()}
	case m.State == scale.StateDestroying:
		// Its name is free in a moment. Made under another name now, this create
		// would be made again under its own by whoever comes after that moment.
		return scale.Outcome{Action: action, Result: scale.Skipped, Refusal: scale.RefusedOther, Reason: fmt.Sprintf("Machine %s, which is being destroyed, still holds the name", holder)}
	case m.Group != r.plan.Group:
		return fromError(action, conflict)
	}
	return scale.Outcome{Action: action, Result: scale.Done, Machine: m.ID, Region: m.Region, Clone: &m, Reason: "made by an earlier try"}
}

// pastDestroyed makes the Machine although one that was destroyed was said to
// hold its name: under that name if it is free by now, else under a new one that
// everyone who runs into the same holder arrives at.
func (r *run) pastDestroyed(ctx context.Context, action scale.Action, request flyapi.CreateRequest, holder scale.MachineID) scale.Outcome {
	m, err := r.api.CreateMachine(ctx, r.plan.App, request)
	if apiErr, ok := errors.AsType[*flyapi.Error](err); ok && apiErr.Kind == flyapi.KindNameTaken && apiErr.ConflictID == holder {
		request.Name = action.Name + "-" + string(holder)
		m, err = r.api.CreateMachine(ctx, r.plan.App, request)
	}
	if apiErr, ok := errors.AsType[*flyapi.Error](err); ok && apiErr.Kind == flyapi.KindNameTaken {
		return scale.Outcome{Action: action, Result: scale.Unknown, Reason: "made by somebody else meanwhile, as Machine " + string(apiErr.ConflictID)}
	}
	return r.created(ctx, action, request, m, err)
}

// find looks for the Machine of a create whose answer was lost. Its name alone proves
// nothing: a list that lags shows the one that bore it before.
func (r *run) find(ctx context.Context, action scale.Action) (scale.Machine, bool) {
	machines, err := r.api.ListMachines(ctx, r.plan.App)
	if err != nil {
		return scale.Machine{}, false
	}
	for _, m := range machines {
		if m.Metadata[scale.MetaCreateID] == action.CreateID {
			return m, true
		}
	}
	return scale.Machine{}, false
}
