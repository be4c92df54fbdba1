package memory

import (
	"context"
	"fmt"
	"iter"
	"sort"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// overhead is what a record counts for beside its data and key: about what it
// costs here.
const overhead = 64

type stream struct {
	mu        sync.Mutex
	retention store.Retention // guarded by mu
	records   []store.Record  // guarded by mu; by Seq, without gaps, data never written to
	last      uint64          // guarded by mu
	bytes     int64           // guarded by mu
	grown     chan struct{}   // guarded by mu; closed by the next Append
}

func (s *stream) retain(r store.Retention) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retention = r
	s.trim()
}

func size(r store.Record) int64 { return int64(len(r.Data)+len(r.Key)) + overhead }

// trim drops what is beyond the retention. The caller holds mu.
func (s *stream) trim() {
	r, drop := s.retention, 0
	for ; drop < len(s.records); drop++ {
		old := s.records[drop]
		tooMany := r.MaxRecords > 0 && len(s.records)-drop > r.MaxRecords
		tooLarge := r.MaxBytes > 0 && s.bytes > r.MaxBytes
		tooOld := r.MaxAge > 0 && time.Since(old.At) >= r.MaxAge
		if !tooMany && !tooLarge && !tooOld {
			break
		}
		s.bytes -= size(old)
	}
	clear(s.records[:drop]) // append moves the rest to a new array in time
	s.records = s.records[drop:]
}

func (s *stream) Append(ctx context.Context, key store.Key, data []byte) (uint64, error) {
	if err := check(ctx, key, data); err != nil {
		return 0, fmt.Errorf("append to %q: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	r := store.Record{Seq: s.last, At: time.Now(), Key: key, Data: clone(data)}
	s.records = append(s.records, r)
	s.bytes += size(r)
	s.trim()
	close(s.grown)
	s.grown = make(chan struct{})
	return r.Seq, nil
}

func (s *stream) Get(ctx context.Context, seq uint64) (store.Record, error) {
	if err := ended(ctx); err != nil {
		return store.Record{}, fmt.Errorf("get record %d: %w", seq, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trim()
	if len(s.records) == 0 || seq < s.records[0].Seq || seq > s.last {
		return store.Record{}, fmt.Errorf("get record %d: %w", seq, store.ErrNotFound)
	}
	return s.records[seq-s.records[0].Seq], nil
}

func (s *stream) State(ctx context.Context) (store.State, error) {
	if err := ended(ctx); err != nil {
		return store.State{}, fmt.Errorf("state of the stream: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trim()
	return store.State{First: s.last + 1 - uint64(len(s.records)), Last: s.last, Records: len(s.records), Bytes: s.bytes}, nil
}

func (s *stream) Read(ctx context.Context, q store.Query) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		if err := q.Prefix.CheckPrefix(); err != nil {
			yield(store.Record{}, fmt.Errorf("read: %w", err))
			return
		}
		s.mu.Lock()
		end := s.last
		s.mu.Unlock()
		for after := q.After; ; {
			if err := ended(ctx); err != nil {
				yield(store.Record{}, fmt.Errorf("read: %w", err))
				return
			}
			batch, _ := s.some(q, after)
			for _, r := range batch {
				if r.Seq > end {
					return
				}
				if r.Key.Within(q.Prefix) && !yield(r, nil) {
					return
				}
				after = r.Seq
			}
			if len(batch) == 0 {
				return
			}
		}
	}
}

func (s *stream) Follow(ctx context.Context, q store.Query) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		if err := q.Prefix.CheckPrefix(); err != nil {
			yield(store.Record{}, fmt.Errorf("follow: %w", err))
			return
		}
		for after := q.After; ctx.Err() == nil; {
			batch, grown := s.some(q, after)
			for _, r := range batch {
				if ctx.Err() != nil || r.Key.Within(q.Prefix) && !yield(r, nil) {
					return
				}
				after = r.Seq
			}
			if len(batch) > 0 {
				continue
			}
			select {
			case <-ctx.Done():
			case <-grown:
			}
		}
	}
}

// batchSize is how many records are copied at a time, so that a long read holds
// up no writer.
const batchSize = 256

// some returns the first records after a sequence number that are not older than
// the query asks for, of whatever key, and what is closed when there are more.
func (s *stream) some(q store.Query, after uint64) ([]store.Record, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trim()
	from := sort.Search(len(s.records), func(i int) bool { return s.records[i].Seq > after })
	if !q.Since.IsZero() {
		rest := s.records[from:]
		from += sort.Search(len(rest), func(i int) bool { return !rest[i].At.Before(q.Since) })
	}
	return append([]store.Record(nil), s.records[from:min(len(s.records), from+batchSize)]...), s.grown
}
