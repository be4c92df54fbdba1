package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func config(extra string) json.RawMessage {
	return json.RawMessage(`{"image":"registry.fly.io/worker:deployment-01H","guest":{"cpu_kind":"shared","cpus":1,"memory_mb":256}` + extra + `}`)
}

// Whatever the group's count does, Machines that are not its own, and those that
// are out of service or out of reach, see no change and no lease.
func TestForeignMachinesAreNotTouched(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, timings)
	foreign := []sim.MachineSpec{
		{Region: "iad", Group: "cron"},
		{Region: "iad", Group: "cron", State: scale.StateStopped},
		{Region: "iad", Group: "fly_app_release_command"},
		{Region: "iad", Group: "fly_app_release_command", State: scale.StateStopped},
		{Region: "iad", Group: "fly_app_console", Config: config(`,"auto_destroy":true`)},
		{Region: "iad", Group: "app", State: scale.StateStopped, Config: config(`,"standbys":["d891234f567890"]`)},
		{Region: "iad", Group: "app", State: scale.StateStopped, Config: config(`,"schedule":"hourly"`)},
		{Region: "iad", Group: "app", Config: config(`,"auto_destroy":true`)},
		{Region: "iad", Group: "app", Metadata: map[string]string{scale.MetaBuilderID: "b1"}},
		{Region: "iad", Group: "app", Metadata: map[string]string{scale.MetaCanary: "true"}},
		{Region: "iad", Group: "app", Metadata: map[string]string{scale.MetaManagedPostgres: "true"}},
		{Region: "iad", Group: "app", Metadata: map[string]string{scale.MetaBlueGreenTag: "green"}, Cordoned: true},
	}
	// These belong to the group and count as created, and are left alone as well.
	counted := []sim.MachineSpec{
		{Region: "iad", Group: "app", Cordoned: true},
		{Region: "iad", Group: "app", HostStatus: scale.HostUnreachable},
	}
	ids, err := p.world.AddApp(sim.Call{}, sim.AppSpec{
		Org: "acme", App: "worker", Release: &sim.ReleaseSpec{Version: 3},
		Machines: slices.Concat([]sim.MachineSpec{{Count: 2, Region: "iad", Group: "app"}}, foreign, counted),
	})
	if err != nil {
		t.Fatal(err)
	}
	others := ids[2:]
	mine := func() int {
		n := 0
		for _, m := range p.machines(t, "worker") {
			if !slices.Contains(others, m.ID) {
				n++
			}
		}
		return n
	}
	before := fmt.Sprint(p.untouched(t, others))

	p.depth(t, 7)
	s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth"))
	// Of the seven, two are those left alone.
	eventually(t, 30*time.Second, "five Machines of our own", func() bool { return mine() == 5 })
	p.depth(t, 4)
	eventually(t, 30*time.Second, "two Machines of our own", func() bool { return mine() == 2 })
	p.depth(t, 0)
	eventually(t, 30*time.Second, "one Machine of our own", func() bool { return mine() == 1 })
	s.morePasses(t, 4)
	if n := mine(); n != 1 {
		t.Errorf("%d Machines of our own, want one to clone from", n)
	}
	p.depth(t, 5)
	eventually(t, 30*time.Second, "three Machines of our own", func() bool { return mine() == 3 })

	for _, m := range p.did("worker") {
		if slices.Contains(others, m.Machine) {
			t.Errorf("a Machine that is not ours was changed: %s %s", m.Op, m.Machine)
		}
	}
	if after := fmt.Sprint(p.untouched(t, others)); after != before {
		t.Errorf("Machines that are not ours changed:\n%s\nwere\n%s", after, before)
	}
}

// untouched returns what nobody may have changed of the Machines.
func (p *platform) untouched(t *testing.T, ids []string) []string {
	t.Helper()
	var out []string
	for _, id := range ids {
		m, err := p.world.Machine("worker", id)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(id, m.State, m.InstanceID, m.Cordoned, m.UpdatedAt, m.Lease))
	}
	return out
}

// A count of none leaves one Machine, stopped, from which the next is cloned.
func TestLastMachineIsKept(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(1, 3))
	p.depth(t, 0)
	s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_STARTED_MACHINE_COUNT=queue_depth"))
	eventually(t, 30*time.Second, "one Machine, stopped", func() bool {
		return p.count(t, "worker", "app") == 1 && p.count(t, "worker", "app", scale.StateStopped) == 1
	})
	s.morePasses(t, 4)
	if n := p.count(t, "worker", "app"); n != 1 {
		t.Fatalf("%d Machines, want 1", n)
	}
	p.depth(t, 3)
	eventually(t, 30*time.Second, "three Machines run again", func() bool {
		return p.count(t, "worker", "app", scale.StateStarted) == 3
	})
	if least, most := p.existed("worker", 3); least != 1 || most != 3 {
		t.Errorf("%d to %d Machines existed at a time, want 1 to 3", least, most)
	}
}
