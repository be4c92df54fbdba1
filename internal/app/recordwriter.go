package app

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// writer is the goroutine that writes records.
type writer struct {
	*records
	policies map[*policy.Policy]json.RawMessage // of those that lately were in an entry
	failing  bool                               // the last write failed, and that was told
}

// write writes what is handed over until ctx ends.
func (r *records) write(ctx context.Context) {
	defer close(r.done)
	w := &writer{records: r, policies: make(map[*policy.Policy]json.RawMessage)}
	ticker := time.NewTicker(roundTick)
	defer ticker.Stop()
	tried := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			w.drain(ctx)
		case now := <-ticker.C:
			if now.Sub(tried) >= reopenEvery {
				tried = now
				w.reopen(ctx)
			}
			w.prune()
			w.drain(ctx)
			w.step(ctx)
			if wrote, err := w.current().keeper.Beat(context.WithoutCancel(ctx), now); wrote || err != nil {
				w.result(err)
			}
			r.tell()
		}
	}
}

func (r *records) current() *opened {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store
}

// reopen tries to use the folder, if it is not in use.
func (w *writer) reopen(ctx context.Context) {
	w.mu.Lock()
	before, needed := w.store, w.dir != "" && !w.store.durable
	w.mu.Unlock()
	if !needed {
		return
	}
	o, err := openFolder(ctx, w.dir, w.retention, w.logger)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.openErr = err
		return
	}
	w.result(before.journal.CopyTo(ctx, o.journal))
	w.use(o, nil)
	_ = before.close(ctx) // a store of memory has nothing to close
}

// prune has documents of targets that are not governed forgotten.
func (w *writer) prune() {
	w.mu.Lock()
	settled := w.settled
	left := len(w.found)
	w.mu.Unlock()
	if left == 0 || settled == nil || !settled() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.found {
		w.forgotten = append(w.forgotten, key)
	}
	w.found = nil
}

// drain writes the memories of passes that acted, the entries, and what is to be
// forgotten, until there is no more or ctx ends.
func (w *writer) drain(ctx context.Context) {
	writing := context.WithoutCancel(ctx) // each write has a time limit of the store's
	if _, limited := ctx.Deadline(); limited {
		writing = ctx
	}
	for ctx.Err() == nil {
		w.mu.Lock()
		o := w.store
		var forgotten, urgent string
		var entry *journalEntry
		switch {
		case len(w.forgotten) > 0:
			forgotten, w.forgotten = w.forgotten[0], w.forgotten[1:]
			if w.targets[forgotten] != nil {
				forgotten = "" // governed again meanwhile
			}
		case len(w.urgent) > 0:
			urgent, w.urgent = w.urgent[0], w.urgent[1:]
		case len(w.entries) > 0:
			entry, w.entries = w.entries[0], w.entries[1:]
			w.weight -= entry.weight
		default:
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		switch {
		case forgotten != "":
			w.result(o.keeper.Forget(writing, keyOf(forgotten)))
		case urgent != "":
			w.save(writing, o, urgent)
		case entry != nil:
			w.enter(writing, o, entry)
		}
	}
}

// step goes on with the round.
func (w *writer) step(ctx context.Context) {
	w.mu.Lock()
	o, all := w.store, len(w.round)
	w.mu.Unlock()
	writing := context.WithoutCancel(ctx)
	for n, room := (all*int(roundTick)+int(roundTime)-1)/int(roundTime), roundBytes; n > 0 && room > 0 && ctx.Err() == nil; n-- {
		key, ok := w.following()
		if !ok {
			return
		}
		room -= w.save(writing, o, key)
	}
}

// following returns the key whose turn it is.
func (w *writer) following() (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.round) > 0 {
		if w.next >= len(w.round) {
			w.next = 0
		}
		key := w.round[w.next]
		if w.targets[key] != nil {
			w.next++
			return key, true
		}
		// Gone: the last one takes its place.
		w.round[w.next] = w.round[len(w.round)-1]
		w.round = w.round[:len(w.round)-1]
	}
	return "", false
}

// save writes what is remembered of a target, unless it is what was written last. It
// returns how many bytes it wrote.
func (w *writer) save(ctx context.Context, o *opened, key string) int {
	w.mu.Lock()
	t := w.targets[key]
	if t == nil || !t.unsaved {
		w.mu.Unlock()
		return 0
	}
	m := t.memory
	t.unsaved, t.urgent = false, false
	w.mu.Unlock()
	doc, err := json.Marshal(m)
	if err != nil {
		w.result(err)
		return 0
	}
	wrote, err := o.keeper.Save(ctx, keyOf(key), json.RawMessage(doc))
	w.result(err)
	switch {
	case err != nil:
		w.metrics.saved(false)
		w.mu.Lock()
		t.unsaved = true // by the next round
		w.mu.Unlock()
	case wrote:
		w.metrics.saved(true)
		return len(doc)
	}
	return 0
}

// enter writes an entry of the journal.
func (w *writer) enter(ctx context.Context, o *opened, e *journalEntry) {
	err := w.encode(e)
	if err == nil {
		_, err = o.journal.Append(ctx, e.entry)
	}
	w.result(err)
	w.metrics.journalled(err == nil)
}

// encode fills in the parts of an entry that are JSON.
func (w *writer) encode(e *journalEntry) error {
	for _, part := range []struct {
		value any
		there bool
		to    *json.RawMessage
	}{
		{e.decision, e.decision != nil, &e.entry.Decision},
		{e.plan, e.decision != nil, &e.entry.Plan},
		{e.outcomes, len(e.outcomes) > 0, &e.entry.Outcomes},
	} {
		if !part.there {
			continue
		}
		data, err := json.Marshal(part.value)
		if err != nil {
			return err
		}
		*part.to = data
	}
	if e.entry.Inputs == nil {
		return nil
	}
	var err error
	if e.entry.Inputs.Policy, err = w.policyOf(e.policy); err != nil {
		return err
	}
	e.entry.Inputs.Memory, err = json.Marshal(e.memory)
	return err
}

// policyOf returns a policy's JSON, which is the same for all of a pattern's apps.
func (w *writer) policyOf(p *policy.Policy) (json.RawMessage, error) {
	if data, ok := w.policies[p]; ok {
		return data, nil
	}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	const most = 1000 // those of settings before are not needed any more
	if len(w.policies) >= most {
		clear(w.policies)
	}
	w.policies[p] = data
	return data, nil
}

// result takes note of how a write went, and tells when that changes.
func (w *writer) result(err error) {
	if errors.Is(err, store.ErrInvalid) { // such as an entry that is too large
		w.logger.Warn("the store does not take this", "error", err)
		return
	}
	w.mu.Lock()
	w.writeErr = err
	w.mu.Unlock()
	switch failing := err != nil; {
	case failing == w.failing:
	case failing:
		w.logger.Error("cannot write to the store; scaling goes on", "error", err)
		w.failing = true
	default:
		w.logger.Info("the store takes writes again")
		w.failing = false
	}
}

// flush writes all that is not written yet, until ctx ends.
func (w *writer) flush(ctx context.Context) {
	w.drain(ctx)
	w.mu.Lock()
	o, keys := w.store, w.round
	w.mu.Unlock()
	for _, key := range keys {
		if ctx.Err() != nil || w.failing {
			return
		}
		w.save(ctx, o, key)
	}
}

// close writes what is left and closes the store.
func (r *records) close(ctx context.Context) error {
	if r.done == nil {
		return nil
	}
	r.stop()
	<-r.done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	(&writer{records: r, policies: make(map[*policy.Policy]json.RawMessage)}).flush(ctx)
	closing, cancelClose := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancelClose()
	return r.current().close(closing)
}
