package decide

import (
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Change is how many Machines one pass has changed.
type Change struct {
	At        time.Time `json:"at"`
	Created   int       `json:"created,omitempty"`
	Destroyed int       `json:"destroyed,omitempty"`
	Started   int       `json:"started,omitempty"` // created Machines that boot at once included
	Stopped   int       `json:"stopped,omitempty"` // those destroyed while they ran included
}

// maxChanges bounds the changes kept: when a target is changed more often within the
// longest period, those nearest to each other in time become one.
const maxChanges = 128

// remembered returns the memory with the changes that the policy's rates and budgets
// look back at. A change that seems to lie in the future, because the clock was set
// back, was made now at the latest: to forget it would allow it again.
func (m Memory) remembered(p *policy.Policy, now time.Time) Memory {
	keep := p.Limits.Destroy.Period
	if p.Limits.Destroy.Percent <= 0 {
		keep = 0
	}
	for _, rates := range [...][]policy.Rate{p.Behavior.Up.Rates, p.Behavior.Down.Rates} {
		for _, r := range rates {
			keep = max(keep, r.Period)
		}
	}
	m.Keep = keep
	if len(m.Changes) == 0 {
		return m
	}
	if keep == 0 {
		m.Changes = nil
		return m
	}
	gone := func(c Change) bool { return now.Sub(c.At) >= keep }
	if slices.ContainsFunc(m.Changes, func(c Change) bool { return gone(c) || c.At.After(now) }) {
		m.Changes = slices.DeleteFunc(slices.Clone(m.Changes), gone)
		for i := range m.Changes {
			if m.Changes[i].At.After(now) {
				m.Changes[i].At = now
			}
		}
	}
	return m
}

// within adds up the changes of the period before now.
func (m Memory) within(period time.Duration, now time.Time) Change {
	var sum Change
	for _, c := range m.Changes {
		if now.Sub(c.At) < period {
			sum.add(c)
		}
	}
	return sum
}

func (c *Change) add(other Change) {
	c.Created += other.Created
	c.Destroyed += other.Destroyed
	c.Started += other.Started
	c.Stopped += other.Stopped
}

// changed returns the memory with what the outcomes changed. What was not answered
// counts as changed: it may well have been.
func (m Memory) changed(outcomes []scale.Outcome, now time.Time) Memory {
	if m.Keep == 0 {
		return m
	}
	c := Change{At: now}
	for _, o := range outcomes {
		if o.Result == scale.Done || o.Result == scale.Unknown {
			c.count(o.Action)
		}
	}
	if c == (Change{At: now}) {
		return m
	}
	m.Changes = append(slices.Clip(m.Changes), c)
	if len(m.Changes) > maxChanges {
		m.Changes = mergeNearest(m.Changes)
	}
	return m
}

// count adds one action. A Machine that drains is out of service from the drain on,
// so that what ends it is no further stop.
func (c *Change) count(a scale.Action) {
	switch a.Verb {
	case scale.Create:
		c.Created++
		if a.Launch {
			c.Started++
		}
		return
	case scale.Start, scale.Undrain:
		c.Started++
		return
	case scale.Destroy:
		c.Destroyed++
	case scale.Stop, scale.Suspend, scale.Drain:
	}
	if a.Running {
		c.Stopped++
	}
}

// mergeNearest joins the two changes that are nearest in time, into the later. The
// slice is the caller's own.
func mergeNearest(changes []Change) []Change {
	at := 1
	for i := 2; i < len(changes); i++ {
		if changes[i].At.Sub(changes[i-1].At) < changes[at].At.Sub(changes[at-1].At) {
			at = i
		}
	}
	changes[at].add(changes[at-1])
	return slices.Delete(changes, at-1, at)
}
