package fleet

import (
	"context"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Org is the Machines of one organization's apps: an overview of them all that
// costs a few requests for any number of apps, and each app's own list, which is
// the authority for acting.
type Org struct {
	*Lister
	watch    *Watch
	releases *Releases
}

// NewOrg returns an Org that shows the picture of watch, which the caller runs.
func NewOrg(lister *Lister, watch *Watch, releases *Releases) *Org {
	return &Org{Lister: lister, watch: watch, releases: releases}
}

// Overview returns the app's Machines as the organization's list tells them,
// without a request. It reports false while there is no such list.
func (o *Org) Overview(app scale.App) (scale.Snapshot, bool) {
	if s, ok := o.watch.Snapshot(app); ok {
		return s, true
	}
	if !o.watch.Synced() {
		return scale.Snapshot{}, false
	}
	// No row tells of the app, so that it has no Machines.
	return scale.Snapshot{App: app, TakenAt: time.Now(), Complete: true, Overview: true}, true
}

// Snapshot reads the app's own list, and holds it against the overview: a Machine
// that only the overview has is looked for.
func (o *Org) Snapshot(ctx context.Context, app scale.App) (scale.Snapshot, error) {
	overview, ok := o.Overview(app)
	return o.snapshot(ctx, app, overview.Machines, ok && overview.Complete)
}

// Release returns the app's newest release.
func (o *Org) Release(ctx context.Context, app scale.App) (scale.Release, error) {
	return o.releases.Release(ctx, app)
}

// Wrote remembers what the outcomes changed, for both views.
func (o *Org) Wrote(app scale.App, outcomes []scale.Outcome) {
	o.Lister.Wrote(app, outcomes)
	o.watch.Wrote(app, outcomes)
}

// Overview reports false: single lists give none.
func (l *Lister) Overview(scale.App) (scale.Snapshot, bool) { return scale.Snapshot{}, false }
