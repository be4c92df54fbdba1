package sim

import (
	"slices"
	"time"
)

// maxHistory bounds the history. A robustness run makes some ten thousand
// mutations; the oldest go first.
const maxHistory = 200_000

// Call says on whose behalf something is done.
type Call struct {
	Request string // the request's identifier, for the history
	Owner   string // who asks, for leases
	Nonce   string // proof of holding the Machine's lease; empty for none
}

// Mutation is one effective change of the world that somebody asked for.
// Transitions that follow by themselves are not in the history.
type Mutation struct {
	At      time.Time `json:"at"`
	Op      string    `json:"op"`
	Org     string    `json:"org"`
	App     string    `json:"app"`
	Machine string    `json:"machine,omitempty"`
	Region  string    `json:"region,omitempty"`
	Request string    `json:"request,omitempty"`
}

type history struct {
	entries []Mutation
	dropped int
}

func (w *World) record(op string, a *app, m *machine, call Call) {
	entry := Mutation{At: w.now, Op: op, Org: a.org.slug, App: a.name, Request: call.Request}
	if m != nil {
		entry.Machine, entry.Region = m.id, m.region
	}
	if len(w.history.entries) >= maxHistory {
		drop := maxHistory / 10
		w.history.entries = slices.Delete(w.history.entries, 0, drop)
		w.history.dropped += drop
	}
	w.history.entries = append(w.history.entries, entry)
	if w.observer != nil {
		w.observer.Asked(entry)
	}
}

// History returns every effective mutation, oldest first, and how many older
// ones were dropped.
func (w *World) History() (entries []Mutation, dropped int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.history.entries), w.history.dropped
}

// ClearHistory forgets the history.
func (w *World) ClearHistory() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = history{}
}
