package e2e_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// network lies between the program and the platform and passes creates on after
// a while, whether or not their sender is still alive.
type network struct {
	*httptest.Server
	creates atomic.Int32 // that were sent
}

func newNetwork(t *testing.T, p *platform, delay time.Duration) *network {
	t.Helper()
	target, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	pass := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	n := &network{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/machines") {
			pass.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // died in the middle of sending
		}
		n.creates.Add(1)
		pause(t, delay)
		late := r.WithContext(context.WithoutCancel(r.Context()))
		late.Body = io.NopCloser(bytes.NewReader(body))
		pass.ServeHTTP(w, late)
	}))
	t.Cleanup(func() {
		n.Close()
		transport.CloseIdleConnections()
	})
	return n
}

// However often the process is killed while creates are under way, which take
// effect after its death, the count is exact and was never above.
func TestKilledWhileCreating(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 1))
	p.depth(t, 16)
	// Longer than the next process takes to start and look.
	net := newNetwork(t, p, 1500*time.Millisecond)
	env := p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_REGIONS=iad,ord", "FLY_FLAPS_BASE_URL="+net.URL)
	lost := 0
	for life := range 5 {
		s := serve(t, env)
		sent := net.creates.Load()
		eventually(t, 20*time.Second, "a create is under way", func() bool { return net.creates.Load() > sent })
		// Right after it was sent, while more are sent, and about when the first
		// answers come.
		pause(t, time.Duration(life)*250*time.Millisecond)
		done := len(p.did("worker", "machine_create"))
		s.kill()
		lost += int(net.creates.Load()) - done
	}
	if lost < 5 {
		t.Errorf("only %d creates were under way when the process was killed: the test shows nothing", lost)
	}
	began := time.Now()
	s := serve(t, env)
	eventually(t, 45*time.Second, "sixteen Machines", func() bool { return p.count(t, "worker", "app") == 16 })
	s.morePasses(t, 3)
	if n, created := p.count(t, "worker", "app"), len(p.did("worker", "machine_create")); n != 16 || created != 15 {
		t.Errorf("%d Machines after %d creates, want 16 after 15", n, created)
	}
	t.Logf("%d creates were under way in five kills; at the target %s after the last start", lost, time.Since(began).Round(time.Millisecond))
}

// Two replicas on the same app make nothing twice and take nothing twice.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 1))
	p.depth(t, 8)
	net := newNetwork(t, p, 200*time.Millisecond)
	env := p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_REGIONS=iad,ord", "FLY_FLAPS_BASE_URL="+net.URL)
	one, two := serve(t, env), serve(t, env)
	eventually(t, 40*time.Second, "eight Machines", func() bool { return p.count(t, "worker", "app") == 8 })
	one.morePasses(t, 2)
	two.morePasses(t, 2)
	if n := len(p.did("worker", "machine_create")); n != 7 {
		t.Errorf("%d Machines were created, want 7", n)
	}
	p.depth(t, 3)
	eventually(t, 40*time.Second, "three Machines", func() bool { return p.count(t, "worker", "app") == 3 })
	p.depth(t, 6)
	eventually(t, 40*time.Second, "six Machines", func() bool { return p.count(t, "worker", "app") == 6 })
	one.morePasses(t, 2)
	two.morePasses(t, 2)
	if n := p.count(t, "worker", "app"); n != 6 {
		t.Errorf("%d Machines, want 6", n)
	}
	created, destroyed := len(p.did("worker", "machine_create")), len(p.did("worker", "machine_destroy"))
	if created != 10 || destroyed != 5 {
		t.Errorf("%d Machines were created and %d destroyed, want 10 and 5", created, destroyed)
	}
	t.Logf("%d creates were sent by two replicas for 10 Machines", net.creates.Load())
}
