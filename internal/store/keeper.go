package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Keeper keeps one JSON document for each key in a bucket and writes only those
// that changed, so that who has nothing new to tell costs nothing. It is meant to be
// the bucket's only writer. Make it with OpenKeeper.
type Keeper struct {
	bucket  Bucket
	version int

	mu      sync.Mutex
	written map[Key][sha256.Size]byte // guarded by mu; of what the bucket is known to hold
	beat    time.Time                 // guarded by mu; the last heartbeat
}

// Kept is what a Keeper found when it was opened.
type Kept struct {
	// Documents are the documents by key.
	Documents map[Key]json.RawMessage
	// Alive is the time of the last heartbeat; zero when there was none. Whatever
	// happened since, nobody looked.
	Alive time.Time
	// Dropped counts documents that cannot be used: of another version of the program,
	// or damaged. They stay in the bucket until they are written anew.
	Dropped int
}

// BeatEvery is the least time between two heartbeats.
const BeatEvery = 30 * time.Second

// beatKey is the key of the heartbeat. Keys with an empty part at the front are
// the keeper's own.
var beatKey = KeyOf("", "alive")

// envelope is how a document is written.
type envelope struct {
	Version  int             `json:"v"`
	Document json.RawMessage `json:"doc"`
}

// OpenKeeper reads all that the bucket has. Documents of another version are left
// out, as if they had been lost.
func OpenKeeper(ctx context.Context, b Bucket, version int) (*Keeper, Kept, error) {
	k := &Keeper{bucket: b, version: version, written: make(map[Key][sha256.Size]byte)}
	kept := Kept{Documents: make(map[Key]json.RawMessage)}
	for e, err := range b.List(ctx) {
		if err != nil {
			return nil, Kept{}, err
		}
		var env envelope
		if err := json.Unmarshal(e.Value, &env); err != nil || env.Version != version || len(env.Document) == 0 {
			kept.Dropped++
			continue
		}
		if e.Key == beatKey {
			if json.Unmarshal(env.Document, &kept.Alive) != nil {
				kept.Dropped++
			}
			continue
		}
		kept.Documents[e.Key] = env.Document
		k.written[e.Key] = sha256.Sum256(env.Document)
	}
	return k, kept, nil
}

// Save writes the document, encoded as JSON, unless it is what was written last.
// It reports whether it wrote. After an error nobody knows what the bucket holds,
// and the next Save writes in any case. A key is saved by one caller at a time.
func (k *Keeper) Save(ctx context.Context, key Key, document any) (bool, error) {
	doc, err := json.Marshal(document)
	if err != nil {
		return false, fmt.Errorf("save %q: %w", key, err)
	}
	sum := sha256.Sum256(doc)
	k.mu.Lock()
	last, known := k.written[key]
	if known && last == sum {
		k.mu.Unlock()
		return false, nil
	}
	delete(k.written, key)
	k.mu.Unlock()
	if err := k.put(ctx, key, doc); err != nil {
		return false, fmt.Errorf("save: %w", err)
	}
	k.mu.Lock()
	k.written[key] = sum
	k.mu.Unlock()
	return true, nil
}

func (k *Keeper) put(ctx context.Context, key Key, doc json.RawMessage) error {
	value, err := json.Marshal(envelope{Version: k.version, Document: doc})
	if err != nil {
		return err
	}
	_, err = k.bucket.Put(ctx, key, value)
	return err
}

// Forget removes a document that nobody will ask for again.
func (k *Keeper) Forget(ctx context.Context, key Key) error {
	k.mu.Lock()
	delete(k.written, key)
	k.mu.Unlock()
	return k.bucket.Delete(ctx, key)
}

// Beat tells that the process is alive. It writes once in BeatEvery at most, so that
// it can be called with every pass, and reports whether it did.
func (k *Keeper) Beat(ctx context.Context, now time.Time) (bool, error) {
	k.mu.Lock()
	due := now.Sub(k.beat) >= BeatEvery || now.Before(k.beat)
	if due {
		k.beat = now // also when it fails: the next try has time
	}
	k.mu.Unlock()
	if !due {
		return false, nil
	}
	doc, err := json.Marshal(now.UTC())
	if err != nil {
		return false, err
	}
	if err := k.put(ctx, beatKey, doc); err != nil {
		return false, fmt.Errorf("heartbeat: %w", err)
	}
	return true, nil
}
