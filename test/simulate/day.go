package simulate

import (
	"net/http"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// DayStory draws a story of that many hours about everything that may go wrong: calls
// that fail, hang, come late or lose their answers, lists and metrics that are not to
// be believed, regions without room, hosts out of reach, Machines that get stuck,
// deploys, people, clocks that differ, and the program's own crashes and restarts.
func DayStory(seed uint64, hours float64) *Story {
	s, d := newStory(seed, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3)
	if len(s.Apps) == 2 && d.chance(0.7) {
		s.Rules[0].Apps = "web-1" // by name, so that the organization is not watched
		s.Rules = s.Rules[:1]
	}
	s.Interval = pick(d, []time.Duration{15 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, time.Minute})
	if d.chance(0.3) {
		s.Skew = d.between(0, 6*time.Minute) - 3*time.Minute
	}
	length := time.Duration(hours * float64(time.Hour))
	for _, app := range s.Apps {
		s.Loads[app.App] = load(d, length)
	}
	var played time.Duration
	for played < length {
		e := s.trouble(d)
		played += e.lead + e.trouble + 5*time.Minute
		s.Episodes = append(s.Episodes, e)
	}
	return s
}

// load draws how the metric of an app goes over the day.
func load(d draw, length time.Duration) sim.Shape {
	switch d.IntN(5) {
	case 0:
		return sim.Constant(float64(d.IntN(80)))
	case 1:
		return sim.Sine(0, float64(20+d.IntN(70)), d.between(time.Hour, 24*time.Hour), d.between(0, 24*time.Hour))
	case 2:
		return sim.Sum(sim.Constant(float64(d.IntN(20))), sim.Pulse(0, float64(20+d.IntN(60)), d.between(0, time.Hour), d.between(time.Minute, 30*time.Minute), d.between(time.Hour, 4*time.Hour)))
	case 3:
		return sim.Sum(sim.Sine(0, 40, 3*time.Hour, d.between(0, 3*time.Hour)), sim.Ramp(0, float64(d.IntN(40)), d.between(0, length), d.between(time.Minute, time.Hour)))
	}
	return steps(d, length, 3*time.Minute, 2*time.Hour)
}

// trouble draws one episode.
func (s *Story) trouble(d draw) episode {
	e := episode{lead: d.between(2*time.Minute, 40*time.Minute), trouble: d.between(3*time.Minute, 25*time.Minute)}
	for range 1 + d.IntN(4) {
		pick(d, troubles)(s, &e, d)
	}
	e.sort()
	return e
}

// troubles are the kinds of trouble, the more frequent ones several times.
var troubles = []func(*Story, *episode, draw){
	calls, calls, calls, lateCalls, orgLists, ownLists, ownListLags, metrics, metrics, noRoom, hosts, stuck,
	byPeople, byPeople, deploys, crashes, crashes, restarts, clocks,
}

// fault adds a fault that lasts for the episode, or for a part of it.
func (e *episode) fault(d draw, f sim.Fault) {
	if d.chance(0.5) {
		f.After = sim.Duration(d.between(0, e.trouble/2))
		f.For = sim.Duration(d.between(10*time.Second, e.trouble))
	}
	if f.Probability == 0 {
		f.Probability = pick(d, []float64{0.05, 0.2, 0.5, 1})
	}
	e.faults = append(e.faults, f)
}

// anyCall are the operations that calls of the program fall under.
var anyCall = []string{
	"*", "machine_*", "machine_create", "machine_create", "machine_start", "machine_stop", "machine_destroy", "machine_get", "machine_list",
	"machine_lease_acquire", "machine_lease_release", "org_machine_list", "graphql",
}

// calls has calls fail, with and without effect.
func calls(_ *Story, e *episode, d draw) {
	f := sim.Fault{Op: pick(d, anyCall), Applied: d.chance(0.5)}
	switch d.IntN(4) {
	case 0:
		f.Kind = sim.FaultCut
	case 1:
		f.Kind = sim.FaultHang
		if d.chance(0.5) {
			f.Duration = sim.Duration(d.between(time.Second, 40*time.Second))
		}
	default:
		f.Kind, f.Status = sim.FaultError, pick(d, []int{
			http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
			http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusForbidden,
		})
		if f.Status == http.StatusTooManyRequests || f.Status == http.StatusUnauthorized || f.Status == http.StatusForbidden {
			f.Applied = false // such an answer says that nothing was done
		}
	}
	e.fault(d, f)
}

// lateCalls has calls answered late, and some take effect when nobody waits for them
// any more.
func lateCalls(_ *Story, e *episode, d draw) {
	e.fault(d, sim.Fault{Kind: sim.FaultSlow, Op: pick(d, anyCall), Applied: d.chance(0.5), Duration: sim.Duration(d.between(200*time.Millisecond, 20*time.Second))})
}

// orgLists has the organization's list be wrong.
func orgLists(_ *Story, e *episode, d draw) {
	const op = "org_machine_list"
	e.fault(d, pick(d, []sim.Fault{
		{Kind: sim.FaultStale, Op: op, Duration: sim.Duration(d.between(time.Second, 30*time.Second))},
		{Kind: sim.FaultEmptyPage, Op: op, Probability: 0.3},
		{Kind: sim.FaultPartial, Op: op, Regions: []string{pick(d, regions)}},
		{Kind: sim.FaultRepeat, Op: op},
		{Kind: sim.FaultShort, Op: op, Probability: 0.2},
		{Kind: sim.FaultEmpty, Op: op, Probability: 0.2},
	}))
}

// ownLists has an app's own list be wrong, for one read at a time.
func ownLists(s *Story, e *episode, d draw) {
	kind := pick(d, []sim.FaultKind{sim.FaultEmpty, sim.FaultShort, sim.FaultPartial})
	for _, f := range e.faults {
		if f.Gap > 0 {
			return // two such faults would strike two reads in a row
		}
	}
	for _, app := range s.Apps {
		e.faults = append(e.faults, sim.Fault{Kind: kind, Op: "machine_list", App: app.App, Regions: regions[:1], Probability: 0.3, Gap: oneRead})
	}
}

// ownListLags has an app's own list lag.
func ownListLags(s *Story, e *episode, d draw) {
	lag := d.between(time.Second, 8*time.Second)
	s.ownLag = max(s.ownLag, lag)
	e.fault(d, sim.Fault{Kind: sim.FaultStale, Op: "machine_list", Duration: sim.Duration(lag)})
}

// metrics has the metrics fail, be late or be nonsense.
func metrics(_ *Story, e *episode, d draw) {
	const op = "prometheus_query"
	e.fault(d, pick(d, []sim.Fault{
		{Kind: sim.FaultError, Op: op, Status: pick(d, []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusUnauthorized})},
		{Kind: sim.FaultCut, Op: op},
		{Kind: sim.FaultHang, Op: op},
		{Kind: sim.FaultSlow, Op: op, Duration: sim.Duration(d.between(time.Second, 20*time.Second))},
		{Kind: sim.FaultEmpty, Op: op},
		{Kind: sim.FaultNaN, Op: op},
		{Kind: sim.FaultInf, Op: op},
		{Kind: sim.FaultSeveral, Op: op},
		{Kind: sim.FaultGarbage, Op: op},
	}))
}

// noRoom has a region refuse for lack of capacity.
func noRoom(_ *Story, e *episode, d draw) {
	if d.chance(0.5) {
		e.fault(d, sim.Fault{Kind: sim.FaultCapacity, Op: "machine_create", Region: pick(d, append([]string{"*"}, regions...)), Status: pick(d, []int{http.StatusUnprocessableEntity, http.StatusConflict})})
		return
	}
	limit := sim.Capacity{Region: pick(d, regions), Max: d.IntN(6), Starts: d.chance(0.3)}
	e.acts = append(e.acts, act{e.lead, "region without room", func(r *run) { r.try(nil, r.world.SetCapacity(limit)) }})
}

// stuck has Machines take long to boot.
func stuck(_ *Story, e *episode, d draw) {
	f := sim.Fault{Kind: sim.FaultStuck, Op: "machine_boot", Duration: sim.Duration(d.between(10*time.Second, 8*time.Minute)), State: "created"}
	if d.chance(0.5) {
		f.State = "starting"
	}
	e.fault(d, f)
}

// byPeople has people do things by hand.
func byPeople(s *Story, e *episode, d draw) { e.people(s, d, d.between(30*time.Second, 5*time.Minute)) }

// crashes has the program die in the middle of something, and start again with
// nothing remembered.
func crashes(_ *Story, e *episode, d draw) {
	for range 1 + d.IntN(3) {
		f := fuse{after: d.chance(0.5), change: d.chance(0.7)}
		if f.calls = d.IntN(6); !f.change {
			f.calls = d.IntN(40)
		}
		pause := d.between(time.Second, 20*time.Second)
		e.acts = append(e.acts, act{e.lead + d.between(0, e.trouble), "set to crash", func(r *run) { r.crash(f, pause) }})
	}
}

// restarts has the program stopped as SIGTERM does, and started again.
func restarts(_ *Story, e *episode, d draw) {
	pause := d.between(0, 10*time.Second)
	e.acts = append(e.acts, act{e.lead + d.between(0, e.trouble), "restart", func(r *run) { r.restart(pause) }})
}

// clocks has the platform's clock set forward.
func clocks(_ *Story, e *episode, d draw) {
	step := d.between(time.Second, 2*time.Minute)
	e.acts = append(e.acts, act{e.lead + d.between(0, e.trouble), "clock set forward", func(r *run) { r.setForward(step) }})
}

// hosts has hosts get out of reach.
func hosts(s *Story, e *episode, d draw) {
	t := target{s.Apps[d.IntN(len(s.Apps)-1)].App, pick(d, s.Rules).Group}
	dice, at := newDraw(s.Seed, d.Uint64()), e.lead+d.between(0, e.trouble)
	e.acts = append(e.acts, act{at, "host out of reach", func(r *run) { r.loseHost(dice, t) }})
	if d.chance(0.5) {
		e.acts = append(e.acts, act{at + d.between(0, e.lead+e.trouble-at), "hosts back", func(r *run) { r.hostsBack() }})
	}
}

// deploys has an app deployed; some deploys fail half-way and are made again.
func deploys(s *Story, e *episode, d draw) {
	app := s.Apps[d.IntN(len(s.Apps)-1)].App
	dice := newDraw(s.Seed, d.Uint64())
	e.acts = append(e.acts, act{e.lead + d.between(0, e.trouble), "deploy", func(r *run) { r.deploy(dice, app) }})
}
