package prometheus

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

const (
	maxBody      = 16 << 20 // of an answer, after decompression
	maxShownBody = 80       // of an answer that is none, in bytes
	maxRedirects = 5
)

// parseAddress reads the base URL. Its errors do not repeat the address, which
// may hold a password.
func parseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil:
		return nil, errors.New("address is not a valid URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("address must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("address names no host")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// credentials returns the header that carries the credential and what of it
// must not be shown. White space around a token is what a line of a file leaves
// behind; inside it, it cannot be sent.
func credentials(token scale.Secret, user *url.Userinfo) (http.Header, []scale.Secret, error) {
	header := http.Header{}
	text := strings.TrimSpace(string(token))
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, nil, errors.New("token holds a line break or another control character")
	}
	if text != "" {
		value := text
		switch {
		case strings.HasPrefix(text, "Fly"): // with its scheme
		case isMacaroon(text):
			value = "FlyV1 " + text
		default:
			// A scheme that was copied along with the token is not doubled.
			if scheme, rest, ok := strings.Cut(text, " "); ok && strings.EqualFold(scheme, "bearer") {
				text = strings.TrimSpace(rest)
			}
			value = "Bearer " + text
		}
		header.Set("Authorization", value)
		return header, []scale.Secret{scale.Secret(text)}, nil
	}
	if user == nil {
		return header, nil, nil
	}
	password, _ := user.Password()
	encoded := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
	header.Set("Authorization", "Basic "+encoded)
	return header, []scale.Secret{scale.Secret(password), scale.Secret(encoded)}, nil
}

// isMacaroon reports whether a token is one of Fly.io's, or several with commas
// between them, without the scheme that they are sent with.
func isMacaroon(token string) bool {
	for _, prefix := range []string{"fm1r_", "fm1a_", "fm2_"} {
		if strings.HasPrefix(token, prefix) {
			return true
		}
	}
	return false
}

// newTransport returns a transport whose every step has a bound of its own, on
// top of the bound that the collection's context gives.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// checkRedirect follows a few redirects. The credential stays with the host it
// is meant for, and is not sent in clear text when the way there was encrypted.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	first := via[0]
	for _, hop := range slices.Concat(via, []*http.Request{req}) {
		if !sameParty(first.URL, hop.URL) {
			req.Header.Del("Authorization")
		}
	}
	// Most redirects turn a POST into a GET, which would lose the query.
	if req.Method == http.MethodGet && first.Method == http.MethodPost {
		body, err := first.GetBody()
		if err != nil {
			return err
		}
		form, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		req.URL.RawQuery = joinQuery(req.URL.RawQuery, string(form))
	}
	return nil
}

// sameParty reports whether what is meant for one address may be sent to the
// other: the same host and port, or the same host's encrypted side.
func sameParty(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	if from.Scheme == to.Scheme {
		return port(from) == port(to)
	}
	return from.Scheme == "http" && to.Scheme == "https" && port(from) == "80" && port(to) == "443"
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

func joinQuery(a, b string) string {
	if a == "" {
		return b
	}
	return a + "&" + b
}

// statusError is the failure of a request that was answered with a status that
// is none of success.
type statusError struct {
	host   string
	status int
	err    error
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: HTTP status %d: %v", e.host, e.status, e.err)
}
func (e *statusError) Unwrap() error { return e.err }

// errTooLarge is wrapped by the failure to read an answer that is too large.
var errTooLarge = fmt.Errorf("answer is larger than %d MiB", maxBody>>20)

// fetch sends a query about one app and reads its one number. A time that is not
// zero is the time to evaluate it at, instead of the server's now.
func (s *Source) fetch(ctx context.Context, query string, at time.Time) (reading, error) {
	var r reading
	err := s.request(ctx, query, at, func(body []byte, answered time.Time) (err error) {
		if s.machine != "" {
			r, err = decodeMachines(body, s.machine)
		} else {
			r, err = decode(body)
		}
		r.answered = answered
		return err
	})
	if _, refused := errors.AsType[*statusError](err); refused {
		return reading{warnings: r.warnings}, err
	}
	return r, err
}

// parser reads an answer. Its error wraps errNotAPI when it is none of the query
// API. The time is when the server answered, or zero when it was asked as of a
// time: how old a value is says nothing then.
type parser func(body []byte, answered time.Time) error

// request sends a query, by POST since queries can be longer than URLs may be,
// and by GET to servers that do not take POST.
func (s *Source) request(ctx context.Context, query string, at time.Time, parse parser) error {
	values := url.Values{"query": {query}}
	if !at.IsZero() {
		given := parse
		parse = func(body []byte, _ time.Time) error { return given(body, time.Time{}) }
		values.Set("time", strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64))
	}
	form := values.Encode()
	if !s.useGet.Load() {
		err := s.send(ctx, http.MethodPost, form, parse)
		if e, ok := errors.AsType[*statusError](err); !ok || e.status != http.StatusMethodNotAllowed {
			return err
		}
		s.useGet.Store(true)
	}
	return s.send(ctx, http.MethodGet, form, parse)
}

// send makes one request and has its answer parsed.
func (s *Source) send(ctx context.Context, method, form string, parse parser) error {
	target := *s.endpoint
	var body io.Reader = http.NoBody
	if method == http.MethodPost {
		body = strings.NewReader(form)
	} else {
		target.RawQuery = joinQuery(target.RawQuery, form)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return errors.New("make the request")
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		// A query changes nothing at the server. This lets the transport send it
		// again when a kept connection turns out to be closed; a nil value is
		// not sent.
		req.Header["Idempotency-Key"] = nil
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "fly-autoscaler")
	maps.Copy(req.Header, s.header)
	resp, err := s.client.Do(req)
	if err != nil {
		return s.transportError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return s.transportError(ctx, err)
	}
	if len(data) > maxBody {
		return fmt.Errorf("%s: %w", s.endpoint.Host, errTooLarge)
	}
	return s.read(resp, data, parse)
}

// transportError says why there is no answer, without the URL, which may carry
// parameters that are nobody's business.
type transportError struct {
	host string
	err  error
}

func (e *transportError) Error() string { return e.host + ": " + e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

func (s *Source) transportError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &transportError{s.endpoint.Host, context.Cause(ctx)}
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	return &transportError{s.endpoint.Host, err}
}

// read makes sense of an answer.
func (s *Source) read(resp *http.Response, body []byte, parse parser) error {
	err := parse(body, answeredAt(resp))
	ok := resp.StatusCode >= 200 && resp.StatusCode < 300
	switch {
	case err == nil && ok:
		return nil
	case err == nil:
		err = errors.New("a result that comes with an error status is not used")
	case errors.Is(err, errNotAPI):
		err = s.unexpected(resp, body, err)
	}
	if ok {
		return err
	}
	return &statusError{host: s.endpoint.Host, status: resp.StatusCode, err: err}
}

// answeredAt returns when a server answered, by its own clock where it tells the
// date, so that what its clock and ours are apart does not matter.
func answeredAt(resp *http.Response) time.Time {
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		return date
	}
	return time.Now()
}

// unexpected describes an answer that is none of the query API.
func (s *Source) unexpected(resp *http.Response, body []byte, err error) error {
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		if len(s.header) == 0 {
			return errors.New("the server wants a credential and none is set")
		}
		return errors.New("the credential was refused")
	}
	kind := resp.Header.Get("Content-Type")
	if kind == "" {
		kind = "no content type"
	}
	// Credentials go before the text is cut: a part of one is still one.
	shown := source.Printable(s.redact.Text(string(body)), maxShownBody)
	return fmt.Errorf("%w; received %s: %q; is this a Prometheus address?",
		err, source.Printable(s.redact.Text(kind), maxShownBody), shown)
}
