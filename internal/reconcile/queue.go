package reconcile

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// queue hands out keys when they are due, each to one taker at a time. Keys that
// are due at the same time come in the order in which they were added.
type queue struct {
	// turn is held by the one taker that waits for what is due. The others wait for
	// their turn, so that a change wakes one of them and not all.
	turn chan struct{}

	mu      sync.Mutex
	entries map[string]*entry // guarded by mu
	waiting entryHeap         // guarded by mu; entries that nobody holds
	added   uint64            // guarded by mu
	changed chan struct{}     // guarded by mu; closed and replaced when waiting changes
}

type entry struct {
	key     string
	due     time.Time
	order   uint64
	index   int // in the heap; -1 while held
	removed bool
	woken   bool // due at once when it is given back
}

func newQueue() *queue {
	return &queue{turn: make(chan struct{}, 1), entries: make(map[string]*entry), changed: make(chan struct{})}
}

// add makes the key due at the given time. A key that is there already stays as
// it is.
func (q *queue) add(key string, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e, ok := q.entries[key]; ok {
		e.removed = false
		return
	}
	q.added++
	e := &entry{key: key, due: due, order: q.added}
	q.entries[key] = e
	heap.Push(&q.waiting, e)
	q.signal()
}

// wake makes the key due at once. A key that is held is handed out again as soon
// as it is given back; one that is not there stays so.
func (q *queue) wake(key string, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.entries[key]
	switch {
	case !ok:
	case e.index < 0:
		e.woken = true
	case e.due.After(now):
		e.due = now
		heap.Fix(&q.waiting, e.index)
		q.signal()
	}
}

// remove forgets the key. Whoever holds it may finish.
func (q *queue) remove(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, ok := q.entries[key]
	if !ok {
		return
	}
	if e.index < 0 {
		e.removed = true
		return
	}
	heap.Remove(&q.waiting, e.index)
	delete(q.entries, key)
}

// next blocks until a key is due and returns it, held, with the time it was due.
// It returns false when ctx ends.
func (q *queue) next(ctx context.Context) (string, time.Time, bool) {
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return "", time.Time{}, false
	}
	for {
		q.mu.Lock()
		changed := q.changed
		wait := time.Duration(-1)
		if len(q.waiting) > 0 {
			e := q.waiting[0]
			if wait = time.Until(e.due); wait <= 0 && ctx.Err() == nil {
				heap.Pop(&q.waiting)
				q.mu.Unlock()
				return e.key, e.due, true
			}
		}
		q.mu.Unlock()
		var timer *time.Timer
		var due <-chan time.Time
		if wait >= 0 {
			timer = time.NewTimer(wait)
			due = timer.C
		}
		select {
		case <-ctx.Done():
			if timer != nil {
				timer.Stop()
			}
			return "", time.Time{}, false
		case <-changed:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// done gives a held key back, due at the given time, unless it was removed
// meanwhile.
func (q *queue) done(key string, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.entries[key]
	if e.removed {
		delete(q.entries, key)
		return
	}
	q.added++
	if e.woken && due.After(time.Now()) {
		due = time.Now()
	}
	e.due, e.order, e.woken = due, q.added, false
	heap.Push(&q.waiting, e)
	q.signal()
}

// signal wakes the taker whose turn it is. The caller holds mu.
func (q *queue) signal() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// entryHeap implements heap.Interface.
type entryHeap []*entry

func (h entryHeap) Len() int { return len(h) }

func (h entryHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].order < h[j].order
	}
	return h[i].due.Before(h[j].due)
}

func (h entryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *entryHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}
