// Package httpapi is the face that a running autoscaler shows over HTTP: health,
// metrics, and what it last decided and why. Reading is open and changes
// nothing; nothing here writes. Answers hold no secrets.
//
//	/healthz          200 while the process serves
//	/readyz           200 after the first complete pass, 503 before; ?verbose says more
//	/metrics          Prometheus text format
//	/api/v1/targets   the last pass of each target, as JSON; ?app=NAME for one app
//	/api/v1/journal   the passes on record, see Journal; /api/v1/journal/ID for one
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Target is what is told of one target: its last pass.
type Target struct {
	App      scale.App          `json:"app"`
	Group    scale.ProcessGroup `json:"process_group"`
	At       time.Time          `json:"at"`
	Summary  string             `json:"summary"` // the decision in one line
	Decision *scale.Decision    `json:"decision,omitempty"`
	Plan     *scale.Plan        `json:"plan,omitempty"`
	Outcomes []scale.Outcome    `json:"outcomes,omitempty"`
	DryRun   bool               `json:"dry_run,omitempty"`
	Error    string             `json:"error,omitempty"`
}

// Config says what to show.
type Config struct {
	Metrics http.Handler
	// Ready reports whether the autoscaler has made its first complete pass, and a
	// sentence on how things stand.
	Ready func() (bool, string)
	// Targets returns the last pass of each target of the app, or of all targets
	// when app is empty, sorted by app and group.
	Targets func(app scale.App) []Target
	// Journal, unless nil, is the passes on record.
	Journal Journal
	Logger  *slog.Logger
}

// Handler returns the face as an http.Handler.
func Handler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", cfg.Metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		text(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready, how := cfg.Ready()
		status, word := http.StatusOK, "ready"
		if !ready {
			status, word = http.StatusServiceUnavailable, "not ready"
		}
		if r.URL.Query().Has("verbose") {
			word += ": " + how
		}
		text(w, status, word)
	})
	mux.HandleFunc("GET /api/v1/targets", func(w http.ResponseWriter, r *http.Request) {
		targets := cfg.Targets(scale.App(r.URL.Query().Get("app")))
		if targets == nil {
			targets = []Target{}
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"targets": targets}); err != nil {
			cfg.Logger.Debug("write targets", "error", err)
		}
	})
	if cfg.Journal != nil {
		handleJournal(mux, cfg.Journal, cfg.Logger)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		text(w, http.StatusOK, "fly-autoscaler: /metrics /healthz /readyz?verbose /api/v1/targets /api/v1/journal")
	})
	return mux
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	// A client that left is not worth a word.
	_, _ = fmt.Fprintln(w, body)
}

// Server serves a handler on one address.
type Server struct {
	listener net.Listener
	server   *http.Server
	done     chan error
}

// Listen opens the address and begins to serve. A port of 0 picks one; Addr
// tells which.
func Listen(ctx context.Context, address string, handler http.Handler, logger *slog.Logger) (*Server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q for metrics and health (setting \"listen\"): %w", address, err)
	}
	// Answers that go on for ever end when the server does.
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{
		listener: listener,
		server: &http.Server{
			Handler:     handler,
			BaseContext: func(net.Listener) context.Context { return base },
			// Whoever opens connections and says nothing must not keep them for ever.
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		},
		done: make(chan error, 1),
	}
	s.server.RegisterOnShutdown(end)
	go func() { s.done <- s.server.Serve(listener) }()
	return s, nil
}

// Addr is the address in use.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Failed yields the error that ended serving, once, unless that was Shutdown.
func (s *Server) Failed() <-chan error { return s.done }

// Shutdown stops taking requests, lets those under way finish until ctx ends,
// and returns when the server is down.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	return err
}
