package flysim_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"
	"github.com/superfly/fly-go/tokens"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// quick are timings that a test can wait for in real time.
func quick() *sim.Timings {
	t := sim.DefaultTimings()
	short := sim.Between(20*time.Millisecond, 40*time.Millisecond)
	for _, span := range []*sim.Span{&t.Prepare, &t.Boot, &t.Start, &t.Resume, &t.Stop, &t.Suspend, &t.Replace, &t.Restart, &t.Destroy} {
		*span = short
	}
	t.DestroyedVisible = sim.Duration(500 * time.Millisecond)
	return &t
}

// start serves a world with app "web" in org "acme".
func start(t *testing.T, opts flysim.Options, machines ...sim.MachineSpec) (*flysim.Server, []string) {
	t.Helper()
	w := sim.New(sim.Config{Seed: 42, Timings: quick()})
	ids, err := w.AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: "web", Release: &sim.ReleaseSpec{Version: 3}, Machines: machines})
	if err != nil {
		t.Fatal(err)
	}
	s, err := flysim.Start(t.Context(), "127.0.0.1:0", w, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, ids
}

// sdk returns the official clients of both surfaces, on a transport of their
// own.
func sdk(t *testing.T, s *flysim.Server, transport http.RoundTripper) (*flaps.Client, *fly.Client) {
	t.Helper()
	t.Setenv("FLY_FLAPS_BASE_URL", s.URL())
	if transport == nil {
		own := &http.Transport{}
		t.Cleanup(own.CloseIdleConnections)
		transport = own
	}
	machines, err := flaps.NewWithOptions(t.Context(), flaps.NewClientOpts{Tokens: tokens.Parse("opaque-token"), Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	graph := fly.NewClientFromOptions(fly.ClientOptions{
		Tokens: tokens.Parse("opaque-token"), BaseURL: s.URL(), Name: "test", Version: "1",
		Transport: &fly.Transport{UnderlyingTransport: transport},
	})
	return machines, graph
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSDKLifeOfAMachine drives a Machine through its life with the official
// SDK.
func TestSDKLifeOfAMachine(t *testing.T) {
	s, _ := start(t, flysim.Options{}, sim.MachineSpec{Count: 2, Region: "ams"})
	client, _ := sdk(t, s, nil)
	lifeOfAMachine(t.Context(), t, client)

	got := []string{}
	history, _ := s.Handler.World().History()
	for _, m := range history {
		got = append(got, m.Op)
	}
	want := []string{
		"app_create", "machine_create", "machine_lease_acquire", "machine_lease_acquire", "machine_stop", "machine_lease_release",
		"machine_start", "machine_suspend", "machine_start", "machine_update", "metadata_set", "machine_cordon", "machine_uncordon",
		"machine_restart", "machine_destroy",
	}
	if !slices.Equal(got, want) {
		t.Errorf("mutations:\n got %q\nwant %q", got, want)
	}
}

func lifeOfAMachine(ctx context.Context, t *testing.T, client *flaps.Client) {
	t.Helper()
	const app = "web"
	machines, err := client.List(ctx, app, "")
	must(t, err)
	if len(machines) != 2 || machines[0].Region != "ams" || machines[0].HostStatus != fly.HostStatusOk || machines[0].Config == nil {
		t.Fatalf("listed %d machines, the first %+v", len(machines), machines[0])
	}

	m, err := client.Launch(ctx, app, fly.LaunchMachineInput{
		Name: "clone", Region: "fra", Config: &fly.MachineConfig{
			Image: machines[0].FullImageRef(), Metadata: map[string]string{"fly_platform_version": "v2", "fly_process_group": "app"},
			Guest: &fly.MachineGuest{CPUKind: "shared", CPUs: 1, MemoryMB: 256},
		},
	})
	must(t, err)
	if m.State != "created" || m.Region != "fra" || m.InstanceID == "" || m.FullImageRef() != machines[0].FullImageRef() {
		t.Fatalf("launched %+v, want created in fra with the same image", m)
	}
	wait := func(state string) {
		t.Helper()
		must(t, client.Wait(ctx, app, m.ID, flaps.WithWaitStates(state), flaps.WithWaitTimeout(30*time.Second)))
	}
	wait("started")

	ttl := 30
	lease, err := client.AcquireLease(ctx, app, m.ID, &ttl)
	must(t, err)
	if lease.Status != "success" || lease.Data.Nonce == "" || lease.Data.Version != m.InstanceID {
		t.Fatalf("acquired lease %+v, want the machine's version %s", lease.Data, m.InstanceID)
	}
	nonce := lease.Data.Nonce
	_, err = client.Start(ctx, app, m.ID, "wrong")
	wantFlaps(t, err, http.StatusConflict, "lease currently held by")
	refreshed, err := client.RefreshLease(ctx, app, m.ID, &ttl, nonce)
	must(t, err)
	if refreshed.Data.Nonce != nonce {
		t.Errorf("refresh changed the nonce")
	}
	must(t, client.Stop(ctx, app, fly.StopMachineInput{ID: m.ID}, nonce))
	wait("stopped")
	must(t, client.ReleaseLease(ctx, app, m.ID, nonce))
	_, err = client.FindLease(ctx, app, m.ID)
	wantFlaps(t, err, http.StatusNotFound, "lease not found")

	started, err := client.Start(ctx, app, m.ID, "")
	must(t, err)
	if started.PreviousState != "stopped" {
		t.Errorf("previous state: got %q, want stopped", started.PreviousState)
	}
	wait("started")
	must(t, client.Suspend(ctx, app, m.ID, ""))
	wait("suspended")
	if _, err = client.Start(ctx, app, m.ID, ""); err != nil {
		t.Fatal(err)
	}
	wait("started")

	updated, err := client.Update(ctx, app, fly.LaunchMachineInput{ID: m.ID, Config: m.Config}, "")
	must(t, err)
	must(t, client.Wait(ctx, app, m.ID, flaps.WithWaitStates("settled"), flaps.WithWaitVersion(updated.InstanceID), flaps.WithWaitTimeout(30*time.Second)))
	must(t, client.SetMetadata(ctx, app, m.ID, "role", "leader"))
	metadata, err := client.GetMetadata(ctx, app, m.ID)
	must(t, err)
	if metadata["role"] != "leader" || metadata["fly_process_group"] != "app" {
		t.Errorf("metadata: got %v", metadata)
	}
	must(t, client.Cordon(ctx, app, m.ID, ""))
	must(t, client.Uncordon(ctx, app, m.ID, ""))
	must(t, client.Restart(ctx, app, fly.RestartMachineInput{ID: m.ID}, ""))
	wait("started")

	err = client.Destroy(ctx, app, fly.RemoveMachineInput{ID: m.ID}, "")
	wantFlaps(t, err, http.StatusPreconditionFailed, "unable to destroy machine, not currently stopped, suspended, failed or created")
	must(t, client.Destroy(ctx, app, fly.RemoveMachineInput{ID: m.ID, Kill: true}, ""))
	wait("destroyed")
	active, err := client.ListActive(ctx, app)
	must(t, err)
	if len(active) != 2 {
		t.Errorf("%d machines after the destroy, want 2", len(active))
	}
}

// wantFlaps checks the status and text that the official SDK reports.
func wantFlaps(t *testing.T, err error, status int, text string) {
	t.Helper()
	e, ok := errors.AsType[*flaps.FlapsError](err)
	if !ok {
		t.Fatalf("got error %v, want a FlapsError with %q", err, text)
	}
	if e.ResponseStatusCode != status || !strings.Contains(e.Error(), text) || e.FlyRequestId == "" {
		t.Fatalf("got %d %q (request %q), want %d with %q", e.ResponseStatusCode, e.Error(), e.FlyRequestId, status, text)
	}
}
