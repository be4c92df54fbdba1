package reconcile_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/fleet"
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

const (
	benchApps     = 10_000
	benchMachines = 4 // of each app, two of them started
)

// rows is an organization's list of Machines, made before it is asked for.
type rows []flyapi.OrgMachine

func newRows(now time.Time) rows {
	list := make(rows, 0, benchApps*benchMachines)
	for i := range benchApps * benchMachines {
		state := scale.StateStarted
		if i%2 == 1 {
			state = scale.StateStopped
		}
		list = append(list, flyapi.OrgMachine{App: benchApp(i / benchMachines), Machine: scale.Machine{
			ID: scale.MachineID(fmt.Sprintf("%014x", i)), Name: fmt.Sprintf("still-bird-%d", i), State: state, Region: "iad", Group: "app",
			InstanceID: fmt.Sprintf("01JB%022d", i), CreatedAt: now.Add(-time.Hour), UpdatedAt: now.Add(-time.Hour),
			Metadata: map[string]string{scale.MetaReleaseVersion: "7"},
		}})
	}
	return list
}

func benchApp(i int) scale.App { return scale.App(fmt.Sprintf("bench-%05d", i)) }

// ListOrgMachines implements fleet.OrgAPI: all in one page, and no change since.
func (r rows) ListOrgMachines(_ context.Context, _ string, q flyapi.OrgQuery) (flyapi.OrgPage, error) {
	if !q.UpdatedAfter.IsZero() {
		return flyapi.OrgPage{}, nil
	}
	return flyapi.OrgPage{Machines: append(rows(nil), r...)}, nil
}

// readings is a source that answers for all apps at once: each wants two Machines.
type readings struct{}

func (readings) Metric() string { return "want" }
func (readings) Close() error   { return nil }

func (readings) Collect(_ context.Context, apps []scale.App) map[scale.App]scale.Sample {
	now := time.Now()
	out := make(map[scale.App]scale.Sample, len(apps))
	for _, app := range apps {
		out[app] = scale.Sample{Metric: "want", Value: 20, At: now, Quality: scale.Fresh}
	}
	return out
}

// fleetOf returns the targets of an organization, with the real picture of its
// Machines and a metric that is asked for once. Nothing is to be done for them.
func fleetOf(b *testing.B) []reconcile.Target {
	b.Helper()
	watch := fleet.NewWatch(newRows(time.Now()), "acme", fleet.WatchConfig{Poll: time.Hour, Full: time.Hour})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { watch.Run(ctx); close(done) }()
	b.Cleanup(func() { cancel(); <-done })
	for !watch.Synced() {
		<-time.After(time.Millisecond)
	}
	program, err := expr.Compile("max(1, ceil(want / 10))", []string{"want"})
	if err != nil {
		b.Fatal(err)
	}
	apps := make([]scale.App, benchApps)
	for i := range apps {
		apps[i] = benchApp(i)
	}
	shared := source.NewShared(readings{}, func() []scale.App { return apps }, time.Hour)
	view := fleet.NewOrg(fleet.NewLister(nil), watch, nil) // whoever read a single list would panic
	rules := &policy.Policy{Group: "app", Launch: true, MinStarted: program, MaxStarted: program, MaxAge: time.Hour}
	targets := make([]reconcile.Target, benchApps)
	for i, app := range apps {
		targets[i] = reconcile.Target{App: app, Policy: rules, Sources: []reconcile.Source{shared}, Fleet: view}
	}
	return targets
}

// BenchmarkQuietPass is one pass over a target for which nothing is to be done.
func BenchmarkQuietPass(b *testing.B) {
	targets := fleetOf(b)
	options := reconcile.Options{Now: time.Now, Act: true}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		quietPass(b, targets[i], options)
		i = (i + 1) % len(targets)
	}
}

// BenchmarkQuietCycle is one pass over each of 10,000 targets.
func BenchmarkQuietCycle(b *testing.B) {
	targets := fleetOf(b)
	options := reconcile.Options{Now: time.Now, Act: true}
	b.ReportAllocs()
	for b.Loop() {
		for _, t := range targets {
			quietPass(b, t, options)
		}
	}
}

func quietPass(b *testing.B, t reconcile.Target, options reconcile.Options) {
	r, _ := reconcile.Pass(b.Context(), t, decide.Memory{}, options)
	if r.Err != nil || !r.Plan.Empty() || r.Decision.Have != (scale.Count{Created: benchMachines, Started: benchMachines / 2}) {
		b.Fatalf("%s is not quiet: %v, %v", t.App, r.Err, r.Decision)
	}
}
