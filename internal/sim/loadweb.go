package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

const defaultLatency = 100 * time.Millisecond

// roundTripPerKilometre is how much network distance costs a user: light in
// fibre there and back, times one and a half for paths that are not straight.
const roundTripPerKilometre = 15 * time.Microsecond

// WebLoad is requests that enter at the region nearest to each user and are
// answered by started Machines of one group that are not cordoned: those in the nearest region
// first, then, when their capacity is used up, those in the next. What no
// Machine can answer gets a 503 at the edge.
//
// The gauge of requests in flight per Machine counts all that were sent there,
// so that a load beyond capacity can be seen.
type WebLoad struct {
	requests Shape
	group    string
	latency  time.Duration
	capacity float64 // requests per second per Machine; 0 is no limit
	errors   float64
	gauge    string
	rng      *rand.Rand
	start    time.Time

	now      time.Time
	edges    []*webEdge // by region
	machines []*webMachine
	turn     int // whose turn it is to get the odd request
	stats    WebStats
}

// WebStats counts requests since the load began.
type WebStats struct {
	Requests  uint64        // all that users sent
	Failed    uint64        // answered with 500
	Unserved  uint64        // answered with 503, for want of a Machine
	RoundTrip time.Duration // network time of all requests that reached a Machine, together
}

type webEdge struct {
	region string
	share  float64 // of all requests, 0 to 1
	counts statusCounts
	labels statusLabels
}

type webMachine struct {
	machine  LoadMachine
	counts   statusCounts
	labels   statusLabels
	own      labels.Labels
	sent     int     // requests of the last step
	rate     float64 // of the last step, per second
	servable int     // requests that still fit into this step
}

// The answers that are counted.
const (
	answered = iota
	failed
	unserved
	statuses
)

type (
	statusCounts [statuses]uint64
	statusLabels [statuses]labels.Labels
)

var statusNames = [statuses]string{"200", "500", "503"}

// newWebLoad makes a load from a valid specification.
func newWebLoad(spec *WebSpec, requests Shape, rng *rand.Rand, start time.Time) *WebLoad {
	w := &WebLoad{
		requests: requests,
		group:    cmp.Or(spec.Group, DefaultGroup),
		latency:  cmp.Or(spec.Latency, defaultLatency),
		capacity: spec.Capacity,
		errors:   spec.Errors,
		gauge:    spec.Gauge,
		rng:      rng,
		start:    start,
		now:      start,
	}
	var total float64
	for _, region := range sortedKeys(spec.Regions) {
		total += spec.Regions[region]
	}
	for _, region := range sortedKeys(spec.Regions) {
		edge := &webEdge{region: region, share: spec.Regions[region] / total}
		for i, status := range statusNames {
			edge.labels[i] = labels.FromStrings("host", Host("edge-"+region), "proxy_id", "blue", "region", region, "status", status)
		}
		w.edges = append(w.edges, edge)
	}
	return w
}

// Step implements Load.
func (w *WebLoad) Step(now time.Time, machines []LoadMachine) {
	started := startedInGroup(machines, w.group)
	started = slices.DeleteFunc(started, func(m LoadMachine) bool { return m.Cordoned })
	w.machines = slices.DeleteFunc(w.machines, func(m *webMachine) bool {
		i, found := slices.BinarySearchFunc(started, m.machine.ID, func(m LoadMachine, id string) int { return cmp.Compare(m.ID, id) })
		return !found || !started[i].StartedAt.Equal(m.machine.StartedAt)
	})
	if now.After(w.now) {
		w.serve(now)
	}
	w.addStarted(started)
}

func (w *WebLoad) addStarted(started []LoadMachine) {
	have := w.machines
	w.machines = make([]*webMachine, len(started))
	for i, m := range started {
		if len(have) > 0 && have[0].machine.ID == m.ID {
			w.machines[i], have = have[0], have[1:]
			continue
		}
		added := &webMachine{machine: m, own: machineLabels(m)}
		for s, status := range statusNames {
			added.labels[s] = machineLabels(m, "status", status)
		}
		w.machines[i] = added
	}
}

// serve plays the requests from the last step until now.
func (w *WebLoad) serve(now time.Time) {
	length := now.Sub(w.now)
	rate := w.requests(w.now.Add(length / 2).Sub(w.start))
	for _, m := range w.machines {
		m.sent, m.servable = 0, math.MaxInt
		if w.capacity > 0 {
			m.servable = int(math.Round(w.capacity * length.Seconds()))
		}
	}
	for _, edge := range w.edges {
		arrived := poisson(w.rng, rate*edge.share*length.Seconds())
		w.stats.Requests += uint64(arrived)
		left := w.route(edge, arrived)
		edge.counts[unserved] += uint64(left)
		w.stats.Unserved += uint64(left)
	}
	for _, m := range w.machines {
		m.rate = float64(m.sent) / length.Seconds()
	}
	w.now = now
}

// route sends requests of an edge to Machines, the nearest first, and returns
// how many found none. What does not fit is counted as sent to the nearest, as
// it is there that requests queue.
func (w *WebLoad) route(edge *webEdge, requests int) (left int) {
	left = requests
	byDistance := w.byDistance(edge.region)
	for len(byDistance) > 0 && left > 0 {
		near := 1
		for near < len(byDistance) && byDistance[near].machine.Region == byDistance[0].machine.Region {
			near++
		}
		left -= w.spread(edge, byDistance[:near], left)
		byDistance = byDistance[near:]
	}
	if nearest := w.byDistance(edge.region); left > 0 && len(nearest) > 0 {
		nearest[0].sent += left
	}
	return left
}

// byDistance returns the Machines, those nearest to a region first.
func (w *WebLoad) byDistance(region string) []*webMachine {
	sorted := slices.Clone(w.machines)
	slices.SortStableFunc(sorted, func(a, b *webMachine) int {
		return cmp.Or(
			cmp.Compare(distance(region, a.machine.Region), distance(region, b.machine.Region)),
			cmp.Compare(a.machine.Region, b.machine.Region),
		)
	})
	return sorted
}

// spread divides requests evenly among Machines of one region, as far as they
// have capacity, and returns how many it placed.
func (w *WebLoad) spread(edge *webEdge, machines []*webMachine, requests int) (placed int) {
	for placed < requests {
		var open []*webMachine
		for _, m := range machines {
			if m.servable > 0 {
				open = append(open, m)
			}
		}
		if len(open) == 0 {
			return placed
		}
		each, odd := (requests-placed)/len(open), (requests-placed)%len(open)
		for i := range open {
			m := open[(i+w.turn)%len(open)]
			n := each
			if i < odd {
				n++
			}
			n = min(n, m.servable)
			w.answer(edge, m, n)
			placed += n
		}
		w.turn += odd
	}
	return placed
}

// answer counts requests of an edge that a Machine answers.
func (w *WebLoad) answer(edge *webEdge, m *webMachine, n int) {
	wrong := min(n, poisson(w.rng, float64(n)*w.errors))
	for _, counts := range []*statusCounts{&edge.counts, &m.counts} {
		counts[answered] += uint64(n - wrong)
		counts[failed] += uint64(wrong)
	}
	m.sent += n
	m.servable -= n
	w.stats.Failed += uint64(wrong)
	w.stats.RoundTrip += time.Duration(n) * time.Duration(distance(edge.region, m.machine.Region)*float64(roundTripPerKilometre))
}

// Series implements Load. An answer that never came has no series.
func (w *WebLoad) Series(time.Time) []Sample {
	var samples []Sample
	add := func(name string, counts statusCounts, set statusLabels) {
		for i, n := range counts {
			if n > 0 || i == answered {
				samples = append(samples, Sample{Name: name, Labels: set[i], Value: float64(n)})
			}
		}
	}
	for _, edge := range w.edges {
		add("fly_edge_http_responses_count", edge.counts, edge.labels)
	}
	for _, m := range w.machines {
		add("fly_app_http_responses_count", m.counts, m.labels)
		inFlight := m.rate * w.latency.Seconds()
		samples = append(samples, Sample{Name: "fly_app_concurrency", Labels: m.own, Value: inFlight})
		if w.gauge != "" {
			samples = append(samples, Sample{Name: w.gauge, Labels: m.own, Value: inFlight})
		}
	}
	return samples
}

// Busy implements Load: a Machine to which requests came in the last step has
// some in flight.
func (w *WebLoad) Busy(machineID string) bool {
	for _, m := range w.machines {
		if m.machine.ID == machineID {
			return m.sent > 0
		}
	}
	return false
}

// Stats returns the counts as of the last step.
func (w *WebLoad) Stats() WebStats { return w.stats }
