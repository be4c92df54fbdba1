package journal

import (
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// How often passes that do not act are recorded. Ten thousand targets that are
// looked at every 15 seconds make 57 million passes a day; these bounds leave most
// of the journal to those that acted.
const (
	SampleEvery  = 15 * time.Minute // of one target
	FailureEvery = 10 * time.Minute // of one target that fails in the same way
	sampleGap    = 6 * time.Second  // between samples of whichever target
)

// Pace says which passes are worth an entry. The zero value is ready for use.
type Pace struct {
	mu      sync.Mutex
	targets map[target]paced // guarded by mu
	sampled time.Time        // guarded by mu; the last sample of all
}

type target struct {
	app   scale.App
	group scale.ProcessGroup
}

type paced struct {
	failure  string // how the target failed last; empty when it does not
	failedAt time.Time
	last     time.Time // the last entry of whatever kind
}

// Keep reports whether a pass is worth an entry and notes that it will have one.
// A pass that acted always is. One that failed is when it failed in another way
// than the pass before, or for a while. One that had nothing to do is now and then,
// and when it is the first after a failure. The failure is an error's text without
// what is different each time.
func (p *Pace) Keep(app scale.App, group scale.ProcessGroup, kind Kind, failure string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := target{app, group}
	t := p.targets[key]
	keep := true
	switch kind {
	case Acted:
		t.failure = ""
	case Failed:
		if keep = failure != t.failure || elapsed(t.failedAt, now, FailureEvery); keep {
			t.failure, t.failedAt = failure, now
		}
	default:
		recovered := t.failure != ""
		t.failure = ""
		keep = recovered || elapsed(t.last, now, SampleEvery) && elapsed(p.sampled, now, sampleGap)
		if keep {
			p.sampled = now
		}
	}
	if keep {
		t.last = now
	}
	if p.targets == nil {
		p.targets = make(map[target]paced)
	}
	p.targets[key] = t
	return keep
}

// elapsed also holds when the clock was set back.
func elapsed(since, now time.Time, d time.Duration) bool {
	return now.Sub(since) >= d || now.Before(since)
}

// Forget drops what is known of a target that is governed no longer.
func (p *Pace) Forget(app scale.App, group scale.ProcessGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.targets, target{app, group})
}
