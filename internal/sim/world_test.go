package sim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// newWorld returns a world with app "web" in org "acme" and the Machines of the
// specs, and those Machines' identifiers.
func newWorld(t *testing.T, cfg sim.Config, machines ...sim.MachineSpec) (*sim.World, []string) {
	t.Helper()
	w := sim.New(cfg)
	ids, err := w.AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: "web", Machines: machines})
	if err != nil {
		t.Fatalf("add app: %v", err)
	}
	return w, ids
}

func config(extra string) json.RawMessage {
	return json.RawMessage(`{"image":"registry.fly.io/web:1"` + extra + `}`)
}

func create(t *testing.T, w *sim.World, in sim.MachineInput) string {
	t.Helper()
	if in.Config == nil {
		in.Config = config("")
	}
	m, _, err := w.CreateMachine(sim.Call{}, "web", in)
	if err != nil {
		t.Fatalf("create machine: %v", err)
	}
	return m.ID
}

func pass(w *sim.World, d time.Duration) { w.Advance(w.Now().Add(d)) }

func state(t *testing.T, w *sim.World, id string) scale.State {
	t.Helper()
	m, err := w.Machine("web", id)
	if err != nil {
		t.Fatalf("read machine: %v", err)
	}
	return m.State
}

func wantState(t *testing.T, w *sim.World, id string, want scale.State) {
	t.Helper()
	if got := state(t, w, id); got != want {
		t.Fatalf("state of %s: got %q, want %q", id, got, want)
	}
}

// wantError checks status and text of a refusal.
func wantError(t *testing.T, err error, status int, text string) {
	t.Helper()
	refusal, ok := errors.AsType[*sim.Error](err)
	if !ok {
		t.Fatalf("got error %v, want a refusal with %q", err, text)
	}
	if refusal.Status != status || !strings.Contains(refusal.Text, text) {
		t.Fatalf("got %d %q, want %d with %q", refusal.Status, refusal.Text, status, text)
	}
}

func TestLifeOfAMachine(t *testing.T) {
	w, _ := newWorld(t, sim.Config{Seed: 1})
	id := create(t, w, sim.MachineInput{})
	wantState(t, w, id, scale.StateCreated)

	pass(w, 6*time.Second)
	wantState(t, w, id, scale.StateStarted)

	must(t, w.StopMachine(sim.Call{}, "web", id, sim.StopInput{}))
	wantState(t, w, id, scale.StateStopping)
	pass(w, 2*time.Second)
	wantState(t, w, id, scale.StateStopped)

	if _, err := w.StartMachine(sim.Call{}, "web", id); err != nil {
		t.Fatal(err)
	}
	wantState(t, w, id, scale.StateStarting)
	pass(w, 2*time.Second)
	wantState(t, w, id, scale.StateStarted)

	must(t, w.SuspendMachine(sim.Call{}, "web", id))
	wantState(t, w, id, scale.StateSuspending)
	pass(w, 2*time.Second)
	wantState(t, w, id, scale.StateSuspended)

	previous, err := w.StartMachine(sim.Call{}, "web", id)
	if err != nil || previous != scale.StateSuspended {
		t.Fatalf("start: got %q, %v, want %q", previous, err, scale.StateSuspended)
	}
	pass(w, 400*time.Millisecond) // resumes faster than any cold start
	wantState(t, w, id, scale.StateStarted)

	must(t, w.DestroyMachine(sim.Call{}, "web", id, true))
	wantState(t, w, id, scale.StateDestroying)
	pass(w, time.Second)
	wantState(t, w, id, scale.StateDestroyed)
	pass(w, 5*time.Second)
	_, err = w.Machine("web", id)
	wantError(t, err, 404, "machine not found")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSkipLaunchStaysCreated(t *testing.T) {
	w, _ := newWorld(t, sim.Config{})
	id := create(t, w, sim.MachineInput{SkipLaunch: true})
	pass(w, time.Hour)
	wantState(t, w, id, scale.StateCreated)
	if _, err := w.StartMachine(sim.Call{}, "web", id); err != nil {
		t.Fatalf("start a machine that was not launched: %v", err)
	}
	pass(w, 3*time.Second)
	wantState(t, w, id, scale.StateStarted)
}

func TestRefusals(t *testing.T) {
	start := func(w *sim.World, id string) error {
		_, err := w.StartMachine(sim.Call{}, "web", id)
		return err
	}
	stop := func(w *sim.World, id string) error {
		return w.StopMachine(sim.Call{}, "web", id, sim.StopInput{})
	}
	suspend := func(w *sim.World, id string) error { return w.SuspendMachine(sim.Call{}, "web", id) }
	destroy := func(w *sim.World, id string) error { return w.DestroyMachine(sim.Call{}, "web", id, false) }
	update := func(w *sim.World, id string) error {
		_, err := w.UpdateMachine(sim.Call{}, "web", id, sim.MachineInput{Config: config("")})
		return err
	}
	tests := []struct {
		name   string
		state  scale.State
		extra  string // of the configuration
		first  func(*sim.World, string) error
		then   func(*sim.World, string) error
		status int
		text   string
	}{
		{name: "start while stopping", first: stop, then: start, status: 412, text: "unable to start machine from current state: 'stopping'"},
		{name: "start twice", state: scale.StateStopped, first: start, then: start, status: 412, text: "machine still attempting to start"},
		{name: "start while replaced", first: update, then: start, status: 412, text: "machine getting replaced, refusing to start"},
		{name: "update twice", first: update, then: update, status: 409, text: "machine getting replaced"},
		{name: "destroy without force", then: destroy, status: 412, text: "unable to destroy machine, not currently stopped, suspended, failed or created"},
		{name: "destroy twice", state: scale.StateStopped, first: destroy, then: destroy, status: 404, text: "machine not found"},
		{name: "suspend a stopped machine", state: scale.StateStopped, then: suspend, status: 412, text: "unable to suspend machine from current state: 'stopped'"},
		{name: "suspend a large machine", extra: `,"guest":{"memory_mb":4096}`, then: suspend, status: 412, text: "more than 2048 MB"},
		{name: "suspend with swap", extra: `,"init":{"swap_size_mb":512}`, then: suspend, status: 412, text: "swap"},
		{name: "suspend with a schedule", extra: `,"schedule":"daily"`, then: suspend, status: 412, text: "schedule"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{State: test.state, Config: config(test.extra)})
			if test.first != nil {
				must(t, test.first(w, ids[0]))
			}
			wantError(t, test.then(w, ids[0]), test.status, test.text)
		})
	}
}

func TestStartRightAfterStopCanBeRefused(t *testing.T) {
	timings := sim.DefaultTimings()
	timings.StillActive = sim.Between(8*time.Second, 8*time.Second)
	w, ids := newWorld(t, sim.Config{Timings: &timings}, sim.MachineSpec{})
	must(t, w.StopMachine(sim.Call{}, "web", ids[0], sim.StopInput{}))
	pass(w, 2*time.Second)
	_, err := w.StartMachine(sim.Call{}, "web", ids[0])
	wantError(t, err, 412, "machine still active, refusing to start")
	pass(w, 8*time.Second)
	if _, err := w.StartMachine(sim.Call{}, "web", ids[0]); err != nil {
		t.Fatalf("start once it is no longer active: %v", err)
	}
}

func TestNamesAreUnique(t *testing.T) {
	w, _ := newWorld(t, sim.Config{})
	id := create(t, w, sim.MachineInput{Name: "one"})
	_, _, err := w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Name: "one", Config: config("")})
	wantError(t, err, 409, `already_exists: unique machine name violation, machine ID `+id+` already exists with name "one"`)
	must(t, w.DestroyMachine(sim.Call{}, "web", id, true))
	pass(w, time.Second)
	create(t, w, sim.MachineInput{Name: "one"})
}

func TestConfigKeepsItsBytes(t *testing.T) {
	w, _ := newWorld(t, sim.Config{})
	raw := config(`,"guest":{"memory_mb":256,"required_host_features":["x"]},"future":{"big":12345678901234567890,"html":"<&>"}`)
	id := create(t, w, sim.MachineInput{Config: raw})
	m, err := w.Machine("web", id)
	must(t, err)
	if diff := cmp.Diff(string(raw), string(m.Config)); diff != "" {
		t.Errorf("config changed (-sent +kept):\n%s", diff)
	}

	must(t, w.EditMetadata(sim.Call{}, "web", id, "", func(metadata map[string]string) { metadata["role"] = "leader" }))
	edited, err := w.Machine("web", id)
	must(t, err)
	for _, kept := range []string{`12345678901234567890`, `"required_host_features":["x"]`, `"role":"leader"`, `"<&>"`} {
		if !strings.Contains(string(edited.Config), kept) {
			t.Errorf("config %s lost %s", edited.Config, kept)
		}
	}
	if edited.InstanceID != m.InstanceID {
		t.Errorf("metadata made a new version: got %s, want %s", edited.InstanceID, m.InstanceID)
	}
}

func TestUpdateReplacesConfigAndVersion(t *testing.T) {
	w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{}, sim.MachineSpec{State: scale.StateSuspended})
	for i, after := range []scale.State{scale.StateStarted, scale.StateStopped} {
		before, err := w.Machine("web", ids[i])
		must(t, err)
		_, err = w.UpdateMachine(sim.Call{}, "web", ids[i], sim.MachineInput{Config: config(""), CurrentVersion: "other"})
		wantError(t, err, 412, "current_version")
		updated, err := w.UpdateMachine(sim.Call{}, "web", ids[i], sim.MachineInput{Config: config(`,"env":{"A":"1"}`), CurrentVersion: before.InstanceID})
		must(t, err)
		if updated.InstanceID == before.InstanceID {
			t.Error("the version did not change")
		}
		pass(w, 5*time.Second)
		wantState(t, w, ids[i], after)
		versions, err := w.Versions("web", ids[i])
		must(t, err)
		if len(versions) != 2 || versions[0].ID != updated.InstanceID {
			t.Errorf("got versions %v, want two, newest first", versions)
		}
	}
}

func TestLease(t *testing.T) {
	w, ids := newWorld(t, sim.Config{Start: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, sim.MachineSpec{State: scale.StateStopped})
	mine := sim.Call{Owner: "me@example.com"}
	lease, err := w.AcquireLease(mine, "web", ids[0], "deploy", time.Minute)
	must(t, err)
	held := "machine ID " + ids[0] + " lease currently held by me@example.com, expires at 2026-03-01T12:01:00Z"

	other := sim.Call{Owner: "you@example.com"}
	_, err = w.AcquireLease(other, "web", ids[0], "", 0)
	wantError(t, err, 409, held)
	_, err = w.StartMachine(other, "web", ids[0])
	wantError(t, err, 409, held)
	err = w.DestroyMachine(other, "web", ids[0], true)
	if _, ok := errors.AsType[*sim.LeasedError](err); !ok {
		t.Errorf("destroy without the nonce: got %v, want a LeasedError", err)
	}

	mine.Nonce = lease.Nonce
	if _, err := w.StartMachine(mine, "web", ids[0]); err != nil {
		t.Fatalf("start with the nonce: %v", err)
	}
	pass(w, 30*time.Second)
	refreshed, err := w.AcquireLease(mine, "web", ids[0], "", time.Minute)
	must(t, err)
	if refreshed.Nonce != lease.Nonce || !refreshed.ExpiresAt.Equal(lease.ExpiresAt.Add(30*time.Second)) {
		t.Errorf("refreshed to %v, want the same nonce until 30 s later than %v", refreshed, lease)
	}

	pass(w, time.Minute)
	if _, err := w.AcquireLease(other, "web", ids[0], "", time.Minute); err != nil {
		t.Fatalf("acquire after the lease ran out: %v", err)
	}
	wantError(t, w.ReleaseLease(mine, "web", ids[0]), 409, "lease currently held by you@example.com")
	_, err = w.Lease("web", ids[0])
	must(t, err)
	pass(w, time.Minute)
	wantError(t, w.ReleaseLease(other, "web", ids[0]), 404, "lease not found")

	must(t, w.DestroyMachine(sim.Call{}, "web", ids[0], true))
	wantError(t, w.ReleaseLease(mine, "web", ids[0]), 404, "lease not found")
}

func TestCapacity(t *testing.T) {
	t.Run("creates", func(t *testing.T) {
		w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{Region: "fra", Count: 2})
		must(t, w.SetCapacity(sim.Capacity{Region: "fra", Max: 2}))
		_, _, err := w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Region: "fra", Config: config("")})
		wantError(t, err, 422, "insufficient resources")
		if refusal, _ := errors.AsType[*sim.Error](err); refusal.Code != "insufficient_capacity" {
			t.Errorf("got code %q, want insufficient_capacity", refusal.Code)
		}
		must(t, w.SetCapacity(sim.Capacity{Region: "fra", Max: 2, Status: 409}))
		_, _, err = w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Region: "fra", Config: config("")})
		wantError(t, err, 409, "aborted: insufficient resources available to fulfill request: could not reserve")

		// A list of regions falls back to the next that has room.
		m, _, err := w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Region: "fra,ams", Config: config("")})
		must(t, err)
		if m.Region != "ams" {
			t.Errorf("got region %s, want ams", m.Region)
		}
		placements, err := w.Placements("fra,ams", 3)
		must(t, err)
		if diff := cmp.Diff([]sim.Placement{{Region: "ams", Count: 3, Concurrency: 3}}, placements); diff != "" {
			t.Errorf("placements (-want +got):\n%s", diff)
		}

		must(t, w.DestroyMachine(sim.Call{}, "web", ids[0], true))
		pass(w, time.Second)
		create(t, w, sim.MachineInput{Region: "fra"})
	})
	t.Run("starts", func(t *testing.T) {
		w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{State: scale.StateStopped}, sim.MachineSpec{State: scale.StateSuspended})
		must(t, w.SetCapacity(sim.Capacity{Region: "iad", Max: 1, Starts: true}))
		if _, err := w.StartMachine(sim.Call{}, "web", ids[0]); err != nil {
			t.Fatal(err)
		}
		_, err := w.StartMachine(sim.Call{}, "web", ids[1])
		wantError(t, err, 409, "could not reserve resource for machine: insufficient memory available to fulfill request")
	})
	t.Run("unknown region", func(t *testing.T) {
		w, _ := newWorld(t, sim.Config{})
		_, _, err := w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Region: "xyz", Config: config("")})
		wantError(t, err, 422, "target region xyz not found")
	})
}

func TestHostOutOfReach(t *testing.T) {
	w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{})
	must(t, w.StopMachine(sim.Call{}, "web", ids[0], sim.StopInput{}))
	if n, err := w.SetHostStatus(sim.HostSelector{App: "web"}, scale.HostUnreachable); err != nil || n != 1 {
		t.Fatalf("set host status: got %d, %v, want 1 machine", n, err)
	}
	pass(w, time.Minute)
	wantState(t, w, ids[0], scale.StateStopping)
	_, err := w.StartMachine(sim.Call{}, "web", ids[0])
	wantError(t, err, 408, "could not be reached")
	_, err = w.AcquireLease(sim.Call{}, "web", ids[0], "", 0)
	wantError(t, err, 408, "could not be reached")

	_, err = w.SetHostStatus(sim.HostSelector{Machine: ids[0]}, scale.HostOK)
	must(t, err)
	wantState(t, w, ids[0], scale.StateStopped)
}

func TestStuckMachines(t *testing.T) {
	for _, in := range []scale.State{scale.StateCreated, scale.StateStarting} {
		t.Run(string(in), func(t *testing.T) {
			w, _ := newWorld(t, sim.Config{})
			_, err := w.OrderFault(sim.Fault{Kind: sim.FaultStuck, State: in, Count: 1})
			must(t, err)
			stuck, next := create(t, w, sim.MachineInput{}), ""
			pass(w, time.Hour)
			wantState(t, w, stuck, in)
			next = create(t, w, sim.MachineInput{})
			pass(w, 6*time.Second)
			wantState(t, w, next, scale.StateStarted)
		})
	}
}

func TestProcessThatIgnoresSignals(t *testing.T) {
	spec := sim.MachineSpec{IgnoreSignals: true, Config: config(`,"stop_config":{"timeout":"20s"}`)}
	w, ids := newWorld(t, sim.Config{}, spec)
	must(t, w.StopMachine(sim.Call{}, "web", ids[0], sim.StopInput{}))
	pass(w, 19*time.Second)
	wantState(t, w, ids[0], scale.StateStopping)
	pass(w, time.Second)
	wantState(t, w, ids[0], scale.StateStopped)
}

func TestExitFollowsRestartPolicy(t *testing.T) {
	tests := []struct {
		name, extra, signal string
		want                scale.State
	}{
		{"killed, on-failure", "", "SIGKILL", scale.StateStarted},
		{"killed, no", `,"restart":{"policy":"no"}`, "SIGKILL", scale.StateStopped},
		{"ended, on-failure", "", "SIGTERM", scale.StateStopped},
		{"ended, always", `,"restart":{"policy":"always"}`, "SIGTERM", scale.StateStarted},
		{"ended, auto destroy", `,"auto_destroy":true`, "SIGTERM", scale.StateDestroyed},
		{"harmless", "", "SIGUSR1", scale.StateStarted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{Config: config(test.extra)})
			must(t, w.SignalMachine(sim.Call{}, "web", ids[0], test.signal))
			pass(w, 4*time.Second)
			wantState(t, w, ids[0], test.want)
		})
	}
}

func TestVolumes(t *testing.T) {
	w, _ := newWorld(t, sim.Config{})
	v, err := w.CreateVolume(sim.Call{}, "web", sim.VolumeInput{Name: "data", Region: "ams"})
	must(t, err)
	mounts := config(`,"mounts":[{"volume":"` + v.ID + `","path":"/data"}]`)
	_, _, err = w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Region: "fra", Config: mounts})
	wantError(t, err, 422, "insufficient resources")
	id := create(t, w, sim.MachineInput{Config: mounts})
	_, _, err = w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Config: mounts})
	wantError(t, err, 412, "volume already claimed by machine "+id)
	_, err = w.DeleteVolume(sim.Call{}, "web", v.ID)
	wantError(t, err, 412, "bound to machine")
	must(t, w.DestroyMachine(sim.Call{}, "web", id, true))
	pass(w, time.Second)
	if _, err := w.DeleteVolume(sim.Call{}, "web", v.ID); err != nil {
		t.Fatalf("delete the volume once it is free: %v", err)
	}
}

func TestHistoryHoldsWhatTookEffect(t *testing.T) {
	w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{})
	w.ClearHistory()
	must(t, w.StopMachine(sim.Call{Request: "r1"}, "web", ids[0], sim.StopInput{}))
	must(t, w.StopMachine(sim.Call{Request: "r2"}, "web", ids[0], sim.StopInput{})) // already stopping
	if err := w.DestroyMachine(sim.Call{Request: "r3"}, "web", ids[0], false); err == nil {
		t.Fatal("destroyed a stopping machine without force")
	}
	got, dropped := w.History()
	want := []sim.Mutation{{At: w.Now(), Op: "machine_stop", Org: "acme", App: "web", Machine: ids[0], Region: "iad", Request: "r1"}}
	if diff := cmp.Diff(want, got); diff != "" || dropped != 0 {
		t.Errorf("history, %d dropped (-want +got):\n%s", dropped, diff)
	}
}

func TestFaultsMatchCountAndWindow(t *testing.T) {
	w := sim.New(sim.Config{})
	_, err := w.OrderFault(sim.Fault{
		Kind: sim.FaultError, Op: "machine_*", App: "web", Skip: 1, Count: 2,
		After: sim.Duration(time.Minute), For: sim.Duration(time.Hour),
	})
	must(t, err)
	strikes := func(q sim.Query) bool { return w.Fault(q, sim.FaultError) != nil }
	web := sim.Query{Op: "machine_create", App: "web"}
	if strikes(web) {
		t.Error("struck before its window")
	}
	pass(w, time.Minute)
	if strikes(sim.Query{Op: "app_list", App: "web"}) || strikes(sim.Query{Op: "machine_create", App: "api"}) {
		t.Error("struck a call that does not match")
	}
	var got []bool
	for range 4 {
		got = append(got, strikes(web))
	}
	if diff := cmp.Diff([]bool{false, true, true, false}, got); diff != "" {
		t.Errorf("strikes (-want +got):\n%s", diff)
	}
}

func TestEventsAreBounded(t *testing.T) {
	for keep, want := range map[int]int{0: 50, 3: 3, 1000: 50} {
		w, ids := newWorld(t, sim.Config{Events: keep}, sim.MachineSpec{})
		for range 60 {
			must(t, w.RestartMachine(sim.Call{}, "web", ids[0]))
			pass(w, time.Minute)
		}
		m, err := w.Machine("web", ids[0])
		must(t, err)
		if len(m.Events) != want || m.Events[0].Status != "started" {
			t.Errorf("told to keep %d, a Machine has %d events, the newest %s, want %d, started", keep, len(m.Events), m.Events[0].Status, want)
		}
	}
}

func TestFaultGap(t *testing.T) {
	w := sim.New(sim.Config{})
	_, err := w.OrderFault(sim.Fault{Kind: sim.FaultEmpty, Skip: 1, Gap: 2, Count: 2})
	must(t, err)
	got := ""
	for range 9 {
		if w.Fault(sim.Query{Op: "machine_list"}, sim.FaultEmpty) != nil {
			got += "x"
		} else {
			got += "."
		}
	}
	if want := ".x..x...."; got != want {
		t.Errorf("strikes %s, want %s", got, want)
	}
}

// told notes what an observer is told.
type told struct{ lines []string }

func (o *told) Changed(c sim.MachineChange) {
	o.lines = append(o.lines, fmt.Sprintf("%s %s launching=%t cordoned=%t %s", c.Group, c.State, c.Launching, c.Cordoned, c.HostStatus))
}

func (o *told) Asked(m sim.Mutation) { o.lines = append(o.lines, m.Op+" by "+m.Request) }

func TestObserverIsToldOfEveryChange(t *testing.T) {
	w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{Group: "worker", State: scale.StateStopped})
	o := &told{}
	w.Observe(o)
	must(t, w.CordonMachine(sim.Call{Request: "a"}, "web", ids[0], true))
	_, err := w.StartMachine(sim.Call{Request: "b"}, "web", ids[0])
	must(t, err)
	pass(w, time.Minute)
	_, err = w.SetHostStatus(sim.HostSelector{Machine: ids[0]}, scale.HostUnreachable)
	must(t, err)
	_, _, err = w.CreateMachine(sim.Call{Request: "c"}, "web", sim.MachineInput{Config: []byte(`{"image":"x"}`)})
	must(t, err)
	w.Observe(nil)
	pass(w, time.Minute)
	want := []string{
		"worker stopped launching=false cordoned=true ok", "machine_cordon by a",
		"worker starting launching=false cordoned=true ok", "machine_start by b",
		"worker started launching=false cordoned=true ok",
		"worker started launching=false cordoned=true unreachable",
		"app created launching=false cordoned=false ok", "app created launching=true cordoned=false ok", "machine_create by c",
	}
	if diff := cmp.Diff(want, o.lines); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestFaultProbabilityIsSeeded(t *testing.T) {
	run := func(seed uint64) (strikes string) {
		w := sim.New(sim.Config{Seed: seed})
		_, err := w.OrderFault(sim.Fault{Kind: sim.FaultCut, Probability: 0.5})
		must(t, err)
		for range 200 {
			if w.Fault(sim.Query{Op: "x"}, sim.FaultCut) != nil {
				strikes += "x"
			} else {
				strikes += "."
			}
		}
		return strikes
	}
	if first, again := run(1), run(1); first != again {
		t.Error("the same seed gave other strikes")
	}
	if n := strings.Count(run(1), "x"); n < 70 || n > 130 {
		t.Errorf("struck %d of 200 at probability 0.5", n)
	}
	if run(1) == run(2) {
		t.Error("different seeds gave the same strikes")
	}
}

func TestOrderFaultRefusesNonsense(t *testing.T) {
	for _, f := range []sim.Fault{
		{},
		{Kind: "other"},
		{Kind: sim.FaultError, Status: 200},
		{Kind: sim.FaultSlow},
		{Kind: sim.FaultPartial},
		{Kind: sim.FaultStuck, State: scale.StateStarted},
		{Kind: sim.FaultCapacity, Status: 500},
		{Kind: sim.FaultCut, Probability: 2},
		{Kind: sim.FaultCut, Count: -1},
		{Kind: sim.FaultCut, Gap: -1},
		{Kind: sim.FaultCut, App: "["},
	} {
		if _, err := sim.New(sim.Config{}).OrderFault(f); err == nil {
			t.Errorf("ordered %+v, want an error", f)
		}
	}
}
