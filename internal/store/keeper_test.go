package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/memory"
)

// counted is a bucket that counts writes and can be broken.
type counted struct {
	store.Bucket
	writes int
	broken bool
}

func (c *counted) Put(ctx context.Context, key store.Key, value []byte) (store.Revision, error) {
	if c.broken {
		return 0, store.ErrUnavailable
	}
	c.writes++
	return c.Bucket.Put(ctx, key, value)
}

func keeperOn(t *testing.T, b store.Bucket, version int) (*store.Keeper, store.Kept) {
	t.Helper()
	k, kept, err := store.OpenKeeper(t.Context(), b, version)
	if err != nil {
		t.Fatalf("open keeper: %v", err)
	}
	return k, kept
}

func newCounted(t *testing.T) *counted {
	t.Helper()
	b, err := memory.New().Bucket(t.Context(), "memory")
	if err != nil {
		t.Fatalf("open bucket: %v", err)
	}
	return &counted{Bucket: b}
}

type doc struct {
	Failures int               `json:"failures,omitempty"`
	Lost     map[string]string `json:"lost,omitempty"`
}

var web, api = store.KeyOf("web", "app"), store.KeyOf("api", "app")

func TestKeeper(t *testing.T) {
	t.Parallel()
	b := newCounted(t)
	k, kept := keeperOn(t, b, 1)
	if len(kept.Documents) != 0 || !kept.Alive.IsZero() || kept.Dropped != 0 {
		t.Errorf("an empty bucket has %+v", kept)
	}
	save := func(k *store.Keeper, key store.Key, d doc, want bool) {
		t.Helper()
		if wrote, err := k.Save(t.Context(), key, d); err != nil || wrote != want {
			t.Errorf("save %+v: wrote %t, %v, want %t", d, wrote, err, want)
		}
	}
	full := doc{Failures: 2, Lost: map[string]string{"a": "<1>", "b": "2"}}
	save(k, web, full, true)
	save(k, web, full, false)
	save(k, api, doc{}, true) // the first is written also when it is empty
	save(k, web, doc{}, true)
	save(k, web, full, true)
	if b.writes != 4 {
		t.Errorf("made %d writes, want 4", b.writes)
	}

	k, kept = keeperOn(t, b, 1)
	want := map[store.Key]json.RawMessage{web: json.RawMessage(`{"failures":2,"lost":{"a":"\u003c1\u003e","b":"2"}}`), api: json.RawMessage(`{}`)}
	if diff := cmp.Diff(want, kept.Documents); diff != "" {
		t.Errorf("documents differ (-want +got):\n%s", diff)
	}
	save(k, web, full, false) // nothing is written anew after a restart
	save(k, api, doc{}, false)
	if err := k.Forget(t.Context(), api); err != nil {
		t.Fatalf("forget: %v", err)
	}
	if _, kept = keeperOn(t, b, 1); len(kept.Documents) != 1 {
		t.Errorf("what was forgotten is there: %v", kept.Documents)
	}
	save(k, api, doc{}, true)
}

// What another version has written, or what is damaged, is as if it were lost.
func TestKeeperDrops(t *testing.T) {
	t.Parallel()
	b := newCounted(t)
	k, _ := keeperOn(t, b, 1)
	if _, err := k.Save(t.Context(), web, doc{Failures: 1}); err != nil {
		t.Fatalf("save: %v", err)
	}
	if _, err := k.Beat(t.Context(), time.Now()); err != nil {
		t.Fatalf("beat: %v", err)
	}
	if _, err := b.Put(t.Context(), api, []byte(`{"v":2,"doc":`)); err != nil {
		t.Fatalf("put: %v", err)
	}
	k, kept := keeperOn(t, b, 2)
	if len(kept.Documents) != 0 || kept.Dropped != 3 || !kept.Alive.IsZero() {
		t.Errorf("got %+v, want three documents to be dropped", kept)
	}
	if wrote, err := k.Save(t.Context(), web, doc{Failures: 1}); err != nil || !wrote {
		t.Errorf("save anew: wrote %t, %v", wrote, err)
	}
}

// A write that failed may have taken effect, so the next one is made for certain.
func TestKeeperAfterFailure(t *testing.T) {
	t.Parallel()
	b := newCounted(t)
	k, _ := keeperOn(t, b, 1)
	if _, err := k.Save(t.Context(), web, doc{Failures: 1}); err != nil {
		t.Fatalf("save: %v", err)
	}
	b.broken = true
	if _, err := k.Save(t.Context(), web, doc{Failures: 2}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want %v", err, store.ErrUnavailable)
	}
	b.broken = false
	if wrote, err := k.Save(t.Context(), web, doc{Failures: 1}); err != nil || !wrote {
		t.Errorf("save after a failure: wrote %t, %v", wrote, err)
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	b := newCounted(t)
	k, _ := keeperOn(t, b, 1)
	start := time.Date(2026, 11, 22, 12, 0, 0, 5, time.UTC)
	for second := range 100 {
		if _, err := k.Beat(t.Context(), start.Add(time.Duration(second)*time.Second)); err != nil {
			t.Fatalf("beat: %v", err)
		}
	}
	if b.writes != 4 { // at 0, 30, 60 and 90 seconds
		t.Errorf("made %d writes in 100 seconds, want 4", b.writes)
	}
	_, kept := keeperOn(t, b, 1)
	if want := start.Add(90 * time.Second); !kept.Alive.Equal(want) || len(kept.Documents) != 0 {
		t.Errorf("got %+v, want to have been alive at %s", kept, want)
	}
}
