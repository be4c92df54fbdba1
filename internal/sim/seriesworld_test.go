package sim_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func TestRecordSeries(t *testing.T) {
	world := sim.New(sim.Config{Start: start, ScrapeInterval: 10 * time.Second})
	if err := world.AddOrg("acme", "Acme", false); err != nil {
		t.Fatal(err)
	}
	call := sim.Call{}
	if _, err := world.CreateApp(call, sim.AppInput{Name: "web", Org: "acme"}); err != nil {
		t.Fatal(err)
	}
	for _, load := range newLoads(t, 1, `[{gauge: {metric: level, value: {steps: [{at: 15s, value: 3}]}}}]`) {
		if err := world.AddLoad("web", load); err != nil {
			t.Fatal(err)
		}
	}
	store := world.RecordSeries(sim.SeriesOptions{})
	if got := store.Interval(); got != 10*time.Second {
		t.Errorf("interval: got %v, want the world's 10s", got)
	}
	world.Advance(at(21))
	check := func(what string, want []string) {
		t.Helper()
		if diff := cmp.Diff(want, all(store)); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
	}
	check("a gauge", []string{`{__name__="level", app="web"} 0@10 3@20`})

	machine, _, err := world.CreateMachine(call, "web", sim.MachineInput{Region: "fra", Config: []byte(`{"image":"registry.fly.io/web:1"}`)})
	if err != nil {
		t.Fatal(err)
	}
	world.Advance(at(45))
	up := store.Select("acme", math.MinInt64/2, math.MaxInt64/2, equal("__name__", "fly_instance_up"))
	want := []string{fmt.Sprintf(`{__name__="fly_instance_up", app="web", host="%s", instance="%s", region="fra"} 1@30 1@40`, sim.Host(machine.ID), machine.ID)}
	if diff := cmp.Diff(want, read(up)); diff != "" {
		t.Errorf("a Machine that started before the scrape at 30:\n%s", diff)
	}

	if err := world.DeleteApp(call, "web"); err != nil {
		t.Fatal(err)
	}
	world.Advance(at(50))
	for _, series := range all(store) {
		if series[len(series)-6:] != "end@50" {
			t.Errorf("after the app was deleted: %s", series)
		}
	}
	world.Advance(at(50 + 3600 + 20))
	check("an hour after the app was deleted", nil)
	if err := store.SetGauge(world.Now(), "acme", "web", "x", nil, 1); err != nil {
		t.Fatal(err)
	}
	world.Advance(world.Now().Add(10 * time.Second))
	if got := store.Live(); got != nil {
		t.Errorf("a gauge of an app that does not exist: got %v", got)
	}
}
