package simulate

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// The names of a story's world.
const (
	org     = "acme"
	token   = "t0ken"
	address = "http://fly.sim"
	// byHand marks what people do.
	byHand = "hand"
)

// Story is what happens in one run. It follows from its seed.
type Story struct {
	Seed     uint64
	Interval time.Duration
	Timeout  time.Duration
	PageRows int
	Rules    []rule
	Apps     []sim.AppSpec
	Loads    map[string]sim.Shape // by app
	Episodes []episode
	// Skew is how far the platform's clock is ahead of the program's.
	Skew time.Duration

	ownLag time.Duration // how far an app's own list lags at most
	began  time.Time
	byKey  map[target][]*life
}

// rule is how the process groups of that name are governed, in the apps that match.
type rule struct {
	Apps   string
	Group  string
	policy policy
}

func (r rule) matches(app string) bool {
	ok, err := path.Match(r.Apps, app)
	return err == nil && ok
}

// episode is a time of trouble, after which the targets must be met.
type episode struct {
	lead    time.Duration // before the trouble
	trouble time.Duration
	faults  []sim.Fault
	acts    []act
}

// act is something that happens, at a time from the episode's beginning.
type act struct {
	at   time.Duration
	what string
	do   func(*run)
}

// lives returns the Machines that a target ever had.
func (s *Story) lives(r *record, t target) []*life {
	if s.byKey == nil {
		s.byKey = make(map[target][]*life)
		for _, l := range r.machines {
			s.byKey[l.target] = append(s.byKey[l.target], l)
		}
	}
	return s.byKey[t]
}

// draw is the randomness of a story.
type draw struct{ *rand.Rand }

func newDraw(seed, stream uint64) draw { return draw{rand.New(rand.NewPCG(seed, stream))} }

// chance is true with the probability.
func (d draw) chance(p float64) bool { return d.Float64() < p }

// between returns a duration between the two.
func (d draw) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.Int64N(int64(hi-lo)+1))
}

func pick[T any](d draw, of []T) T { return of[d.IntN(len(of))] }

// oneRead is how many reads of a list pass after one that was wrong, so that whoever
// reads it again gets it whole, also when two targets read it at the same time.
const oneRead = 3

var regions = []string{"iad", "ams", "fra"}

// newStory draws who is there: one of the numbers of apps.
func newStory(seed uint64, apps ...int) (*Story, draw) {
	d := newDraw(seed, 1)
	s := &Story{Seed: seed, Interval: 15 * time.Second, Timeout: 30 * time.Second, PageRows: 1000, Loads: make(map[string]sim.Shape)}
	if d.chance(0.5) {
		s.PageRows = 1 + d.IntN(6)
	}
	s.Rules = []rule{{Apps: "web-*", Group: "app", policy: pick(d, policies)}}
	if d.chance(0.3) {
		s.Rules = append(s.Rules, rule{Apps: "web-*", Group: "worker", policy: pick(d, policies)})
	}
	for i := range pick(d, apps) {
		s.Apps = append(s.Apps, s.app(d, fmt.Sprintf("web-%d", i+1)))
	}
	s.Apps = append(s.Apps, sim.AppSpec{Org: org, App: "other", Machines: []sim.MachineSpec{{Count: 2, Region: "iad", Group: "app"}}})
	return s, d
}

// app draws one app with the Machines of all groups that are governed, and of one
// that is not.
func (s *Story) app(d draw, name string) sim.AppSpec {
	spec := sim.AppSpec{Org: org, App: name, Release: &sim.ReleaseSpec{Version: 1}}
	home := regions[:1+d.IntN(len(regions))]
	for _, r := range s.Rules {
		for n := 1 + d.IntN(6); n > 0; n-- {
			state := scale.StateStarted
			if d.chance(0.4) {
				state = scale.StateStopped
			}
			spec.Machines = append(spec.Machines, sim.MachineSpec{Region: pick(d, home), Group: r.Group, State: state})
		}
	}
	spec.Machines = append(spec.Machines,
		sim.MachineSpec{Region: "iad", Group: "cron"},
		sim.MachineSpec{Region: "iad", Group: "cron", State: scale.StateStopped},
		sim.MachineSpec{Region: "iad", Group: "app", State: scale.StateStopped, Metadata: map[string]string{scale.MetaBuilderID: "b1"}},
	)
	return spec
}

// steps draws a load that stays the same for minutes and then jumps.
func steps(d draw, length, shortest, longest time.Duration) sim.Shape {
	points := []sim.StepPoint{{Value: float64(d.IntN(90))}}
	for at := d.between(shortest, longest); at < length; at += d.between(shortest, longest) {
		points = append(points, sim.StepPoint{At: at, Value: float64(d.IntN(90))})
	}
	return sim.Steps(points...)
}

// ListStory draws a story about lists that are not to be believed: the organization's
// lags, repeats, lacks a region or has empty pages; an app's own is short or empty for
// one read, or lags; answers to creates are lost; and people start, stop, destroy and
// make Machines meanwhile.
func ListStory(seed uint64) *Story {
	s, d := newStory(seed, 1, 2, 2, 3)
	e := episode{lead: d.between(time.Minute, 2*time.Minute), trouble: d.between(15*time.Minute, 25*time.Minute)}
	for _, app := range s.Apps {
		s.Loads[app.App] = steps(d, e.lead+e.trouble, 2*time.Minute, 6*time.Minute)
	}
	const orgList, ownList = "org_machine_list", "machine_list"
	some := func(p float64, f sim.Fault) {
		if d.chance(p) {
			e.faults = append(e.faults, f)
		}
	}
	for range 2 {
		some(0.6, sim.Fault{Kind: sim.FaultStale, Op: orgList, Duration: sim.Duration(d.between(time.Second, 10*time.Second)), Probability: 0.4})
	}
	some(0.5, sim.Fault{Kind: sim.FaultEmptyPage, Op: orgList, Probability: 0.3})
	some(0.5, sim.Fault{Kind: sim.FaultPartial, Op: orgList, Regions: []string{pick(d, regions)}, Probability: 0.15})
	some(0.5, sim.Fault{Kind: sim.FaultRepeat, Op: orgList, Probability: 0.4})
	some(0.2, sim.Fault{Kind: sim.FaultShort, Op: orgList, Probability: 0.1})
	if d.chance(0.7) {
		kind := pick(d, []sim.FaultKind{sim.FaultEmpty, sim.FaultShort, sim.FaultPartial})
		for _, app := range s.Apps {
			e.faults = append(e.faults, sim.Fault{Kind: kind, Op: ownList, App: app.App, Regions: regions[:1], Probability: 0.3, Gap: oneRead})
		}
	}
	if d.chance(0.5) {
		s.ownLag = d.between(time.Second, 8*time.Second)
		e.faults = append(e.faults, sim.Fault{Kind: sim.FaultStale, Op: ownList, Duration: sim.Duration(s.ownLag), Probability: 0.5})
	}
	some(0.5, sim.Fault{Kind: sim.FaultCut, Op: "machine_create", Applied: true, Probability: 0.5})
	some(0.3, sim.Fault{Kind: sim.FaultError, Op: "machine_create", Status: 502, Applied: true, Probability: 0.3})
	some(0.3, sim.Fault{Kind: sim.FaultSlow, Op: "machine_create", Applied: true, Duration: sim.Duration(d.between(8*time.Second, 20*time.Second)), Probability: 0.5})
	if d.chance(0.9) {
		e.people(s, d, d.between(10*time.Second, 90*time.Second))
	}
	e.sort()
	s.Episodes = []episode{e}
	return s
}

func (e *episode) sort() {
	slices.SortStableFunc(e.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
}
