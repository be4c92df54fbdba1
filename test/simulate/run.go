package simulate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/fly-autoscaler/fly-autoscaler/internal/app"
	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// Result is what came of a run.
type Result struct {
	Virtual    time.Duration
	Passes     int
	Requests   int
	Throttled  int            // requests that the platform refused for their rate
	Mutations  int            // of ours
	Faults     map[string]int // that struck, and what people did, by kind
	Violations []Violation    // in order of time

	record *record
	began  time.Time
}

// Violation is something that must never be, and was.
type Violation struct {
	At   time.Duration // since the beginning
	Text string
}

// String tells the violation in one line.
func (v Violation) String() string {
	return fmt.Sprintf("at %s: %s", v.At.Round(time.Millisecond), v.Text)
}

// Timeline tells what happened between two times since the beginning, one event a
// line.
func (r Result) Timeline(from, to time.Duration) string {
	if r.record == nil {
		return ""
	}
	return r.record.timeline(r.began, from, to)
}

// run is a story under way.
type run struct {
	story    *Story
	world    *sim.World
	servers  *servers
	record   *record
	gauges   map[string]*gauge
	settings *config.Settings
	builders map[string]string
	deeds    sync.WaitGroup // what takes longer than its act

	mu      sync.Mutex
	out     []Violation     // guarded by mu
	process *process        // guarded by mu
	started int             // guarded by mu
	deploys map[string]bool // guarded by mu; by app: one is under way
	faults  map[string]int  // guarded by mu; that struck, by kind
}

// Run plays a story. It must be called in a bubble of testing/synctest.
func Run(s *Story) Result {
	s.began = time.Now()
	r := &run{story: s, record: newRecord(), gauges: make(map[string]*gauge), builders: make(map[string]string), faults: make(map[string]int), deploys: make(map[string]bool)}
	r.record.skew = s.Skew
	if err := r.build(); err != nil {
		return Result{Violations: []Violation{{Text: "build: " + err.Error()}}}
	}
	r.start()
	for i := range s.Episodes {
		r.episode(&s.Episodes[i])
	}
	r.end(r.current())
	r.servers.close()
	r.world.Advance(r.now())

	c := checker{record: r.record, story: s}
	c.mutations()
	result := Result{
		Virtual: time.Since(s.began), Passes: r.record.reports, Requests: r.record.requests, Throttled: r.record.throttled,
		Faults: r.faults, Violations: append(r.out, c.out...), record: r.record, began: s.began,
	}
	slices.SortStableFunc(result.Violations, func(a, b Violation) int { return cmp.Compare(a.At, b.At) })
	for _, m := range r.record.asked {
		if m.ours {
			result.Mutations++
		}
	}
	return result
}

// now is the platform's time.
func (r *run) now() time.Time { return r.record.platformTime() }

func (r *run) fail(format string, args ...any) {
	v := Violation{time.Since(r.story.began), fmt.Sprintf(format, args...)}
	r.mu.Lock()
	r.out = append(r.out, v)
	r.mu.Unlock()
	r.record.note("VIOLATION: %s", v.Text)
}

// count counts trouble.
func (r *run) count(kind string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[kind] += n
}

// build makes the world and its face.
func (r *run) build() error {
	r.world = sim.New(sim.Config{Seed: r.story.Seed, Start: r.now(), Events: 3})
	r.world.Observe(r.record)
	for _, spec := range r.story.Apps {
		ids, err := r.world.AddApp(hand, spec)
		if err != nil {
			return err
		}
		for i, m := range spec.Machines {
			if m.Metadata[scale.MetaBuilderID] != "" {
				r.builders[ids[i]] = ids[i]
			}
		}
	}
	for name, shape := range r.story.Loads {
		g := &gauge{run: r, app: name, shape: shape}
		r.gauges[name] = g
		if err := r.world.AddLoad(name, g); err != nil {
			return err
		}
	}
	h := flysim.New(r.world, flysim.Options{Now: r.now, RateLimits: true, PageRows: r.story.PageRows})
	flysim.NewPrometheus(r.world, r.world.RecordSeries(sim.SeriesOptions{})).Mount(h)
	r.servers = newServers(h)
	settings, _, err := config.Load(config.Input{
		File: []byte(r.story.settings()), Environ: []string{"FLY_FLAPS_BASE_URL=" + address, "FLY_API_BASE_URL=" + address},
	})
	r.settings = settings
	return err
}

// process is one life of the program.
type process struct {
	number int
	wire   *wire
	stop   context.CancelFunc
	done   chan struct{}
}

// current returns the process that runs, or ran last.
func (r *run) current() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// start starts the program, with nothing remembered.
func (r *run) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started++
	r.record.note("process %d starts", r.started)
	ctx, stop := context.WithCancel(context.Background())
	p := &process{number: r.started, wire: newWire(r.servers, r.story.Seed+uint64(r.started), r.record), stop: stop, done: make(chan struct{})}
	r.process = p
	a, err := app.New(r.settings, app.Options{Logger: r.record.logger(r.started), Transport: p.wire, Observe: r.record.report})
	if err != nil {
		r.out = append(r.out, Violation{time.Since(r.story.began), fmt.Sprintf("make the program: %v", err)})
		close(p.done)
		return
	}
	go func() {
		defer close(p.done)
		if err := a.Govern(ctx); err != nil {
			r.record.note("govern: %v", err)
		}
		_ = a.Close()
	}()
}

// end stops a process as SIGTERM does. It must end within its grace.
func (r *run) end(p *process) {
	began := time.Now()
	r.record.note("process %d is told to end", p.number)
	p.stop()
	<-p.done
	if took := time.Since(began); took > 10*time.Second {
		r.fail("it took %s to stop", took)
	}
}

// until sleeps until a time.
func until(at time.Time) { time.Sleep(time.Until(at)) }

// Bounds of the calm after the trouble.
const (
	// settle is when the targets must be met at the latest. Machines that are stuck
	// are given up after five minutes.
	settle = 12 * time.Minute
	// quiet is how long nothing may be done then.
	quiet = 3 * time.Minute
	look  = 10 * time.Second
)

// episode plays one episode, and checks that the targets are met in the calm after
// it and that nothing is done any more.
func (r *run) episode(e *episode) {
	began := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, a := range e.acts {
			until(began.Add(a.at))
			r.world.Advance(r.now())
			r.record.note("act: %s", a.what)
			r.count(a.what, 1)
			a.do(r)
		}
	})
	until(began.Add(e.lead))
	for _, f := range e.faults {
		if _, err := r.world.OrderFault(f); err != nil {
			r.fail("order a fault: %v", err)
		}
		r.record.note("fault: %+v", f)
	}
	blind := slices.ContainsFunc(e.faults, func(f sim.Fault) bool { return f.Op == "*" || f.Op == "graphql" })
	if blind {
		r.record.blind = append(r.record.blind, phase{from: time.Now()})
	}
	until(began.Add(e.lead + e.trouble))
	wg.Wait()
	r.current().wire.retire()
	r.deeds.Wait()
	r.calm()
	calm := time.Now()
	if blind {
		r.record.blind[len(r.record.blind)-1].to = calm.Add(r.story.Timeout)
	}
	var missed string
	for {
		time.Sleep(look)
		r.world.Advance(r.now())
		if missed = r.missed(); missed == "" && time.Since(calm) > time.Minute {
			break
		}
		if time.Since(calm) > settle {
			r.fail("%s after the trouble: %s", settle, missed)
			break
		}
	}
	for _, g := range r.gauges {
		g.thaw()
	}
}

// calm ends all trouble.
func (r *run) calm() {
	r.record.note("calm")
	for _, f := range r.world.Faults() {
		r.count(string(f.Kind), f.Struck)
	}
	r.world.ClearFaults()
	r.world.Advance(r.now())
	for _, c := range r.world.Capacities() {
		c.Max = -1
		r.try(nil, r.world.SetCapacity(c))
	}
	r.hostsBack()
	r.uncordon()
	r.alignReleases()
	for _, g := range r.gauges {
		g.freeze()
	}
}

// missed says which target is not met, or that something was done lately.
func (r *run) missed() string {
	now := time.Now()
	for _, spec := range r.story.Apps {
		for _, rule := range r.story.Rules {
			if !rule.matches(spec.App) {
				continue
			}
			work := 0.0
			if g := r.gauges[spec.App]; g != nil {
				work = g.now(now)
			}
			w := rule.policy.want(work)
			exist, run := 0, 0
			for _, m := range r.machines(target{spec.App, rule.Group}) {
				exist++
				if m.State == scale.StateStarted {
					run++
				}
			}
			// What does not exist cannot run.
			floor := min(w.minStarted, exist)
			if exist < max(w.minCreated, 1) || exist > max(w.maxCreated, w.minCreated, 1) || run < floor || run > max(w.maxStarted, floor) {
				return fmt.Sprintf("%s/%s has %d Machines of which %d run, want %+v", spec.App, rule.Group, exist, run, w)
			}
		}
	}
	r.record.mu.Lock()
	defer r.record.mu.Unlock()
	for i := len(r.record.asked) - 1; i >= 0 && now.Sub(r.record.asked[i].at) < quiet; i-- {
		if m := r.record.asked[i]; m.ours {
			return fmt.Sprintf("%s of %v at %s, and there was nothing to do", m.Op, m.target, m.at.Sub(r.story.began))
		}
	}
	return ""
}

// gauge is the metric of an app.
type gauge struct {
	run   *run
	app   string
	shape sim.Shape

	mu     sync.Mutex
	frozen bool    // guarded by mu
	held   float64 // guarded by mu; while frozen
}

func (g *gauge) now(at time.Time) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.frozen {
		return g.held
	}
	return math.Round(g.shape(at.Sub(g.run.story.began)))
}

// freeze holds the metric as it is.
func (g *gauge) freeze() {
	v := g.now(time.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frozen, g.held = true, v
}

func (g *gauge) thaw() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frozen = false
}

// Step implements sim.Load.
func (g *gauge) Step(time.Time, []sim.LoadMachine) {}

// Series implements sim.Load.
func (g *gauge) Series(at time.Time) []sim.Sample {
	v := g.now(time.Now())
	g.run.record.scraped(g.app, at, v)
	return []sim.Sample{{Name: "work", Labels: labels.EmptyLabels(), Value: v}}
}

// Busy implements sim.Load.
func (g *gauge) Busy(string) bool { return false }
