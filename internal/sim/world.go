package sim

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// World is one simulated platform. Its methods may be called from any
// goroutine; every one of them is a single atomic step, and none of them
// moves time except Advance.
type World struct {
	mu sync.Mutex
	// All that follows is guarded by mu.

	now     time.Time
	seed    uint64
	timings Timings
	events  int // of each Machine, at most

	// Separate streams, so that ordering a fault does not change which
	// identifiers later Machines get.
	ids   *rand.Rand
	draws *rand.Rand
	luck  *rand.Rand

	queue    eventQueue
	eventSeq uint64

	orgs       map[string]*org // by slug
	orgList    []*org          // in order of creation
	apps       map[string]*app // by name
	machines   map[string]*machine
	machineSeq uint64
	regions    map[string]*region
	volumes    map[string]*volume
	faults     faultSet
	history    history
	observer   Observer // nil when nobody is told

	loaded     []*app // apps with loads, in order of their first load
	nextStep   time.Time
	scraper    func(now time.Time)
	scrapeEach time.Duration
	nextScrape time.Time
}

// New returns an empty world at its first moment.
func New(cfg Config) *World {
	if cfg.Start.IsZero() {
		cfg.Start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	timings := DefaultTimings()
	if cfg.Timings != nil {
		timings = *cfg.Timings
	}
	if cfg.ScrapeInterval <= 0 {
		cfg.ScrapeInterval = 15 * time.Second
	}
	w := &World{
		now:        cfg.Start.UTC().Round(0),
		seed:       cfg.Seed,
		timings:    timings,
		events:     maxEvents,
		ids:        rand.New(rand.NewPCG(cfg.Seed, 1)),
		draws:      rand.New(rand.NewPCG(cfg.Seed, 2)),
		luck:       rand.New(rand.NewPCG(cfg.Seed, 3)),
		orgs:       make(map[string]*org),
		apps:       make(map[string]*app),
		machines:   make(map[string]*machine),
		volumes:    make(map[string]*volume),
		scrapeEach: cfg.ScrapeInterval,
	}
	if cfg.Events > 0 {
		w.events = min(cfg.Events, maxEvents)
	}
	w.regions = w.newRegions()
	return w
}

// Now returns the world's time.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Seed returns the seed the world was made with.
func (w *World) Seed() uint64 { return w.seed }

// Advance moves time forward to the given moment and plays everything that
// falls due on the way, in order of time and, at the same time, in the order it
// was scheduled: first the Machines' transitions, then the loads, then the
// scrape. A moment that is not after Now changes nothing. The cost does not
// depend on how many Machines there are, only on how much falls due.
func (w *World) Advance(to time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	to = to.UTC().Round(0)
	for {
		due, ok := w.nextDue()
		if !ok || due.After(to) {
			break
		}
		w.now = due
		switch {
		case len(w.queue) > 0 && !w.queue[0].at.After(due):
			heap.Pop(&w.queue).(*event).run()
		case len(w.loaded) > 0 && !w.nextStep.After(due):
			w.nextStep = w.nextStep.Add(time.Second)
			for _, a := range w.loaded {
				machines := a.loadMachines()
				for _, l := range a.loads {
					l.Step(due, machines)
				}
			}
		default:
			w.nextScrape = w.nextScrape.Add(w.scrapeEach)
			w.scraper(due)
		}
	}
	if to.After(w.now) {
		w.now = to
	}
}

// NextDue returns when something happens next if nobody calls; false when
// nothing is scheduled.
func (w *World) NextDue() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nextDue()
}

func (w *World) nextDue() (due time.Time, ok bool) {
	consider := func(at time.Time) {
		if !ok || at.Before(due) {
			due, ok = at, true
		}
	}
	if len(w.queue) > 0 {
		consider(w.queue[0].at)
	}
	if len(w.loaded) > 0 {
		consider(w.nextStep)
	}
	if w.scraper != nil {
		consider(w.nextScrape)
	}
	// What is overdue happens now: time never runs backwards.
	if ok && due.Before(w.now) {
		due = w.now
	}
	return due, ok
}

// AddLoad attaches a load to an app. Its Step is called at every whole second
// from now on, with the app's Machines as they are then.
func (w *World) AddLoad(appName string, l Load) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[appName]
	if !ok {
		return appNotFound()
	}
	if len(w.loaded) == 0 {
		w.nextStep = w.now.Truncate(time.Second).Add(time.Second)
	}
	if len(a.loads) == 0 {
		w.loaded = append(w.loaded, a)
	}
	a.loads = append(a.loads, l)
	return nil
}

// OnScrape sets what is called at every scrape interval. The world's lock is
// held during the call: it may use the package's unexported accessors, and
// must not call an exported method of the World.
func (w *World) OnScrape(scrape func(now time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scraper = scrape
	w.nextScrape = w.now.Truncate(w.scrapeEach).Add(w.scrapeEach)
}

// eachApp calls fn for every app, by org in order of creation and then by
// name. The caller holds the lock.
func (w *World) eachApp(fn func(*app)) {
	for _, o := range w.orgList {
		for _, a := range o.apps {
			fn(a)
		}
	}
}

// draw picks a duration out of the span.
func (w *World) draw(s Span) time.Duration {
	lo, hi := time.Duration(s.Min), time.Duration(s.Max)
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(w.draws.Int64N(int64(hi-lo)+1))
}

// after schedules fn, to run with the lock held.
func (w *World) after(d time.Duration, fn func()) {
	w.eventSeq++
	heap.Push(&w.queue, &event{at: w.now.Add(d), seq: w.eventSeq, run: fn})
}

// event is something that will happen.
type event struct {
	at  time.Time
	seq uint64
	run func()
}

// eventQueue is a heap of events by time, then by the order of scheduling.
type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *eventQueue) Push(x any) { *q = append(*q, x.(*event)) }

// Pop implements heap.Interface.
func (q *eventQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}

// loadMachines returns the app's Machines as its loads see them. The slice is
// kept until a Machine changes, because loads step every second.
func (a *app) loadMachines() []LoadMachine {
	if a.loadView != nil {
		return a.loadView
	}
	a.loadView = make([]LoadMachine, 0, len(a.machines))
	for _, m := range a.machines {
		if m.state == scale.StateDestroyed {
			continue
		}
		a.loadView = append(a.loadView, LoadMachine{
			ID:        m.id,
			Instance:  m.instanceID,
			Region:    m.region,
			Group:     m.group(),
			Started:   m.state == scale.StateStarted,
			Cordoned:  m.cordoned,
			StartedAt: m.startedAt,
		})
	}
	return a.loadView
}

// sortedInsert puts x into the sorted slice s.
func sortedInsert[T any](s []T, x T, compare func(a, b T) int) []T {
	i, _ := slices.BinarySearchFunc(s, x, compare)
	return slices.Insert(s, i, x)
}
