package jetstream_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

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
