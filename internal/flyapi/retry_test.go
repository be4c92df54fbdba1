package flyapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
)

// script is a handler that gives one answer after another, repeats the last,
// and counts.
type script struct {
	mu    sync.Mutex
	steps []http.HandlerFunc
	count int
	at    []time.Time
}

func (s *script) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	step := s.steps[min(s.count, len(s.steps)-1)]
	s.count++
	s.at = append(s.at, time.Now())
	s.mu.Unlock()
	step(w, r)
}

func (s *script) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func status(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// dropped reads the request and breaks the connection: a lost answer.
func dropped(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// cutShort breaks the connection in the middle of the answer.
func cutShort(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"id":"m1",`)
	panic(http.ErrAbortHandler)
}

// hang reads the request and does not answer until the client leaves.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

const oneMachine = `{"id":"m1","state":"created","config":{}}`

// TestTries says for each effect and each fault how often the platform sees
// the request, and what the caller is told.
func TestTries(t *testing.T) {
	type do = func(context.Context, *flyapi.Client) error
	read := func(ctx context.Context, c *flyapi.Client) error {
		_, err := c.GetMachine(ctx, "web", "m1")
		return err
	}
	ok := status(200, oneMachine)
	tests := []struct {
		name  string
		call  do
		steps []http.HandlerFunc
		seen  int
		want  flyapi.Kind
	}{
		{"read after two 502", read, []http.HandlerFunc{status(502, ""), status(502, ""), ok}, 3, 0},
		{"read with 502 only", read, []http.HandlerFunc{status(502, "")}, 3, flyapi.KindUnavailable},
		{"read after a lost answer", read, []http.HandlerFunc{dropped, ok}, 2, 0},
		{"read after half an answer", read, []http.HandlerFunc{cutShort, ok}, 2, 0},
		{"read after a hang", read, []http.HandlerFunc{hang, ok}, 2, 0},
		{"read with 429 only", read, []http.HandlerFunc{status(429, "")}, 3, flyapi.KindRateLimited},
		{"read refused", read, []http.HandlerFunc{status(404, ""), ok}, 1, flyapi.KindNotFound},
		{"read garbled", read, []http.HandlerFunc{status(200, "<html>"), ok}, 1, flyapi.KindProtocol},

		{"create with 502", create, []http.HandlerFunc{status(502, ""), ok}, 1, flyapi.KindUnknown},
		{"create with 503", create, []http.HandlerFunc{status(503, ""), ok}, 1, flyapi.KindUnknown},
		{"create with 408", create, []http.HandlerFunc{status(408, ""), ok}, 1, flyapi.KindUnknown},
		{"create with a lost answer", create, []http.HandlerFunc{dropped, ok}, 1, flyapi.KindUnknown},
		{"create with half an answer", create, []http.HandlerFunc{cutShort, ok}, 1, flyapi.KindUnknown},
		{"create that hangs", create, []http.HandlerFunc{hang, ok}, 1, flyapi.KindUnknown},
		{"create after 429", create, []http.HandlerFunc{status(429, ""), ok}, 2, 0},
		{"create with 429, then 502", create, []http.HandlerFunc{status(429, ""), status(502, ""), ok}, 2, flyapi.KindUnknown},
		{"create without capacity", create, []http.HandlerFunc{status(503, `{"status":"insufficient_capacity"}`), ok}, 1, flyapi.KindCapacity},

		{"lease with 502", acquire, []http.HandlerFunc{status(502, ""), ok}, 1, flyapi.KindUnknown},
		{"lease with a lost answer", acquire, []http.HandlerFunc{dropped, ok}, 1, flyapi.KindUnknown},

		{"start after 502", start, []http.HandlerFunc{status(502, ""), ok}, 2, 0},
		{"start after a lost answer", start, []http.HandlerFunc{dropped, ok}, 2, 0},
		{"start after a hang", start, []http.HandlerFunc{hang, ok}, 2, 0},
		{"start with 502 only", start, []http.HandlerFunc{status(502, "")}, 3, flyapi.KindUnknown},
		{"start refused", start, []http.HandlerFunc{status(412, "no"), ok}, 1, flyapi.KindPrecondition},
		{"start with 502, then refused for what it did", start, []http.HandlerFunc{status(502, ""), status(412, `{"error":"machine still attempting to start"}`)}, 2, flyapi.KindUnknown},
		{"start with 502, then 429 only", start, []http.HandlerFunc{status(502, ""), status(429, "")}, 3, flyapi.KindUnknown},
		{"start with 502, then gone", start, []http.HandlerFunc{status(502, ""), status(404, "")}, 2, flyapi.KindNotFound},
		{"cordon after a lost answer", cordon, []http.HandlerFunc{dropped, ok}, 2, 0},
		{"cordon with 502 only", cordon, []http.HandlerFunc{status(502, "")}, 3, flyapi.KindUnknown},
		{"cordon of a leased machine", cordon, []http.HandlerFunc{status(409, "machine ID m1 lease currently held by bob, expires at 2026-01-01T00:00:00Z"), ok}, 1, flyapi.KindLeased},
		{"metadata after a hang", mark, []http.HandlerFunc{hang, ok}, 2, 0},
		{"metadata refused", mark, []http.HandlerFunc{status(404, ""), ok}, 1, flyapi.KindNotFound},
		{"metadata that is gone", unmark, []http.HandlerFunc{status(404, "")}, 1, 0},
		{"destroy with a lost answer, then gone", destroy, []http.HandlerFunc{dropped, status(404, "")}, 2, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: tt.steps}
				c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: serve(t, s.serve)})
				err := tt.call(t.Context(), c)
				if got := flyapi.KindOf(err); got != tt.want || (err == nil) != (tt.want == 0) {
					t.Errorf("got %s (%v), want %s", got, err, tt.want)
				}
				if s.seen() != tt.seen {
					t.Errorf("the platform saw %d requests, want %d", s.seen(), tt.seen)
				}
				if tt.want != 0 {
					_ = apiError(t, err) // looks for the token
				}
			})
		})
	}
}

func TestCreateOverAConnectionThatDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{status(200, oneMachine), dropped, status(200, oneMachine)}}
		c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: serve(t, s.serve)})
		if err := create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		// The connection is used again and dies with the second create on it. The
		// transport must not send that a second time either.
		err := create(t.Context(), c)
		if got := flyapi.KindOf(err); got != flyapi.KindUnknown {
			t.Errorf("got %s (%v), want unknown", got, err)
		}
		if s.seen() != 2 {
			t.Errorf("the platform saw %d creates, want 2", s.seen())
		}
	})
}

// unreachable counts how often a connection is tried.
func unreachable(count *int, err error) *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		*count++
		return nil, err
	}}
}

func TestNotSentIsRepeatedAlways(t *testing.T) {
	for name, dialError := range map[string]error{
		"refused": &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")},
		"no name": &net.DNSError{Err: "no such host", Name: "api"},
		"other":   errors.New("no route"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				count := 0
				c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: unreachable(&count, dialError)})
				e := apiError(t, create(t.Context(), c))
				if e.Kind != flyapi.KindUnavailable || !errors.Is(e, dialError) {
					t.Errorf("got %s (%v), want unavailable because of %v", e.Kind, e, dialError)
				}
				if count != 3 {
					t.Errorf("got %d tries, want 3", count)
				}
			})
		})
	}
}

// A transport that does not report its progress gives no proof that a request
// was not sent.
func TestNoProofIsUnknown(t *testing.T) {
	broken := errors.New("something broke near " + secret)
	c := newClient(t, flyapi.Config{Transport: transportFunc(func(*http.Request) (*http.Response, error) { return nil, broken })})
	e := apiError(t, create(t.Context(), c))
	if e.Kind != flyapi.KindUnknown || !errors.Is(e, broken) {
		t.Errorf("got %s (%v), want unknown", e.Kind, e)
	}
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	c = newClient(t, flyapi.Config{Transport: transportFunc(func(*http.Request) (*http.Response, error) { return nil, refused })})
	if e := apiError(t, create(t.Context(), c)); e.Kind != flyapi.KindUnavailable {
		t.Errorf("got %s (%v), want unavailable", e.Kind, e)
	}
}

// A connection that is never made is as good as refused.
func TestHangingDialIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The transport lets a dial go on when the request that began it has gone.
		over := make(chan struct{})
		defer close(over)
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			<-over
			return nil, errors.New("dial timed out")
		}}
		c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: transport, AttemptTimeout: 2 * time.Second})
		began := time.Now()
		e := apiError(t, create(t.Context(), c))
		if e.Kind != flyapi.KindUnavailable {
			t.Errorf("got %s (%v), want unavailable", e.Kind, e)
		}
		if took := time.Since(began); took < 6*time.Second || took > 7*time.Second {
			t.Errorf("took %s, want three tries of 2s", took)
		}
	})
}

func TestHangCostsOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{hang, status(200, `[]`)}}
		c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: serve(t, s.serve)})
		began := time.Now()
		if err := list(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 10*time.Second+100*time.Millisecond {
			t.Errorf("took %s, want 10s and a short pause", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{hang}}
		c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: serve(t, s.serve), AttemptTimeout: time.Second})
		e := apiError(t, create(t.Context(), c))
		if e.Kind != flyapi.KindUnknown || errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("got %s (%v), want unknown, and not the caller's deadline", e.Kind, e.Err)
		}
		want := `create machine for app "web": POST /v1/apps/web/machines: outcome unknown: no answer within 1s`
		if e.Error() != want {
			t.Errorf("got %q, want %q", e, want)
		}
	})
}

// A transport that only says "deadline exceeded" must not make the caller think
// that its own deadline has passed.
func TestAttemptTimeoutIsNotTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, flyapi.Config{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		e := apiError(t, list(t.Context(), c))
		if e.Kind != flyapi.KindUnavailable || errors.Is(e, context.DeadlineExceeded) || e.Message != "no answer within 10s" {
			t.Errorf("got %s (%v, cause %v), want unavailable after 10s", e.Kind, e, e.Err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{status(429, "", "Retry-After", "7"), status(200, oneMachine)}}
		c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: serve(t, s.serve)})
		began := time.Now()
		if err := create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 7*time.Second || took > 7*time.Second+100*time.Millisecond {
			t.Errorf("took %s, want 7s and a short pause", took)
		}
	})
	for name, seconds := range map[string]string{"past the deadline": "7", "absurd": "3600"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []http.HandlerFunc{status(429, "", "Retry-After", seconds)}}
				c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: serve(t, s.serve)})
				ctx := t.Context()
				if name == "past the deadline" {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
					defer cancel()
				}
				began := time.Now()
				e := apiError(t, list(ctx, c))
				if e.Kind != flyapi.KindRateLimited || fmt.Sprintf("%.0f", e.RetryAfter.Seconds()) != seconds {
					t.Errorf("got %s, retry after %s, want rate_limited after %ss", e.Kind, e.RetryAfter, seconds)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("waited %s for nothing", took)
				}
			})
		})
	}
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := map[time.Duration]bool{}
		for range 50 {
			c := answering(t, 503, "")
			began := time.Now()
			if err := list(t.Context(), c); flyapi.KindOf(err) != flyapi.KindUnavailable {
				t.Fatal(err)
			}
			took := time.Since(began)
			if took > 300*time.Millisecond {
				t.Errorf("three tries took %s, want at most 100ms+200ms of waiting", took)
			}
			waits[took] = true
		}
		if len(waits) < 40 {
			t.Errorf("got %d different waits of 50, want them spread", len(waits))
		}
	})
}

func TestCancel(t *testing.T) {
	type do = func(context.Context, *flyapi.Client) error
	tests := []struct {
		name    string
		call    do
		handler http.HandlerFunc
		want    flyapi.Kind
	}{
		{"read under way", list, hang, flyapi.KindCanceled},
		{"create under way", create, hang, flyapi.KindUnknown},
		{"start under way", start, hang, flyapi.KindUnknown},
		{"read between tries", list, status(503, "", "Retry-After", "20"), flyapi.KindCanceled},
		{"create between tries", create, status(429, "", "Retry-After", "20"), flyapi.KindCanceled},
		{"start between tries", start, status(503, "", "Retry-After", "20"), flyapi.KindUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: serve(t, tt.handler)})
				ctx, cancel := context.WithCancel(t.Context())
				began := time.Now()
				time.AfterFunc(3*time.Second, cancel)
				e := apiError(t, tt.call(ctx, c))
				if e.Kind != tt.want || !errors.Is(e, context.Canceled) {
					t.Errorf("got %s (%v, cause %v), want %s", e.Kind, e, e.Err, tt.want)
				}
				if took := time.Since(began); took != 3*time.Second {
					t.Errorf("returned after %s, want 3s", took)
				}
			})
		})
	}
	t.Run("before the start", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		e := apiError(t, create(ctx, answering(t, 200, oneMachine)))
		if e.Kind != flyapi.KindCanceled || !errors.Is(e, context.Canceled) {
			t.Errorf("got %s (%v), want canceled", e.Kind, e)
		}
	})
	t.Run("deadline of the caller", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: serve(t, hang)})
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			e := apiError(t, list(ctx, c))
			if e.Kind != flyapi.KindCanceled || !errors.Is(e, context.DeadlineExceeded) {
				t.Errorf("got %s (%v), want canceled", e.Kind, e)
			}
		})
	})
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(w http.ResponseWriter, r *http.Request) {
			timer := time.NewTimer(250 * time.Millisecond)
			defer timer.Stop()
			<-timer.C
			status(200, `[]`)(w, r)
		}
		s := &script{steps: []http.HandlerFunc{dropped, status(502, ""), slow}}
		var got []flyapi.Request
		c := newClient(t, flyapi.Config{MachinesURL: "http://api", Transport: serve(t, s.serve), Observe: func(r flyapi.Request) { got = append(got, r) }})
		if err := list(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 {
			t.Fatalf("got %d requests, want 3: %+v", len(got), got)
		}
		for i, want := range []int{0, 502, 200} {
			if got[i].Op != "list_machines" || got[i].Status != want || (got[i].Err == nil) != (want == 200) {
				t.Errorf("request %d: got %+v, want list_machines with status %d", i, got[i], want)
			}
		}
		if got[2].Duration != 250*time.Millisecond {
			t.Errorf("got duration %s, want 250ms", got[2].Duration)
		}
	})
}
