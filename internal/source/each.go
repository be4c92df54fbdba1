package source

import (
	"context"
	"slices"
	"sync"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Each asks once for every app, at most limit of them at a time, and returns
// when all have been answered. It is for sources that cannot ask for all apps
// in one request. When ctx ends, ask is still called for the apps that are left
// and is expected to fail at once, so that no app goes without a sample.
func Each(
	ctx context.Context, apps []scale.App, limit int, ask func(context.Context, scale.App) scale.Sample,
) map[scale.App]scale.Sample {
	distinct := slices.Compact(slices.Sorted(slices.Values(apps)))
	var (
		group   sync.WaitGroup
		mu      sync.Mutex
		next    int                                               // guarded by mu
		samples = make(map[scale.App]scale.Sample, len(distinct)) // guarded by mu
	)
	for range min(limit, len(distinct)) {
		group.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(distinct) {
					return
				}
				sample := ask(ctx, distinct[i])
				mu.Lock()
				samples[distinct[i]] = sample
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return samples
}

// Same returns the given sample for every app, for sources whose one answer
// holds for all of them.
func Same(apps []scale.App, sample scale.Sample) map[scale.App]scale.Sample {
	samples := make(map[scale.App]scale.Sample, len(apps))
	for _, app := range apps {
		samples[app] = sample
	}
	return samples
}
