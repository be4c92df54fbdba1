package flysim

import (
	"sync"
	"time"
)

// bucket is a token bucket: one token per interval, up to burst.
type bucket struct {
	interval time.Duration
	burst    int
}

// The platform's documented limits: each action per Machine, or per app where
// there is no Machine yet; reading one Machine; deleting apps.
var (
	perAction = bucket{time.Second, 3}
	perGet    = bucket{time.Second / 5, 10}
	perDelete = bucket{time.Minute / 100, 100}
)

// limiter holds calls to the limits. A bucket is kept as the one moment until
// which its tokens are spoken for.
type limiter struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu
	prune int                  // guarded by mu: size at which idle buckets are dropped
}

func newLimiter() *limiter {
	return &limiter{until: make(map[string]time.Time), prune: 1 << 14}
}

// take takes a token for the call, and returns how long to wait when there is
// none.
func (l *limiter) take(c *call, now time.Time) time.Duration {
	var b bucket
	var key string
	switch {
	case c.op == "app_delete":
		b, key = perDelete, c.op
	case c.op == "machine_get":
		b, key = perGet, c.op+" "+c.machine
	case c.machine != "":
		b, key = perAction, c.op+" "+c.machine
	case c.app != "":
		b, key = perAction, c.op+" "+c.app
	default:
		return 0 // no limit is documented
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	until := l.until[key]
	if until.Before(now) {
		until = now
	}
	if ahead := until.Sub(now) - time.Duration(b.burst-1)*b.interval; ahead > 0 {
		return ahead
	}
	l.until[key] = until.Add(b.interval)
	if len(l.until) >= l.prune {
		for k, t := range l.until {
			if !t.After(now) {
				delete(l.until, k)
			}
		}
		l.prune = max(2*len(l.until), 1<<14)
	}
	return 0
}
