package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// records keeps what is remembered of targets and the journal of passes. Passes hand
// over and go on: one goroutine writes, and what it cannot write keeps nobody waiting.
// Without a folder, or with one that cannot be used, the store is one of memory; a
// folder is tried again until it can be used.
//
// A memory is written soon after a pass that acted. What passes merely saw, such as
// when a window was last looked at, is written in rounds over all targets, each of which
// takes roundTime at least and writes roundBytes a second at most.
type records struct {
	logger    *slog.Logger
	metrics   *metrics
	dir       string // empty for none
	retention store.Retention
	pace      journal.Pace
	stop      context.CancelFunc
	done      chan struct{} // closed when the writer has ended; nil before it begins
	wake      chan struct{} // holds one when there is something to write at once

	mu        sync.Mutex
	store     *opened                    // guarded by mu; nil before open and after close
	openErr   error                      // guarded by mu; why the folder is not in use
	writeErr  error                      // guarded by mu; how the last write failed, or nil
	found     map[string]json.RawMessage // guarded by mu; documents of targets without a pass yet, by key
	settled   func() bool                // guarded by mu; every target has had a pass
	targets   map[string]*remembered     // guarded by mu; by key
	round     []string                   // guarded by mu; keys in the order of rounds, also of targets that are gone
	next      int                        // guarded by mu; the place in round
	urgent    []string                   // guarded by mu; keys to be saved at once
	forgotten []string                   // guarded by mu; keys whose documents go
	entries   []*journalEntry            // guarded by mu; to be written
	weight    int                        // guarded by mu; of entries
}

// remembered is what is known of one target.
type remembered struct {
	memory decide.Memory
	unsaved,
	urgent bool
}

const (
	roundTime  = time.Minute
	roundTick  = time.Second
	roundBytes = 512 << 10
	// reopenEvery is between two tries to use a folder that cannot be.
	reopenEvery = 10 * time.Second
	// maxWeight bounds the entries that wait, by their Machines: some ten megabytes, and
	// a tenth of that where they are to be kept in the process.
	maxWeight   = 100_000
	entryWeight = 8
	// flushTimeout is how long the end of the process waits for the last writes, and
	// closeTimeout for the store to close.
	flushTimeout = 1500 * time.Millisecond
	closeTimeout = 1500 * time.Millisecond
)

func newRecords(dir string, r store.Retention, logger *slog.Logger, m *metrics) *records {
	return &records{
		logger: logger.With("component", "store"), metrics: m, dir: dir, retention: r,
		wake: make(chan struct{}, 1), targets: make(map[string]*remembered),
	}
}

// open opens the store, and begins to write. It fails only when ctx has ended.
func (r *records) open(ctx context.Context) error {
	var o *opened
	var failed error
	if r.dir != "" {
		if o, failed = openFolder(ctx, r.dir, r.retention, r.logger); failed != nil {
			r.logger.Error("the store cannot be used; going on with a memory that ends with the process", "error", failed)
		}
	}
	if o == nil {
		var err error
		if o, err = openVolatile(ctx); err != nil {
			return fmt.Errorf("open a store in memory: %w", err)
		}
	}
	r.begin(ctx, o, failed)
	return nil
}

// begin begins to write to a store that was opened.
func (r *records) begin(ctx context.Context, o *opened, failed error) {
	r.use(o, failed)
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop, r.done = stop, make(chan struct{})
	go r.write(writing)
}

// use takes over a store that was opened.
func (r *records) use(o *opened, failed error) {
	r.mu.Lock()
	r.store, r.openErr, r.writeErr = o, failed, nil
	r.found = make(map[string]json.RawMessage, len(o.kept.Documents))
	for key, doc := range o.kept.Documents {
		parts, err := key.Parts()
		if err != nil || len(parts) != 2 {
			continue
		}
		r.found[parts[0]+"/"+parts[1]] = doc
	}
	for key, t := range r.targets { // what is known now is newer
		delete(r.found, key)
		t.unsaved = true
	}
	alive, dropped := o.kept.Alive, o.kept.Dropped
	o.kept = store.Kept{}
	count := len(r.found)
	r.mu.Unlock()
	if o.durable {
		args := []any{"dir", r.dir, "memories", count}
		if !alive.IsZero() {
			args = append(args, "last_alive", alive)
		}
		if dropped > 0 {
			args = append(args, "unusable", dropped)
		}
		r.logger.Info("store open", args...)
	}
	r.tell()
}

// tell tells the metrics how things stand.
func (r *records) tell() { r.metrics.store(r.problem() == "") }

// problem is why nothing is kept beyond the process, although a folder is set, or "".
func (r *records) problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.dir == "":
		return ""
	case r.openErr != nil:
		return "nothing is kept beyond this process: " + r.openErr.Error()
	case r.store != nil && r.store.problem() != nil:
		return fmt.Sprintf("nothing is kept beyond this process: store in folder %q: %v", r.dir, r.store.problem())
	case r.writeErr != nil:
		return "nothing is kept beyond this process: " + r.writeErr.Error()
	}
	return ""
}

// settle has documents of targets that are not governed removed once every target
// that is has had a pass and all are known, which is when complete says so.
func (r *records) settle(complete func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled = complete
}

// Load implements reconcile.Memories.
func (r *records) Load(key string) (decide.Memory, bool) {
	r.mu.Lock()
	doc, ok := r.found[key]
	delete(r.found, key)
	r.mu.Unlock()
	if !ok {
		return decide.Memory{}, false
	}
	var m decide.Memory
	if err := json.Unmarshal(doc, &m); err != nil {
		r.logger.Warn("what was remembered of a target cannot be read", "target", key, "error", err)
		return decide.Memory{}, false
	}
	return m, true
}

// Save implements reconcile.Memories.
func (r *records) Save(key string, m decide.Memory, acted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil || r.dir == "" {
		return // the loop has it for as long as the process lives
	}
	t := r.targets[key]
	if t == nil {
		t = &remembered{}
		r.targets[key] = t
		r.round = append(r.round, key)
	}
	t.memory, t.unsaved = m, true
	if acted && !t.urgent {
		t.urgent = true
		r.urgent = append(r.urgent, key)
		r.signal()
	}
}

// signal wakes the writer. The caller holds mu.
func (r *records) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// forget drops what is known of a target that is governed no longer.
func (r *records) forget(t reconcile.Target) {
	r.pace.Forget(t.App, t.Policy.Group)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.targets, t.Key())
	delete(r.found, t.Key())
	r.forgotten = append(r.forgotten, t.Key())
	r.signal()
}

// journalEntry is an entry that waits to be written: what has to be put into JSON is
// put there by the writer.
type journalEntry struct {
	entry    journal.Entry
	decision *scale.Decision
	plan     scale.Plan
	outcomes []scale.Outcome
	policy   *policy.Policy
	memory   decide.Memory
	weight   int
}

// pass puts a pass into the journal if it is worth an entry.
func (r *records) pass(p reconcile.Report) {
	kind, failure := journal.Sample, ""
	switch {
	case !p.Plan.Empty():
		kind = journal.Acted
	case p.Err != nil:
		kind, failure = journal.Failed, conditionOf(p.Err)
	}
	if kind == journal.Sample && r.dir == "" {
		return // ten thousand of these would be most of what the process keeps
	}
	if !r.pace.Keep(p.App, p.Group, kind, failure, p.Began) {
		return
	}
	e := &journalEntry{
		entry: journal.Entry{App: p.App, Group: p.Group, At: p.Began, Took: p.Took, Kind: kind, DryRun: p.DryRun},
		plan:  p.Plan, weight: entryWeight,
	}
	if p.Err != nil {
		e.entry.Error = p.Err.Error()
	}
	for _, o := range p.Outcomes {
		o.Clone = nil
		e.outcomes = append(e.outcomes, o)
	}
	if in := p.Inputs; in != nil && p.Decision != nil {
		d := *p.Decision
		d.Inventory, d.Picks = nil, scale.Picks{} // in no JSON, and with all that is known of the Machines
		e.decision, e.policy, e.memory = &d, in.Policy, in.Memory
		e.entry.Inputs = &journal.Inputs{Snapshot: journal.Reduce(in.Snapshot), Samples: in.Samples, Now: in.Now}
		e.weight += len(in.Snapshot.Machines)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil {
		return
	}
	most := maxWeight
	if r.dir == "" {
		most /= 10
	}
	if r.weight+e.weight > most {
		r.metrics.journalled(false)
		return
	}
	r.entries = append(r.entries, e)
	r.weight += e.weight
	r.signal()
}

// conditionOf is an error's text without what is different each time.
func conditionOf(err error) string {
	if c, ok := errors.AsType[interface {
		error
		Condition() string
	}](err); ok {
		return c.Condition()
	}
	return err.Error()
}

// Read, Follow and Get are those of the journal in use.

// Read implements httpapi.Journal.
func (r *records) Read(ctx context.Context, f journal.Filter) iter.Seq2[journal.Item, error] {
	return r.journal().Read(ctx, f)
}

// Follow implements httpapi.Journal.
func (r *records) Follow(ctx context.Context, f journal.Filter) iter.Seq2[journal.Item, error] {
	return r.journal().Follow(ctx, f)
}

// Get implements httpapi.Journal.
func (r *records) Get(ctx context.Context, id uint64) (journal.Item, error) {
	return r.journal().Get(ctx, id)
}

func (r *records) journal() *journal.Journal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store.journal
}

// keyOf is a target's key in the store.
func keyOf(key string) store.Key {
	app, group, _ := strings.Cut(key, "/")
	return store.KeyOf(app, group)
}
