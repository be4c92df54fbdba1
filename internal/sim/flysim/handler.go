package flysim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// maxBody bounds the bodies that are read.
const maxBody = 16 << 20

// Options says how a Handler behaves.
type Options struct {
	// Now is the clock that the world follows: each request first advances the
	// world to it. When nil, the world's time goes on from where it is as real
	// time does, times Speed.
	Now func() time.Time
	// Speed is how many seconds of the world pass in one second; 0 means 1. With
	// a Now of its own it must say how fast that goes.
	Speed float64
	// Latency is added, in real time, to every answer.
	Latency time.Duration
	// RateLimits refuses calls beyond the platform's limits with 429.
	RateLimits bool
	// RetryAfter adds the header Retry-After to refusals by rate limit, which
	// the platform does not document.
	RetryAfter bool
	// Metrics says how Start records the managed metrics; their interval is the
	// world's.
	Metrics sim.SeriesOptions
	// PageRows is the most rows of a page of the org-wide list; 0 means 1000, the
	// platform's. Fewer show a small organization in many pages.
	PageRows int
	// Tokens are those accepted; nil accepts any.
	Tokens []string
	// RefuseLeased answers a stop or destroy of a Machine that somebody else
	// holds the lease of with 409. Otherwise such a call waits for the lease to
	// end and then succeeds, as seen on the platform.
	RefuseLeased bool
}

// Handler is the HTTP face of a world. It starts no goroutine.
type Handler struct {
	world *sim.World
	opts  Options
	mux   *http.ServeMux
	limit *limiter
	stats *stats

	epoch     time.Time // the world's time when the handler was made
	began     time.Time // real time then
	requests  atomic.Uint64
	idsPrefix string
}

// New returns a handler for a world.
func New(world *sim.World, opts Options) *Handler {
	if opts.Speed <= 0 {
		opts.Speed = 1
	}
	if opts.PageRows <= 0 {
		opts.PageRows = maxPage
	}
	h := &Handler{
		world: world, opts: opts, mux: http.NewServeMux(), limit: newLimiter(), stats: newStats(),
		epoch: world.Now(), began: time.Now(),
	}
	h.idsPrefix = fmt.Sprintf("01SIM%08X", uint32(h.began.UnixNano()>>16))
	h.routeMachines()
	h.routeOrgs()
	h.routeApps()
	h.routeVolumes()
	h.routePlatform()
	h.routeGraphQL()
	h.routeUIEX()
	h.routeAdmin()
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.serve(w, r, "unknown", func(http.ResponseWriter, *call) error {
			return &sim.Error{Status: http.StatusNotFound, Text: "no such endpoint: " + r.Method + " " + r.URL.Path}
		})
	})
	return h
}

// World returns the world behind the handler.
func (h *Handler) World() *sim.World { return h.world }

// Mount serves more of the platform below a path of http.ServeMux's form, with
// the same authorization, latency and statistics. op is the operation's name.
// Faults are for next to ask the world about.
func (h *Handler) Mount(path, op string, next http.Handler) {
	h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		c := h.newCall(w, r, op)
		h.sync()
		answer := &counted{ResponseWriter: w}
		defer func() { h.stats.count(op, answer.status) }()
		if err := h.admit(c, answer); err != nil {
			writeError(answer, c, err)
			return
		}
		if h.opts.Latency > 0 && !sleepReal(r.Context(), h.opts.Latency) {
			return
		}
		next.ServeHTTP(answer, r)
	})
}

// counted notes the status of an answer on its way out.
type counted struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (c *counted) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *counted) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// MountAdmin serves next below a path of the administration, "/_sim/…": no
// authorization, no latency, not counted.
func (h *Handler) MountAdmin(path string, next http.Handler) {
	h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		h.sync()
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// now returns the time the world shall have.
func (h *Handler) now() time.Time {
	if h.opts.Now != nil {
		return h.opts.Now()
	}
	return h.epoch.Add(time.Duration(float64(time.Since(h.began)) * h.opts.Speed))
}

// sync brings the world to the present.
func (h *Handler) sync() { h.world.Advance(h.now()) }

// call is one request.
type call struct {
	*http.Request
	op      string
	id      string
	body    []byte
	app     string
	machine string
	org     string
	owner   string
}

// newCall identifies a request.
func (h *Handler) newCall(w http.ResponseWriter, r *http.Request, op string) *call {
	c := &call{
		Request: r, op: op, id: fmt.Sprintf("%s%010d-%s", h.idsPrefix, h.requests.Add(1), sim.Nearest),
		app: r.PathValue("app"), machine: r.PathValue("id"), org: r.PathValue("org"),
	}
	w.Header().Set("fly-request-id", c.id)
	return c
}

// by tells the world on whose behalf a call is made.
func (c *call) by() sim.Call {
	return sim.Call{Request: c.id, Owner: c.owner, Nonce: c.Header.Get("fly-machine-lease-nonce")}
}

// decode reads the request's JSON body; an empty body leaves v alone.
func (c *call) decode(v any) error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, v); err != nil {
		return &sim.Error{Status: http.StatusBadRequest, Text: "invalid_argument: invalid request body: " + err.Error()}
	}
	return nil
}

// reply is what an operation answers: any value as JSON, or nothing.
type reply struct {
	status int
	body   any
}

func ok(body any) (reply, error) { return reply{http.StatusOK, body}, nil }

// done is the answer of calls that have nothing to tell.
func done(err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return ok(map[string]bool{"ok": true})
}

// handle serves one operation of the platform at a pattern.
func (h *Handler) handle(pattern, op string, fn func(*call) (reply, error)) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		h.serve(w, r, op, func(w http.ResponseWriter, c *call) error {
			rep, err := fn(c)
			if err != nil {
				return err
			}
			writeJSON(w, rep.status, rep.body)
			return nil
		})
	})
}

// serve runs an operation as the platform would: identified, authorized, rate
// limited, hit by faults, late, and counted. The operation runs to its end
// whether or not the client is still there.
func (h *Handler) serve(out http.ResponseWriter, r *http.Request, op string, run func(http.ResponseWriter, *call) error) {
	c := h.newCall(out, r, op)
	body, err := io.ReadAll(http.MaxBytesReader(out, r.Body, maxBody))
	if err != nil {
		return // the client left, or sends without end
	}
	c.body = body
	h.sync()

	// The answer is held back until it is known whether it will be lost.
	answer := &held{header: out.Header()}
	status := statusCut
	defer func() { h.stats.count(op, status) }()
	q := h.query(c)
	if err := h.admit(c, answer); err != nil {
		writeError(answer, c, err)
		status = answer.send(out)
		return
	}
	now := h.now() // from here on delays count, whoever moves the clock meanwhile
	if f := h.world.Fault(q, sim.FaultSlow); f != nil {
		now = now.Add(time.Duration(f.Duration))
		ctx := r.Context()
		if f.Applied {
			ctx = context.WithoutCancel(ctx) // the platform goes on when the client is gone
		}
		if !h.sleepUntil(ctx, now) {
			return
		}
	}
	fault := h.world.Fault(q, sim.FaultError, sim.FaultCut, sim.FaultHang)
	if fault != nil && !fault.Applied && h.strike(r.Context(), out, c, fault, answer, now) {
		status = answer.send(out)
		return
	}
	h.sync()
	if err := run(answer, c); err != nil {
		writeError(answer, c, err)
	}
	if fault != nil && fault.Applied {
		h.strike(r.Context(), out, c, fault, answer, now)
	}
	if h.opts.Latency > 0 && !sleepReal(r.Context(), h.opts.Latency) {
		return
	}
	status = answer.send(out)
}

// query is what faults are asked about a call.
func (h *Handler) query(c *call) sim.Query {
	q := sim.Query{Op: c.op, App: c.app, Org: c.org, Machine: c.machine}
	switch {
	case c.op == "machine_create":
		var in struct {
			Region string `json:"region"`
		}
		if json.Unmarshal(c.body, &in) == nil {
			q.Region = in.Region
		}
	case c.machine != "":
		if m, err := h.world.Machine(c.app, c.machine); err == nil {
			q.Region = m.Region
		}
	case c.op == opGraphQL:
		q.App = graphQLApp(c.body)
	}
	if q.Org == "" && q.App != "" {
		if a, err := h.world.App(q.App); err == nil {
			q.Org = a.Org.Slug
		}
	}
	return q
}

// admit authorizes a call and holds it to the rate limits.
func (h *Handler) admit(c *call, w http.ResponseWriter) error {
	token, found := bearer(c.Header.Get("Authorization"))
	if !found || (h.opts.Tokens != nil && !slices.Contains(h.opts.Tokens, token)) {
		return &sim.Error{Status: http.StatusUnauthorized, Text: "unauthorized"}
	}
	sum := sha256.Sum256([]byte(token))
	c.owner = "token-" + hex.EncodeToString(sum[:4]) + "@tokens.fly.io"
	if !h.opts.RateLimits {
		return nil
	}
	if wait := h.limit.take(c, h.world.Now()); wait > 0 {
		if h.opts.RetryAfter {
			w.Header().Set("Retry-After", fmt.Sprint(int((wait+time.Second-1)/time.Second)))
		}
		return &sim.Error{Status: http.StatusTooManyRequests, Text: "rate limit exceeded"}
	}
	return nil
}

// bearer takes the token out of an Authorization header of either scheme.
func bearer(header string) (token string, ok bool) {
	scheme, token, found := strings.Cut(strings.TrimSpace(header), " ")
	token = strings.TrimSpace(token)
	if !found || token == "" || (!strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "FlyV1")) {
		return "", false
	}
	return token, true
}

// strike carries out a fault of the connection, and reports whether the
// answer, if there is one, is the fault's. A connection that is cut, or whose
// client left, ends here.
func (h *Handler) strike(ctx context.Context, out http.ResponseWriter, c *call, f *sim.Fault, answer *held, now time.Time) bool {
	switch f.Kind {
	case sim.FaultCut:
		cut(out)
		answer.dead = true
	case sim.FaultHang:
		if f.Duration > 0 && h.sleepUntil(ctx, now.Add(time.Duration(f.Duration))) {
			return false
		}
		if f.Duration == 0 {
			<-ctx.Done()
		}
		answer.dead = true
	default:
		text := f.Message
		if text == "" {
			text = strings.ToLower(http.StatusText(f.Status))
		}
		if f.Status == http.StatusRequestTimeout && f.Message == "" {
			text = "deadline_exceeded: context deadline exceeded"
		}
		if f.Status == http.StatusTooManyRequests && f.Message == "" {
			text = "rate limit exceeded"
		}
		answer.reset()
		writeError(answer, c, &sim.Error{Status: f.Status, Text: text})
	}
	return true
}

// cut closes the connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// Nothing to take over, as on HTTP/2: this has the server reset the stream.
		panic(http.ErrAbortHandler)
	}
	_ = conn.Close()
}

// sleepUntil waits for a time of the world; false when the client left before.
func (h *Handler) sleepUntil(ctx context.Context, deadline time.Time) bool {
	for {
		left := deadline.Sub(h.now())
		if left <= 0 {
			return true
		}
		if !sleepReal(ctx, h.real(left)) {
			return false
		}
	}
}

// real turns a time of the world into real time to wait before looking again:
// short enough to notice when a clock of the caller's own was moved.
func (h *Handler) real(d time.Duration) time.Duration {
	return min(max(time.Duration(float64(d)/h.opts.Speed), time.Millisecond), 100*time.Millisecond)
}

func sleepReal(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// await calls check whenever the Machine changes, until it is done, fails, the
// deadline (in the world's time) passes or the client leaves.
func (h *Handler) await(ctx context.Context, machine string, deadline time.Time, check func() (bool, error)) (bool, error) {
	for {
		changed := h.world.Watch(machine)
		h.sync()
		if finished, err := check(); finished || err != nil {
			return finished, err
		}
		now := h.world.Now()
		if !now.Before(deadline) {
			return false, nil
		}
		next := deadline
		if due, ok := h.world.NextDue(); ok && due.Before(next) {
			next = due
		}
		timer := time.NewTimer(h.real(next.Sub(now)))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
		timer.Stop()
	}
}

// held is an answer that is not sent yet.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
	dead   bool // the connection is gone, or nobody listens
}

// Header implements http.ResponseWriter.
func (a *held) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *held) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *held) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *held) reset() {
	a.status = 0
	a.body.Reset()
}

// send sends the answer and returns its status, statusCut when there is nobody
// to send it to.
func (a *held) send(w http.ResponseWriter) int {
	if a.dead {
		return statusCut
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // a client that left is no failure here
	return a.status
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // configurations go out as they came in
	_ = e.Encode(body)     // bodies are ours and encode; a client that left is no failure here
}

// writeError answers with an error in the form of the surface that was called.
func writeError(w http.ResponseWriter, c *call, err error) {
	refusal, known := errors.AsType[*sim.Error](err)
	if !known {
		refusal = &sim.Error{Status: http.StatusInternalServerError, Text: err.Error()}
	}
	if c.op == opGraphQL {
		code := strings.ToUpper(strings.ReplaceAll(http.StatusText(refusal.Status), " ", "_"))
		text := refusal.Text
		if refusal.Status == http.StatusUnauthorized {
			text = "You must be authenticated to view this."
		}
		writeJSON(w, refusal.Status, map[string]any{"errors": []any{
			map[string]any{"message": text, "extensions": map[string]any{"code": code}},
		}})
		return
	}
	body := map[string]any{"error": refusal.Text}
	if refusal.Code != "" {
		body["status"] = refusal.Code
	}
	writeJSON(w, refusal.Status, body)
}
