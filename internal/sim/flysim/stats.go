package flysim

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
)

// statusCut counts requests that were never answered.
const statusCut = 0

// stats counts requests by operation and status.
type stats struct {
	mu    sync.Mutex
	byOp  map[string]map[int]int // guarded by mu
	total int                    // guarded by mu
}

// Stats is how many requests were answered how. An answer that was never sent,
// because the connection was cut or the client left, counts under status "0".
type Stats struct {
	Total       int                       `json:"total"`
	RateLimited int                       `json:"rate_limited"`
	Ops         map[string]int            `json:"ops"`
	Statuses    map[string]map[string]int `json:"statuses"` // operation to status to count
}

func newStats() *stats { return &stats{byOp: make(map[string]map[int]int)} }

func (s *stats) count(op string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if s.byOp[op] == nil {
		s.byOp[op] = make(map[int]int)
	}
	s.byOp[op][status]++
}

func (s *stats) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byOp)
	s.total = 0
}

func (s *stats) read() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Total: s.total, Ops: make(map[string]int), Statuses: make(map[string]map[string]int)}
	for op, statuses := range maps.All(s.byOp) {
		out.Statuses[op] = make(map[string]int)
		for status, n := range statuses {
			out.Ops[op] += n
			out.Statuses[op][strconv.Itoa(status)] = n
			if status == http.StatusTooManyRequests {
				out.RateLimited += n
			}
		}
	}
	return out
}

// Stats returns the requests counted since the last reset. The administration
// is not counted.
func (h *Handler) Stats() Stats { return h.stats.read() }

// ResetStats forgets the requests counted.
func (h *Handler) ResetStats() { h.stats.reset() }
