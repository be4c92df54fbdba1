package reconcile

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Config says how the loop runs.
type Config struct {
	Interval    time.Duration // between the starts of two passes over a target
	Timeout     time.Duration // of one pass
	Refresh     time.Duration // between two discoveries
	Concurrency int           // passes at a time that ask the platform
	Logger      *slog.Logger
	// Observe is called after each pass, by the goroutine that made it.
	Observe func(Report)
	// Wake, unless nil, tells of apps whose Machines changed; their targets are due
	// at once. It is read until it is closed or the loop ends.
	Wake <-chan scale.App
	// Forget, unless nil, is called when a target is no longer governed.
	Forget func(Target)
	// Memories, unless nil, keeps what is remembered of targets beyond the process.
	Memories Memories
	// Now is the clock of decisions; nil means time.Now.
	Now func() time.Time
}

// Memories keeps what is remembered of targets. Its methods return at once and are
// called for one key by one goroutine at a time.
type Memories interface {
	// Load returns what was kept of the target with the key. It is asked once, before
	// the target's first pass.
	Load(key string) (decide.Memory, bool)
	// Save takes the target's memory after a pass. After one that acted it is worth
	// being kept soon; otherwise what changed is only what was seen.
	Save(key string, m decide.Memory, acted bool)
}

// Discover returns the targets to govern. It is asked at the start and at every
// Refresh; with an error it returns those it could find, and targets that are
// missing then stay.
type Discover func(ctx context.Context) ([]Target, error)

// Partial is the error of a discovery that found all it will find soon. Nobody waits
// for the rest, and what is missing may exist all the same.
type Partial struct{ Err error }

func (p *Partial) Error() string { return p.Err.Error() }
func (p *Partial) Unwrap() error { return p.Err }

// Loop governs targets. Make it with New and run it once.
type Loop struct {
	cfg      atomic.Pointer[Config]
	logger   *slog.Logger
	discover Discover
	queue    *queue
	slots    atomic.Pointer[chan struct{}] // one for each pass that asks the platform
	grow     chan struct{}                 // holds a token when there are to be more workers
	again    chan chan struct{}            // discoveries asked for, closed when done

	mu      sync.Mutex
	workers int                    // guarded by mu; that Run has, or will begin with
	running *sync.WaitGroup        // guarded by mu; passes since the last Settle
	targets map[string]*governed   // guarded by mu
	keys    map[scale.App][]string // guarded by mu; keys of the targets of each app
	first   map[string]bool        // guarded by mu; targets of the first discovery without a pass yet
	whole   bool                   // guarded by mu; some discovery was complete
	listed  bool                   // guarded by mu; there is no first discovery to wait for
	decided bool                   // guarded by mu; some pass came as far as a decision
	ready   bool                   // guarded by mu
}

// governed is a target with what is carried from pass to pass. Only the worker
// that holds the target's key touches mem and note.
type governed struct {
	target Target // guarded by Loop.mu
	mem    decide.Memory
	note   string // the last condition that was logged
	failed int    // passes in a row that came to no decision
	passes int
}

// New returns a loop over what discover returns.
func New(cfg Config, discover Discover) *Loop {
	l := &Loop{
		logger: cfg.Logger.With("component", "reconcile"), discover: discover,
		grow: make(chan struct{}, 1), again: make(chan chan struct{}), running: &sync.WaitGroup{},
		queue: newQueue(), targets: make(map[string]*governed), keys: make(map[scale.App][]string), first: make(map[string]bool),
	}
	l.Configure(cfg)
	return l
}

// Configure changes how the loop runs from the next pass on. Of a running loop, Wake
// and Now stay as they are.
func (l *Loop) Configure(cfg Config) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if before := l.cfg.Load(); before == nil || before.Concurrency != cfg.Concurrency {
		slots := make(chan struct{}, max(1, cfg.Concurrency))
		l.slots.Store(&slots)
		// Workers that wait for metrics cost next to nothing; slots bound the rest.
		l.workers = max(l.workers, workersPerSlot*cap(slots))
		select {
		case l.grow <- struct{}{}:
		default:
		}
	}
	if before := l.cfg.Swap(&cfg); before != nil && before.Interval != cfg.Interval {
		// It holds from now on, not after what may be an hour.
		now := time.Now()
		for key := range l.targets {
			l.queue.wake(key, now)
		}
	}
}

// Rediscover asks for the targets anew and takes them over. It returns when that is
// done, or when ctx or the loop ends.
func (l *Loop) Rediscover(ctx context.Context) {
	done := make(chan struct{})
	select {
	case l.again <- done:
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Settle waits until every pass that is under way has ended, or ctx has. Others may
// have begun by then.
func (l *Loop) Settle(ctx context.Context) {
	l.mu.Lock()
	old := l.running
	l.running = &sync.WaitGroup{}
	l.mu.Unlock()
	ended := make(chan struct{})
	go func() { // ends with the passes, each of which has a deadline
		defer close(ended)
		old.Wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// errPassTimeout is the cause of a pass that took too long.
var errPassTimeout = errors.New("the pass timed out")

// workersPerSlot is how many passes may wait for their metrics for each that asks
// the platform, so that many sources that hang starve nobody.
const workersPerSlot = 8

// maxBackoff bounds, in intervals, the wait after passes that came to no decision.
const maxBackoff = 4

// slot waits for leave to ask the platform.
func (l *Loop) slot(ctx context.Context) (func(), error) {
	slots := *l.slots.Load()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other passes to end: %w", context.Cause(ctx))
	}
}

// Run governs the targets until ctx ends, and returns when every pass has.
func (l *Loop) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { l.keepDiscovering(ctx) })
	if wake := l.cfg.Load().Wake; wake != nil {
		wg.Go(func() { l.keepWaking(ctx, wake) })
	}
	wg.Go(func() {
		for have := 0; ; {
			l.mu.Lock()
			want := l.workers
			l.mu.Unlock()
			for ; have < want; have++ {
				wg.Go(func() { l.work(ctx) })
			}
			select {
			case <-l.grow:
			case <-ctx.Done():
				return
			}
		}
	})
	wg.Wait()
}

// keepWaking makes targets due whose Machines changed.
func (l *Loop) keepWaking(ctx context.Context, wake <-chan scale.App) {
	for {
		select {
		case <-ctx.Done():
			return
		case app, ok := <-wake:
			if !ok {
				return
			}
			l.mu.Lock()
			keys := l.keys[app]
			l.mu.Unlock()
			now := time.Now()
			for _, key := range keys {
				l.queue.wake(key, now)
			}
		}
	}
}

// Ready reports whether every target of the first discovery has had a pass, and
// the platform answered in at least one of them. One app that is broken for good
// does not keep the others from being ready.
func (l *Loop) Ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready
}

// Complete reports whether Ready holds and some discovery was complete, so that what is
// not governed is known not to be.
func (l *Loop) Complete() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready && l.whole
}

// Bounds of the wait between discoveries that fail.
const (
	discoverRetry    = time.Second
	discoverRetryCap = 15 * time.Second
)

func (l *Loop) keepDiscovering(ctx context.Context) {
	note := ""
	var asked chan struct{}
	for retry := discoverRetry; ; {
		cfg := l.cfg.Load()
		passCtx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, fmt.Errorf("no list of apps within %s", cfg.Timeout))
		targets, err := l.discover(passCtx)
		cancel()
		var partial *Partial
		settled := err == nil || errors.As(err, &partial)
		l.adopt(targets, err == nil)
		if settled {
			l.settle()
			err = nil // who found the targets tells of the rest
		}
		if asked != nil {
			close(asked)
			asked = nil
		}
		wait := cfg.Refresh
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if now := condition(err); now != note {
				l.logger.Warn("list of apps not available; going on with the apps known", "error", err)
				note = now
			}
			wait = min(retry, cfg.Refresh)
			retry = min(2*retry, discoverRetryCap)
		default:
			if note != "" {
				l.logger.Info("list of apps available again", "targets", len(targets))
			}
			note, retry = "", discoverRetry
		}
		select {
		case <-ctx.Done():
			return
		case asked = <-l.again:
		case <-time.After(wait):
		}
	}
}

// adopt takes over the discovered targets. Those missing are dropped only when
// the discovery is complete.
func (l *Loop) adopt(targets []Target, complete bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make(map[string]bool, len(targets))
	now := time.Now()
	for _, t := range targets {
		key := t.Key()
		if found[key] {
			continue // the first pattern that matches an app governs it
		}
		found[key] = true
		if g, ok := l.targets[key]; ok {
			if t.Policy != g.target.Policy || t.DryRun != g.target.DryRun {
				l.queue.wake(key, now) // other rules hold from now on, not after an interval
			}
			g.target = t
			continue
		}
		l.targets[key] = &governed{target: t}
		l.keys[t.App] = append(slices.Clip(l.keys[t.App]), key)
		if !l.listed {
			l.first[key] = true
		}
		l.queue.add(key, now)
	}
	if !complete {
		return
	}
	l.whole = true
	for key, g := range l.targets {
		if found[key] {
			continue
		}
		l.logger.Info("app is gone or no longer matches", "target", key)
		delete(l.targets, key)
		delete(l.first, key)
		l.queue.remove(key)
		if rest := slices.DeleteFunc(slices.Clone(l.keys[g.target.App]), func(k string) bool { return k == key }); len(rest) > 0 {
			l.keys[g.target.App] = rest
		} else {
			delete(l.keys, g.target.App)
		}
		if forget := l.cfg.Load().Forget; forget != nil {
			forget(g.target)
		}
	}
}

// settle notes that there is no discovery to wait for.
func (l *Loop) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listed = true
	l.checkReady()
}

// checkReady sets ready once there is nothing left to wait for. The caller holds
// mu.
func (l *Loop) checkReady() {
	if !l.ready && l.listed && len(l.first) == 0 && (l.decided || len(l.targets) == 0) {
		l.ready = true
		l.logger.Info("ready", "targets", len(l.targets))
	}
}

func (l *Loop) work(ctx context.Context) {
	for {
		key, due, ok := l.queue.next(ctx)
		if !ok {
			return
		}
		wait := l.visit(ctx, key)
		// The cadence is kept when a pass is late, and not made up for.
		next := due.Add(wait)
		if now := time.Now(); next.Before(now) {
			next = now
		}
		l.queue.done(key, next)
	}
}

// visit makes one pass over the target with the key. It returns after how long,
// counted from when this one was due, the next pass is.
func (l *Loop) visit(ctx context.Context, key string) time.Duration {
	l.mu.Lock()
	cfg := l.cfg.Load()
	g, ok := l.targets[key]
	if !ok {
		l.mu.Unlock()
		return cfg.Interval
	}
	target, running := g.target, l.running
	running.Add(1)
	l.mu.Unlock()
	defer running.Done()
	passCtx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, errPassTimeout)
	defer cancel()
	if cfg.Memories != nil && g.passes == 0 {
		if m, ok := cfg.Memories.Load(key); ok {
			g.mem = m
		}
	}
	var report Report
	report, g.mem = Pass(passCtx, target, g.mem, Options{Now: cfg.Now, Act: !target.DryRun, Slot: l.slot})
	if report.Decision == nil {
		g.failed++
	} else {
		g.failed = 0
	}
	l.mu.Lock()
	governed := l.targets[key] == g
	l.mu.Unlock()
	if len(report.Outcomes) > 0 || ctx.Err() == nil && governed {
		l.log(ctx, g, report)
	}
	if governed {
		if cfg.Memories != nil {
			cfg.Memories.Save(key, g.mem, len(report.Outcomes) > 0)
		}
		cfg.Observe(report)
	}
	l.mu.Lock()
	dropped := governed && l.targets[key] != g
	l.decided = l.decided || report.Decision != nil
	delete(l.first, key)
	l.checkReady()
	l.mu.Unlock()
	if dropped && cfg.Forget != nil {
		cfg.Forget(target) // what Observe noted came after the first call
	}
	wait := cfg.Interval * time.Duration(min(maxBackoff, 1<<max(0, min(g.failed, 8)-1)))
	if g.passes++; g.passes == 1 {
		wait += spread(key, cfg.Interval)
	}
	return wait
}

// spread is how much later than its first pass's cadence a target goes on, so that
// ten thousand targets that began together do not all ask in the same instant. It
// is small against the interval: targets that share one question for their metrics
// are to use its answer while it is fresh.
func spread(key string, interval time.Duration) time.Duration {
	window := min(interval/15, time.Second)
	h := fnv.New32a()
	h.Write([]byte(key))
	return time.Duration(uint64(h.Sum32()) * uint64(window) >> 32)
}

// log tells what changed: every pass that acts, and every other condition once.
func (l *Loop) log(ctx context.Context, g *governed, r Report) {
	logger := l.logger.With("app", r.App, "process_group", r.Group)
	note := ""
	switch {
	case r.Err != nil:
		note = condition(r.Err)
	case r.Decision != nil:
		note = heldBy(r.Decision)
	}
	changed := note != g.note
	g.note = note
	switch {
	case r.Err != nil && (changed || len(r.Outcomes) > 0):
		logger.Warn("pass failed", "error", r.Err, "took", r.Took)
	case r.Decision == nil:
	case !r.Plan.Empty():
		logger.Info("scale", "decision", r.Decision.Line(), "actions", len(r.Plan.Actions), "dry_run", r.DryRun, "took", r.Took)
	case changed && note != "":
		logger.Warn("hold", "decision", r.Decision.Line())
	case changed:
		logger.Info("holds no longer", "decision", r.Decision.Line())
	case logger.Enabled(ctx, slog.LevelDebug):
		logger.Debug("nothing to do", "decision", r.Decision.Line(), "took", r.Took)
	}
}

// condition is the text of an error without what is different each time the same
// thing goes wrong, such as the identifier of a request.
func condition(err error) string {
	var c interface{ Condition() string }
	if errors.As(err, &c) {
		return c.Condition()
	}
	return err.Error()
}

// heldBy is why a decision holds, without the values of the pass; "" if it does
// not.
func heldBy(d *scale.Decision) string {
	for _, s := range d.Steps {
		if s.Stage == scale.StageSafety {
			return s.Reason
		}
	}
	return ""
}
