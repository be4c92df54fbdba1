// Package natsd runs an embedded NATS server with JetStream, whose files are in
// one folder. It listens nowhere: clients in this process reach it over pipes, and
// nobody else does.
//
// Open either gives a server that takes writes, or says in an Error what is wrong
// with the folder and what to do about it. Contents that cannot be read again are
// moved aside, and the server begins anew. A lock on a file in the folder keeps
// other processes out.
//
// A server whose disk has failed or is full answers no writes from then on, even
// if the disk is well again. So it is looked at every CheckInterval, and started
// anew when it is not well and the folder takes writes. Clients find the new one by
// themselves.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Config says how a server is run.
type Config struct {
	// Dir is the folder; it is made if it is not there.
	Dir string
	// MaxBytes bounds what all streams and buckets hold together; 0 is 1 GiB.
	MaxBytes int64
	// CheckInterval is between two looks at the server's health; 0 is ten seconds.
	CheckInterval time.Duration
	Logger        *slog.Logger
}

const (
	defaultMaxBytes      = 1 << 30
	defaultCheckInterval = 10 * time.Second
	// syncInterval is how long the kernel may keep what was written before it has to
	// be on the disk. A killed process loses nothing; a host that loses power loses
	// this much.
	syncInterval = 5 * time.Second
	// maxPayload bounds a message, as external servers do by default.
	maxPayload = 1 << 20
	// maxMemory bounds what clients keep in the server's memory. We keep nothing
	// there; without a value the server takes a share of the host's memory.
	maxMemory = 64 << 20
)

// Server is a running server. Make it with Open and end it with Close.
type Server struct {
	cfg    Config
	logger *slog.Logger
	folder folder
	stop   context.CancelFunc
	done   chan struct{} // closed when the server has ended and the folder is let go

	mu     sync.Mutex
	inner  *server.Server // guarded by mu; nil while there is none
	status Status         // guarded by mu
}

// Status tells how a server fares.
type Status struct {
	// Err is why the server takes no writes; nil when it does.
	Err error
	// Restarts counts how often it was started anew.
	Restarts int
	// Aside is where contents that could not be read have been moved to; empty when
	// there were none.
	Aside string
}

// Open starts a server on the folder and returns when it takes requests: within
// milliseconds, or a second if the folder holds much. When ctx ends before, it
// returns at once, and the folder is let go as soon as the disk answers. Errors are
// of type *Error. The server outlives ctx.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.CheckInterval == 0 {
		cfg.CheckInterval = defaultCheckInterval
	}
	s := &Server{
		cfg: cfg, logger: cfg.Logger.With("component", "natsd"), folder: folder{dir: cfg.Dir}, done: make(chan struct{}),
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	opened := make(chan error, 1)
	go s.run(running, opened)
	select {
	case err := <-opened:
		if err != nil {
			stop()
			return nil, err
		}
		return s, nil
	case <-ctx.Done():
		stop()
		return nil, s.folder.problem("open it", context.Cause(ctx), "the disk does not answer in time")
	}
}

// Close ends the server and lets the folder go. What was acknowledged is on the
// disk then. It returns an error if that was not done when ctx ended; it goes on
// nevertheless.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the store in %q: %w", s.cfg.Dir, context.Cause(ctx))
	}
}

// Status returns how the server fares, as of the last look.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// errDown is what clients get while there is no server.
var errDown = errors.New("the embedded server is not running")

// InProcessConn implements nats.InProcessConnProvider: it connects to the server
// that runs at the moment.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	inner := s.inner
	s.mu.Unlock()
	if inner == nil {
		return nil, errDown
	}
	return inner.InProcessConn()
}

// Connect returns a connection to the server. It is made anew by itself when the
// server is; requests made meanwhile fail at once. The caller closes it.
func (s *Server) Connect(name string) (*nats.Conn, error) {
	conn, err := nats.Connect("", nats.InProcessServer(s), nats.Name(name),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectBufSize(-1), nats.Timeout(2*time.Second))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded server: %w", err)
	}
	return conn, nil
}

// run opens the folder, keeps a server running on it until ctx ends, and lets it
// go.
func (s *Server) run(ctx context.Context, opened chan<- error) {
	defer close(s.done)
	err := s.folder.take()
	if err == nil {
		defer s.folder.letGo()
		err = s.start()
	}
	opened <- err
	if err != nil {
		return
	}
	defer s.shutdown()
	ticker := time.NewTicker(s.cfg.CheckInterval)
	defer ticker.Stop()
	for since := (time.Time{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			switch err := s.health(); {
			case err == nil:
				since = time.Time{}
				s.note(func(st *Status) { st.Err = nil })
			case since.IsZero():
				since = time.Now()
			case time.Since(since) >= making:
				since = time.Time{}
				s.revive(err)
			}
		}
	}
}

// making is how long a stream may take to be made, on a busy computer. While it is, it
// looks like one that could not be read.
const making = time.Second

func (s *Server) health() error {
	s.mu.Lock()
	inner := s.inner
	s.mu.Unlock()
	if inner == nil {
		return errDown
	}
	return health(inner)
}

// revive starts a server that is not well anew, if the folder takes writes.
func (s *Server) revive(err error) {
	if s.Status().Err == nil {
		s.logger.Warn("store takes no writes", "dir", s.cfg.Dir, "error", err)
	}
	s.note(func(st *Status) { st.Err = err })
	if s.folder.writable() != nil {
		return // it would be no better
	}
	s.shutdown()
	if err := s.start(); err != nil {
		s.note(func(st *Status) { st.Err = err })
		return
	}
	s.note(func(st *Status) { st.Restarts++ })
	s.logger.Info("store was started anew", "dir", s.cfg.Dir)
}

func (s *Server) note(change func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// start starts a server on the folder; on an empty one if its contents cannot be
// read.
func (s *Server) start() error {
	if err := s.folder.writable(); err != nil {
		return err
	}
	var inner *server.Server
	err := errCrashed
	if s.folder.beginOpening() {
		if err := s.folder.dropIndexes(); err != nil {
			return err
		}
		inner, err = s.launch()
	}
	if err != nil {
		if again := s.folder.writable(); again != nil {
			return again // the contents may be good
		}
		aside, asideErr := s.folder.moveAside(time.Now())
		if asideErr != nil {
			return asideErr
		}
		s.logger.Warn("store could not be read and begins anew", "dir", s.cfg.Dir, "moved_to", aside, "error", err)
		if inner, err = s.launch(); err != nil {
			return s.folder.problem("start the embedded server", err, "")
		}
		s.note(func(st *Status) { st.Aside = aside })
	}
	s.folder.endOpening()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inner, s.status.Err = inner, nil
	return nil
}

func (s *Server) shutdown() {
	s.mu.Lock()
	inner := s.inner
	s.inner = nil
	s.mu.Unlock()
	if inner != nil {
		inner.Shutdown()
		inner.WaitForShutdown()
	}
}

// launch starts a server and sees that it has read everything.
func (s *Server) launch() (inner *server.Server, err error) {
	log := &serverLog{logger: s.logger}
	// The server keeps and fills in what it is given.
	inner, err = server.NewServer(&server.Options{
		ServerName: "fly-autoscaler", DontListen: true, NoSigs: true, MaxPayload: maxPayload,
		JetStream: true, StoreDir: s.cfg.Dir, SyncInterval: syncInterval,
		JetStreamMaxStore: s.cfg.MaxBytes, JetStreamMaxMemory: maxMemory, DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the server: %w", err)
	}
	inner.SetLogger(log, false, false)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the server panicked: %v", v)
		}
		if err != nil {
			inner.Shutdown()
			inner.WaitForShutdown()
			inner = nil
		}
	}()
	inner.Start() // returns when it runs, because it does not listen
	if err := log.fatal(); err != nil {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if err = health(inner); err == nil || time.Since(began) >= making/2 {
			return inner, err
		}
	}
}

// health returns what is wrong with a server: that JetStream is off, that a stream
// could not be read, or that one had an error when writing.
func health(inner *server.Server) error {
	if !inner.Running() {
		return errDown
	}
	if h := inner.Healthz(nil); h.Error != "" {
		return errors.New(h.Error)
	}
	return nil
}
