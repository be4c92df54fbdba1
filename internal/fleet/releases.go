package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// ReleasesAPI is what Releases needs of the platform.
type ReleasesAPI interface {
	// Releases returns an entry for every app, with Unavailable where the answer
	// could not be had.
	Releases(ctx context.Context, apps []scale.App) (map[scale.App]scale.Release, error)
}

const (
	// gather is how long a question waits for others to go along with. A thousand
	// apps that are to act at the same moment then cost twenty requests.
	gather = 10 * time.Millisecond
	// together is how many questions go in one request.
	together = 100
)

// Releases asks for the releases of many apps in few requests: questions that come
// at about the same time go together.
type Releases struct {
	api    ReleasesAPI
	asking chan struct{} // holds a token while a request is under way

	mu   sync.Mutex
	open *question // guarded by mu; takes further apps
}

// question is one request. The goroutine that opened it makes it, and the others
// wait for it.
type question struct {
	apps    []scale.App // guarded by Releases.mu until it is asked
	full    chan struct{}
	done    chan struct{}
	answers map[scale.App]scale.Release // valid once done is closed
}

// NewReleases returns a Releases that asks api.
func NewReleases(api ReleasesAPI) *Releases {
	return &Releases{api: api, asking: make(chan struct{}, 1)}
}

// Release returns the app's newest release. An error says why it could not be had.
func (r *Releases) Release(ctx context.Context, app scale.App) (scale.Release, error) {
	q, first := r.join(app)
	if first {
		r.ask(ctx, q)
	} else {
		select {
		case <-q.done:
		case <-ctx.Done():
			return scale.Release{}, fmt.Errorf("ask for the release of app %q: %w", app, context.Cause(ctx))
		}
	}
	release := q.answers[app]
	if !release.Known {
		return release, errors.New(cmp.Or(release.Unavailable, "no answer about the release"))
	}
	return release, nil
}

// join adds the app to the open question, or opens one.
func (r *Releases) join(app scale.App) (q *question, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = r.open == nil
	if first {
		r.open = &question{full: make(chan struct{}), done: make(chan struct{})}
	}
	q = r.open
	q.apps = append(q.apps, app)
	if len(q.apps) == together {
		r.open = nil
		close(q.full)
	}
	return q, first
}

// ask waits a moment for others to join, and then makes the request.
func (r *Releases) ask(ctx context.Context, q *question) {
	defer close(q.done)
	timer := time.NewTimer(gather)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.full:
	case <-ctx.Done():
	}
	// One request at a time: while it waits, for its turn or for the answer, further
	// questions come together, so that the more there are, the less each costs.
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
	}
	r.mu.Lock()
	if r.open == q {
		r.open = nil
	}
	r.mu.Unlock()
	// What went wrong is in the answers, for each app.
	q.answers, _ = r.api.Releases(ctx, q.apps)
}
