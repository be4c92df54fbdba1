// Package actuate carries out plans. It looks again before it takes anything
// away, makes nothing twice, tries each thing a bounded number of times, and
// reports what came of every action. It does not decide what is wanted.
//
// An action ends in one of four ways: done; refused, which is certain; unknown,
// which is looked into and never simply repeated; or skipped, because what it
// required no longer held or the pass ran out of time.
package actuate

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	// inFlight bounds the calls under way for one app. The platform limits each
	// action of each Machine to about one a second, so that more than a handful at
	// once only helps across Machines.
	inFlight = 8
	// createsInFlight matches the burst of creates that the platform allows an app.
	createsInFlight = 3
	// grace is how long a call that was begun may go on after the pass was ended,
	// so that its outcome is known rather than lost.
	grace = 3 * time.Second
)

// Actuator carries out plans. It may be used for many apps at once.
type Actuator struct {
	api    *flyapi.Client
	logger *slog.Logger
	// leaseDescription tells people whose lease it is.
	leaseDescription string
}

// New returns an Actuator that acts through api.
func New(api *flyapi.Client, logger *slog.Logger) *Actuator {
	return &Actuator{api: api, logger: logger.With("component", "actuate"), leaseDescription: scale.LeaseDescription}
}

// Apply carries out the plan made from the snapshot and returns one outcome for
// each action, and one for each spare that was used, in no particular order. It
// returns when all is done or, at the latest, shortly after ctx ends; it leaves
// nothing running behind.
//
// A plan that was made from an overview is refused: it tells too little, and too late.
func (a *Actuator) Apply(ctx context.Context, s scale.Snapshot, plan scale.Plan) []scale.Outcome {
	if s.Overview {
		return refuse(plan, "it was planned from an overview")
	}
	run := &run{Actuator: a, snapshot: s, plan: plan, spares: plan.Spares, full: make(map[scale.Region]string)}
	// What adds comes first: if time runs out, the app has too much rather than too
	// little.
	run.each(ctx, lane{inFlight, []scale.Verb{scale.Undrain, scale.Start}}, lane{createsInFlight, []scale.Verb{scale.Create}})
	destroy := []scale.Verb{scale.Destroy}
	if plan.Count(scale.Destroy) > 0 && !run.survives(ctx) {
		run.sparedLast(ctx)
		destroy = nil
	}
	run.each(ctx, lane{inFlight, []scale.Verb{scale.Drain, scale.Stop, scale.Suspend}}, lane{inFlight, destroy})
	return run.outcomes
}

// refuse returns the outcomes of a plan that is not carried out.
func refuse(plan scale.Plan, reason string) []scale.Outcome {
	outcomes := make([]scale.Outcome, len(plan.Actions))
	for i, action := range plan.Actions {
		outcomes[i] = scale.Outcome{Action: action, Result: scale.Refused, Refusal: scale.RefusedOther, Reason: reason, Machine: action.Machine, Region: action.Region, At: time.Now()}
	}
	return outcomes
}

// run is the state of one Apply.
type run struct {
	*Actuator
	snapshot scale.Snapshot
	plan     scale.Plan

	mu       sync.Mutex
	outcomes []scale.Outcome         // guarded by mu
	spares   []scale.Action          // guarded by mu; starts to fall back on
	full     map[scale.Region]string // guarded by mu; regions that refused a create for capacity, and how
	noCreate string                  // guarded by mu; why no further create is tried
	short    bool                    // guarded by mu; a Machine that was to serve again does not
}

// lane is actions that are carried out side by side, so many at a time.
type lane struct {
	bound int
	verbs []scale.Verb
}

// each carries out the plan's actions of some lanes side by side.
func (r *run) each(ctx context.Context, lanes ...lane) {
	var all errgroup.Group
	for _, l := range lanes {
		all.Go(func() error {
			var group errgroup.Group
			group.SetLimit(l.bound)
			for _, action := range r.plan.Actions {
				if slices.Contains(l.verbs, action.Verb) {
					group.Go(func() error {
						r.do(ctx, action)
						return nil
					})
				}
			}
			return group.Wait()
		})
	}
	// The functions return no errors: what went wrong is in the outcomes.
	_ = all.Wait()
}

// do carries out one action, with a spare in the place of a start that fails.
func (r *run) do(ctx context.Context, action scale.Action) {
	for {
		outcome := r.one(ctx, action)
		r.record(ctx, outcome)
		// A start that was not answered may have come true: a spare for it could be one
		// too many. The next pass sees, and then takes another Machine first.
		back := action.Verb == scale.Undrain && !atRest(action.State)
		if back && outcome.Result != scale.Done {
			r.mu.Lock()
			r.short = true
			r.mu.Unlock()
		}
		if action.Verb != scale.Start && !back || outcome.Result != scale.Refused {
			return
		}
		spare, ok := r.spare()
		if !ok {
			return
		}
		action = spare
	}
}

func (r *run) one(ctx context.Context, action scale.Action) scale.Outcome {
	if err := ctx.Err(); err != nil {
		return scale.Outcome{Action: action, Result: scale.Skipped, Refusal: scale.RefusedDeadline, Reason: "the pass ended before its turn: " + context.Cause(ctx).Error()}
	}
	callCtx, cancel := linger(ctx, grace)
	defer cancel()
	switch action.Verb {
	case scale.Start:
		return r.start(callCtx, action)
	case scale.Create:
		return r.create(ctx, callCtx, action)
	case scale.Undrain:
		return r.undrain(callCtx, action)
	case scale.Drain, scale.Stop, scale.Suspend, scale.Destroy:
		if r.isShort() && !action.Drained && !atRest(action.State) {
			return scale.Outcome{Action: action, Result: scale.Skipped, Refusal: scale.RefusedOther, Reason: "another that was to serve again does not"}
		}
		if action.Verb == scale.Drain {
			return r.drain(callCtx, action)
		}
		return r.remove(ctx, callCtx, action)
	}
	return scale.Outcome{Action: action, Result: scale.Refused, Refusal: scale.RefusedOther, Reason: "unknown verb " + string(action.Verb)}
}

func (r *run) record(ctx context.Context, o scale.Outcome) {
	o.At = time.Now()
	if o.Machine == "" {
		o.Machine = o.Action.Machine
	}
	attrs := []any{"app", r.plan.App, "process_group", r.plan.Group, "verb", o.Action.Verb}
	if o.Machine != "" {
		attrs = append(attrs, "machine", o.Machine)
	}
	attrs = append(attrs, "region", cmp.Or(o.Region, o.Action.Region), "result", o.Result)
	if o.Reason != "" {
		attrs = append(attrs, "reason", o.Reason)
	}
	level := slog.LevelInfo
	if o.Result == scale.Refused || o.Result == scale.Unknown {
		level = slog.LevelWarn
	}
	r.logger.Log(ctx, level, "action", attrs...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes = append(r.outcomes, o)
}

func (r *run) spare() (scale.Action, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spares) == 0 {
		return scale.Action{}, false
	}
	next := r.spares[0]
	r.spares = r.spares[1:]
	return next, true
}

func (r *run) isShort() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.short
}

// start starts a Machine. A repeated start does no harm, so that the client
// repeats it when an answer is lost. One that bears our mark still would run without
// serving.
func (r *run) start(ctx context.Context, action scale.Action) scale.Outcome {
	if action.Drained {
		if o := r.undrain(ctx, action); o.Result != scale.Done {
			return o
		}
	}
	err := r.api.StartMachine(ctx, r.plan.App, action.Machine, "")
	return fromError(action, err)
}

// fromError turns a call's error into an outcome.
func fromError(action scale.Action, err error) scale.Outcome {
	o := scale.Outcome{Action: action, Result: scale.Done}
	if err == nil {
		return o
	}
	o.Result, o.Refusal, o.Reason = scale.Refused, scale.RefusedOther, err.Error()
	switch flyapi.KindOf(err) {
	case flyapi.KindUnknown:
		o.Result = scale.Unknown
	case flyapi.KindCanceled:
		o.Result, o.Refusal = scale.Skipped, scale.RefusedDeadline
	case flyapi.KindCapacity:
		o.Refusal = scale.RefusedCapacity
	case flyapi.KindLeased:
		o.Refusal = scale.RefusedLeased
	case flyapi.KindNotFound, flyapi.KindPrecondition:
		o.Refusal = scale.RefusedChanged
	}
	return o
}

// linger returns a context that outlives ctx by the grace at most.
func linger(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var mu sync.Mutex
	var timer *time.Timer
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
	})
	return out, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
		cancel(context.Canceled)
	}
}
