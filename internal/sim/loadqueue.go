package sim

import (
	"cmp"
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

const defaultQueueMetric = "queue_depth"

// maxWaiting bounds the jobs that wait. What arrives beyond it is rejected and
// counted, as real queues do, so that a scenario whose app never scales cannot
// take all memory.
const maxWaiting = 1_000_000

// QueueLoad is jobs that arrive by a shape, wait in order of arrival, and are
// taken by started Machines of one group, a bounded number at a time each. The
// Machine that has been idle longest gets the next job, as with workers that
// block on a queue.
//
// A Machine that stops kills its jobs: they go back to the front of the queue
// and begin again, with the same length, on another Machine.
//
// At any time: arrived = done + waiting + in flight + rejected.
type QueueLoad struct {
	metric   string
	labels   labels.Labels
	arrivals Shape
	group    string
	slots    int
	service  ServiceSpec
	rng      *rand.Rand
	start    time.Time

	now     time.Time
	waiting jobQueue
	workers map[string]*worker
	order   []*worker // by ID
	idle    []*worker // by time since when, once per free slot
	running runningJobs
	seq     uint64

	stats QueueStats
	waits waitHistogram
}

// QueueStats counts a queue's jobs since it began.
type QueueStats struct {
	Arrived, Done, Killed, Rejected uint64
	Waiting, InFlight               int
	Service                         time.Duration // of all jobs done, together
}

type job struct {
	arrived time.Time
	length  time.Duration
}

type worker struct {
	machine LoadMachine
	labels  labels.Labels
	running int
	gone    bool
}

// newQueueLoad makes a queue from a valid specification.
func newQueueLoad(spec *QueueSpec, arrivals Shape, rng *rand.Rand, start time.Time) *QueueLoad {
	return &QueueLoad{
		metric:   cmp.Or(spec.Metric, defaultQueueMetric),
		labels:   labels.FromMap(spec.Labels),
		arrivals: arrivals,
		group:    cmp.Or(spec.Group, DefaultGroup),
		slots:    cmp.Or(spec.Slots, 1),
		service:  spec.Service,
		rng:      rng,
		start:    start,
		now:      start,
		workers:  map[string]*worker{},
	}
}

// Step implements Load.
func (q *QueueLoad) Step(now time.Time, machines []LoadMachine) {
	started := startedInGroup(machines, q.group)
	q.dropStopped(started)
	if now.After(q.now) {
		q.work(now)
	}
	q.addStarted(started)
	q.dispatch()
}

// work plays all arrivals and completions until now, in order of time.
func (q *QueueLoad) work(now time.Time) {
	length := now.Sub(q.now)
	middle := q.now.Add(length / 2).Sub(q.start)
	arrivals := make([]time.Time, poisson(q.rng, q.arrivals(middle)*length.Seconds()))
	for i := range arrivals {
		arrivals[i] = q.now.Add(time.Duration(q.rng.Float64() * float64(length)))
	}
	slices.SortFunc(arrivals, time.Time.Compare)
	for {
		q.dispatch()
		arrives := len(arrivals) > 0
		finishes := len(q.running) > 0 && !q.running[0].finish.After(now)
		switch {
		case finishes && (!arrives || !q.running[0].finish.After(arrivals[0])):
			q.finish()
		case arrives:
			q.now = arrivals[0]
			arrivals = arrivals[1:]
			q.arrive()
		default:
			q.now = now
			return
		}
	}
}

func (q *QueueLoad) arrive() {
	q.stats.Arrived++
	length := q.draw()
	if q.waiting.len() >= maxWaiting {
		q.stats.Rejected++
		return
	}
	q.waiting.pushBack(job{arrived: q.now, length: length})
}

// draw returns the length of one job.
func (q *QueueLoad) draw() time.Duration {
	if q.service.SD == 0 {
		return q.service.Mean
	}
	mean, sd := q.service.Mean.Seconds(), q.service.SD.Seconds()
	variance := math.Log1p(sd * sd / (mean * mean))
	seconds := math.Exp(math.Log(mean) - variance/2 + math.Sqrt(variance)*q.rng.NormFloat64())
	return time.Duration(seconds * float64(time.Second))
}

func (q *QueueLoad) finish() {
	done := heap.Pop(&q.running).(runningJob)
	q.now = done.finish
	q.stats.Done++
	q.stats.Service += done.job.length
	q.waits.add(done.finish.Sub(done.job.arrived) - done.job.length)
	done.worker.running--
	q.idle = append(q.idle, done.worker)
}

// dispatch gives waiting jobs to idle Machines.
func (q *QueueLoad) dispatch() {
	for len(q.idle) > 0 && q.waiting.len() > 0 {
		to := q.idle[0]
		q.idle = q.idle[1:]
		to.running++
		next := q.waiting.popFront()
		q.seq++
		heap.Push(&q.running, runningJob{job: next, finish: q.now.Add(next.length), worker: to, seq: q.seq})
	}
}

// dropStopped forgets Machines that are no longer started, or that restarted
// since, and puts their jobs back.
func (q *QueueLoad) dropStopped(started []LoadMachine) {
	dropped := false
	for _, w := range q.order {
		i, found := slices.BinarySearchFunc(started, w.machine.ID, func(m LoadMachine, id string) int { return cmp.Compare(m.ID, id) })
		if !found || !started[i].StartedAt.Equal(w.machine.StartedAt) {
			w.gone, dropped = true, true
			delete(q.workers, w.machine.ID)
		}
	}
	if !dropped {
		return
	}
	gone := func(w *worker) bool { return w.gone }
	q.order = slices.DeleteFunc(q.order, gone)
	q.idle = slices.DeleteFunc(q.idle, gone)
	var killed []job
	q.running = slices.DeleteFunc(q.running, func(r runningJob) bool {
		if r.worker.gone {
			killed = append(killed, r.job)
		}
		return r.worker.gone
	})
	heap.Init(&q.running)
	// Jobs in flight arrived before all that wait, so putting the youngest back
	// first keeps the queue in order of arrival.
	slices.SortFunc(killed, func(a, b job) int {
		return cmp.Or(b.arrived.Compare(a.arrived), cmp.Compare(b.length, a.length))
	})
	for _, j := range killed {
		q.stats.Killed++
		q.waiting.pushFront(j)
	}
}

func (q *QueueLoad) addStarted(started []LoadMachine) {
	before := len(q.order)
	for _, m := range started {
		if q.workers[m.ID] != nil {
			continue
		}
		w := &worker{machine: m, labels: machineLabels(m, q.labelPairs()...)}
		q.workers[m.ID] = w
		q.order = append(q.order, w)
		for range q.slots {
			q.idle = append(q.idle, w)
		}
	}
	if len(q.order) > before {
		slices.SortFunc(q.order, func(a, b *worker) int { return cmp.Compare(a.machine.ID, b.machine.ID) })
	}
}

func (q *QueueLoad) labelPairs() []string {
	var pairs []string
	q.labels.Range(func(l labels.Label) { pairs = append(pairs, l.Name, l.Value) })
	return pairs
}

// Series implements Load.
func (q *QueueLoad) Series(now time.Time) []Sample {
	var oldest float64
	if q.waiting.len() > 0 {
		oldest = now.Sub(q.waiting.front().arrived).Seconds()
	}
	samples := make([]Sample, 0, 6+len(q.order))
	for _, s := range []struct {
		name  string
		value float64
	}{
		{q.metric, float64(q.waiting.len())},
		{q.metric + "_in_flight", float64(len(q.running))},
		{"oldest_job_age_seconds", oldest},
		{"jobs_done_total", float64(q.stats.Done)},
		{"jobs_killed_total", float64(q.stats.Killed)},
		{"jobs_rejected_total", float64(q.stats.Rejected)},
	} {
		samples = append(samples, Sample{Name: s.name, Labels: q.labels, Value: s.value})
	}
	for _, w := range q.order {
		samples = append(samples, Sample{Name: "jobs_running", Labels: w.labels, Value: float64(w.running)})
	}
	return samples
}

// Busy implements Load.
func (q *QueueLoad) Busy(machineID string) bool {
	w := q.workers[machineID]
	return w != nil && w.running > 0
}

// Stats returns the counts as of the last step.
func (q *QueueLoad) Stats() QueueStats {
	stats := q.stats
	stats.Waiting, stats.InFlight = q.waiting.len(), len(q.running)
	return stats
}

// Wait returns the q-quantile (0 to 1) of how long done jobs waited before the
// run that finished them began; zero when none is done. It is exact to 5 %
// above 10 ms.
func (q *QueueLoad) Wait(quantile float64) time.Duration { return q.waits.quantile(quantile) }

// runningJob is a job on a Machine.
type runningJob struct {
	job    job
	finish time.Time
	worker *worker
	seq    uint64 // breaks ties, so that the order never depends on the heap's layout
}

// runningJobs is a heap: first to finish first.
type runningJobs []runningJob

func (r runningJobs) Len() int { return len(r) }
func (r runningJobs) Less(i, j int) bool {
	return cmp.Or(r[i].finish.Compare(r[j].finish), cmp.Compare(r[i].seq, r[j].seq)) < 0
}
func (r runningJobs) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r *runningJobs) Push(x any)   { *r = append(*r, x.(runningJob)) }
func (r *runningJobs) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	(*r)[last] = runningJob{}
	*r = (*r)[:last]
	return x
}

// jobQueue is a queue with two ends, in a ring that grows.
type jobQueue struct {
	ring  []job
	first int
	count int
}

func (q *jobQueue) len() int { return q.count }

func (q *jobQueue) front() job { return q.ring[q.first] }

func (q *jobQueue) grow() {
	if q.count < len(q.ring) {
		return
	}
	bigger := make([]job, max(16, 2*len(q.ring)))
	n := copy(bigger, q.ring[q.first:])
	copy(bigger[n:], q.ring[:q.first])
	q.ring, q.first = bigger, 0
}

func (q *jobQueue) pushBack(j job) {
	q.grow()
	q.ring[(q.first+q.count)%len(q.ring)] = j
	q.count++
}

func (q *jobQueue) pushFront(j job) {
	q.grow()
	q.first = (q.first + len(q.ring) - 1) % len(q.ring)
	q.ring[q.first] = j
	q.count++
}

func (q *jobQueue) popFront() job {
	j := q.ring[q.first]
	q.ring[q.first] = job{}
	q.first = (q.first + 1) % len(q.ring)
	q.count--
	return j
}

// waitHistogram counts waits in buckets each 5 % wider than the one before.
type waitHistogram struct {
	buckets []uint64 // grown as needed: most queues never see a long wait
	total   uint64
}

const (
	waitUnit   = 10 * time.Millisecond // the first bucket's upper end
	waitGrowth = 1.05
)

func (h *waitHistogram) add(wait time.Duration) {
	i := 0
	if wait > waitUnit {
		i = int(math.Ceil(math.Log(float64(wait)/float64(waitUnit)) / math.Log(waitGrowth)))
	}
	for len(h.buckets) <= i {
		h.buckets = append(h.buckets, 0)
	}
	h.buckets[i]++
	h.total++
}

func (h *waitHistogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(1, uint64(math.Ceil(q*float64(h.total))))
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen >= rank {
			return time.Duration(float64(waitUnit) * math.Pow(waitGrowth, float64(i)))
		}
	}
	return time.Duration(float64(waitUnit) * math.Pow(waitGrowth, float64(len(h.buckets)-1)))
}
