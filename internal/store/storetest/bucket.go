package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

func bucketOf(t *testing.T, s store.Store, name string) store.Bucket {
	t.Helper()
	b, err := s.Bucket(limited(t), name)
	if err != nil {
		t.Fatalf("open bucket %q: %v", name, err)
	}
	return b
}

func put(t *testing.T, b store.Bucket, key store.Key, value string) store.Revision {
	t.Helper()
	rev, err := b.Put(limited(t), key, []byte(value))
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if rev == 0 {
		t.Fatal("the revision of a value is 0, which stands for none")
	}
	return rev
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func wantValue(t *testing.T, b store.Bucket, key store.Key, want string, rev store.Revision) {
	t.Helper()
	got, err := b.Get(limited(t), key)
	if err != nil {
		t.Errorf("get %q: %v", key, err)
		return
	}
	if diff := cmp.Diff(store.Entry{Key: key, Value: []byte(want), Revision: rev}, got); diff != "" {
		t.Errorf("entry differs (-want +got):\n%s", diff)
	}
}

func values(t *testing.T, s store.Store) {
	ctx, b := limited(t), bucketOf(t, s, "values")
	web := store.KeyOf("web", "app")
	_, err := b.Get(ctx, web)
	wantError(t, "get what is not there", err, store.ErrNotFound)
	if err := b.Delete(ctx, web); err != nil {
		t.Errorf("delete what is not there: %v", err)
	}
	first := put(t, b, web, "one")
	wantValue(t, b, web, "one", first)
	second := put(t, b, web, "two")
	if second <= first {
		t.Errorf("revision %d came after %d", second, first)
	}
	wantValue(t, b, web, "two", second)
	empty := put(t, b, web, "")
	wantValue(t, b, web, "", empty)
	if err := b.Delete(ctx, web); err != nil {
		t.Errorf("delete: %v", err)
	}
	_, err = b.Get(ctx, web)
	wantError(t, "get what was deleted", err, store.ErrNotFound)
	if again := put(t, b, web, "three"); again <= empty {
		t.Errorf("revision %d came after %d, with a delete between them", again, empty)
	}
}

func compareAndSet(t *testing.T, s store.Store) {
	ctx, b := limited(t), bucketOf(t, s, "cas")
	key := store.KeyOf("web")
	_, err := b.Update(ctx, key, []byte("x"), 0)
	wantError(t, "update what is not there", err, store.ErrConflict)
	_, err = b.Update(ctx, key, []byte("x"), 7)
	wantError(t, "update what is not there after a revision", err, store.ErrConflict)
	first, err := b.Create(ctx, key, []byte("one"))
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	_, err = b.Create(ctx, key, []byte("x"))
	wantError(t, "create what is there", err, store.ErrConflict)
	other := put(t, b, store.KeyOf("other"), "x")
	_, err = b.Update(ctx, key, []byte("x"), other)
	wantError(t, "update after another key's revision", err, store.ErrConflict)
	wantValue(t, b, key, "one", first)
	second, err := b.Update(ctx, key, []byte("two"), first)
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	wantValue(t, b, key, "two", second)
	_, err = b.Update(ctx, key, []byte("x"), first)
	wantError(t, "update after an old revision", err, store.ErrConflict)
	if err := b.Delete(ctx, key); err != nil {
		t.Fatalf("delete: %v", err)
	}
	_, err = b.Update(ctx, key, []byte("x"), second)
	wantError(t, "update what was deleted", err, store.ErrConflict)
	_, err = b.Update(ctx, key, []byte("x"), 0)
	wantError(t, "update what was deleted after revision 0", err, store.ErrConflict)
	third, err := b.Create(ctx, key, []byte("three"))
	if err != nil {
		t.Fatalf("create what was deleted: %v", err)
	}
	wantValue(t, b, key, "three", third)
}

func oneOfManyWins(t *testing.T, s store.Store) {
	ctx, b := limited(t), bucketOf(t, s, "race")
	key := store.KeyOf("contended")
	rev := put(t, b, key, "start")
	const rounds, writers = 5, 8
	for round := range rounds {
		var won atomic.Int32
		var next atomic.Uint64
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				got, err := b.Update(ctx, key, fmt.Appendf(nil, "%d/%d", round, w), rev)
				switch {
				case err == nil:
					won.Add(1)
					next.Store(uint64(got))
				case !errors.Is(err, store.ErrConflict):
					t.Errorf("update: %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d of %d updates of one revision were made, want 1", won.Load(), writers)
		}
		rev = store.Revision(next.Load())
	}
}

func listOf(ctx context.Context, t *testing.T, b store.Bucket) map[store.Key]string {
	t.Helper()
	all := make(map[store.Key]string)
	for e, err := range b.List(ctx) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if _, twice := all[e.Key]; twice {
			t.Errorf("%q is listed twice", e.Key)
		}
		all[e.Key] = fmt.Sprintf("%s@%d", e.Value, e.Revision)
	}
	return all
}

func listOfValues(t *testing.T, s store.Store) {
	ctx, b := limited(t), bucketOf(t, s, "list")
	if got := listOf(ctx, t, b); len(got) > 0 {
		t.Errorf("an empty bucket lists %v", got)
	}
	want := make(map[store.Key]string)
	for i := range 300 {
		key := store.KeyOf(fmt.Sprintf("app-%d", i), "app")
		put(t, b, key, "old")
		if i%3 == 0 {
			if err := b.Delete(ctx, key); err != nil {
				t.Fatalf("delete: %v", err)
			}
			continue
		}
		want[key] = fmt.Sprintf("new@%d", put(t, b, key, "new"))
	}
	if diff := cmp.Diff(want, listOf(ctx, t, b)); diff != "" {
		t.Errorf("list differs (-want +got):\n%s", diff)
	}
	n := 0
	for _, err := range b.List(ctx) {
		if n++; err != nil || n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("a list that was broken off after 2 entries yielded %d", n)
	}
}

// keys are parts with everything that has a meaning somewhere.
func keys() []store.Key {
	return []store.Key{
		store.KeyOf("a"), store.KeyOf("A"), store.KeyOf("a", "b"), store.KeyOf("a.b"), store.KeyOf("a", "b", "c"),
		store.KeyOf("*"), store.KeyOf(">"), store.KeyOf("a", ">"), store.KeyOf("$JS", "API"), store.KeyOf(""), store.KeyOf("", ""),
		store.KeyOf("="), store.KeyOf("=2E"), store.KeyOf("é ü\n\x00"), store.KeyOf("/etc", ".."), store.KeyOf("_INBOX"),
	}
}

func anyKey(t *testing.T, s store.Store) {
	ctx, b := limited(t), bucketOf(t, s, "keys")
	want := make(map[store.Key]string)
	for i, key := range keys() {
		rev := put(t, b, key, fmt.Sprint(i))
		want[key] = fmt.Sprintf("%d@%d", i, rev)
	}
	if diff := cmp.Diff(want, listOf(ctx, t, b)); diff != "" {
		t.Errorf("list differs (-want +got):\n%s", diff)
	}
}

func badKeysAndValues(t *testing.T, s store.Store) {
	ctx, b := limited(t), bucketOf(t, s, "bad")
	for _, key := range []store.Key{"", "a b", "a..b", "*", ">", "a.>", "=61"} {
		_, err := b.Get(ctx, key)
		wantError(t, fmt.Sprintf("get %q", key), err, store.ErrInvalid)
		_, err = b.Put(ctx, key, nil)
		wantError(t, fmt.Sprintf("put %q", key), err, store.ErrInvalid)
		wantError(t, fmt.Sprintf("delete %q", key), b.Delete(ctx, key), store.ErrInvalid)
	}
	st := streamOf(t, s, "bad", store.Retention{})
	_, err := st.Append(ctx, "a.>", nil)
	wantError(t, "append with a bad key", err, store.ErrInvalid)
	for _, read := range []func(context.Context, store.Query) records{st.Read, st.Follow} {
		var last error
		for _, err := range read(ctx, store.Query{Prefix: "*"}) {
			last = err
		}
		wantError(t, "read with a bad prefix", last, store.ErrInvalid)
	}

	largest := bytes.Repeat([]byte("x"), store.MaxValue)
	if _, err := b.Create(ctx, store.KeyOf("large"), largest); err != nil {
		t.Errorf("create with the largest value: %v", err)
	}
	if _, err := st.Append(ctx, store.KeyOf("large"), largest); err != nil {
		t.Errorf("append the largest record: %v", err)
	}
	_, err = b.Put(ctx, store.KeyOf("larger"), append(largest, 'x'))
	wantError(t, "put a value that is too large", err, store.ErrInvalid)
	_, err = st.Append(ctx, store.KeyOf("larger"), append(largest, 'x'))
	wantError(t, "append a record that is too large", err, store.ErrInvalid)
}

func bucketsAreApart(t *testing.T, s store.Store) {
	a, b := bucketOf(t, s, "one"), bucketOf(t, s, "two")
	key := store.KeyOf("web")
	rev := put(t, a, key, "a")
	_, err := b.Get(limited(t), key)
	wantError(t, "get another bucket's key", err, store.ErrNotFound)
	wantValue(t, bucketOf(t, s, "one"), key, "a", rev)
}

func copies(t *testing.T, s store.Store) {
	ctx, b := limited(t), bucketOf(t, s, "copies")
	key := store.KeyOf("web")
	value := []byte("value")
	rev, err := b.Put(ctx, key, value)
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	st := streamOf(t, s, "copies", store.Retention{})
	appended(t, st, key, string(value))
	data := []byte("value")
	if _, err := st.Append(ctx, key, data); err != nil {
		t.Fatalf("append: %v", err)
	}
	copy(value, "VALUE")
	copy(data, "VALUE")
	wantValue(t, b, key, "value", rev)
	if r, err := st.Get(ctx, 2); err != nil || string(r.Data) != "value" {
		t.Errorf("got %q, %v, want the bytes that were appended", r.Data, err)
	}
}
