package app

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/httpapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// passes is the last pass of each target: what the HTTP face and the gauges tell.
// There may be ten thousand of them, so that they are kept in few bytes, without
// the Machines that a decision was made from, and put into words when somebody
// asks. It may be used by many goroutines.
type passes struct {
	mu   sync.Mutex
	last map[targetID]*pass // guarded by mu; the passes are never changed
}

// targetID names a target.
type targetID struct {
	app   scale.App
	group scale.ProcessGroup
}

// pass is what is kept of one pass.
type pass struct {
	targetID
	began   time.Time
	decided bool // this pass came to a decision
	dryRun  bool
	regions []scale.RegionCount
	// decision is that of this pass, or else of the last pass that came to one; nil
	// when none did.
	decision *decision
	changes  *changes // nil when nothing was to be done
	err      error
}

// decision is the part of a scale.Decision that is told.
type decision struct {
	at         time.Time
	have, want scale.Count
	counts     scale.Counts
	hold       scale.Hold
	samples    []scale.Sample
	steps      []scale.Step
}

// changes is what a pass planned and what came of it.
type changes struct {
	actions, spares []scale.Action
	outcomes        []scale.Outcome
}

func newPasses() *passes { return &passes{last: make(map[targetID]*pass)} }

// add takes note of a pass.
func (p *passes) add(r reconcile.Report) {
	kept := &pass{
		targetID: targetID{r.App, r.Group}, began: r.Began,
		dryRun: r.DryRun, regions: r.Plan.Regions, err: r.Err,
	}
	if d := r.Decision; d != nil {
		kept.decided = true
		kept.decision = &decision{
			at: d.At, have: d.Have, want: d.Want, counts: d.Counts, hold: d.Hold,
			samples: d.Samples, steps: exact(d.Steps),
		}
	}
	if r.Plan.Actions != nil || r.Plan.Spares != nil || r.Outcomes != nil {
		kept.changes = &changes{actions: r.Plan.Actions, spares: r.Plan.Spares, outcomes: slices.Clone(r.Outcomes)}
		for i := range r.Outcomes {
			kept.changes.outcomes[i].Clone = nil // with its whole configuration
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if before := p.last[kept.targetID]; before != nil && !kept.decided {
		kept.decision = before.decision
	}
	p.last[kept.targetID] = kept
}

// exact returns the slice with no room to spare.
func exact[T any](s []T) []T {
	if len(s) == cap(s) {
		return s
	}
	return append(make([]T, 0, len(s)), s...)
}

// forget drops a target that is no longer governed.
func (p *passes) forget(app scale.App, group scale.ProcessGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, targetID{app, group})
}

// count returns how many targets had a pass, and how many of the last ones failed.
func (p *passes) count() (all, failing int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, kept := range p.last {
		if kept.err != nil {
			failing++
		}
	}
	return len(p.last), failing
}

// of returns the last passes of the app's targets, or of all when app is empty,
// sorted by app and group.
func (p *passes) of(app scale.App) []*pass {
	out := p.matching(app)
	slices.SortFunc(out, func(x, y *pass) int {
		return cmp.Or(cmp.Compare(x.app, y.app), cmp.Compare(x.group, y.group))
	})
	return out
}

func (p *passes) matching(app scale.App) []*pass {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*pass
	if app == "" {
		out = make([]*pass, 0, len(p.last))
	}
	for id, kept := range p.last {
		if app == "" || id.app == app {
			out = append(out, kept)
		}
	}
	return out
}

// target puts the pass into the form of the HTTP face.
func (k *pass) target() httpapi.Target {
	t := httpapi.Target{App: k.app, Group: k.group, At: k.began, DryRun: k.dryRun}
	t.Plan = &scale.Plan{Regions: k.regions}
	if k.decided {
		d := k.decision
		t.Decision = &scale.Decision{
			App: k.app, Group: k.group, At: d.at, Samples: d.samples, Counts: d.counts,
			Have: d.have, Want: d.want, Hold: d.hold, Steps: d.steps,
		}
		t.Summary = t.Decision.Line()
		t.Plan.App, t.Plan.Group = k.app, k.group
	}
	if c := k.changes; c != nil {
		t.Plan.Actions, t.Plan.Spares, t.Outcomes = c.actions, c.spares, c.outcomes
	}
	if k.err != nil {
		t.Error = k.err.Error()
	}
	return t
}
