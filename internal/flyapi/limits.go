package flyapi

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// bucket names one token bucket: an action, and what it is done to.
type bucket struct {
	op string
	id string // app, Machine or organization; empty for GraphQL
}

// rule returns the rate per second and the burst of a bucket. The platform
// documents, for the Machines API, one request a second with a burst of three
// for each action and identifier, and five with ten for reading one Machine.
//
// No limit is documented for the org-wide list. It has pages because whoever asks
// is meant to read them one after the other, and at one a second an organization
// of 40,000 Machines would be known only after 40 seconds. Eight a second bring
// that down to four; the platform says so when it is too much, and is then left in
// peace for a while. The rate matters only for full lists: what changed since the
// last time is one page as a rule.
//
// GraphQL has no documented limit either; ten a second is far below what the
// official command line sends.
func (b bucket) rule() (rate.Limit, int) {
	switch b.op {
	case opGraphQL:
		return 10, 20
	case opGetMachine:
		return 5, 10
	case opListOrgMachines:
		return 8, 10
	}
	return 1, 3
}

// limits holds the token buckets in use. A bucket that is full again is the
// same as one never used, so dropping full ones bounds the memory by what was
// called in the last few seconds and loses nothing.
type limits struct {
	mu      sync.Mutex
	buckets map[bucket]*rate.Limiter // guarded by mu
	sweepAt int                      // guarded by mu: size at which full buckets are dropped
}

const smallestSweep = 1024

func newLimits() *limits {
	return &limits{buckets: map[bucket]*rate.Limiter{}, sweepAt: smallestSweep}
}

func (l *limits) reserve(b bucket, now time.Time) *rate.Reservation {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.buckets[b]
	if !ok {
		if len(l.buckets) >= l.sweepAt {
			for key, old := range l.buckets {
				if old.TokensAt(now) >= float64(old.Burst()) {
					delete(l.buckets, key)
				}
			}
			// Doubling keeps the cost of a sweep constant per new bucket.
			l.sweepAt = max(smallestSweep, 2*len(l.buckets))
		}
		limiter = rate.NewLimiter(b.rule())
		l.buckets[b] = limiter
	}
	// Taken under the lock, so that no bucket is dropped between look-up and use.
	return limiter.ReserveN(now, 1)
}

// limitError says that the token would come too late.
type limitError struct {
	wait time.Duration
}

func (e *limitError) Error() string {
	return fmt.Sprintf("the client's own rate limit has no room for another %s, longer than the caller waits", e.wait.Round(time.Millisecond))
}

// wait takes one token of the bucket, waiting for it if need be. It returns a
// *limitError at once when the token would come after the context's deadline,
// and the context's error when that ends first; then no token is used up.
func (l *limits) wait(ctx context.Context, b bucket) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	reservation := l.reserve(b, now)
	delay := reservation.DelayFrom(now)
	if delay == 0 {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(now.Add(delay)) {
		reservation.CancelAt(now)
		return &limitError{wait: delay}
	}
	if err := sleep(ctx, delay); err != nil {
		reservation.Cancel()
		return err
	}
	return nil
}

// sleep waits for d, or returns the context's error as soon as it ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
