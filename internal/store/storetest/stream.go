package storetest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

type records = iter.Seq2[store.Record, error]

func streamOf(t *testing.T, s store.Store, name string, r store.Retention) store.Stream {
	t.Helper()
	st, err := s.Stream(limited(t), name, r)
	if err != nil {
		t.Fatalf("open stream %q: %v", name, err)
	}
	return st
}

func appended(t *testing.T, st store.Stream, key store.Key, data string) uint64 {
	t.Helper()
	seq, err := st.Append(limited(t), key, []byte(data))
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return seq
}

// texts returns records as "seq key data".
func texts(t *testing.T, all records) []string {
	t.Helper()
	var got []string
	for r, err := range all {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		got = append(got, text(r))
	}
	return got
}

func text(r store.Record) string { return fmt.Sprintf("%d %s %s", r.Seq, r.Key, r.Data) }

func wantRecords(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: records differ (-want +got):\n%s", what, diff)
	}
}

func appendAndRead(t *testing.T, s store.Store) {
	ctx, st := limited(t), streamOf(t, s, "log", store.Retention{})
	wantRecords(t, "empty", texts(t, st.Read(ctx, store.Query{})))
	if state, err := st.State(ctx); err != nil || state.Last != 0 || state.First != 1 || state.Records != 0 {
		t.Errorf("state of an empty stream: got %+v, %v", state, err)
	}
	var want []string
	for i := range 700 { // more than any batch
		key := store.KeyOf(fmt.Sprint("app", i%7), "app")
		data := strings.Repeat("x", i%50)
		if seq := appended(t, st, key, data); seq != uint64(i+1) {
			t.Fatalf("record %d has sequence number %d", i+1, seq)
		}
		want = append(want, fmt.Sprintf("%d %s %s", i+1, key, data))
	}
	wantRecords(t, "all", texts(t, st.Read(ctx, store.Query{})), want...)
	wantRecords(t, "opened again", texts(t, streamOf(t, s, "log", store.Retention{}).Read(ctx, store.Query{})), want...)
	state, err := st.State(ctx)
	if err != nil || state.First != 1 || state.Last != 700 || state.Records != 700 || state.Bytes < 700*25 {
		t.Errorf("state: got %+v, %v", state, err)
	}
	n := 0
	for _, err := range st.Read(ctx, store.Query{}) {
		if n++; err != nil || n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("a read that was broken off after 3 records yielded %d", n)
	}
	wantRecords(t, "another stream", texts(t, streamOf(t, s, "other", store.Retention{}).Read(ctx, store.Query{})))
}

func readByKey(t *testing.T, s store.Store) {
	ctx, st := limited(t), streamOf(t, s, "log", store.Retention{})
	all := keys()
	for i, key := range all {
		appended(t, st, key, fmt.Sprint(i))
	}
	for _, prefix := range append([]store.Key{"", store.KeyOf("none")}, all...) {
		var want []string
		for i, key := range all {
			if key.Within(prefix) {
				want = append(want, fmt.Sprintf("%d %s %d", i+1, key, i))
			}
		}
		wantRecords(t, fmt.Sprintf("prefix %q", prefix), texts(t, st.Read(ctx, store.Query{Prefix: prefix})), want...)
	}
	// Records of other keys at the end keep nobody waiting.
	web := store.KeyOf("web")
	seq := appended(t, st, web, "x")
	for range 20 {
		appended(t, st, store.KeyOf("other"), "x")
	}
	wantRecords(t, "after the last", texts(t, st.Read(ctx, store.Query{Prefix: web, After: seq})))
}

func readFrom(t *testing.T, s store.Store) {
	ctx, st := limited(t), streamOf(t, s, "log", store.Retention{})
	web := store.KeyOf("web")
	appended(t, st, web, "a")
	second := appended(t, st, web, "b")
	record, err := st.Get(ctx, second)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	if age := time.Since(record.At); age < 0 || age > patience {
		t.Errorf("a record of just now is %s old", age)
	}
	<-time.After(2 * time.Millisecond) // so that the next has a later time
	between := time.Now()
	appended(t, st, web, "c")
	wantRecords(t, "after 1", texts(t, st.Read(ctx, store.Query{After: 1})), "2 web b", "3 web c")
	wantRecords(t, "after the last", texts(t, st.Read(ctx, store.Query{After: 3})))
	wantRecords(t, "after none yet", texts(t, st.Read(ctx, store.Query{After: 30})))
	wantRecords(t, "since between", texts(t, st.Read(ctx, store.Query{Since: between})), "3 web c")
	wantRecords(t, "since the second", texts(t, st.Read(ctx, store.Query{Since: record.At, After: 1})), "2 web b", "3 web c")
	wantRecords(t, "since between, after the last", texts(t, st.Read(ctx, store.Query{Since: between, After: 3})))
	wantRecords(t, "since long ago, after 2", texts(t, st.Read(ctx, store.Query{Since: between.Add(-time.Hour), After: 2})), "3 web c")
	wantRecords(t, "since the future", texts(t, st.Read(ctx, store.Query{Since: time.Now().Add(time.Hour)})))
}

func readWhatWasThere(t *testing.T, s store.Store) {
	ctx, st := limited(t), streamOf(t, s, "log", store.Retention{})
	web := store.KeyOf("web")
	appended(t, st, web, "x")
	n := 0
	for _, err := range st.Read(ctx, store.Query{}) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if n++; n > 50 {
			t.Fatal("a read goes on to what came after it began")
		}
		appended(t, st, web, "x")
	}
}

func oneRecord(t *testing.T, s store.Store) {
	ctx, st := limited(t), streamOf(t, s, "log", store.Retention{})
	for _, key := range keys() {
		seq := appended(t, st, key, "data")
		got, err := st.Get(ctx, seq)
		if err != nil {
			t.Fatalf("get record %d: %v", seq, err)
		}
		if diff := cmp.Diff(store.Record{Seq: seq, At: got.At, Key: key, Data: []byte("data")}, got); diff != "" {
			t.Errorf("record differs (-want +got):\n%s", diff)
		}
	}
	for _, seq := range []uint64{0, uint64(len(keys()) + 1)} {
		_, err := st.Get(ctx, seq)
		wantError(t, fmt.Sprintf("get record %d", seq), err, store.ErrNotFound)
	}
}

func retentionByCount(t *testing.T, s store.Store) {
	ctx, st := limited(t), streamOf(t, s, "log", store.Retention{MaxRecords: 3})
	for i := range 5 {
		appended(t, st, store.KeyOf("web"), fmt.Sprint(i))
	}
	wantRecords(t, "the last three", texts(t, st.Read(ctx, store.Query{})), "3 web 2", "4 web 3", "5 web 4")
	wantRecords(t, "from before", texts(t, st.Read(ctx, store.Query{After: 1})), "3 web 2", "4 web 3", "5 web 4")
	_, err := st.Get(ctx, 2)
	wantError(t, "get what was dropped", err, store.ErrNotFound)
	if state, err := st.State(ctx); err != nil || state.First != 3 || state.Last != 5 || state.Records != 3 {
		t.Errorf("state: got %+v, %v", state, err)
	}
}

func retentionByBytes(t *testing.T, s store.Store) {
	const most = 20_000
	ctx, st := limited(t), streamOf(t, s, "log", store.Retention{MaxBytes: most})
	data := strings.Repeat("x", 1000)
	for range 50 {
		appended(t, st, store.KeyOf("web"), data)
	}
	state, err := st.State(ctx)
	if err != nil || state.Bytes > most || state.Records < 15 || state.Records > 20 || state.Last != 50 {
		t.Errorf("state: got %+v, %v, want at most %d bytes, and as many records as fit", state, err, most)
	}
}

func retentionByAge(t *testing.T, s store.Store) {
	// NATS takes no less than 100 ms.
	ctx, st := limited(t), streamOf(t, s, "log", store.Retention{MaxAge: 500 * time.Millisecond})
	began := time.Now()
	appended(t, st, store.KeyOf("web"), "old")
	if got := texts(t, st.Read(ctx, store.Query{})); len(got) == 0 && time.Since(began) < 400*time.Millisecond {
		t.Error("a record is gone long before its time")
	}
	eventually(t, "the record is dropped", func() bool {
		state, err := st.State(ctx)
		return err == nil && state.Records == 0
	})
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("the record was dropped after %s", took)
	}
	if seq := appended(t, st, store.KeyOf("web"), "new"); seq != 2 {
		t.Errorf("the number %d was used after 1", seq)
	}
}

func retentionChanges(t *testing.T, s store.Store) {
	ctx := limited(t)
	st := streamOf(t, s, "log", store.Retention{MaxRecords: 100})
	for i := range 5 {
		appended(t, st, store.KeyOf("web"), fmt.Sprint(i))
	}
	st = streamOf(t, s, "log", store.Retention{MaxRecords: 2})
	wantRecords(t, "the last two", texts(t, st.Read(ctx, store.Query{})), "4 web 3", "5 web 4")
	st = streamOf(t, s, "log", store.Retention{})
	for i := 5; i < 8; i++ {
		appended(t, st, store.KeyOf("web"), fmt.Sprint(i))
	}
	wantRecords(t, "no bound", texts(t, st.Read(ctx, store.Query{})), "4 web 3", "5 web 4", "6 web 5", "7 web 6", "8 web 7")
}

func follow(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(limited(t))
	st := streamOf(t, s, "log", store.Retention{})
	web := store.KeyOf("web")
	appended(t, st, web, "before")
	appended(t, st, store.KeyOf("other"), "x")
	got := make(chan string, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		for r, err := range st.Follow(ctx, store.Query{Prefix: web}) {
			if err != nil {
				t.Errorf("follow: %v", err)
				return
			}
			got <- text(r)
		}
	})
	next := func(want string) {
		t.Helper()
		select {
		case r := <-got:
			if r != want {
				t.Errorf("followed to %q, want %q", r, want)
			}
		case <-ctx.Done():
			t.Fatalf("waited in vain for %q", want)
		}
	}
	next("1 web before")
	for i := range 5 {
		appended(t, st, store.KeyOf("other"), "x")
		seq := appended(t, st, web, fmt.Sprint(i))
		next(fmt.Sprintf("%d web %d", seq, i))
	}
	cancel()
	wg.Wait()

	ctx = limited(t)
	n := 0
	for r, err := range st.Follow(ctx, store.Query{After: 2}) {
		if err != nil {
			t.Fatalf("follow: %v", err)
		}
		if n++; r.Seq != uint64(n+2) {
			t.Errorf("followed to record %d, want %d", r.Seq, n+2)
		}
		if n == 4 {
			break
		}
	}
	if n != 4 {
		t.Errorf("followed %d records, want 4", n)
	}
}

func manyWriters(t *testing.T, s store.Store) {
	ctx, st := limited(t), streamOf(t, s, "log", store.Retention{})
	const writers, each = 8, 50
	acknowledged := make([][]uint64, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				seq, err := st.Append(ctx, store.KeyOf(fmt.Sprint("w", w)), fmt.Append(nil, i))
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				acknowledged[w] = append(acknowledged[w], seq)
			}
		})
	}
	wg.Wait()
	var all []string
	for w, seqs := range acknowledged {
		if !slices.IsSorted(seqs) {
			t.Errorf("writer %d was given sequence numbers out of order: %v", w, seqs)
		}
		var want []string
		for i, seq := range seqs {
			want = append(want, fmt.Sprintf("%d w%d %d", seq, w, i))
		}
		wantRecords(t, fmt.Sprint("writer ", w), texts(t, st.Read(ctx, store.Query{Prefix: store.KeyOf(fmt.Sprint("w", w))})), want...)
		all = append(all, want...)
	}
	if got := texts(t, st.Read(ctx, store.Query{})); len(got) != len(all) {
		t.Errorf("read %d records, want %d", len(got), len(all))
	}
}

// noTimeLeft: a call whose context has ended returns at once, and says so.
func noTimeLeft(t *testing.T, s store.Store) {
	b, st := bucketOf(t, s, "late"), streamOf(t, s, "late", store.Retention{})
	key := store.KeyOf("web")
	put(t, b, key, "x")
	appended(t, st, key, "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Get(ctx, key)
	wantError(t, "get", err, store.ErrUnavailable)
	wantError(t, "get", err, context.Canceled)
	_, err = b.Put(ctx, key, nil)
	wantError(t, "put", err, store.ErrUnavailable)
	wantError(t, "delete", b.Delete(ctx, key), store.ErrUnavailable)
	_, err = st.Append(ctx, key, nil)
	wantError(t, "append", err, store.ErrUnavailable)
	_, err = st.Get(ctx, 1)
	wantError(t, "get a record", err, store.ErrUnavailable)
	_, err = st.State(ctx)
	wantError(t, "state", err, store.ErrUnavailable)
	_, err = s.Bucket(ctx, "late")
	wantError(t, "open a bucket", err, store.ErrUnavailable)
	_, err = s.Stream(ctx, "late", store.Retention{})
	wantError(t, "open a stream", err, store.ErrUnavailable)
	var last error
	for _, err := range b.List(ctx) {
		last = err
	}
	wantError(t, "list", last, store.ErrUnavailable)
	for _, err := range st.Read(ctx, store.Query{}) {
		last = err
	}
	wantError(t, "read", last, store.ErrUnavailable)
	for _, err := range st.Follow(ctx, store.Query{}) {
		t.Errorf("follow yielded, with error %v", err)
	}
	// Nobody else pays for that.
	put(t, b, key, "y")
	appended(t, st, key, "y")
}
