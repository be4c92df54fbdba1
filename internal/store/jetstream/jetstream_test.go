package jetstream_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	natsjetstream "github.com/nats-io/nats.go/jetstream"

	"github.com/fly-autoscaler/fly-autoscaler/internal/natsd"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/jetstream"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/storetest"
)

// serve runs a server on a folder until the test ends.
func serve(tb testing.TB, dir string) *natsd.Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	server, err := natsd.Open(ctx, natsd.Config{Dir: dir, Logger: logger(tb)})
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() { closeServer(tb, server) })
	return server
}

func closeServer(tb testing.TB, server *natsd.Server) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		tb.Errorf("close: %v", err)
	}
}

func logger(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// connect returns a store on the server.
func connect(tb testing.TB, server *natsd.Server) *jetstream.Store {
	tb.Helper()
	conn, err := server.Connect("test")
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(conn.Close)
	s, err := jetstream.New(conn)
	if err != nil {
		tb.Fatalf("new store: %v", err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return connect(t, serve(t, t.TempDir())) })
}

var web = store.KeyOf("web", "app")

// What has vanished from the server is made again, and whoever follows goes on
// with what is written then.
func TestBeginsAnew(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	server := serve(t, t.TempDir())
	s := connect(t, server)
	b, err := s.Bucket(ctx, "memory")
	if err != nil {
		t.Fatalf("open bucket: %v", err)
	}
	log, err := s.Stream(ctx, "journal", store.Retention{MaxRecords: 7})
	if err != nil {
		t.Fatalf("open stream: %v", err)
	}
	for range 5 {
		if _, err := log.Append(ctx, web, []byte("old")); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
	followed := make(chan string, 100)
	go func() {
		defer close(followed)
		for r, err := range log.Follow(ctx, store.Query{}) {
			if err != nil {
				t.Errorf("follow: %v", err)
				return
			}
			followed <- string(r.Data)
		}
	}()
	for range 5 {
		if got := <-followed; got != "old" {
			t.Errorf("followed to %q", got)
		}
	}

	conn, err := server.Connect("vandal")
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close()
	js, err := natsjetstream.New(conn)
	if err != nil {
		t.Fatalf("use JetStream: %v", err)
	}
	if err := errors.Join(js.DeleteStream(ctx, "fas_journal"), js.DeleteKeyValue(ctx, "fas_memory")); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if _, err := b.Put(ctx, web, []byte("new")); err != nil {
		t.Errorf("put: %v", err)
	}
	if e, err := b.Get(ctx, web); err != nil || string(e.Value) != "new" {
		t.Errorf("got %q, %v", e.Value, err)
	}
	if seq, err := log.Append(ctx, web, []byte("new")); err != nil || seq != 1 {
		t.Errorf("append: got number %d, %v, want 1", seq, err)
	}
	if got := <-followed; got != "new" {
		t.Errorf("followed to %q, want what was written anew", got)
	}
	cancel()
	for range followed { // until it has ended
	}
}

// Without a server every call fails, soon at first and then at once.
func TestNoServer(t *testing.T) {
	t.Parallel()
	server := serve(t, t.TempDir())
	s := connect(t, server)
	b, err := s.Bucket(t.Context(), "memory")
	if err != nil {
		t.Fatalf("open bucket: %v", err)
	}
	closeServer(t, server)
	began := time.Now()
	if _, err := b.Put(t.Context(), web, nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want %v", err, store.ErrUnavailable)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the first call took %s", took)
	}
	began = time.Now()
	for range 100 {
		if _, err := b.Get(t.Context(), web); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v, want %v", err, store.ErrUnavailable)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("100 further calls took %s", took)
	}
}

// Numbers of records and revisions are not used again after a restart, also when
// nothing is left that bears them.
func TestNumbersGoOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var last store.Revision
	for round := range 3 {
		server := serve(t, dir)
		s := connect(t, server)
		b, err := s.Bucket(t.Context(), "memory")
		if err != nil {
			t.Fatalf("open bucket: %v", err)
		}
		rev, err := b.Create(t.Context(), web, []byte("x"))
		if err != nil || rev <= last {
			t.Errorf("round %d: created at revision %d after %d, %v", round, rev, last, err)
		}
		last = rev
		if err := b.Delete(t.Context(), web); err != nil {
			t.Fatalf("delete: %v", err)
		}
		log, err := s.Stream(t.Context(), "journal", store.Retention{MaxAge: 200 * time.Millisecond})
		if err != nil {
			t.Fatalf("open stream: %v", err)
		}
		if seq, err := log.Append(t.Context(), web, nil); err != nil || seq != uint64(round+1) {
			t.Errorf("round %d: appended as %d, %v", round, seq, err)
		}
		for deadline := time.Now().Add(10 * time.Second); ; <-time.After(20 * time.Millisecond) {
			if state, err := log.State(t.Context()); err == nil && state.Records == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the record is not dropped")
			}
		}
		closeServer(t, server)
	}
}
