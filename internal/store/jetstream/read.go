package jetstream

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// message is a message as the server keeps it.
type message struct {
	seq     uint64
	at      time.Time
	subject string
	header  nats.Header
	data    []byte
	pending uint64 // how many more are selected
}

// reader reads the messages that a consumer's configuration selects. Its consumer
// lives on the server for as long as it reads.
type reader struct {
	store  *Store
	stream string
	config jetstream.ConsumerConfig
	reopen func(context.Context) error
}

const (
	// batchSize is how many messages are asked for at a time.
	batchSize = 256
	// abandoned is after how long the server removes the consumer of a reader that
	// has died.
	abandoned = time.Minute
)

// errGap tells that messages were lost on their way, as when a connection breaks.
var errGap = errors.New("messages were lost on their way")

// open makes the consumer.
func (r *reader) open(ctx context.Context) (jetstream.Consumer, error) {
	config := r.config
	config.AckPolicy, config.MemoryStorage, config.InactiveThreshold = jetstream.AckNonePolicy, true, abandoned
	var c jetstream.Consumer
	err := r.store.do(ctx, func(ctx context.Context) (err error) {
		c, err = r.store.js.CreateConsumer(ctx, r.stream, config)
		return err
	}, r.reopen)
	return c, err
}

// close removes the consumer, also when ctx has ended. If that fails the server
// does it in a while.
func (r *reader) close(ctx context.Context, c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	_ = r.store.js.DeleteConsumer(ctx, r.stream, c.CachedInfo().Name)
}

// read yields what is selected now; an error last.
func (r *reader) read(ctx context.Context) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		c, err := r.open(ctx)
		if err != nil {
			yield(message{}, err)
			return
		}
		defer r.close(ctx, c)
		for delivered, pending := uint64(0), c.CachedInfo().NumPending; pending > 0; {
			var batch []message
			err := r.store.do(ctx, func(ctx context.Context) (err error) {
				batch, err = fetch(c, delivered)
				if err == nil && len(batch) == 0 {
					pending, err = remaining(ctx, c, delivered)
				}
				return err
			}, nil)
			if err != nil {
				yield(message{}, err)
				return
			}
			for _, m := range batch {
				if !yield(m, nil) {
					return
				}
				pending = m.pending
			}
			delivered += uint64(len(batch))
		}
	}
}

// fetch returns the next messages that are there. The consumer has delivered some
// before.
func fetch(c jetstream.Consumer, delivered uint64) ([]message, error) {
	fetched, err := c.FetchNoWait(batchSize)
	if err != nil {
		return nil, err
	}
	return collect(fetched, delivered)
}

// collect returns all messages of a batch, and waits for its end.
func collect(fetched jetstream.MessageBatch, delivered uint64) ([]message, error) {
	var batch []message
	var first error
	for msg := range fetched.Messages() {
		meta, err := msg.Metadata()
		if delivered++; err == nil && meta.Sequence.Consumer != delivered {
			err = errGap
		}
		if err != nil {
			first = err
		}
		if first != nil {
			continue
		}
		batch = append(batch, message{
			seq: meta.Sequence.Stream, at: meta.Timestamp, subject: msg.Subject(), header: msg.Headers(), data: msg.Data(), pending: meta.NumPending,
		})
	}
	if first == nil {
		first = fetched.Error()
	}
	return batch, first
}

// remaining returns how many messages are still to come, after none came. It tells
// messages that were dropped by the stream from those that were lost.
func remaining(ctx context.Context, c jetstream.Consumer, delivered uint64) (uint64, error) {
	info, err := c.Info(ctx)
	if err != nil {
		return 0, err
	}
	if info.Delivered.Consumer != delivered {
		return 0, errGap
	}
	return info.NumPending, nil
}
