package flyapi

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// The platform's public addresses.
const (
	DefaultMachinesURL = "https://api.machines.dev"
	DefaultGraphQLURL  = "https://api.fly.io"
)

// DefaultAttemptTimeout is how long one try of a call may last. The slowest
// ordinary answer, that of a create, takes a few seconds.
const DefaultAttemptTimeout = 10 * time.Second

const defaultUserAgent = "fly-autoscaler"

// Config says how to reach the platform.
type Config struct {
	// MachinesURL is what FLY_FLAPS_BASE_URL holds: scheme, host and port of the
	// Machines API. A path in it is ignored, as the official client does; all
	// paths begin at the host's root. Empty means DefaultMachinesURL.
	MachinesURL string
	// GraphQLURL is what FLY_API_BASE_URL holds; "/graphql" is appended. Empty
	// means DefaultGraphQLURL.
	GraphQLURL string
	// Token is an API token or a comma-separated list of them, with or without
	// the words "FlyV1" and "Bearer" that come along when one is pasted.
	Token scale.Secret
	// Transport carries the requests and stays the caller's to close. Nil means
	// one that the Client owns.
	Transport http.RoundTripper
	// UserAgent is sent with each request. Empty means "fly-autoscaler".
	UserAgent string
	// AttemptTimeout bounds each try of a call, including the reading of the
	// answer. Zero means DefaultAttemptTimeout.
	AttemptTimeout time.Duration
	// Observe, if set, is called once after each HTTP exchange, by the goroutine
	// that made the call.
	Observe func(Request)
}

// Request describes one HTTP exchange, for metrics. A call that is repeated
// makes several; a call refused by the client's own rate limit makes none.
type Request struct {
	Op       string // one of a fixed set, such as "list_machines" or "create_machine"
	Status   int    // 0 when there was no answer
	Duration time.Duration
	Err      error // nil, or the *Error of this exchange
}

// Client calls the platform. It is safe for concurrent use.
type Client struct {
	machines   endpoint
	graphql    endpoint
	http       *http.Client
	own        *http.Transport // nil when the transport is the caller's
	userAgent  string
	timeout    time.Duration
	observe    func(Request)
	limits     *limits
	credential credential
}

// endpoint is one of the two surfaces of the platform.
type endpoint struct {
	root          string // scheme, host and path prefix, without a slash at the end
	authorization string
}

// New returns a client, or an error that says which setting is wrong. It does
// not contact the platform.
func New(cfg Config) (*Client, error) {
	machines, err := parseRoot(cfg.MachinesURL, DefaultMachinesURL)
	if err != nil {
		return nil, fmt.Errorf("machines API address: %w", err)
	}
	graphql, err := parseRoot(cfg.GraphQLURL, DefaultGraphQLURL)
	if err != nil {
		return nil, fmt.Errorf("GraphQL API address: %w", err)
	}
	cred, err := parseToken(cfg.Token)
	if err != nil {
		return nil, fmt.Errorf("API token: %w", err)
	}
	if cfg.AttemptTimeout < 0 {
		return nil, fmt.Errorf("attempt timeout: %s is negative", cfg.AttemptTimeout)
	}

	c := &Client{
		machines:   endpoint{root: machines.Scheme + "://" + machines.Host, authorization: cred.machines()},
		graphql:    endpoint{root: strings.TrimRight(graphql.String(), "/"), authorization: cred.graphql()},
		userAgent:  cfg.UserAgent,
		timeout:    cfg.AttemptTimeout,
		observe:    cfg.Observe,
		limits:     newLimits(),
		credential: cred,
	}
	if c.userAgent == "" {
		c.userAgent = defaultUserAgent
	}
	if c.timeout == 0 {
		c.timeout = DefaultAttemptTimeout
	}
	transport := cfg.Transport
	if transport == nil {
		c.own = newTransport()
		transport = c.own
	}
	c.http = &http.Client{
		Transport: transport,
		Jar:       newAffinity(),
		// The API does not redirect. Following one could repeat a change, or
		// carry the token to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close drops the idle connections of the Client's own transport. Calls under
// way are not interrupted: end their contexts for that.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// newTransport is made for many short requests to two hosts. The idle pool is
// wide because acting on many apps at once would otherwise open and drop a
// connection for nearly each request.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// parseRoot checks an address. The address itself is shown in errors only where
// it cannot hold a password.
func parseRoot(address, fallback string) (*url.URL, error) {
	address = strings.TrimSpace(address)
	if address == "" {
		address = fallback
	}
	u, err := url.Parse(address)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("must not hold a user name or password")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q must begin with http:// or https://", address)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q has no host", address)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q must not have a query or fragment", address)
	}
	return u, nil
}
