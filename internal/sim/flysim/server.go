package flysim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// tick is how often a server moves its world on when nobody calls.
const tick = 50 * time.Millisecond

// Server serves a world on an address, and keeps its time going.
type Server struct {
	Handler *Handler

	listener net.Listener
	stop     func() error
}

// Start listens on addr, such as "127.0.0.1:0", and serves the world there
// until Close, managed metrics recorded from now on included.
func Start(ctx context.Context, addr string, world *sim.World, opts Options) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the simulated platform: %w", err)
	}
	// Requests end with the server, hanging ones included.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := New(world, opts)
	NewPrometheus(world, world.RecordSeries(opts.Metrics)).Mount(h)
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	served, ticked := make(chan error, 1), make(chan struct{})
	go func() { served <- server.Serve(listener) }()
	go func() {
		defer close(ticked)
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				h.sync()
			case <-base.Done():
				return
			}
		}
	}()
	stop := func() error {
		cancel()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
		defer cancel()
		err := server.Shutdown(grace)
		if err != nil {
			err = errors.Join(fmt.Errorf("shut down the simulated platform: %w", err), server.Close())
		}
		<-ticked
		if end := <-served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	}
	return &Server{Handler: h, listener: listener, stop: stop}, nil
}

// URL returns the server's address as a base URL.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// closeGrace bounds how long Close waits for requests, which all end when
// their context does.
const closeGrace = 2 * time.Second

// Close ends all requests, stops serving and waits for what was started. It
// must be called once.
func (s *Server) Close() error { return s.stop() }
