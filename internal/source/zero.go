package source

import (
	"context"
	"maps"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// EmptyIsZero returns a Source that takes an answer of s without a value for the
// number 0. A question that was not answered stays one without a value.
func EmptyIsZero(s Source) Source { return emptyIsZero{s} }

type emptyIsZero struct{ Source }

// Collect implements Source.
func (e emptyIsZero) Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	samples := maps.Clone(e.Source.Collect(ctx, apps))
	for app, s := range samples {
		if s.Quality == scale.Empty {
			samples[app] = scale.Sample{Metric: s.Metric, At: s.At, Quality: scale.Fresh}
		}
	}
	return samples
}
