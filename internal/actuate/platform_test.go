package actuate_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/actuate"
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// platform is the simulated platform and an Actuator that reaches it with the
// real client over HTTP, all in virtual time.
type platform struct {
	t        *testing.T
	world    *sim.World
	handler  *flysim.Handler
	api      *flyapi.Client
	actuator *actuate.Actuator
	ids      []scale.MachineID // of the app's Machines, in the order they were given

	mu   sync.Mutex
	sent []request // guarded by mu
}

// request is one request of the client that the platform got.
type request struct {
	method, path, query, body string
}

const app = "worker"

// inBubble runs a test in virtual time against a platform on which the app
// "worker" has the given Machines.
func inBubble(t *testing.T, machines []sim.MachineSpec, test func(t *testing.T, p *platform)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		timings := sim.DefaultTimings()
		timings.Destroy = sim.Between(time.Second, time.Second)
		world := sim.New(sim.Config{Seed: 1, Start: time.Now(), Timings: &timings})
		ids, err := world.AddApp(sim.Call{Request: "setup"}, sim.AppSpec{Org: "acme", App: app, Machines: machines})
		if err != nil {
			t.Fatal(err)
		}
		world.ClearHistory()
		p := &platform{t: t, world: world, handler: flysim.New(world, flysim.Options{RateLimits: true})}
		for _, id := range ids {
			p.ids = append(p.ids, scale.MachineID(id))
		}
		p.api, err = flyapi.New(flyapi.Config{MachinesURL: "http://platform", GraphQLURL: "http://platform", Token: "token", Transport: p.connect()})
		if err != nil {
			t.Fatal(err)
		}
		p.actuator = actuate.New(p.api, slog.New(slog.DiscardHandler))
		test(t, p)
	})
}

// pipes is a listener whose connections are in memory, where virtual time
// reaches them.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	close(l.closed)
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// connect serves the platform until the test ends and returns what reaches it.
func (p *platform) connect() http.RoundTripper {
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client left in the middle of sending
		}
		p.mu.Lock()
		p.sent = append(p.sent, request{r.Method, r.URL.Path, r.URL.RawQuery, string(body)})
		p.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		p.handler.ServeHTTP(w, r)
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case listener.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	p.t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			p.t.Errorf("close the platform: %v", err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			p.t.Errorf("serve the platform: %v", err)
		}
	})
	return transport
}

// fault orders trouble.
func (p *platform) fault(f sim.Fault) {
	p.t.Helper()
	if _, err := p.world.OrderFault(f); err != nil {
		p.t.Fatal(err)
	}
}

// snapshot reads the app's Machines.
func (p *platform) snapshot() scale.Snapshot {
	p.t.Helper()
	machines, err := p.api.ListMachines(p.t.Context(), app)
	if err != nil {
		p.t.Fatal(err)
	}
	return scale.Snapshot{App: app, Machines: machines, TakenAt: time.Now(), Complete: true}
}

// machine returns a Machine as it is.
func (p *platform) machine(id scale.MachineID) sim.Machine {
	p.t.Helper()
	p.world.Advance(time.Now())
	m, err := p.world.Machine(app, string(id))
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// plan returns the snapshot and a plan of the actions, completed from it.
func (p *platform) plan(actions ...scale.Action) (scale.Snapshot, scale.Plan) {
	p.t.Helper()
	s := p.snapshot()
	for i, a := range actions {
		if a.Verb == scale.Create {
			continue
		}
		at := slices.IndexFunc(s.Machines, func(m scale.Machine) bool { return m.ID == a.Machine })
		if at < 0 {
			p.t.Fatalf("no Machine %s to %s", a.Machine, a.Verb)
		}
		m := s.Machines[at]
		actions[i].State, actions[i].InstanceID, actions[i].Region, actions[i].Drained = m.State, m.InstanceID, m.Region, m.Drained()
	}
	return s, scale.Plan{App: app, Group: "app", Actions: actions}
}

// apply plans and carries out the actions.
func (p *platform) apply(actions ...scale.Action) []scale.Outcome {
	p.t.Helper()
	s, plan := p.plan(actions...)
	return p.carryOut(p.t.Context(), s, plan)
}

// carryOut carries out a plan and checks what holds of all outcomes.
func (p *platform) carryOut(ctx context.Context, s scale.Snapshot, plan scale.Plan) []scale.Outcome {
	p.t.Helper()
	outcomes := p.actuator.Apply(ctx, s, plan)
	if len(outcomes) < len(plan.Actions) {
		p.t.Errorf("%d outcomes of %d actions", len(outcomes), len(plan.Actions))
	}
	for _, o := range outcomes {
		if (o.Result == scale.Done) != (o.Refusal == "") && o.Result != scale.Unknown {
			p.t.Errorf("%s: result %s with refusal %q", o.Action, o.Result, o.Refusal)
		}
		if o.Result != scale.Done && o.Reason == "" {
			p.t.Errorf("%s: %s without a reason", o.Action, o.Result)
		}
		if o.At.IsZero() || o.Action.Verb != scale.Create && o.Machine != o.Action.Machine {
			p.t.Errorf("outcome %+v does not say when and of which Machine", o)
		}
	}
	return outcomes
}

// only returns the one outcome, and fails the test unless it has the result.
func (p *platform) only(outcomes []scale.Outcome, want scale.Result) scale.Outcome {
	p.t.Helper()
	if len(outcomes) != 1 {
		p.t.Fatalf("%d outcomes, want 1: %+v", len(outcomes), outcomes)
	}
	if outcomes[0].Result != want {
		p.t.Errorf("%s: %s (%s), want %s", outcomes[0].Action, outcomes[0].Result, outcomes[0].Reason, want)
	}
	return outcomes[0]
}

// did returns the changes that took effect, leases left out, such as
// "machine_stop".
func (p *platform) did() []string {
	entries, _ := p.world.History()
	var ops []string
	for _, m := range entries {
		if !strings.HasPrefix(m.Op, "machine_lease") && m.Request != "setup" {
			ops = append(ops, m.Op)
		}
	}
	return ops
}

// requests returns how many requests there were for the operation.
func (p *platform) requests(op string) int {
	synctest.Wait() // a request is counted when its handler ends
	return p.handler.Stats().Ops[op]
}

// unleased fails the test when somebody holds the lease of the Machine.
func (p *platform) unleased(id scale.MachineID) {
	p.t.Helper()
	if l := p.machine(id).Lease; l != nil {
		p.t.Errorf("Machine %s is left with a lease until %s", id, l.ExpiresAt)
	}
}

// create returns the action that makes the nth Machine from the app's first.
func (p *platform) create(n string) scale.Action {
	return scale.Action{
		Verb: scale.Create, Region: "iad", Name: "fas-app-" + n, CreateID: "fas-app-" + n + ".1", Template: p.ids[0], Launch: true,
	}
}

// started is a number of Machines that run.
func started(n int) sim.MachineSpec { return sim.MachineSpec{Count: n, Region: "iad", Group: "app"} }

// stopped is a number of Machines that do not.
func stopped(n int) sim.MachineSpec {
	return sim.MachineSpec{Count: n, Region: "iad", Group: "app", State: scale.StateStopped}
}
