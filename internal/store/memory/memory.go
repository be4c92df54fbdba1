// Package memory is a store without a disk: what it holds ends with the process.
// It is what the program goes on with when there is no folder to write to, and
// what tests in virtual time use. It is never unavailable.
package memory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// Store implements store.Store. Make it with New.
type Store struct {
	mu      sync.Mutex
	buckets map[string]*bucket // guarded by mu
	streams map[string]*stream // guarded by mu
}

// New returns an empty store.
func New() *Store {
	return &Store{buckets: make(map[string]*bucket), streams: make(map[string]*stream)}
}

// Bucket implements store.Store.
func (s *Store) Bucket(ctx context.Context, name string) (store.Bucket, error) {
	if err := ended(ctx); err != nil {
		return nil, fmt.Errorf("open bucket %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[name]
	if !ok {
		b = &bucket{entries: make(map[store.Key]store.Entry)}
		s.buckets[name] = b
	}
	return b, nil
}

// Stream implements store.Store.
func (s *Store) Stream(ctx context.Context, name string, r store.Retention) (store.Stream, error) {
	if err := ended(ctx); err != nil {
		return nil, fmt.Errorf("open stream %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.streams[name]
	if !ok {
		st = &stream{grown: make(chan struct{})}
		s.streams[name] = st
	}
	st.retain(r)
	return st, nil
}

// ended tells that the caller has no time left, as a store with a disk would.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, context.Cause(ctx))
}

type bucket struct {
	mu      sync.Mutex
	last    store.Revision            // guarded by mu
	entries map[store.Key]store.Entry // guarded by mu; values are never written to
}

func (b *bucket) Get(ctx context.Context, key store.Key) (store.Entry, error) {
	if err := check(ctx, key, nil); err != nil {
		return store.Entry{}, fmt.Errorf("get %q: %w", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[key]
	if !ok {
		return store.Entry{}, fmt.Errorf("get %q: %w", key, store.ErrNotFound)
	}
	return e, nil
}

func (b *bucket) Put(ctx context.Context, key store.Key, value []byte) (store.Revision, error) {
	rev, err := b.write(ctx, key, value, func(store.Revision) bool { return true })
	if err != nil {
		return 0, fmt.Errorf("put %q: %w", key, err)
	}
	return rev, nil
}

func (b *bucket) Create(ctx context.Context, key store.Key, value []byte) (store.Revision, error) {
	rev, err := b.write(ctx, key, value, func(now store.Revision) bool { return now == 0 })
	if err != nil {
		return 0, fmt.Errorf("create %q: %w", key, err)
	}
	return rev, nil
}

func (b *bucket) Update(ctx context.Context, key store.Key, value []byte, last store.Revision) (store.Revision, error) {
	rev, err := b.write(ctx, key, value, func(now store.Revision) bool { return now == last && now != 0 })
	if err != nil {
		return 0, fmt.Errorf("update %q after revision %d: %w", key, last, err)
	}
	return rev, nil
}

// write writes the value if the key's revision is as wanted.
func (b *bucket) write(ctx context.Context, key store.Key, value []byte, wanted func(store.Revision) bool) (store.Revision, error) {
	if err := check(ctx, key, value); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !wanted(b.entries[key].Revision) {
		return 0, store.ErrConflict
	}
	b.last++
	b.entries[key] = store.Entry{Key: key, Value: clone(value), Revision: b.last}
	return b.last, nil
}

func (b *bucket) Delete(ctx context.Context, key store.Key) error {
	if err := check(ctx, key, nil); err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.entries[key]; ok {
		b.last++
		delete(b.entries, key)
	}
	return nil
}

func (b *bucket) List(ctx context.Context) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		if err := ended(ctx); err != nil {
			yield(store.Entry{}, fmt.Errorf("list entries: %w", err))
			return
		}
		b.mu.Lock()
		entries := slices.Collect(maps.Values(b.entries))
		b.mu.Unlock()
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func check(ctx context.Context, key store.Key, value []byte) error {
	if err := key.Check(); err != nil {
		return err
	}
	if err := store.CheckValue(value); err != nil {
		return err
	}
	return ended(ctx)
}

// clone copies a value; an empty one reads back as empty and not nil, as from a
// store with a disk.
func clone(value []byte) []byte { return append([]byte{}, value...) }
