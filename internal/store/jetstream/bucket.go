package jetstream

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// markerTTL is how long the server keeps the marker that a key was deleted. Nobody
// needs it for longer than a read takes.
const markerTTL = time.Minute

// Bucket implements store.Store.
func (s *Store) Bucket(ctx context.Context, name string) (store.Bucket, error) {
	b := &bucket{store: s, name: prefix + "_" + name}
	if err := s.do(ctx, b.open, nil); err != nil {
		return nil, fmt.Errorf("open bucket %q: %w", name, err)
	}
	return b, nil
}

type bucket struct {
	store *Store
	name  string
	kv    atomic.Pointer[jetstream.KeyValue]
}

func (b *bucket) open(ctx context.Context) error {
	// One revision of each key: with more, the markers of deleted keys would uncover
	// old ones.
	kv, err := b.store.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: b.name, History: 1, Storage: jetstream.FileStorage, LimitMarkerTTL: markerTTL,
	})
	if err != nil {
		return err
	}
	b.kv.Store(&kv)
	return nil
}

func (b *bucket) do(ctx context.Context, key store.Key, value []byte, request func(context.Context, jetstream.KeyValue) error) error {
	if err := key.Check(); err != nil {
		return err
	}
	if err := store.CheckValue(value); err != nil {
		return err
	}
	return b.store.do(ctx, func(ctx context.Context) error { return request(ctx, *b.kv.Load()) }, b.open)
}

// Get implements store.Bucket.
func (b *bucket) Get(ctx context.Context, key store.Key) (store.Entry, error) {
	var e store.Entry
	err := b.do(ctx, key, nil, func(ctx context.Context, kv jetstream.KeyValue) error {
		got, err := kv.Get(ctx, string(key))
		if err == nil {
			e = store.Entry{Key: key, Value: filled(got.Value()), Revision: store.Revision(got.Revision())}
		}
		return err
	})
	if err != nil {
		return store.Entry{}, fmt.Errorf("get %q: %w", key, err)
	}
	return e, nil
}

// filled makes an empty value one that is there.
func filled(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// Put implements store.Bucket.
func (b *bucket) Put(ctx context.Context, key store.Key, value []byte) (store.Revision, error) {
	rev, err := b.write(ctx, key, value, func(ctx context.Context, kv jetstream.KeyValue) (uint64, error) {
		return kv.Put(ctx, string(key), value)
	})
	if err != nil {
		return 0, fmt.Errorf("put %q: %w", key, err)
	}
	return rev, nil
}

// Create implements store.Bucket.
func (b *bucket) Create(ctx context.Context, key store.Key, value []byte) (store.Revision, error) {
	rev, err := b.write(ctx, key, value, func(ctx context.Context, kv jetstream.KeyValue) (uint64, error) {
		return kv.Create(ctx, string(key), value)
	})
	if err != nil {
		return 0, fmt.Errorf("create %q: %w", key, err)
	}
	return rev, nil
}

// Update implements store.Bucket.
func (b *bucket) Update(ctx context.Context, key store.Key, value []byte, last store.Revision) (store.Revision, error) {
	rev, err := b.write(ctx, key, value, func(ctx context.Context, kv jetstream.KeyValue) (uint64, error) {
		if last == 0 { // to the server this would mean that there is none
			return 0, jetstream.ErrKeyExists
		}
		return kv.Update(ctx, string(key), value, uint64(last))
	})
	if err != nil {
		return 0, fmt.Errorf("update %q after revision %d: %w", key, last, err)
	}
	return rev, nil
}

func (b *bucket) write(ctx context.Context, key store.Key, value []byte, write func(context.Context, jetstream.KeyValue) (uint64, error)) (store.Revision, error) {
	var rev uint64
	err := b.do(ctx, key, value, func(ctx context.Context, kv jetstream.KeyValue) (err error) {
		rev, err = write(ctx, kv)
		return err
	})
	return store.Revision(rev), err
}

// Delete implements store.Bucket.
func (b *bucket) Delete(ctx context.Context, key store.Key) error {
	err := b.do(ctx, key, nil, func(ctx context.Context, kv jetstream.KeyValue) error {
		return kv.Purge(ctx, string(key), jetstream.PurgeTTL(markerTTL))
	})
	if err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

// Headers of messages that stand for a key that is gone.
const (
	headerOperation = "KV-Operation"
	headerMarker    = jetstream.MarkerReasonHeader
)

// List implements store.Bucket.
func (b *bucket) List(ctx context.Context) iter.Seq2[store.Entry, error] {
	subject := "$KV." + b.name + "."
	r := reader{store: b.store, stream: "KV_" + b.name, reopen: b.open, config: jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubject: subject + ">",
	}}
	return func(yield func(store.Entry, error) bool) {
		for m, err := range r.read(ctx) {
			if err != nil {
				yield(store.Entry{}, fmt.Errorf("list entries: %w", err))
				return
			}
			if m.header.Get(headerOperation) != "" || m.header.Get(headerMarker) != "" {
				continue
			}
			e := store.Entry{Key: store.Key(strings.TrimPrefix(m.subject, subject)), Value: filled(m.data), Revision: store.Revision(m.seq)}
			if !yield(e, nil) {
				return
			}
		}
	}
}
