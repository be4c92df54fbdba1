// Package source is the contract between the autoscaler and the places that
// metrics come from, together with the few things that every polling source
// needs: making samples, asking for many apps at once, and keeping secrets out
// of what people read.
//
// It promises that an unknown reading stays unknown: what a source could not
// find out becomes a sample that says so and why, never a zero and never a
// missing entry. It does not decide what an unknown reading means, keeps no
// history and never asks again by itself; those are the caller's business.
//
// A kind of source lives in a package of its own below this one and passes the
// suite in sourcetest.
package source

import (
	"context"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Source reads one declared metric. All methods may be called from several
// goroutines at once, except that nothing may be called after Close.
type Source interface {
	// Metric returns the declared name of the metric, which every sample
	// carries. It never changes.
	Metric() string

	// Collect reads the metric for the given apps and returns one sample for
	// every one of them. A source asks once for all apps where it can. The map
	// belongs to the caller; apps is only read, and not kept.
	//
	// There is no error to return: an app whose reading could not be had has a
	// sample of quality Empty (the server answered that there is no value) or
	// Error (everything else) with a Reason, which is bounded, printable and
	// free of credentials. The failure of one app does not touch another's
	// sample unless they share one answer.
	//
	// Collect blocks until it has all answers, until ctx ends, or until the
	// source's own timeout has passed, whichever is first, and leaves nothing
	// running behind.
	Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample

	// Close gives back connections and whatever else the source holds. It is
	// called once, after the last Collect returned, and does not block on the
	// network.
	Close() error
}
