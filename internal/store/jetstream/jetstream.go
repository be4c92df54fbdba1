// Package jetstream is a store on NATS JetStream, over a connection that the caller
// has made: to the embedded server of this process, or to others. Buckets are
// key-value buckets of NATS with a history of one, streams are streams, so that the
// usual tools show what is in them. Names begin with "fas".
//
// Every request has a time limit. When one fails for a reason that lies with the
// store, it is taken to be down: further requests fail at once, but for one every
// few seconds that tries. A bucket or a stream that has vanished, as on a server
// that had to begin anew, is made again.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// Limits on the time that requests take.
const (
	// timeout bounds a request. An embedded server answers within a millisecond; a
	// cluster that elects a leader needs longer than this, and callers do without
	// meanwhile.
	timeout = 2 * time.Second
	// retryAfter is how long the store is taken to be down after it failed.
	retryAfter = 5 * time.Second
)

// prefix begins the names of all that is ours on a server.
const prefix = "fas"

// Store implements store.Store.
type Store struct {
	js jetstream.JetStream

	mu   sync.Mutex
	down error     // guarded by mu; why the store is taken to be down, nil if it is not
	next time.Time // guarded by mu; when a request may try again
}

// New returns a store on the server that conn leads to. The connection stays the
// caller's; it has to be closed after the last use of the store.
func New(conn *nats.Conn) (*Store, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return &Store{js: js}, nil
}

// do makes a request with a time limit, unless the store is down. If what the
// request is about does not exist, it is made with reopen, and the request is made
// again.
func (s *Store) do(ctx context.Context, request, reopen func(context.Context) error) error {
	if ctx.Err() != nil {
		return unavailable(context.Cause(ctx))
	}
	if err := s.admit(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	err := request(limited)
	if missing(err) && reopen != nil {
		if err = reopen(limited); err == nil {
			err = request(limited)
		}
	}
	err = classify(limited, err)
	// A caller who has no time left says nothing about the store.
	if ctx.Err() == nil || err == nil {
		s.observe(err)
	}
	return err
}

// admit lets a request through, or returns an error while the store is down.
func (s *Store) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil {
		return nil
	}
	if now := time.Now(); !now.Before(s.next) {
		s.next = now.Add(retryAfter) // this one tries, others wait for what comes of it
		return nil
	}
	return s.down
}

// observe notes what came of a request.
func (s *Store) observe(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(err, store.ErrUnavailable) {
		s.down = nil
		return
	}
	s.down, s.next = err, time.Now().Add(retryAfter)
}

func unavailable(cause error) error { return fmt.Errorf("%w: %w", store.ErrUnavailable, cause) }

// missing reports whether a request was about a bucket or stream that is not
// there.
func missing(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, nats.ErrNoResponders)
}

// classify gives an error of the client its place among the errors of a store.
func classify(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrInvalid):
		return err
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted), errors.Is(err, jetstream.ErrMsgNotFound):
		return store.ErrNotFound
	case conflict(err):
		return store.ErrConflict
	case ctx.Err() != nil:
		return unavailable(context.Cause(ctx))
	}
	return unavailable(err)
}

// conflict reports whether a compare-and-set was refused because the key has
// changed.
func conflict(err error) bool {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
