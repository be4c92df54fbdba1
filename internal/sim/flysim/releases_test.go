package flysim_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// The client asks for the releases of many apps under aliases of one query. An
// app that does not exist costs the others nothing.
func TestReleasesUnderAliases(t *testing.T) {
	world := sim.New(sim.Config{})
	for _, spec := range []sim.AppSpec{
		{Org: "acme", App: "web", Release: &sim.ReleaseSpec{Version: 7, Status: "running"}},
		{Org: "acme", App: "api", Release: &sim.ReleaseSpec{Version: 3}},
		{Org: "acme", App: "new"},
	} {
		if _, err := world.AddApp(sim.Call{}, spec); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(flysim.New(world, flysim.Options{Now: world.Now}))
	defer server.Close()
	client, err := flyapi.New(flyapi.Config{MachinesURL: server.URL, GraphQLURL: server.URL, Token: "opaque"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	got, err := client.Releases(t.Context(), []scale.App{"web", "gone", "api", "new"})
	if e, ok := errors.AsType[*flyapi.Error](err); !ok || e.App != "gone" || e.Kind != flyapi.KindNotFound {
		t.Errorf("got error %v, want that gone is not found", err)
	}
	if r := got["web"]; !r.Running() || r.Version != 7 {
		t.Errorf("web: %+v, want release 7 running", r)
	}
	if r := got["api"]; !r.Known || r.Version != 3 || r.Status != "complete" || r.CreatedAt.IsZero() {
		t.Errorf("api: %+v, want release 3 complete", r)
	}
	if r := got["new"]; !r.Known || r.Exists {
		t.Errorf("new: %+v, want none", r)
	}
	if r := got["gone"]; r.Known || r.Unavailable == "" {
		t.Errorf("gone: %+v, want it unavailable", r)
	}
}
