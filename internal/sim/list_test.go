package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func listIDs(t *testing.T, w *sim.World, f sim.ListFilter) []string {
	t.Helper()
	machines, err := w.ListMachines("web", f)
	must(t, err)
	ids := []string{}
	for _, m := range machines {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestListFilters(t *testing.T) {
	w, ids := newWorld(t, sim.Config{},
		sim.MachineSpec{Region: "ams", Group: "app", Metadata: map[string]string{"tier": "gold"}},
		sim.MachineSpec{Region: "fra", Group: "worker", State: scale.StateStopped},
		sim.MachineSpec{Region: "fra", State: scale.StateSuspended},
	)
	must(t, w.DestroyMachine(sim.Call{}, "web", ids[2], false))
	pass(w, time.Second)
	tests := []struct {
		name   string
		filter sim.ListFilter
		want   []string
	}{
		{"all", sim.ListFilter{}, ids[:2]},
		{"with deleted", sim.ListFilter{IncludeDeleted: true}, ids},
		{"region", sim.ListFilter{Region: "fra"}, ids[1:2]},
		{"states", sim.ListFilter{States: []scale.State{scale.StateStarted, scale.StateSuspended}}, ids[:1]},
		{"metadata", sim.ListFilter{Metadata: map[string]string{"tier": "gold", "fly_process_group": "app"}}, ids[:1]},
		{"other metadata", sim.ListFilter{Metadata: map[string]string{"tier": "gold", "fly_process_group": "worker"}}, []string{}},
		{"without a region", sim.ListFilter{Omit: []string{"ams"}}, ids[1:2]},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, listIDs(t, w, test.filter)); diff != "" {
				t.Errorf("machines (-want +got):\n%s", diff)
			}
		})
	}
	pass(w, time.Minute)
	if diff := cmp.Diff(ids, append(listIDs(t, w, sim.ListFilter{}), ids[2])); diff != "" {
		t.Errorf("machines after the destroyed one is gone (-want +got):\n%s", diff)
	}
	if got := listIDs(t, w, sim.ListFilter{IncludeDeleted: true}); !slices.Contains(got, ids[2]) {
		t.Error("a deleted machine is not remembered")
	}
}

func TestListThatLagsShowsThePast(t *testing.T) {
	w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{}, sim.MachineSpec{})
	pass(w, time.Minute)
	must(t, w.StopMachine(sim.Call{}, "web", ids[0], sim.StopInput{}))
	must(t, w.DestroyMachine(sim.Call{}, "web", ids[1], true))
	created := create(t, w, sim.MachineInput{})
	pass(w, 10*time.Second)

	states := func(lag time.Duration) map[string]scale.State {
		machines, err := w.ListMachines("web", sim.ListFilter{Lag: lag})
		must(t, err)
		got := map[string]scale.State{}
		for _, m := range machines {
			got[m.ID] = m.State
		}
		page, err := w.ListOrg("acme", sim.OrgFilter{ListFilter: sim.ListFilter{Lag: lag}, Limit: 100})
		must(t, err)
		rows := map[string]scale.State{}
		for _, row := range page.Rows {
			rows[row.ID] = row.State
		}
		if diff := cmp.Diff(got, rows); diff != "" {
			t.Errorf("lists of app and org differ (-app +org):\n%s", diff)
		}
		return got
	}
	if diff := cmp.Diff(map[string]scale.State{ids[0]: scale.StateStopped, created: scale.StateStarted}, states(0)); diff != "" {
		t.Errorf("now (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]scale.State{ids[0]: scale.StateStarted, ids[1]: scale.StateStarted}, states(30*time.Second)); diff != "" {
		t.Errorf("30 s ago (-want +got):\n%s", diff)
	}
}

func TestOrgListPagesAndIncrements(t *testing.T) {
	w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{Count: 25})
	collect := func(f sim.OrgFilter) (got []string, newest time.Time) {
		for {
			page, err := w.ListOrg("acme", f)
			must(t, err)
			for _, row := range page.Rows {
				got = append(got, row.ID)
			}
			if page.Newest.After(newest) {
				newest = page.Newest
			}
			if page.Next == 0 {
				return got, newest
			}
			if len(page.Rows) != f.Limit {
				t.Errorf("page of %d rows with more to come, want %d", len(page.Rows), f.Limit)
			}
			f.After = page.Next
		}
	}
	got, watermark := collect(sim.OrgFilter{Limit: 10})
	if slices.Equal(got, ids) {
		t.Error("rows came in order of creation: clients would come to rely on it")
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(slices.Values(ids)), got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}

	pass(w, time.Minute)
	if changed, _ := collect(sim.OrgFilter{UpdatedAfter: watermark, Limit: 10}); len(changed) != 0 {
		t.Errorf("%d rows changed, want none", len(changed))
	}
	must(t, w.StopMachine(sim.Call{}, "web", ids[3], sim.StopInput{}))
	must(t, w.DestroyMachine(sim.Call{}, "web", ids[4], true))
	pass(w, time.Minute)
	changed, _ := collect(sim.OrgFilter{ListFilter: sim.ListFilter{IncludeDeleted: true}, UpdatedAfter: watermark, Limit: 10})
	slices.Sort(changed)
	if diff := cmp.Diff(slices.Sorted(slices.Values(ids[3:5])), changed); diff != "" {
		t.Errorf("changed rows (-want +got):\n%s", diff)
	}
}

func TestShortLists(t *testing.T) {
	w, ids := newWorld(t, sim.Config{Seed: 3}, sim.MachineSpec{Count: 40})
	for name, list := range map[string]func() int{
		"of an app": func() int { return len(listIDs(t, w, sim.ListFilter{Short: true})) },
		"of an org": func() int {
			page, err := w.ListOrg("acme", sim.OrgFilter{ListFilter: sim.ListFilter{Short: true}, Limit: 100})
			must(t, err)
			return len(page.Rows)
		},
	} {
		if first, again := list(), list(); first < 10 || first > 30 || again < 10 || again > 30 {
			t.Errorf("short lists %s have %d and %d of %d Machines, want about half", name, first, again, len(ids))
		}
	}
}

func TestOrgListRepeatsRows(t *testing.T) {
	w, ids := newWorld(t, sim.Config{}, sim.MachineSpec{Count: 2})
	pass(w, time.Minute)
	must(t, w.StopMachine(sim.Call{}, "web", ids[1], sim.StopInput{}))
	page, err := w.ListOrg("acme", sim.OrgFilter{Limit: 10, Repeat: true})
	must(t, err)
	states := map[string][]string{}
	for _, row := range page.Rows {
		states[row.ID] = append(states[row.ID], string(row.State))
		slices.Sort(states[row.ID])
	}
	want := map[string][]string{ids[0]: {"started"}, ids[1]: {"started", "stopping"}}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("states in the rows (-want +got):\n%s", diff)
	}
}

func BenchmarkAdvanceNothingDue(b *testing.B) {
	w := bigWorld(b)
	for b.Loop() {
		w.Advance(w.Now().Add(time.Millisecond))
	}
}

func BenchmarkListOrg(b *testing.B) {
	w := bigWorld(b)
	b.Run("first page", func(b *testing.B) {
		for b.Loop() {
			if page, err := w.ListOrg("acme", sim.OrgFilter{Limit: 1000}); err != nil || len(page.Rows) != 1000 {
				b.Fatal(len(page.Rows), err)
			}
		}
	})
	b.Run("nothing changed", func(b *testing.B) {
		for b.Loop() {
			if page, err := w.ListOrg("acme", sim.OrgFilter{UpdatedAfter: w.Now(), Limit: 1000}); err != nil || len(page.Rows) != 0 {
				b.Fatal(len(page.Rows), err)
			}
		}
	})
}

// bigWorld has 10,000 apps of four Machines.
func bigWorld(b *testing.B) *sim.World {
	b.Helper()
	w := sim.New(sim.Config{})
	for i := range 10_000 {
		name := fmt.Sprintf("app-%05d", i)
		if _, err := w.AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: name, Machines: []sim.MachineSpec{{Count: 4}}}); err != nil {
			b.Fatal(err)
		}
	}
	return w
}
