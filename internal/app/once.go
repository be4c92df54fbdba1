package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Once makes one pass over every target, acting if act is set and dry run is
// not, and returns the reports in the order of the targets. The error is that of
// the discovery; those of the passes are in their reports. If it acts, what the pass
// before remembered is used and kept in the settings' folder, and the journal with it.
func (a *App) Once(ctx context.Context, act bool) ([]reconcile.Report, error) {
	if err := a.now.Load().settings.RequireToken(); err != nil {
		return nil, err
	}
	settings := a.now.Load().settings
	if !act || settings.StoreDir == "" {
		return a.eachTarget(ctx, func(ctx context.Context, t reconcile.Target) reconcile.Report {
			report, _ := reconcile.Pass(ctx, t, decide.Memory{}, reconcile.Options{Now: time.Now, Act: act && !settings.DryRun})
			return report
		})
	}
	if err := a.records.open(ctx); err != nil {
		return nil, err
	}
	reports, err := a.eachTarget(ctx, func(ctx context.Context, t reconcile.Target) reconcile.Report {
		before, _ := a.records.Load(t.Key())
		report, after := reconcile.Pass(ctx, t, before, reconcile.Options{Now: time.Now, Act: !settings.DryRun})
		a.records.Save(t.Key(), after, len(report.Outcomes) > 0)
		return report
	})
	return reports, errors.Join(err, a.records.close(ctx))
}

// Eval evaluates every target's expressions and changes nothing. The Machines
// are read only where an expression counts them, so that expressions over
// metrics alone need no access to the platform.
func (a *App) Eval(ctx context.Context) ([]reconcile.Report, error) {
	return a.eachTarget(ctx, func(ctx context.Context, t reconcile.Target) reconcile.Report {
		if !countsMachines(t) {
			t.Fleet = noFleet{}
		} else if err := a.now.Load().settings.RequireToken(); err != nil {
			return reconcile.Report{App: t.App, Group: t.Policy.Group, Err: fmt.Errorf("an expression counts Machines: %w", err)}
		}
		report, _ := reconcile.Pass(ctx, t, decide.Memory{}, reconcile.Options{Now: time.Now})
		return report
	})
}

func countsMachines(t reconcile.Target) bool {
	p := t.Policy
	return p.MinCreated != nil && p.MinCreated.UsesCounts() || p.MaxCreated != nil && p.MaxCreated.UsesCounts() ||
		p.MinStarted != nil && p.MinStarted.UsesCounts() || p.MaxStarted != nil && p.MaxStarted.UsesCounts()
}

// noFleet stands for Machines that nobody asks for.
type noFleet struct{}

// Overview implements reconcile.Fleet.
func (noFleet) Overview(scale.App) (scale.Snapshot, bool) { return scale.Snapshot{}, false }

// Snapshot implements reconcile.Fleet.
func (noFleet) Snapshot(_ context.Context, app scale.App) (scale.Snapshot, error) {
	return scale.Snapshot{App: app, Complete: true, TakenAt: time.Now()}, nil
}

// Release implements reconcile.Fleet.
func (noFleet) Release(context.Context, scale.App) (scale.Release, error) {
	return scale.Release{}, nil
}

// Wrote implements reconcile.Fleet.
func (noFleet) Wrote(scale.App, []scale.Outcome) {}

// eachTarget runs pass for every target, as many at a time as the settings allow,
// each within its timeout.
func (a *App) eachTarget(ctx context.Context, pass func(context.Context, reconcile.Target) reconcile.Report) ([]reconcile.Report, error) {
	targets, err := a.allTargets(ctx)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, errors.New("no app matches: check app-name and org, and that the token may see the apps")
	}
	reports := make([]reconcile.Report, len(targets))
	slots := make(chan struct{}, max(1, a.now.Load().settings.Concurrency))
	var wg sync.WaitGroup
	for i, t := range targets {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			passCtx, cancel := context.WithTimeoutCause(ctx, a.now.Load().settings.Timeout, fmt.Errorf("no result within the timeout of %s", a.now.Load().settings.Timeout))
			defer cancel()
			reports[i] = pass(passCtx, t)
			a.observe(reports[i])
		})
	}
	wg.Wait()
	return reports, nil
}
