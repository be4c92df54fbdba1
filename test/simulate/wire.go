package simulate

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The latencies that the wire draws from, there and back.
const (
	fastest = 4 * time.Millisecond
	slowest = 50 * time.Millisecond
)

// errDead is what a process gets that has crashed: its calls reach nobody.
var errDead = errors.New("the process is dead")

// wire is the network of one process: it carries requests to a handler without
// sockets. How long each takes follows from the seed, the path and how often it was
// taken, so that the order of things in virtual time does not hang on how
// goroutines are scheduled. A handler runs on when the caller has gone.
type wire struct {
	servers *servers
	seed    uint64
	record  *record

	mu    sync.Mutex
	taken map[string]uint64 // guarded by mu; by method and path
	fuse  *fuse             // guarded by mu; nil when the process is not to crash
	dead  bool              // guarded by mu
}

// fuse says at which call a process crashes.
type fuse struct {
	calls  int  // that still go well
	after  bool // the call takes effect, and its answer is lost
	change bool // only calls that change something count
	crash  func()
}

func newWire(s *servers, seed uint64, r *record) *wire {
	return &wire{servers: s, seed: seed, record: r, taken: make(map[string]uint64)}
}

// kill cuts the process off: what is on its way is lost, what has arrived goes on.
func (w *wire) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
}

// light has the process crash at a later call.
func (w *wire) light(f *fuse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fuse = f
}

// retire takes the fuse out, and reports false for a process that crashed before.
func (w *wire) retire() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fuse = nil
	return !w.dead
}

func (w *wire) isDead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// delay returns how long the next request of its kind takes.
func (w *wire) delay(r *http.Request) time.Duration {
	key := r.Method + r.URL.Path
	w.mu.Lock()
	w.taken[key]++
	n := w.taken[key]
	w.mu.Unlock()
	h := fnv.New64a()
	_, _ = io.WriteString(h, key)
	mix := (h.Sum64() ^ w.seed) + n*0x9e3779b97f4a7c15
	mix = (mix ^ mix>>30) * 0xbf58476d1ce4e5b9
	mix = (mix ^ mix>>27) * 0x94d049bb133111eb
	return fastest + time.Duration((mix^mix>>31)%uint64(slowest-fastest))
}

// burn returns whether this is the call at which the process crashes.
func (w *wire) burn(r *http.Request) *fuse {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.fuse
	if f == nil || w.dead || f.change && !changes(r) {
		return nil
	}
	if f.calls--; f.calls >= 0 {
		return nil
	}
	w.fuse = nil
	return f
}

// changes reports whether a request may change the platform. Queries of metrics and
// GraphQL are sent by POST too.
func changes(r *http.Request) bool {
	return r.Method == http.MethodDelete || r.Method == http.MethodPost && len(r.URL.Path) > 3 && r.URL.Path[:4] == "/v1/"
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.isDead() {
		return nil, errDead
	}
	ctx, there, back, sent := r.Context(), w.delay(r), time.Duration(0), time.Now()
	if changes(r) {
		there, back = there/2, there/2
	} // and reads arrive late and are answered at once, which is the same to all but the clock
	if err := sleep(ctx, there); err != nil {
		return nil, err
	}
	f := w.burn(r)
	if f != nil && !f.after {
		w.kill()
		f.crash()
	}
	if w.isDead() {
		return nil, errDead
	}
	served := make(chan *answer, 1)
	w.servers.do(func() {
		a := w.servers.serve(r, w.record.platformTime())
		w.record.served(r, a, sent)
		served <- a
	})
	var a *answer
	select {
	case a = <-served:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f != nil {
		w.kill()
		f.crash()
	}
	if back > 0 {
		if err := sleep(ctx, back); err != nil {
			return nil, err
		}
	}
	if w.isDead() {
		return nil, errDead
	}
	if a.cut {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r,
	}, nil
}

// answer is what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	cut    bool
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// servers are the goroutines that handlers run in. They are kept, because a new one
// for each request spends much of its time on growing its stack.
type servers struct {
	handler http.Handler
	jobs    chan func()
	all     sync.WaitGroup
}

func newServers(handler http.Handler) *servers {
	return &servers{handler: handler, jobs: make(chan func())}
}

// do has a job done by a goroutine that is idle, or else by a new one.
func (s *servers) do(job func()) {
	select {
	case s.jobs <- job:
	default:
		s.all.Go(func() {
			job()
			for job := range s.jobs {
				job()
			}
		})
	}
}

// close waits for all jobs.
func (s *servers) close() {
	close(s.jobs)
	s.all.Wait()
}

// serve has the handler answer. A handler that cuts the connection panics, as one
// of the standard server's does that cannot take it over.
func (s *servers) serve(r *http.Request, now time.Time) (a *answer) {
	a = &answer{header: make(http.Header, 4)}
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler { //nolint:errorlint // the very value, as the standard server compares it
				panic(v)
			}
			a.cut = true
		}
	}()
	in := new(http.Request)
	*in = *r
	in.Host, in.RequestURI = r.URL.Host, r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	a.header.Set("Date", now.UTC().Format(http.TimeFormat)) // as servers do
	s.handler.ServeHTTP(a, in)
	// A handler that returns without a word had nobody to talk to, or hung up.
	a.cut = a.cut || a.status == 0
	return a
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
