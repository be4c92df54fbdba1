package sim

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// SeriesOptions are the settings of a SeriesStore.
type SeriesOptions struct {
	// Interval is the time between scrapes, in whole seconds; default 15 s, the
	// platform's. A store that records a world has the world's instead.
	Interval time.Duration `yaml:"interval,omitempty"`
	// Retention is how far back samples are kept; default 1 h.
	Retention time.Duration `yaml:"retention,omitempty"`
	// NoStaleMarkers leaves out the marker that ends a series which is gone, as
	// with samples that are pushed: queries then see its last value for five
	// minutes more.
	NoStaleMarkers bool `yaml:"no-stale-markers,omitempty"`
}

// Validate returns what is wrong with the settings, as FieldErrors joined.
func (o SeriesOptions) Validate() error {
	var p problems
	if o.Interval < 0 || o.Interval%time.Second != 0 {
		p.add("interval", "%v is not a number of whole seconds", o.Interval)
	}
	if o.Retention < 0 {
		p.add("retention", "%v is negative", o.Retention)
	}
	return p.err()
}

// SeriesStore is the memory of the managed metrics of all organizations. It
// holds what is scraped at a fixed interval, for a bounded time.
//
// A series is kept as runs of equal values at the scrape interval, because most
// of them hardly change: that a Machine is up costs one run for as long as it
// is, so that tens of thousands of Machines need no computation at query time
// and little memory. A value that changes at every scrape costs 24 bytes each.
//
// Its methods may be called from any goroutine.
type SeriesStore struct {
	step      int64 // ms
	retention int64 // ms
	markers   bool

	mu sync.RWMutex
	// All that follows is guarded by mu.

	orgs    map[string]*orgSeries // by slug
	now     int64                 // the newest time that was written, ms
	dropped []*appSeries          // in order of time
}

// orgSeries is all series of one organization.
type orgSeries struct {
	apps  map[string]*appSeries
	names map[string]*seriesList // by metric name
}

// appSeries is all series of one app.
type appSeries struct {
	org       *orgSeries
	name      string
	series    seriesList
	bySample  map[sampleKey]*series
	machines  map[string]*machineSeries
	held      []heldGauge
	round     uint64 // number of the scrape, to tell what was not in it
	scraped   int64  // time of the newest scrape, ms
	droppedAt int64  // ms; 0 while the app exists
}

// sampleKey is what a load calls a series.
type sampleKey struct {
	name   string
	labels labels.Labels
}

// machineSeries is what the platform itself exports for a started Machine.
type machineSeries struct {
	up, load *series
	average  float64 // of the share of time it was busy
}

// series is one time series.
type series struct {
	labels labels.Labels
	key    sampleKey
	runs   []Run
	round  uint64 // the scrape that saw it last
	live   bool   // its newest sample is a value, not a marker
	at     [2]int // its places in the lists of its app and of its name
}

// Run is consecutive samples of one value, one scrape interval apart.
type Run struct {
	Start int64 // Unix time of the first, in milliseconds
	Value float64
	Count int32 // at least 1
}

// NewSeriesStore returns an empty store. The settings must be valid.
func NewSeriesStore(opts SeriesOptions) *SeriesStore {
	return &SeriesStore{
		step:      cmp.Or(opts.Interval, 15*time.Second).Milliseconds(),
		retention: cmp.Or(opts.Retention, time.Hour).Milliseconds(),
		markers:   !opts.NoStaleMarkers,
		orgs:      map[string]*orgSeries{},
	}
}

// Interval returns the time between scrapes.
func (s *SeriesStore) Interval() time.Duration { return time.Duration(s.step) * time.Millisecond }

// Scrape is what one app exports at one time.
type Scrape struct {
	Org, App string
	Machines []LoadMachine
	Samples  []Sample
	Busy     func(machineID string) bool // may be nil: none is
}

// Add stores a scrape. Series of the app that the scrape before had, and this
// one has not, end here.
func (s *SeriesStore) Add(now time.Time, scrape Scrape) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tick(now)
	a := s.app(scrape.Org, scrape.App)
	a.scraped, a.droppedAt = t, 0
	a.round++
	for _, m := range scrape.Machines {
		if m.Started {
			s.addMachine(a, t, m, scrape.Busy != nil && scrape.Busy(m.ID))
		}
	}
	for _, sample := range scrape.Samples {
		s.write(a, a.find(sampleKey{sample.Name, sample.Labels}), t, sample.Value)
	}
	for _, h := range a.held {
		if !h.removed {
			s.write(a, a.find(h.key), t, h.value)
		}
	}
	s.endMissing(a, t)
}

// loadMinute is the time constant of the load average of one minute.
const loadMinute = 60_000

// addMachine stores the platform's own series of a started Machine.
func (s *SeriesStore) addMachine(a *appSeries, t int64, m LoadMachine, busy bool) {
	ms := a.machines[m.ID]
	if ms == nil {
		ms = &machineSeries{
			up:   a.find(sampleKey{"fly_instance_up", machineLabels(m)}),
			load: a.find(sampleKey{"fly_instance_load_average", machineLabels(m, "minutes", "1")}),
		}
		a.machines[m.ID] = ms
	}
	if !ms.up.live {
		ms.average = 0
	}
	var work float64
	if busy {
		work = 1
	}
	ms.average += (work - ms.average) * -math.Expm1(-float64(s.step)/loadMinute)
	s.write(a, ms.up, t, 1)
	// As in /proc/loadavg, two digits: an idle Machine's average becomes exactly
	// zero, and its series one run.
	s.write(a, ms.load, t, math.Round(ms.average*100)/100)
}

// endMissing marks the series that the last scrape did not see as ended, and
// forgets those of which nothing is left.
func (s *SeriesStore) endMissing(a *appSeries, t int64) {
	for i := 0; i < len(a.series.all); {
		one := a.series.all[i]
		if one.round == a.round {
			i++
			continue
		}
		s.end(one, t)
		if one.last(s.step) >= t-s.retention {
			i++
			continue
		}
		a.remove(one) // another takes its place
	}
}

// end marks a series as ended at t.
func (s *SeriesStore) end(one *series, t int64) {
	if one.live && s.markers {
		s.push(one, t, math.Float64frombits(value.StaleNaN))
	}
	one.live = false
}

// dropUnseen ends the apps that were not scraped at now, because they exist no
// more, and forgets what was set for them. What was stored can be queried until
// it is too old.
func (s *SeriesStore) dropUnseen(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tick(now)
	s.sweep(t)
	for _, o := range s.orgs {
		for _, a := range o.apps {
			if a.scraped == t || a.droppedAt != 0 {
				continue
			}
			a.held = nil
			a.round++
			s.endMissing(a, t)
			a.droppedAt = t
			s.dropped = append(s.dropped, a)
		}
	}
}

// sweep forgets apps that were dropped so long ago that nothing of them is left.
func (s *SeriesStore) sweep(t int64) {
	for len(s.dropped) > 0 {
		a := s.dropped[0]
		exists := a.droppedAt == 0 // it was made again under the same name
		if !exists && a.droppedAt >= t-s.retention {
			return
		}
		s.dropped = s.dropped[1:]
		if !exists {
			s.endMissing(a, t)
			delete(a.org.apps, a.name)
		}
	}
}

// tick notes the newest time and returns it in milliseconds.
func (s *SeriesStore) tick(now time.Time) int64 {
	t := now.UnixMilli()
	s.now = max(s.now, t)
	return t
}

// write stores a value of a series that the current scrape saw, unless it was
// taken away by hand.
func (s *SeriesStore) write(a *appSeries, one *series, t int64, v float64) {
	if h := a.heldGauge(one.key); h != nil {
		if h.removed {
			return
		}
		v = h.value
	}
	one.round = a.round
	one.live = true
	s.push(one, t, v)
}

// push appends a sample. One at the time of the newest replaces it, an older
// one is ignored.
func (s *SeriesStore) push(one *series, t int64, v float64) {
	if n := len(one.runs); n > 0 {
		last := &one.runs[n-1]
		end := last.End(s.step)
		same := math.Float64bits(last.Value) == math.Float64bits(v) // also NaN
		switch {
		case t < end, t == end && same:
			return
		case t == end && last.Count == 1:
			last.Value = v
			return
		case t == end:
			last.Count--
		case same && t == end+s.step && last.Count < math.MaxInt32:
			last.Count++
			return
		}
	}
	if len(one.runs) == cap(one.runs) {
		one.forget(t-s.retention, s.step)
	}
	one.runs = append(one.runs, Run{Start: t, Value: v, Count: 1})
}

// End returns the time of the last sample of a run, whose samples are step
// milliseconds apart.
func (r Run) End(step int64) int64 { return r.Start + int64(r.Count-1)*step }

// last returns the time of the newest sample.
func (one *series) last(step int64) int64 {
	if len(one.runs) == 0 {
		return math.MinInt64
	}
	return one.runs[len(one.runs)-1].End(step)
}

// forget drops the runs that ended before a time.
func (one *series) forget(before, step int64) {
	keep := 0
	for keep < len(one.runs) && one.runs[keep].End(step) < before {
		keep++
	}
	one.runs = slices.Delete(one.runs, 0, keep)
}

// app returns an app's series.
func (s *SeriesStore) app(org, name string) *appSeries {
	o := s.orgs[org]
	if o == nil {
		o = &orgSeries{apps: map[string]*appSeries{}, names: map[string]*seriesList{}}
		s.orgs[org] = o
	}
	a := o.apps[name]
	if a == nil {
		a = &appSeries{org: o, name: name, machines: map[string]*machineSeries{}, bySample: map[sampleKey]*series{}}
		o.apps[name] = a
	}
	return a
}

// find returns the series for what a load calls key. The label app of a load
// is overwritten, as the platform does.
func (a *appSeries) find(key sampleKey) *series {
	if one := a.bySample[key]; one != nil {
		return one
	}
	full := labels.NewBuilder(key.labels).Set(model.MetricNameLabel, key.name).Set("app", a.name).Labels()
	one := &series{labels: full, key: key}
	a.series.add(one)
	named := a.org.names[key.name]
	if named == nil {
		named = &seriesList{which: 1}
		a.org.names[key.name] = named
	}
	named.add(one)
	a.bySample[key] = one
	return one
}

// remove forgets a series.
func (a *appSeries) remove(one *series) {
	a.series.remove(one)
	named := a.org.names[one.key.name]
	named.remove(one)
	if len(named.all) == 0 {
		delete(a.org.names, one.key.name)
	}
	delete(a.bySample, one.key)
	if id := one.key.labels.Get("instance"); id != "" {
		if ms := a.machines[id]; ms != nil && (ms.up == one || ms.load == one) {
			delete(a.machines, id)
		}
	}
}

// seriesList is a list of series from which any can be removed at once. The
// order depends only on what was done before.
type seriesList struct {
	which int // which of a series' places is the one in this list
	all   []*series
}

func (l *seriesList) add(one *series) {
	one.at[l.which] = len(l.all)
	l.all = append(l.all, one)
}

func (l *seriesList) remove(one *series) {
	place, last := one.at[l.which], len(l.all)-1
	l.all[place] = l.all[last]
	l.all[place].at[l.which] = place
	l.all[last] = nil
	l.all = l.all[:last]
}
