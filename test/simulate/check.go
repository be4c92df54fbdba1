package simulate

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	// metricLag is how old a value of the metric may be that a pass begins with: a
	// scrape interval, the time that answers are shared, and that of a slow answer.
	metricLag = 45 * time.Second
	// callGrace is how long after its pass a call that was begun may be sent.
	callGrace = 5 * time.Second
	// answerWait is how long the program waits for an answer, or a little less.
	answerWait = 9 * time.Second
	// writeLag is how long the program takes what it did for what is, whatever lists say.
	writeLag = 11 * time.Second
	// stuckAfter is when a Machine that changes state stops counting as one that runs.
	stuckAfter = 5 * time.Minute
)

// checker holds a record to what must always be true.
type checker struct {
	record *record
	story  *Story
	out    []Violation
}

func (c *checker) fail(at moment, format string, args ...any) {
	c.out = append(c.out, Violation{at.at.Sub(c.story.began), fmt.Sprintf(format, args...)})
}

// mutations checks every mutation that the program made.
func (c *checker) mutations() {
	for i := range c.record.asked {
		m := &c.record.asked[i]
		if !m.ours {
			continue
		}
		switch m.Op {
		case "machine_create", "machine_start", "machine_stop", "machine_destroy":
			c.mutation(i, m)
		case "machine_lease_acquire", "machine_lease_release":
			c.owned(m)
		default:
			c.fail(m.moment, "%s of %s: no such thing is to be done", m.Op, m.Machine)
		}
	}
}

// owned checks that a mutation is about a Machine that is governed.
func (c *checker) owned(m *mutation) (rule, bool) {
	for _, r := range c.story.Rules {
		if r.Group == m.target.group && r.matches(m.target.app) {
			return r, true
		}
	}
	c.fail(m.moment, "%s of Machine %s of %v, which is foreign", m.Op, m.Machine, m.target)
	return rule{}, false
}

// mutation checks one mutation against the platform as it was at any moment since
// the pass that it belongs to began to look: one must justify it.
func (c *checker) mutation(i int, m *mutation) {
	r, ok := c.owned(m)
	if !ok {
		return
	}
	began := c.began(m)
	looked := began.Add(-c.story.ownLag)
	lo, hi := c.wanted(r, m.target, began, m.at)
	moments := c.moments(m.target, looked, m.moment)

	justified := func(why func(at moment, n counts) bool) bool {
		return slices.ContainsFunc(moments, func(at moment) bool { return why(at, c.count(m.target, at, m.at)) })
	}
	now := c.count(m.target, m.moment, m.at)
	switch m.Op {
	case "machine_create":
		if !justified(func(at moment, n counts) bool {
			return n.surely+c.ours(i, m.target, at, "machine_create") <= hi.minCreated
		}) {
			c.fail(m.moment, "Machine %s of %v is one too many: %d exist, and %d are wanted at most", m.Machine, m.target, now.exist, hi.minCreated)
		}
	case "machine_start":
		// What is added comes before what is taken away, so that for a moment there may
		// be both.
		leaving := c.leaving(m) + c.late(i, m)
		if !justified(func(at moment, n counts) bool {
			return n.surelyRun+c.ours(i, m.target, at, "machine_start", "machine_create") <= hi.minStarted+leaving
		}) {
			c.fail(m.moment, "start of Machine %s of %v is one too many: %d run, and %d are wanted at most", m.Machine, m.target, now.mayRun, hi.minStarted)
		}
	case "machine_stop", "machine_destroy":
		c.removal(i, m, lo, moments, justified)
	}
	adds := m.Op == "machine_create" || m.Op == "machine_start"
	for _, p := range c.record.releases[m.target.app] {
		if adds && within(c.record.blind, began) {
			break // nobody could tell that a release was rolled out
		}
		if p.from.Before(looked.Add(-time.Second)) && (p.to.IsZero() || p.to.After(m.at)) && m.at.Sub(p.from) < time.Hour {
			c.fail(m.moment, "%s of Machine %s of %v while a release is rolled out since %s", m.Op, m.Machine, m.target, p.from.Sub(c.story.began))
		}
	}
}

// within reports whether the time is in one of the phases.
func within(phases []phase, at time.Time) bool {
	return slices.ContainsFunc(phases, func(p phase) bool { return !at.Before(p.from) && (p.to.IsZero() || !at.After(p.to)) })
}

// removal checks a stop or a destroy.
func (c *checker) removal(i int, m *mutation, lo want, moments []moment, justified func(func(moment, counts) bool) bool) {
	now := c.count(m.target, m.moment, m.at)
	ran := c.ran(m)
	least := max(lo.maxCreated, lo.minCreated, 1)
	if m.Op == "machine_destroy" {
		if !justified(func(at moment, n counts) bool { return n.exist-c.ours(i, m.target, at, "machine_destroy") >= least }) {
			c.fail(m.moment, "destroy of Machine %s of %v leaves %d, and %d are wanted at least", m.Machine, m.target, now.exist, least)
		}
		if now.exist < 1 {
			c.fail(m.moment, "destroy of Machine %s, the last of %v", m.Machine, m.target)
		}
	}
	// A stop is one by itself, which the ceiling of those that run asks for, or the
	// beginning of a destroy, which that of those that exist does.
	leaves := func(floor int) bool {
		return !ran || justified(func(at moment, n counts) bool { return n.mayRun-c.ours(i, m.target, at, "machine_stop") >= floor })
	}
	alone := leaves(max(lo.maxStarted, lo.minStarted))
	first := leaves(lo.minStarted) && justified(func(at moment, n counts) bool { return n.exist-c.ours(i, m.target, at, "machine_destroy")-1 >= least })
	switch verb := c.planned(m); {
	case m.Op == "machine_destroy":
		alone, first = false, leaves(lo.minStarted)
	case verb == scale.Destroy:
		alone = false
	case verb == scale.Stop:
		first = false
	}
	if !alone && !first {
		c.fail(m.moment, "%s of Machine %s of %v leaves %d of which %d run; wanted are %+v at least", m.Op, m.Machine, m.target, now.exist, now.surelyRun, lo)
	}
	if l := c.record.machines[m.Machine]; !slices.ContainsFunc(moments, func(at moment) bool {
		s, ok := l.at(at)
		return ok && !s.Cordoned
	}) {
		c.fail(m.moment, "%s of Machine %s of %v, which is cordoned", m.Op, m.Machine, m.target)
	}
}

// late returns how many of the program's starts and creates of the last minutes came
// true only after it had stopped waiting for the answer. What it started in their place
// may be too much until they are seen.
func (c *checker) late(i int, m *mutation) int {
	n := 0
	for ; i >= 0 && m.at.Sub(c.record.asked[i].at) < 2*time.Minute; i-- {
		a := &c.record.asked[i]
		if sent := c.record.sent[a.Request]; a.ours && a.target == m.target && (a.Op == "machine_start" || a.Op == "machine_create") && a.at.Sub(sent) > answerWait {
			n++
		}
	}
	return n
}

// leaving returns how many Machines the pass of a mutation destroyed.
func (c *checker) leaving(m *mutation) int {
	n := 0
	for _, p := range c.record.passes[m.target] {
		if p.began.After(m.at) || p.ended.Before(m.at) {
			continue
		}
		for _, o := range p.outcomes {
			if o.Action.Verb == scale.Destroy {
				n++
			}
		}
	}
	return n
}

// ran reports whether the Machine ran until the mutation.
func (c *checker) ran(m *mutation) bool {
	l := c.record.machines[m.Machine]
	s, ok := l.at(moment{m.at, m.seq - 1})
	return ok && mayRun(s)
}

// planned returns the verb by which a pass was to act on the Machine of a mutation;
// empty when the pass came to no end.
func (c *checker) planned(m *mutation) scale.Verb {
	for _, p := range slices.Backward(c.record.passes[m.target]) {
		if p.began.After(m.at) || p.ended.Add(callGrace).Before(m.at) {
			continue
		}
		for _, o := range p.outcomes {
			if string(o.Action.Machine) == m.Machine {
				return o.Action.Verb
			}
		}
	}
	return ""
}

// began returns when the pass began that sent the mutation's request. Of a pass
// that ended in a crash nothing is known but that it was not longer than its
// timeout.
func (c *checker) began(m *mutation) time.Time {
	sent, ok := c.record.sent[m.Request]
	if !ok || sent.IsZero() {
		sent = m.at
	}
	for _, p := range slices.Backward(c.record.passes[m.target]) {
		if !p.began.After(sent) && !p.ended.Add(callGrace).Before(sent) {
			return p.began
		}
	}
	return sent.Add(-c.story.Timeout - callGrace)
}

// wanted returns the least and the most that the policy asked for with the values
// that a pass that began then may have seen until the moment.
func (c *checker) wanted(r rule, t target, began, until time.Time) (lo, hi want) {
	first := true
	from := began.Add(-metricLag)
	values := c.record.values[t.app]
	for i, v := range values {
		if v.at.After(until) {
			break
		}
		if i+1 < len(values) && !values[i+1].at.After(from) {
			continue // replaced before
		}
		w := r.policy.want(v.work)
		if first {
			lo, hi, first = w, w, false
			continue
		}
		lo = want{min(lo.minCreated, w.minCreated), min(lo.maxCreated, w.maxCreated), min(lo.minStarted, w.minStarted), min(lo.maxStarted, w.maxStarted)}
		hi = want{max(hi.minCreated, w.minCreated), max(hi.maxCreated, w.maxCreated), max(hi.minStarted, w.minStarted), max(hi.maxStarted, w.maxStarted)}
	}
	if first { // nothing was scraped yet
		w := r.policy.want(0)
		return w, w
	}
	return lo, hi
}

// moments returns the moment from and those after it at which the target's Machines
// changed, before until.
func (c *checker) moments(t target, from time.Time, until moment) []moment {
	changes := c.record.changes[t]
	first := sort.Search(len(changes), func(i int) bool { return changes[i].at.After(from) })
	out := []moment{{from, 0}}
	if first > 0 {
		out[0].seq = changes[first-1].seq
	}
	for _, at := range changes[first:] {
		if at.seq >= until.seq {
			break
		}
		out = append(out, at)
	}
	return out
}

// ours counts the program's mutations of the kinds in the order after a moment, up
// to and with the i-th.
func (c *checker) ours(i int, t target, after moment, ops ...string) int {
	n := 0
	for ; i >= 0 && c.record.asked[i].seq > after.seq; i-- {
		m := &c.record.asked[i]
		if !m.ours || m.target != t || !slices.Contains(ops, m.Op) {
			continue
		}
		switch {
		case m.Op == "machine_create" && slices.Contains(ops, "machine_start"):
			if s, ok := c.record.machines[m.Machine].at(m.moment); !ok || !s.Launching {
				continue
			}
		case m.Op == "machine_stop" && !c.ran(m):
			continue
		}
		n++
	}
	return n
}

// counts is how many Machines of a target there were, as the program may have
// counted them.
type counts struct {
	exist     int // at most
	surely    int // exist, at least
	mayRun    int // run, or are about to, at most
	surelyRun int // at least
}

// count counts the target's Machines at a moment, to be judged at the time now.
func (c *checker) count(t target, at moment, now time.Time) counts {
	var n counts
	for _, l := range c.story.lives(c.record, t) {
		s, ok := l.at(at)
		if !ok || s.State == scale.StateDestroying || s.State == scale.StateDestroyed {
			continue
		}
		n.exist++
		if s.HostStatus == scale.HostOK {
			n.surely++
		}
		if s.HostStatus != scale.HostOK || s.Cordoned {
			continue
		}
		if mayRun(s) {
			n.mayRun++
			if c.stopped(l.id, at) {
				continue // a list may lag that long, and what it shows be from before
			}
			if s.State == scale.StateStarted || now.Sub(s.UpdatedAt) < stuckAfter && (s.State != scale.StateCreated || s.Launching) {
				n.surelyRun++
			}
		}
	}
	return n
}

// stopped reports whether the program stopped the Machine a moment before.
func (c *checker) stopped(id string, at moment) bool {
	asked := c.record.asked
	i := sort.Search(len(asked), func(i int) bool { return asked[i].seq > at.seq })
	for i--; i >= 0 && at.at.Sub(asked[i].at) < writeLag; i-- {
		if m := &asked[i]; m.ours && m.Machine == id && m.Op == "machine_stop" {
			return true
		}
	}
	return false
}

// mayRun reports whether a Machine counts as one that runs.
func mayRun(s state) bool {
	switch s.State {
	case scale.StateStarted, scale.StateStarting, scale.StateRestarting, scale.StateReplacing, scale.StateUpdating:
		return true
	case scale.StateCreated:
		return s.Launching || s.Metadata[scale.MetaNotLaunched] == ""
	}
	return false
}

// at returns what the Machine was at the moment; false before it was made.
func (l *life) at(at moment) (state, bool) {
	i := sort.Search(len(l.past), func(i int) bool { return l.past[i].seq > at.seq })
	if i == 0 {
		return state{}, false
	}
	return l.past[i-1], true
}
