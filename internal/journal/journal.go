package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// streamName is the stream that entries are in.
const streamName = "journal"

// DefaultRetention is how much of the journal is kept on a disk.
func DefaultRetention() store.Retention {
	return store.Retention{MaxAge: 7 * 24 * time.Hour, MaxRecords: 100_000, MaxBytes: 256 << 20}
}

// VolatileRetention is how much of it is kept in memory, where there is no disk.
func VolatileRetention() store.Retention {
	return store.Retention{MaxAge: 24 * time.Hour, MaxRecords: 5_000, MaxBytes: 8 << 20}
}

// Journal is the entries in a store. Make it with Open.
type Journal struct {
	stream store.Stream
}

// Open opens the journal in a store.
func Open(ctx context.Context, s store.Store, r store.Retention) (*Journal, error) {
	stream, err := s.Stream(ctx, streamName, r)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return &Journal{stream: stream}, nil
}

// Append adds an entry and returns its number. Its errors are those of the store.
func (j *Journal) Append(ctx context.Context, e Entry) (uint64, error) {
	data, err := Encode(e)
	if err != nil {
		return 0, err
	}
	// The kind is part of the key so that a reader can pass over samples unread.
	id, err := j.stream.Append(ctx, store.KeyOf(string(e.App), string(e.Group), string(e.Kind)), data)
	if err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	return id, nil
}

// Item is an entry as it was found in the journal.
type Item struct {
	ID uint64 // counts up
	// Recorded is when the entry was written, at the end of its pass.
	Recorded time.Time
	Entry
	// Err says why the entry cannot be read; only ID, Recorded, App, Group and Kind
	// are set then.
	Err error
}

// Filter selects entries. The zero value selects all.
type Filter struct {
	// App is an app's name, or a pattern in which "*" stands for any characters;
	// empty is any app.
	App string
	// Changes leaves out all but the passes that acted.
	Changes bool
	// Since and Until bound the time of recording: since Since, and before Until. A
	// zero time sets no bound.
	Since, Until time.Time
	// After selects entries with higher numbers.
	After uint64
}

// Get returns the entry with the number, or store.ErrNotFound.
func (j *Journal) Get(ctx context.Context, id uint64) (Item, error) {
	r, err := j.stream.Get(ctx, id)
	if err != nil {
		return Item{}, fmt.Errorf("read the journal: %w", err)
	}
	return item(r), nil
}

// Read yields the selected entries that there are, oldest first; an error last.
func (j *Journal) Read(ctx context.Context, f Filter) iter.Seq2[Item, error] {
	return f.selected(j.stream.Read(ctx, f.query()))
}

// Follow yields what Read does, and then new entries as they are written, until
// ctx ends or the time of Until has passed and an entry comes.
func (j *Journal) Follow(ctx context.Context, f Filter) iter.Seq2[Item, error] {
	return f.selected(j.stream.Follow(ctx, f.query()))
}

// CopyTo appends the entries to another journal, under its own numbers and as of now.
func (j *Journal) CopyTo(ctx context.Context, to *Journal) error {
	for r, err := range j.stream.Read(ctx, store.Query{}) {
		if err == nil {
			_, err = to.stream.Append(ctx, r.Key, r.Data)
		}
		if err != nil {
			return fmt.Errorf("copy the journal: %w", err)
		}
	}
	return nil
}

// State returns how much the journal holds.
func (j *Journal) State(ctx context.Context) (store.State, error) {
	return j.stream.State(ctx)
}

// query is what of the filter the store can do.
func (f Filter) query() store.Query {
	q := store.Query{After: f.After, Since: f.Since}
	if f.App != "" && !strings.Contains(f.App, "*") {
		q.Prefix = store.KeyOf(f.App)
	}
	return q
}

// errKey tells that a record is under a key that no entry has.
var errKey = errors.New("not a journal entry")

func (f Filter) selected(records iter.Seq2[store.Record, error]) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for r, err := range records {
			if err != nil {
				yield(Item{}, fmt.Errorf("read the journal: %w", err))
				return
			}
			if !f.Until.IsZero() && !r.At.Before(f.Until) {
				return
			}
			if f.wants(r.Key) && !yield(item(r), nil) {
				return
			}
		}
	}
}

// wants reports whether the filter selects entries under the key. What has no
// such key is damaged, and told of.
func (f Filter) wants(key store.Key) bool {
	parts, err := key.Parts()
	if err != nil || len(parts) != 3 {
		return true
	}
	if f.Changes && Kind(parts[2]) != Acted {
		return false
	}
	return f.App == "" || matches(f.App, parts[0])
}

// matches reports whether a name fits a pattern with "*".
func matches(pattern, name string) bool {
	// Names of apps have nothing that is special to Match but perhaps by mistake.
	ok, err := path.Match(escaper.Replace(pattern), name)
	return err == nil && ok
}

// escaper takes the meaning from all that is special to Match but the star.
var escaper = strings.NewReplacer(`\`, `\\`, `?`, `\?`, `[`, `\[`)

// item decodes a record.
func item(r store.Record) Item {
	it := Item{ID: r.Seq, Recorded: r.At}
	entry, err := Decode(r.Data)
	if err == nil {
		it.Entry = entry
		return it
	}
	it.Err = err
	parts, keyErr := r.Key.Parts()
	if keyErr != nil || len(parts) != 3 {
		it.Err = errors.Join(errKey, err)
		return it
	}
	it.App, it.Group, it.Kind = scale.App(parts[0]), scale.ProcessGroup(parts[1]), Kind(parts[2])
	return it
}
