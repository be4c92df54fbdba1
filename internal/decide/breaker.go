package decide

import (
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
)

// Breaker is the state of a policy's breaker. It is closed until creates fail too
// often, open while none is tried, and after that on trial: the first failure opens it
// again for twice as long, and a Machine that comes up closes it.
//
//	closed ──failures──▶ open ──pause──▶ on trial ──up──▶ closed
//	                      ▲                 │
//	                      └────a failure────┘
type Breaker struct {
	// Watch is how many failures are of interest; 0 when the policy has no breaker.
	Watch int `json:"watch,omitempty"`
	// Failed tells when the last creates failed, in order of time.
	Failed []time.Time `json:"failed,omitempty"`
	// Until is until when no create is tried, and Opened how many times in a row.
	Until  time.Time `json:"until,omitzero"`
	Opened int       `json:"opened,omitempty"`
}

// failed returns the breaker after a create that failed.
func (b Breaker) failed(now time.Time) Breaker {
	if b.Watch == 0 {
		return b
	}
	b.Failed = append(slices.Clip(b.Failed), now)
	if n := len(b.Failed) - b.Watch; n > 0 {
		b.Failed = b.Failed[n:]
	}
	return b
}

// cameUp returns the breaker after a create that led to a Machine.
func (b Breaker) cameUp() Breaker { return Breaker{Watch: b.Watch} }

// judge returns the breaker as it stands now by the policy. A clock that was set back
// lets nothing last longer than the policy's pause.
func (b Breaker) judge(p policy.Breaker, now time.Time) Breaker {
	if p.Failures <= 0 {
		return Breaker{}
	}
	b.Watch = p.Failures
	stale := func(at time.Time) bool { return now.Sub(at) >= p.Within || at.After(now) }
	if slices.ContainsFunc(b.Failed, stale) {
		b.Failed = slices.DeleteFunc(slices.Clone(b.Failed), stale)
	}
	if longest := now.Add(max(p.Pause, p.MaxPause)); b.Until.After(longest) {
		b.Until = longest
	}
	enough := p.Failures
	if b.Opened > 0 {
		enough = 1
	}
	if len(b.Failed) < enough || now.Before(b.Until) {
		return b
	}
	pause := p.Pause
	for range b.Opened {
		if pause *= 2; pause >= p.MaxPause {
			break
		}
	}
	if p.MaxPause > 0 {
		pause = max(p.Pause, min(pause, p.MaxPause))
	}
	// From the failure on, which may have been a while ago.
	b.Until, b.Failed = b.Failed[len(b.Failed)-1].Add(pause), nil
	b.Opened++
	return b
}
