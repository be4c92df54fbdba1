package decide

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Demand is what Memory holds of what was seen, not done. A pass that does nothing
// may renew it alone. It stays empty for a target with none of the settings that
// look back.
type Demand struct {
	// History is the readings of the metrics of which an expression asks for history,
	// in order of time, as far back as it asks.
	History map[string][]scale.Point `json:"history,omitempty"`
	// UnknownSince is since when nothing is known of the demand.
	UnknownSince time.Time `json:"unknown_since,omitzero"`
	// FastAt is when the fast twin last asked for much more than there was.
	FastAt time.Time `json:"fast_at,omitzero"`
	// IdleSince is since when the target has been idle.
	IdleSince time.Time `json:"idle_since,omitzero"`
	// Windows hold the limits of the up and down windows.
	Windows Windows `json:"windows,omitzero"`
	// Hours counts what the started Machines ran today.
	Hours Hours `json:"hours,omitzero"`
}

// since returns when something began that is the case now, by what is remembered of
// it: now, when nothing is, or when that lies in the future, which a clock that was
// set back leaves.
func since(remembered, now time.Time) time.Time {
	if remembered.IsZero() || remembered.After(now) {
		return now
	}
	return remembered
}

// maxPoints bounds the points kept of a metric: of a longer history every so many are
// kept.
const maxPoints = 720

// read returns the demand with the samples added to the history of the metrics of
// which the policy's expressions ask for it.
func (d Demand) read(p *policy.Policy, samples []scale.Sample, now time.Time) Demand {
	var asked map[string]time.Duration
	for _, program := range [...]*expr.Program{p.MinCreated, p.MaxCreated, p.MinStarted, p.MaxStarted, p.Behavior.Fast.Program} {
		if program == nil {
			continue
		}
		windows := program.History()
		if asked == nil {
			asked = windows // a copy
			continue
		}
		for metric, window := range windows {
			asked[metric] = max(asked[metric], window)
		}
	}
	if len(asked) == 0 {
		d.History = nil
		return d
	}
	history := maps.Clone(d.History)
	maps.DeleteFunc(history, func(metric string, _ []scale.Point) bool { return asked[metric] == 0 })
	if history == nil {
		history = make(map[string][]scale.Point, len(asked))
	}
	for _, s := range samples {
		window := asked[s.Metric]
		if window == 0 {
			continue
		}
		points := history[s.Metric]
		if s.Known() && !math.IsNaN(s.Value) && !math.IsInf(s.Value, 0) {
			at := s.At
			if at.IsZero() || at.After(now) {
				at = now
			}
			points = record(points, scale.Point{At: at, Value: s.Value}, window, now)
		} else {
			points = past(points, now)
		}
		if len(points) > 0 {
			history[s.Metric] = points
		} else {
			delete(history, s.Metric)
		}
	}
	d.History = history
	return d
}

// past returns the points without those of the future.
func past(points []scale.Point, now time.Time) []scale.Point {
	if slices.ContainsFunc(points, func(p scale.Point) bool { return p.At.After(now) }) {
		return slices.DeleteFunc(slices.Clone(points), func(p scale.Point) bool { return p.At.After(now) })
	}
	return points
}

// record returns the points, which stay as they are, with one more. A reading that is
// there already, such as one that several passes share, is not added again.
func record(points []scale.Point, p scale.Point, window time.Duration, now time.Time) []scale.Point {
	points = past(points, now)
	n := len(points)
	if n > 0 && !p.At.After(points[n-1].At) {
		return points
	}
	kept := make([]scale.Point, n, n+1)
	copy(kept, points)
	if n > 1 && kept[n-1].At.Sub(kept[n-2].At) < window/maxPoints {
		kept = kept[:n-1] // the newest is always kept
	}
	kept = append(kept, p)
	return slices.Clip(expr.Recent(kept, window))
}

// known returns the values of the metrics that have one.
func known(samples []scale.Sample) map[string]float64 {
	values := make(map[string]float64, len(samples))
	for _, s := range samples {
		if s.Known() {
			values[s.Metric] = s.Value
		}
	}
	return values
}
