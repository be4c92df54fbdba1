package flyapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// effect says what a call does to the platform, and so when it may be sent
// again.
type effect int

const (
	read       effect = iota + 1 // changes nothing
	repeatable                   // a change that is the same when done twice
	once                         // a change that done twice is two changes
)

// call is one API call, made of one to maxTries exchanges.
type call struct {
	op      string
	app     scale.App
	machine scale.MachineID
	at      endpoint
	method  string
	path    string
	query   url.Values
	nonce   scale.Secret
	body    []byte
	effect  effect
	limit   bucket
	// goneIsDone makes 404 a success.
	goneIsDone bool
	// decode reads the body of a success; nil when the status says it all. A
	// *refusal means that the body reports a failure, any other error that it is
	// not what the platform promises.
	decode func(body []byte) error
}

// refusal is a failure reported inside a successful answer.
type refusal struct {
	kind    Kind
	code    string
	message string
}

func (r *refusal) Error() string { return r.message }

const (
	maxTries    = 3
	backoffBase = 100 * time.Millisecond
	backoffCap  = 2 * time.Second
	// rateLimitPause is the wait after a 429 that names none: the time in which
	// the platform's bucket gains one token.
	rateLimitPause = time.Second
	// longestPause is the longest Retry-After that is waited for here. A caller is
	// better served by the error, which carries it, than by a call that hangs.
	longestPause = 30 * time.Second

	maxAnswer      = 64 << 20
	maxErrorAnswer = 64 << 10
)

var errAnswerTooLarge = errors.New("answer is larger than 64 MiB")

// do carries out a call: waits for the rate limit, sends, classifies, and
// repeats where that is safe.
func (c *Client) do(ctx context.Context, cl call) error {
	var last *Error
	unknown := false
	for try := 1; ; try++ {
		if e := c.waitForToken(ctx, cl, last); e != nil {
			return settle(e, unknown)
		}
		last = c.exchange(ctx, cl)
		if last == nil {
			return nil
		}
		unknown = unknown || last.Kind == KindUnknown
		if try == maxTries || !cl.mayRepeat(last) {
			return settle(last, unknown)
		}
		pause := pauseAfter(last, try)
		if deadline, ok := ctx.Deadline(); pause > longestPause || ok && time.Until(deadline) <= pause {
			return settle(last, unknown)
		}
		if err := sleep(ctx, pause); err != nil {
			return settle(c.givenUp(cl, err, last), unknown)
		}
	}
}

// settle gives the error of a whole call. Once one try may have taken effect,
// a later refusal no longer says that nothing happened: a start refused with
// "already starting" may owe that to the try before. Only "not found" stands.
func settle(e *Error, unknown bool) error {
	if unknown && e.Kind != KindNotFound {
		e.Kind = KindUnknown
	}
	return e
}

// waitForToken takes a token for the next try. Between tries, an error of the
// try before is worth more to the caller than that there was no time for
// another.
func (c *Client) waitForToken(ctx context.Context, cl call, last *Error) *Error {
	err := c.limits.wait(ctx, cl.limit)
	if err == nil {
		return nil
	}
	if limited, ok := errors.AsType[*limitError](err); ok {
		if last != nil {
			return last
		}
		e := c.newError(cl, KindRateLimited, limited.Error())
		e.RetryAfter = limited.wait
		e.Err = limited
		return e
	}
	return c.givenUp(cl, err, last)
}

// givenUp is the error of a call whose context ended while nothing was under
// way.
func (c *Client) givenUp(cl call, cause error, last *Error) *Error {
	message := cause.Error() + " before the request was sent"
	if last != nil {
		message = fmt.Sprintf("%s while waiting to try again after %s", cause, last.Kind)
		if last.Message != "" {
			message += ": " + last.Message
		}
	}
	e := c.newError(cl, KindCanceled, message)
	e.Err = cause
	return e
}

// mayRepeat decides on another try. KindUnavailable of a change means that the
// request certainly was not sent.
func (cl call) mayRepeat(e *Error) bool {
	switch e.Kind {
	case KindRateLimited, KindUnavailable:
		return true
	case KindUnknown:
		return cl.effect == repeatable
	default:
		return false
	}
}

// pauseAfter returns how long to wait after the given try (1 is the first).
// The random part spreads clients that failed together.
func pauseAfter(e *Error, try int) time.Duration {
	jitter := rand.N(min(backoffCap, backoffBase<<(try-1)))
	switch {
	case e.RetryAfter > 0:
		return e.RetryAfter + jitter
	case e.Kind == KindRateLimited:
		return rateLimitPause + jitter
	}
	return jitter
}

// exchange makes one try, within its own time limit, and reports it.
func (c *Client) exchange(ctx context.Context, cl call) *Error {
	began := time.Now()
	status, e := c.send(ctx, cl)
	if c.observe != nil {
		// Not simply e: a nil *Error in an error is not nil.
		var err error
		if e != nil {
			err = e
		}
		c.observe(Request{Op: cl.op, Status: status, Duration: time.Since(began), Err: err})
	}
	return e
}

func (c *Client) send(ctx context.Context, cl call) (status int, _ *Error) {
	timeout := fmt.Errorf("no answer within %s", c.timeout)
	tryCtx, cancel := context.WithTimeoutCause(ctx, c.timeout, timeout)
	defer cancel()

	var line progress
	req, err := c.newRequest(httptrace.WithClientTrace(tryCtx, line.trace()), cl)
	if err != nil {
		e := c.newError(cl, KindInvalid, err.Error())
		e.Err = err
		return 0, e
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, c.fromTransport(ctx, tryCtx, cl, err, line.unsent(err))
	}
	defer func() { _ = resp.Body.Close() }()

	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		// Part of an error text is better than none, so a failure here is ignored.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
		if cl.goneIsDone && resp.StatusCode == http.StatusNotFound {
			return resp.StatusCode, nil
		}
		return resp.StatusCode, c.fromAnswer(cl, resp, body, time.Now())
	}
	if cl.decode == nil {
		// Read to the end so that the connection can be used again. The status
		// already was the answer.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorAnswer))
		return resp.StatusCode, nil
	}

	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		e := c.fromTransport(ctx, tryCtx, cl, err, false)
		e.Status, e.RequestID = resp.StatusCode, requestID(resp)
		return resp.StatusCode, e
	}
	if len(body) > maxAnswer {
		err = errAnswerTooLarge
	} else {
		err = cl.decode(body)
	}
	if err == nil {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, c.fromDecode(cl, resp, err)
}

func (c *Client) newRequest(ctx context.Context, cl call) (*http.Request, error) {
	address := cl.at.root + cl.path
	if len(cl.query) > 0 {
		address += "?" + cl.query.Encode()
	}
	var body io.Reader
	if cl.body != nil {
		body = bytes.NewReader(cl.body)
	}
	req, err := http.NewRequestWithContext(ctx, cl.method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", cl.at.authorization)
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Accept", "application/json")
	if cl.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if cl.nonce != "" {
		req.Header.Set("Fly-Machine-Lease-Nonce", string(cl.nonce))
	}
	return req, nil
}

// fromTransport makes the error of a try that got no whole answer.
func (c *Client) fromTransport(ctx, tryCtx context.Context, cl call, err error, unsent bool) *Error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the address is in the error already
	}
	kind := unanswered(cl.effect)
	if unsent {
		kind = KindUnavailable
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
		if cl.effect == read || unsent {
			kind = KindCanceled
		}
	case tryCtx.Err() != nil:
		err = context.Cause(tryCtx)
	}
	e := c.newError(cl, kind, err.Error())
	e.Err = err
	return e
}

// fromDecode makes the error of a success that is none.
func (c *Client) fromDecode(cl call, resp *http.Response, err error) *Error {
	var e *Error
	if refused, ok := errors.AsType[*refusal](err); ok {
		e = c.newError(cl, refused.kind, refused.message)
		e.Code = oneLine(c.credential.redact(refused.code, cl.nonce))
	} else {
		kind := KindProtocol
		if cl.effect != read {
			// It was accepted, but what came of it cannot be read.
			kind = KindUnknown
		}
		e = c.newError(cl, kind, "unusable answer: "+err.Error())
		e.Err = err
	}
	e.Status, e.RequestID = resp.StatusCode, requestID(resp)
	return e
}

// progress follows how far a request came. The transport calls the hooks from
// its own goroutines, possibly after the request has returned.
type progress struct {
	asked     atomic.Bool // a connection was asked for: the transport reports to us
	connected atomic.Bool // one was given, so bytes may have been sent
}

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) {
			// Comes again when the transport itself repeats, which for a change it
			// does only when not one byte was written.
			p.asked.Store(true)
			p.connected.Store(false)
		},
		GotConn: func(httptrace.GotConnInfo) { p.connected.Store(true) },
	}
}

// unsent reports whether a request that failed with err certainly never left.
func (p *progress) unsent(err error) bool {
	if p.asked.Load() && !p.connected.Load() {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}
