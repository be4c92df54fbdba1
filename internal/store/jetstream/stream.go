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

// Stream implements store.Store.
func (s *Store) Stream(ctx context.Context, name string, retention store.Retention) (store.Stream, error) {
	st := &stream{store: s, name: prefix + "_" + name, subject: prefix + "." + name, retention: retention}
	if err := s.do(ctx, st.open, nil); err != nil {
		return nil, fmt.Errorf("open stream %q: %w", name, err)
	}
	return st, nil
}

type stream struct {
	store     *Store
	name      string
	subject   string // what comes before the keys
	retention store.Retention
	stream    atomic.Pointer[jetstream.Stream]
}

func (s *stream) open(ctx context.Context) error {
	unlessZero := func(n int64) int64 {
		if n == 0 {
			return -1 // no bound
		}
		return n
	}
	st, err := s.store.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: s.name, Subjects: []string{s.subject + ".>"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		MaxAge: s.retention.MaxAge, MaxMsgs: unlessZero(int64(s.retention.MaxRecords)), MaxBytes: unlessZero(s.retention.MaxBytes),
		AllowDirect: true,
	})
	if err != nil {
		return err
	}
	s.stream.Store(&st)
	return nil
}

func (s *stream) key(subject string) store.Key {
	return store.Key(strings.TrimPrefix(subject, s.subject+"."))
}

// Append implements store.Stream.
func (s *stream) Append(ctx context.Context, key store.Key, data []byte) (uint64, error) {
	var seq uint64
	err := key.Check()
	if err == nil {
		err = store.CheckValue(data)
	}
	if err == nil {
		err = s.store.do(ctx, func(ctx context.Context) error {
			ack, err := s.store.js.Publish(ctx, s.subject+"."+string(key), data, jetstream.WithExpectStream(s.name))
			if err == nil {
				seq = ack.Sequence
			}
			return err
		}, s.open)
	}
	if err != nil {
		return 0, fmt.Errorf("append to %q: %w", key, err)
	}
	return seq, nil
}

// Get implements store.Stream.
func (s *stream) Get(ctx context.Context, seq uint64) (store.Record, error) {
	var r store.Record
	err := s.store.do(ctx, func(ctx context.Context) error {
		if seq == 0 {
			return store.ErrNotFound
		}
		msg, err := (*s.stream.Load()).GetMsg(ctx, seq)
		if err == nil {
			r = store.Record{Seq: msg.Sequence, At: msg.Time, Key: s.key(msg.Subject), Data: filled(msg.Data)}
		}
		return err
	}, s.open)
	if err != nil {
		return store.Record{}, fmt.Errorf("get record %d: %w", seq, err)
	}
	return r, nil
}

// State implements store.Stream.
func (s *stream) State(ctx context.Context) (store.State, error) {
	var state store.State
	err := s.store.do(ctx, func(ctx context.Context) error {
		info, err := (*s.stream.Load()).Info(ctx)
		if err == nil {
			// An empty stream that never held anything says 0 for both.
			state = store.State{
				First: max(info.State.FirstSeq, 1), Last: info.State.LastSeq, Records: int(info.State.Msgs), Bytes: int64(info.State.Bytes),
			}
		}
		return err
	}, s.open)
	if err != nil {
		return store.State{}, fmt.Errorf("state of the stream: %w", err)
	}
	return state, nil
}

// selected returns a reader of what the query asks for, after a sequence number.
func (s *stream) selected(q store.Query, after uint64) *reader {
	config := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1}
	// By time or by number, not both: records before the number are left out here.
	if !q.Since.IsZero() && after == q.After {
		config.DeliverPolicy, config.OptStartSeq, config.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &q.Since
	}
	if q.Prefix != "" {
		exact := s.subject + "." + string(q.Prefix)
		config.FilterSubjects = []string{exact, exact + ".>"}
	}
	return &reader{store: s.store, stream: s.name, config: config, reopen: s.open}
}

// Read implements store.Stream.
func (s *stream) Read(ctx context.Context, q store.Query) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		fail := func(err error) { yield(store.Record{}, fmt.Errorf("read: %w", err)) }
		if err := q.Prefix.CheckPrefix(); err != nil {
			fail(err)
			return
		}
		state, err := s.State(ctx)
		if err != nil {
			fail(err)
			return
		}
		for m, err := range s.selected(q, q.After).read(ctx) {
			switch {
			case err != nil:
				fail(err)
				return
			case m.seq > state.Last:
				return
			case m.seq <= q.After:
			case !yield(s.record(m), nil):
				return
			}
		}
	}
}

func (s *stream) record(m message) store.Record {
	return store.Record{Seq: m.seq, At: m.at, Key: s.key(m.subject), Data: filled(m.data)}
}

const (
	// followWait is how long the server is asked to wait for a new record at a time.
	followWait = 10 * time.Second
	// followRetry is between attempts to go on after the store was not available.
	followRetry = time.Second
)

// Follow implements store.Stream.
func (s *stream) Follow(ctx context.Context, q store.Query) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		if err := q.Prefix.CheckPrefix(); err != nil {
			yield(store.Record{}, fmt.Errorf("follow: %w", err))
			return
		}
		after, wanted := q.After, true
		take := func(r store.Record) bool {
			if wanted = ctx.Err() == nil && (r.Seq <= q.After || yield(r, nil)); wanted {
				after = max(after, r.Seq)
			}
			return wanted
		}
		for wanted && ctx.Err() == nil {
			if state, err := s.State(ctx); err == nil && state.Last < after && after > q.After {
				after, q.After = 0, 0 // the store had to begin anew
			}
			s.follow(ctx, s.selected(q, after), take)
			if !wanted {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(followRetry):
			}
		}
	}
}

// follow hands records to take until that wants no more, or something fails.
func (s *stream) follow(ctx context.Context, r *reader, take func(store.Record) bool) {
	c, err := r.open(ctx)
	if err != nil {
		return
	}
	defer r.close(ctx, c)
	for delivered := uint64(0); ; {
		batch, err := fetch(c, delivered)
		if err == nil && len(batch) == 0 {
			if batch, err = await(ctx, c, delivered); err == nil && len(batch) == 0 {
				_, err = remaining(ctx, c, delivered) // that is, whether the store is there
			}
		}
		if err != nil {
			return
		}
		for _, m := range batch {
			if !take(s.record(m)) {
				return
			}
		}
		delivered += uint64(len(batch))
	}
}

// await waits for a record, and returns none after a while.
func await(ctx context.Context, c jetstream.Consumer, delivered uint64) ([]message, error) {
	ctx, cancel := context.WithTimeout(ctx, followWait)
	defer cancel()
	fetched, err := c.Fetch(1, jetstream.FetchContext(ctx))
	if err != nil {
		return nil, err
	}
	return collect(fetched, delivered)
}
