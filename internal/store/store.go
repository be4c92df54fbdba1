package store

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Errors of a store, found with errors.Is.
var (
	// ErrNotFound is returned for a key or a record that is not there.
	ErrNotFound = errors.New("not found")
	// ErrConflict is returned by Create and Update when the key is not in the state
	// that the caller took it to be in. Nothing was written.
	ErrConflict = errors.New("changed by somebody else")
	// ErrUnavailable is returned when the store does not answer or cannot write. A
	// write may have taken effect. Trying again later makes sense.
	ErrUnavailable = errors.New("store not available")
	// ErrInvalid is returned for a key or a value that no store takes: trying again
	// is of no use.
	ErrInvalid = errors.New("not valid")
)

// MaxValue is the size of the largest value or record, in bytes. It leaves room
// for headers within the megabyte that NATS servers take by default.
const MaxValue = 1<<20 - 4<<10

// Store is a place for values and records. Buckets and streams are opened by
// name (lower-case letters) and made when they are not there.
type Store interface {
	// Bucket opens the bucket with the name.
	Bucket(ctx context.Context, name string) (Bucket, error)
	// Stream opens the stream with the name. A stream that is there takes over the
	// retention, and drops what is beyond it.
	Stream(ctx context.Context, name string, retention Retention) (Stream, error)
}

// Revision numbers the writes to a bucket, counting up. A key's revision is that
// of its last write; 0 stands for a key that is not there.
type Revision uint64

// Entry is a key with its value.
type Entry struct {
	Key      Key
	Value    []byte
	Revision Revision
}

// Bucket is values under keys.
type Bucket interface {
	// Get returns the key's entry, or ErrNotFound.
	Get(ctx context.Context, key Key) (Entry, error)
	// Put writes the value, whatever is there.
	Put(ctx context.Context, key Key, value []byte) (Revision, error)
	// Create writes the value if the key is not there, else ErrConflict.
	Create(ctx context.Context, key Key, value []byte) (Revision, error)
	// Update writes the value if the key's revision is still last, else ErrConflict.
	Update(ctx context.Context, key Key, value []byte, last Revision) (Revision, error)
	// Delete removes the key. A key that is not there is no error.
	Delete(ctx context.Context, key Key) error
	// List yields all entries, in no order, at the price of one request. An error
	// is yielded last. Writes made meanwhile may or may not be seen.
	List(ctx context.Context) iter.Seq2[Entry, error]
}

// Retention bounds a stream; the oldest records go first. A zero field sets no
// bound.
type Retention struct {
	MaxAge     time.Duration
	MaxRecords int
	MaxBytes   int64 // of data and keys, before the store's own overhead
}

// Record is one record of a stream.
type Record struct {
	Seq  uint64    // counts up from 1; numbers of dropped records are not used again
	At   time.Time // when the store took it
	Key  Key
	Data []byte
}

// Query selects records. The zero value selects all.
type Query struct {
	// Prefix selects records whose key begins with these parts.
	Prefix Key
	// After selects records with higher sequence numbers.
	After uint64
	// Since selects records that the store took at that time or later.
	Since time.Time
}

// State is what a stream holds.
type State struct {
	First, Last uint64 // sequence numbers; Last counts dropped records too, First is Last+1 when empty
	Records     int
	Bytes       int64 // of data and keys, and of the store's overhead for each
}

// Stream is records in the order in which they were appended.
type Stream interface {
	// Append adds a record at the end and returns its sequence number.
	Append(ctx context.Context, key Key, data []byte) (uint64, error)
	// Get returns the record with the sequence number, or ErrNotFound.
	Get(ctx context.Context, seq uint64) (Record, error)
	// Read yields the selected records that were there when it was called, in
	// order. An error is yielded last.
	Read(ctx context.Context, q Query) iter.Seq2[Record, error]
	// Follow yields what Read does, and then new records as they come, until ctx
	// ends or the consumer stops. It waits through times in which the store is not
	// available. The end of ctx is no error.
	Follow(ctx context.Context, q Query) iter.Seq2[Record, error]
	// State returns what the stream holds.
	State(ctx context.Context) (State, error)
}
