package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// demoStory is what has happened so far. It computes with what it is told and
// reads no clock.
type demoStory struct {
	start  time.Time
	length time.Duration

	value   float64 // of the metric, as the autoscaler knows it
	known   bool
	want    scale.Count
	decided bool // there was a pass, so that want means something
	regions []demoRegion
	have    scale.Count // as the platform has it
	seen    bool        // the platform answered

	loads, starts []float64 // history, one value each demoSampling
	sampled       int       // values taken so far
	events        []demoEvent
	told          int // number of events so far
	decisions     int
	did           map[string]int // actions that took effect, by verb

	load, machines swing
	mostCreated    int
}

// demoRegion is the Machines of one region by what they do.
type demoRegion struct {
	name                       scale.Region
	started, changing, stopped int
}

// demoEvent is a change that the autoscaler made, or a warning that it gave.
type demoEvent struct {
	at     time.Duration // since the start
	head   string
	reason string
	alarm  bool
}

const (
	demoSampling = 500 * time.Millisecond
	demoHistory  = 60 // samples; as many as the charts are wide
	demoEvents   = 20 // more than fit on a screen
)

func newDemoStory(start time.Time, length time.Duration) *demoStory {
	return &demoStory{start: start, length: length, did: make(map[string]int)}
}

// demoPass is what the demo reads of a pass of the autoscaler.
type demoPass struct {
	Samples []struct {
		Metric  string  `json:"metric"`
		Value   float64 `json:"value"`
		Quality string  `json:"quality"`
	} `json:"samples"`
	Want scale.Count `json:"want"`
}

// pass takes in the autoscaler's last pass.
func (s *demoStory) pass(p demoPass) {
	s.want, s.decided = p.Want, true
	for _, sample := range p.Samples {
		if sample.Metric != demoMetric {
			continue
		}
		if s.known = sample.Quality == scale.Fresh.String(); s.known {
			s.value = sample.Value
			s.load.observe(sample.Value)
		}
	}
}

// platform takes in the Machines that there are.
func (s *demoStory) platform(machines []demoMachine) {
	// A region keeps the place in which it was first seen.
	for i := range s.regions {
		s.regions[i] = demoRegion{name: s.regions[i].name}
	}
	s.have, s.seen = scale.Count{}, true
	for _, m := range machines {
		if m.State == scale.StateDestroying || m.State == scale.StateDestroyed {
			continue
		}
		i := slices.IndexFunc(s.regions, func(r demoRegion) bool { return r.name == m.Region })
		if i < 0 {
			i = len(s.regions)
			s.regions = append(s.regions, demoRegion{name: m.Region})
		}
		switch m.State {
		case scale.StateStarted:
			s.regions[i].started++
			s.have.Started++
		case scale.StateStopped, scale.StateSuspended, scale.StateFailed:
			s.regions[i].stopped++
		default:
			s.regions[i].changing++
		}
		s.have.Created++
	}
	s.machines.observe(float64(s.have.Started))
	s.mostCreated = max(s.mostCreated, s.have.Created)
}

// log takes in an entry of the autoscaler's log: changes, and all that is not
// well.
func (s *demoStory) log(e logEntry) {
	event := demoEvent{at: max(0, e.Time.Sub(s.start))}
	switch {
	case e.Message == "scale":
		s.decisions++
		event.head, event.reason, _ = strings.Cut(e.Decision, ": ")
	case e.Level == "INFO" || e.Level == "DEBUG":
		if e.Message == "action" && e.Result == string(scale.Done) {
			s.did[e.Verb]++
		}
		return
	default:
		event.alarm = true
		event.head = strings.Join(strings.Fields(e.Message+" "+e.Verb+" "+e.Result), " ")
		event.reason = cmp.Or(e.Decision, e.Error, e.Reason)
	}
	s.events = tail(append(s.events, event), demoEvents)
	s.told++
}

// tick records the history up to now.
func (s *demoStory) tick(now time.Time) {
	if !s.seen || now.Sub(s.start) < time.Duration(s.sampled)*demoSampling {
		return
	}
	s.sampled++
	s.loads = tail(append(s.loads, s.value), demoHistory)
	s.starts = tail(append(s.starts, float64(s.have.Started)), demoHistory)
}

// demoOutcome says whether the Machines followed the load.
type demoOutcome int

const (
	demoTooEarly demoOutcome = iota // to tell
	demoFollowed
	demoLost
)

// What counts as following: the load rises and falls by that much at least, and
// by that many the Machines.
const (
	demoLoadSwing    = 60
	demoMachineSwing = 4
)

// verdict tells the story in short, and how it ended.
func (s *demoStory) verdict(now time.Time) (string, demoOutcome) {
	elapsed := now.Sub(s.start)
	text := fmt.Sprintf("In %s: %s %s; Machines started %s, created up to %d.\n", elapsed.Round(time.Second), demoMetric, s.load, s.machines, s.mostCreated)
	text += fmt.Sprintf("Decisions: %d, with %d creates, %d starts, %d stops, %d destroys; reasons above.\n",
		s.decisions, s.did[string(scale.Create)], s.did[string(scale.Start)], s.did[string(scale.Stop)], s.did[string(scale.Destroy)])
	switch {
	case s.load.size() >= demoLoadSwing && s.machines.size() >= demoMachineSwing:
		return text + "The Machines followed the load up and down.", demoFollowed
	case elapsed < demoWave:
		return text + "Too early to tell whether the Machines follow the load: -for 30s is long enough.", demoTooEarly
	case s.load.size() < demoLoadSwing:
		return text + "The load did not rise and fall as it should have.", demoLost
	}
	return text + "The Machines did not follow the load up and down.", demoLost
}

// swing is the greatest rise of a series with a fall after it: the one whose
// smaller part is the greatest.
type swing struct {
	best, now wave
	begun     bool
}

// wave is from where to where a series rose, and to where it fell.
type wave struct{ low, high, after float64 }

// size is the smaller part of the wave, way its whole length.
func (w wave) size() float64 { return min(w.high-w.low, w.high-w.after) }
func (w wave) way() float64  { return w.high - w.low + w.high - w.after }

// observe takes the next value of the series.
func (s *swing) observe(v float64) {
	switch {
	case !s.begun:
		s.now, s.begun = wave{v, v, v}, true
		s.best = s.now
	case v > s.now.high:
		s.now.high, s.now.after = v, v
	default:
		s.now.after = min(s.now.after, v)
	}
	if c := cmp.Compare(s.now.size(), s.best.size()); c > 0 || c == 0 && s.now.way() > s.best.way() {
		s.best = s.now
	}
	if v < s.now.low {
		// What rises from here rises further than from any low before.
		s.now = wave{v, v, v}
	}
}

func (s *swing) size() float64 { return s.best.size() }

// String tells the wave, such as "2 → 9 → 1".
func (s swing) String() string {
	return fmt.Sprintf("%.0f → %.0f → %.0f", s.best.low, s.best.high, s.best.after)
}
