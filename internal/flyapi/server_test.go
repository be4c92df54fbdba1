package flyapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// secret is long and odd enough to be found wherever it leaks.
const secret = "fm2_lJPECAAAAAAAAyLsxBCs3cr3tT0k3nV4lu3"

// transportFunc answers requests without a connection.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// newClient makes a client with the secret token.
func newClient(t testing.TB, cfg flyapi.Config) *flyapi.Client {
	t.Helper()
	if cfg.Token == "" {
		cfg.Token = scale.Secret(secret)
	}
	c, err := flyapi.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// answering makes a client of which each request gets the same answer.
func answering(t testing.TB, status int, body string, header ...string) *flyapi.Client {
	t.Helper()
	return newClient(t, flyapi.Config{Transport: transportFunc(func(*http.Request) (*http.Response, error) {
		return answer(status, body, header...), nil
	})})
}

// pipeListener is a listener whose connections are in-memory pipes, so that a
// real HTTP server and client run under virtual time.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// serve runs handler on a real HTTP server and returns a real transport that
// reaches it, both within the current bubble.
func serve(t *testing.T, handler http.HandlerFunc) *http.Transport {
	t.Helper()
	listener := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	transport := &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			select {
			case listener.conns <- theirs:
				return ours, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Errorf("close server: %v", err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return transport
}

// apiError returns the *flyapi.Error in err, and fails the test without one or
// when its text gives the token away.
func apiError(t *testing.T, err error) *flyapi.Error {
	t.Helper()
	e, ok := errors.AsType[*flyapi.Error](err)
	if !ok {
		t.Fatalf("error %v (%T) is no *flyapi.Error", err, err)
	}
	if strings.Contains(e.Error(), secret) {
		t.Errorf("the token is in the error: %s", e)
	}
	return e
}
