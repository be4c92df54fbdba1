package reconcile

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Target is one app's process group and the policy that governs it.
type Target struct {
	App     scale.App
	Policy  *policy.Policy
	DryRun  bool // decide, and do not act
	Sources []Source
	// Fleet and Actuator are those of the target's organization.
	Fleet    Fleet
	Actuator Actuator
}

// Key names the target: an app's process group is governed once.
func (t Target) Key() string { return string(t.App) + "/" + string(t.Policy.Group) }

// Source reads one metric. Collect returns a sample for every app it is given
// and keeps to its own deadline.
type Source interface {
	Metric() string
	Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample
}

// Fleet reads the platform's Machines.
type Fleet interface {
	// Overview returns what is known of the app's Machines without asking, or false
	// when that is nothing. It is good for seeing that nothing is to be done.
	Overview(app scale.App) (scale.Snapshot, bool)
	// Snapshot reads the app's Machines anew.
	Snapshot(ctx context.Context, app scale.App) (scale.Snapshot, error)
	// Release returns the app's newest release.
	Release(ctx context.Context, app scale.App) (scale.Release, error)
	// Wrote tells what was changed, so that a read that lags does not hide it.
	Wrote(app scale.App, outcomes []scale.Outcome)
}

// Actuator carries out plans. It returns an outcome for each action, shortly
// after ctx ends at the latest.
type Actuator interface {
	Apply(ctx context.Context, s scale.Snapshot, p scale.Plan) []scale.Outcome
}

// Report is what one pass saw, decided and did. Decision is nil when the pass
// failed before it could decide.
type Report struct {
	App      scale.App          `json:"app"`
	Group    scale.ProcessGroup `json:"process_group"`
	Began    time.Time          `json:"began"`
	Took     time.Duration      `json:"took_ns"`
	Decision *scale.Decision    `json:"decision,omitempty"`
	Plan     scale.Plan         `json:"plan"`
	Outcomes []scale.Outcome    `json:"outcomes,omitempty"`
	DryRun   bool               `json:"dry_run,omitempty"`
	Err      error              `json:"-"`
	// Inputs is what Decision was made from; nil without one.
	Inputs *Inputs `json:"-"`
}

// Inputs is all that a decision was made from, so that it can be made again. No time
// in it has more than its JSON would have. It is never changed.
type Inputs struct {
	Snapshot scale.Snapshot
	Samples  []scale.Sample
	Policy   *policy.Policy
	Memory   decide.Memory
	Now      time.Time
}

// decide makes the decision and the plan that follow from the inputs.
func (in Inputs) decide() (scale.Decision, scale.Plan, decide.Memory) {
	d, next := decide.Decide(in.Snapshot, in.Samples, in.Policy, in.Memory, in.Now)
	return d, plan.Build(in.Snapshot, d, in.Policy), next
}

// Again makes a recorded decision and its plan again.
func (in Inputs) Again() (scale.Decision, scale.Plan) {
	d, p, _ := in.decide()
	return d, p
}

// Options say how a pass is made.
type Options struct {
	Now func() time.Time
	Act bool // carry the plan out
	// Slot, unless nil, waits for leave to ask the platform, and returns what gives
	// it back. Metrics are collected without: a source that hangs keeps nobody else
	// waiting.
	Slot func(context.Context) (func(), error)
}

// Pass makes one pass over the target with the memory of the pass before, and
// returns the memory for the next. A panic is an error of this pass.
func Pass(ctx context.Context, t Target, mem decide.Memory, options Options) (r Report, next decide.Memory) {
	act := options.Act
	// What a clock tells beyond the time of day ends with the process.
	now := func() time.Time { return options.Now().Round(0) }
	began := options.Now()
	r = Report{App: t.App, Group: t.Policy.Group, Began: began, DryRun: !act}
	next = mem
	defer func() {
		if v := recover(); v != nil {
			r.Err = fmt.Errorf("pass over app %q panicked: %v\n%s", t.App, v, debug.Stack())
		}
		r.Took = options.Now().Sub(began)
	}()

	samples := collect(ctx, t)
	inputs := func(s scale.Snapshot) Inputs {
		s.TakenAt = s.TakenAt.Round(0)
		return Inputs{Snapshot: s, Samples: samples, Policy: t.Policy, Memory: mem, Now: now()}
	}
	overview, seen := glance(t, now())
	if seen {
		in := inputs(overview)
		decision, planned, after := in.decide()
		// Whatever comes of this pass, what was seen of the demand is not lost.
		next.Demand = after.Demand
		if decision.Picks.Empty() {
			r.Decision, r.Plan, r.Inputs = &decision, planned, &in
			return r, next
		}
	}
	if options.Slot != nil {
		giveBack, err := options.Slot(ctx)
		if err != nil {
			r.Err = err
			return r, next
		}
		defer giveBack()
	}
	release := func() (scale.Release, error) { return releaseOf(ctx, t) }
	if seen {
		// Something is to be done as far as the overview tells. The answers are waited
		// for side by side.
		answer, wait := begin(release)
		defer wait()
		release = answer
	}
	snapshot, err := t.Fleet.Snapshot(ctx, t.App)
	if err != nil {
		r.Err = err
		return r, next
	}
	in := inputs(snapshot) // with the memory before, not next: each pass sees once
	decision, planned, next := in.decide()
	r.Decision, r.Plan, r.Inputs = &decision, planned, &in
	if r.Plan.Empty() {
		return r, next
	}

	// Only now that something is to be done is it worth asking whether somebody
	// else is at work. If nobody can tell, what adds goes ahead: load does not wait
	// for the release service, and Decide holds back what removes.
	var releaseErr error
	in = inputs(snapshot)
	in.Snapshot.Release, releaseErr = release()
	if releaseErr != nil {
		in.Snapshot.Release = scale.Release{Unavailable: releaseErr.Error()}
	}
	in.Now = now()
	decision, r.Plan, next = in.decide()
	if r.Plan.Empty() || !act {
		r.Err = releaseErr
		return r, next
	}
	r.Outcomes = t.Actuator.Apply(ctx, in.Snapshot, r.Plan)
	t.Fleet.Wrote(t.App, r.Outcomes)
	r.Err = errors.Join(releaseErr, failures(r.Outcomes))
	return r, decide.Observe(next, r.Outcomes, now())
}

// releaseTimeout bounds the question for the release, tries again included.
const releaseTimeout = 5 * time.Second

// releaseOf asks for the app's release, for a third of the pass at most: a
// service that hangs must leave time to act.
func releaseOf(ctx context.Context, t Target) (scale.Release, error) {
	limit := releaseTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/3)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	return t.Fleet.Release(ctx, t.App)
}

// begin calls ask in the background. The first function waits for its answer, the
// second for its end.
func begin(ask func() (scale.Release, error)) (answer func() (scale.Release, error), wait func()) {
	var release scale.Release
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("asking for the release panicked: %v", v)
			}
		}()
		release, err = ask()
	})
	return func() (scale.Release, error) {
		wg.Wait()
		return release, err
	}, wg.Wait
}

// glance returns the overview, and whether there is one that may be used: no part of
// the picture is missing. It lags and tells less than an app's own list, so that it
// only tells whether something may be to do; nothing is done from it, and nothing
// remembered but the demand.
func glance(t Target, now time.Time) (scale.Snapshot, bool) {
	overview, ok := t.Fleet.Overview(t.App)
	if !ok || !overview.Complete || t.Policy.MaxAge > 0 && now.Sub(overview.TakenAt) > t.Policy.MaxAge {
		return scale.Snapshot{}, false
	}
	return overview, true
}

// collect reads all of the target's metrics side by side. A source that hangs
// costs its own deadline.
func collect(ctx context.Context, t Target) []scale.Sample {
	if len(t.Sources) == 1 {
		return []scale.Sample{read(ctx, t.Sources[0], t.App)}
	}
	samples := make([]scale.Sample, len(t.Sources))
	var wg sync.WaitGroup
	for i, source := range t.Sources {
		wg.Go(func() { samples[i] = read(ctx, source, t.App) })
	}
	wg.Wait()
	return samples
}

// read returns the source's sample for the app, and one that says why when there
// is none.
func read(ctx context.Context, source Source, app scale.App) (sample scale.Sample) {
	defer func() {
		if v := recover(); v != nil {
			sample = scale.Sample{Metric: source.Metric(), Quality: scale.Error, Reason: fmt.Sprintf("the source panicked: %v", v)}
		}
	}()
	sample, ok := source.Collect(ctx, []scale.App{app})[app]
	if !ok {
		return scale.Sample{Metric: source.Metric(), Quality: scale.Error, Reason: "the source gave no sample"}
	}
	return sample
}

// failures joins what went wrong into one error; nil when nothing did. What was
// skipped is no failure: it is planned anew in the next pass.
func failures(outcomes []scale.Outcome) error {
	failed := 0
	first := ""
	for _, o := range outcomes {
		if o.Result != scale.Refused && o.Result != scale.Unknown {
			continue
		}
		if failed == 0 {
			first = fmt.Sprintf("%s: %s: %s", o.Action, o.Result, o.Reason)
		}
		failed++
	}
	switch failed {
	case 0:
		return nil
	case 1:
		return errors.New(first)
	}
	return fmt.Errorf("%d actions failed, first: %s", failed, first)
}
