package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// fly is a simulated platform with the organizations acme and beta, for each of
// which the settings have a token of that name.
type fly struct {
	world *sim.World
	url   string
	log   *log

	mu    sync.Mutex
	order map[string]int // guarded by mu; by token: the status to refuse it with, or hang
	lists int            // guarded by mu; requests to GraphQL
}

// hang, as an order, has requests hang.
const hang = -1

// log collects lines.
type log struct {
	mu  sync.Mutex
	out bytes.Buffer
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *log) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.out.String(), text)
}

func newFly(t *testing.T) *fly {
	t.Helper()
	f := &fly{world: sim.New(sim.Config{Start: time.Now()}), log: &log{}, order: make(map[string]int)}
	handler := flysim.New(f.world, flysim.Options{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		order := f.order[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		if r.URL.Path == "/graphql" {
			f.lists++
		}
		f.mu.Unlock()
		switch order {
		case 0:
			handler.ServeHTTP(w, r)
		case hang:
			// Only a server that has read the request notices that its sender is gone.
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		default:
			w.WriteHeader(order)
		}
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	for _, app := range []string{"named", "acme-1"} {
		f.add(t, sim.AppSpec{Org: "acme", App: app})
	}
	f.add(t, sim.AppSpec{Org: "beta", App: "beta-1"})
	return f
}

func (f *fly) add(t *testing.T, spec sim.AppSpec) {
	t.Helper()
	spec.Machines = []sim.MachineSpec{{Region: "iad", Group: "app"}, {Region: "iad", Group: "worker"}}
	if _, err := f.world.AddApp(sim.Call{}, spec); err != nil {
		t.Fatal(err)
	}
}

func (f *fly) orders(token string, order int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order[token] = order
}

// app returns an App over the targets, of which each is an app, an organization,
// whose token is used, and a group.
func (f *fly) app(t *testing.T, targets ...[3]string) *App {
	t.Helper()
	var file strings.Builder
	file.WriteString("interval: 1s\napp-list-refresh-interval: 1s\ntargets:\n")
	for _, target := range targets {
		file.WriteString("  - {app-name: '" + target[0] + "', org: " + target[1] + ", api-token: " + target[1] +
			", process-group: " + target[2] + ", min-created-machine-count: '1'}\n")
	}
	settings, _, err := config.Load(config.Input{
		File:    []byte(file.String()),
		Environ: []string{"FLY_FLAPS_BASE_URL=" + f.url, "FLY_API_BASE_URL=" + f.url},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(settings, Options{Logger: slog.New(slog.NewTextHandler(f.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func keys(targets []reconcile.Target) string {
	var all []string
	for _, t := range targets {
		all = append(all, t.Key())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func expect(t *testing.T, a *App, want string, failing bool) {
	t.Helper()
	targets, err := a.discover(t.Context())
	if _, partial := errors.AsType[*reconcile.Partial](err); partial {
		err = nil // nobody waits for the rest
	}
	if got := keys(targets); got != want || (err != nil) != failing {
		t.Errorf("got %q, error %v; want %q, an error %v", got, err, want, failing)
	}
}

// A pattern means none of the apps that somebody else looks after. Who names one
// means it.
func TestPatternsPassOverSpecialApps(t *testing.T) {
	f := newFly(t)
	for app, role := range map[string]string{"db": "postgres_cluster", "db-2": "postgres_cluster", "building": "remote-docker-builder", "fly-builder-x": "", "vain": "empty"} {
		f.add(t, sim.AppSpec{Org: "acme", App: app, Role: role})
	}
	a := f.app(t, [3]string{"db-2", "acme", "app"}, [3]string{"fly-builder-x", "acme", "app"}, [3]string{"*", "acme", "app"})
	expect(t, a, "acme-1/app db-2/app fly-builder-x/app named/app vain/app", false)
}

// Apps that settings name do not wait for a list that never comes.
func TestNamedAppsDoNotWait(t *testing.T) {
	f := newFly(t)
	f.orders("beta", hang)
	a := f.app(t, [3]string{"named", "acme", "app"}, [3]string{"acme-*", "acme", "app"}, [3]string{"beta-*", "beta", "app"})
	began := time.Now()
	expect(t, a, "acme-1/app named/app", true)
	if took := time.Since(began); took >= orgTimeout/2 {
		t.Errorf("took %s", took)
	}
	f.orders("beta", 0)
	expect(t, a, "acme-1/app beta-1/app named/app", false)
}

// An organization that fails keeps its apps, and the other one loses those that
// are gone.
func TestFailingOrgKeepsItsApps(t *testing.T) {
	f := newFly(t)
	f.add(t, sim.AppSpec{Org: "acme", App: "acme-2"})
	a := f.app(t, [3]string{"acme-*", "acme", "app"}, [3]string{"beta-*", "beta", "app"})
	a.now.Load().settings.Timeout = time.Second
	expect(t, a, "acme-1/app acme-2/app beta-1/app", false)
	if err := f.world.DeleteApp(sim.Call{}, "acme-2"); err != nil {
		t.Fatal(err)
	}
	for _, order := range []int{hang, http.StatusUnauthorized} {
		f.orders("beta", order)
		for range 2 {
			expect(t, a, "acme-1/app beta-1/app", false)
		}
	}
	if n := f.log.count("list of apps not available"); n != 2 {
		t.Errorf("logged %d times, want each condition once", n)
	}
	f.orders("beta", 0)
	expect(t, a, "acme-1/app beta-1/app", false)
	if n := f.log.count("list of apps available again"); n != 1 {
		t.Errorf("the end was logged %d times", n)
	}
}

// An organization that was never listed is waited for, but not for ever, and not
// when it refuses us. With nothing else to govern there is nothing to be ready for.
func TestOrgThatNeverAnswers(t *testing.T) {
	f := newFly(t)
	a := f.app(t, [3]string{"acme-*", "acme", "app"}, [3]string{"beta-*", "beta", "app"})
	a.now.Load().settings.Timeout = time.Second
	f.orders("beta", http.StatusInternalServerError)
	for i := range orgPatience + 1 {
		expect(t, a, "acme-1/app", i < orgPatience-1)
	}
	f.orders("beta", 0)
	expect(t, a, "acme-1/app beta-1/app", false)

	f.orders("beta", http.StatusUnauthorized)
	expect(t, f.app(t, [3]string{"acme-*", "acme", "app"}, [3]string{"beta-*", "beta", "app"}), "acme-1/app", false)
	alone := f.app(t, [3]string{"beta-*", "beta", "app"})
	for range orgPatience + 1 {
		expect(t, alone, "", true)
	}
	_, err := alone.Once(t.Context(), false)
	if flyapi.KindOf(err) != flyapi.KindUnauthorized {
		t.Errorf("one pass: got %v, want the refusal", err)
	}
}

// A token that is refused for good keeps nobody from being ready.
func TestReadyWithoutOneOrg(t *testing.T) {
	f := newFly(t)
	f.orders("beta", http.StatusUnauthorized)
	a := f.app(t, [3]string{"named", "acme", "app"}, [3]string{"beta-*", "beta", "app"})
	loop := reconcile.New(a.loopConfig(a.now.Load().settings), a.discover)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { loop.Run(ctx); close(done) }()
	for !loop.Ready() && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	if !loop.Ready() {
		t.Error("not ready")
	}
	cancel()
	<-done
}

// What the fleet remembers of an app goes with the last of its groups.
func TestFleetForgetsWithTheLastGroup(t *testing.T) {
	f := newFly(t)
	a := f.app(t, [3]string{"acme-*", "acme", "app"}, [3]string{"acme-*", "acme", "worker"})
	targets, err := a.discover(t.Context())
	if err != nil || len(targets) != 2 {
		t.Fatalf("got %q, %v", keys(targets), err)
	}
	lister := a.now.Load().rules[0].connection.fleet
	clone := scale.Machine{ID: "1", State: scale.StateCreated}
	lister.Wrote("acme-1", []scale.Outcome{{Action: scale.Action{Verb: scale.Create}, Result: scale.Done, Machine: "1", Clone: &clone, At: time.Now()}})
	remembers := func() bool {
		t.Helper()
		s, err := lister.Snapshot(t.Context(), "acme-1")
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(s.Machines, func(m scale.Machine) bool { return m.ID == clone.ID })
	}
	a.forget(targets[0])
	if !remembers() {
		t.Error("forgotten while another group is governed")
	}
	a.forget(targets[1])
	if remembers() {
		t.Error("still remembered")
	}
	if len(a.groups) != 0 {
		t.Errorf("governed groups left: %v", a.groups)
	}
}

// While the picture of an organization's Machines tells of the same apps, the list
// of apps is not asked for; an app that comes or goes is noticed all the same.
func TestAppsAreListedWhenTheyChange(t *testing.T) {
	f := newFly(t)
	a := f.app(t, [3]string{"beta-*", "beta", "app"})
	a.now.Load().settings.AppListRefreshInterval = time.Hour
	if _, err := a.views.start(t.Context(), a, a.now.Load()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.views.wait)
	asked := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		n := f.lists
		f.lists = 0
		return n
	}
	expect(t, a, "beta-1/app", false) // not seen yet when it asked
	expect(t, a, "beta-1/app", false)
	asked()
	for range 3 {
		expect(t, a, "beta-1/app", false)
	}
	if n := asked(); n > 0 {
		t.Errorf("%d requests for a list of apps that is known", n)
	}
	until := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			targets, err := a.discover(t.Context())
			if err == nil && keys(targets) == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("got %q, error %v; want %q", keys(targets), err, want)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	f.add(t, sim.AppSpec{Org: "beta", App: "beta-2"})
	until("beta-1/app beta-2/app")
	if err := f.world.DeleteApp(sim.Call{}, "beta-2"); err != nil {
		t.Fatal(err)
	}
	until("beta-1/app")
	if n := asked(); n == 0 || n > 10 {
		t.Errorf("%d requests for two changes", n)
	}
	a.now.Load().settings.AppListRefreshInterval = time.Nanosecond
	if expect(t, a, "beta-1/app", false); asked() == 0 {
		t.Error("the list of apps is never asked for again")
	}
}

// A discovery that is told to end reports nothing as failed.
func TestDiscoveryEnds(t *testing.T) {
	f := newFly(t)
	a := f.app(t, [3]string{"beta-*", "beta", "app"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.discover(ctx); !errors.Is(err, context.Canceled) || f.log.count("level=WARN") != 0 {
		t.Errorf("got %v", err)
	}
}
