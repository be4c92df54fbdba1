package fleet_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/fleet"
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	manyApps     = 10_000
	manyMachines = 4 * manyApps
)

// bigList is the list of an organization with many Machines, decoded anew for
// each page, so that nothing is shared that would not be. The rows of an app are
// far apart.
type bigList struct{ now time.Time }

func (l bigList) ListOrgMachines(_ context.Context, _ string, q flyapi.OrgQuery) (flyapi.OrgPage, error) {
	var from int
	if q.Cursor != "" {
		if _, err := fmt.Sscan(q.Cursor, &from); err != nil {
			return flyapi.OrgPage{}, err
		}
	}
	var page flyapi.OrgPage
	if !q.UpdatedAfter.IsZero() {
		return page, nil
	}
	page.Machines = make([]flyapi.OrgMachine, 0, 1000)
	for i := from; i < from+1000; i++ {
		page.Machines = append(page.Machines, l.machine(i))
	}
	if from += 1000; from < manyMachines {
		page.NextCursor = fmt.Sprint(from)
	}
	return page, nil
}

func (l bigList) machine(i int) flyapi.OrgMachine {
	app := i % manyApps
	return flyapi.OrgMachine{App: scale.App(fmt.Sprintf("some-app-%05d", app)), Machine: scale.Machine{
		ID: scale.MachineID(fmt.Sprintf("%014x", i*7919)), Name: fmt.Sprintf("still-bird-%05d", i),
		State: scale.State(strings.Clone("started")), Region: scale.Region(fmt.Sprintf("r%02d", i%30)), Group: scale.ProcessGroup(strings.Clone("app")),
		InstanceID: fmt.Sprintf("01JB%022d", i), CreatedAt: l.now.Add(-time.Hour), UpdatedAt: l.now.Add(-time.Hour),
		Image: fmt.Sprintf("registry.fly.io/some-app-%05d:deployment-01JAAAAAAAAAAAAAAAAAAAAAAA", app),
		Metadata: map[string]string{
			"fly_platform_version": "v2", scale.MetaProcessGroup: "app", scale.MetaReleaseID: fmt.Sprintf("rel_%016d", app),
			scale.MetaReleaseVersion: fmt.Sprint(app % 100), scale.MetaCreateID: fmt.Sprintf("create-%d", i),
		},
	}}
}

// synced returns a Watch that knows all of api's Machines, and what ends it.
func synced(api fleet.OrgAPI) (*fleet.Watch, func()) {
	w := fleet.NewWatch(api, "acme", fleet.WatchConfig{Poll: time.Hour, Full: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	for !w.Synced() {
		<-time.After(time.Millisecond)
	}
	return w, func() { cancel(); <-done }
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// What is kept of a Machine is small, whatever its configuration.
func TestWatchMemory(t *testing.T) {
	before := heap()
	w, stop := synced(bigList{time.Now()})
	defer stop()
	used := heap() - before
	if n := len(w.Apps()); n != manyApps {
		t.Fatalf("%d apps, want %d", n, manyApps)
	}
	t.Logf("%d Machines of %d apps take %.1f MiB, %d bytes each", manyMachines, manyApps, float64(used)/(1<<20), used/manyMachines)
	if limit := uint64(30 << 20); used > limit {
		t.Errorf("%d Machines take %d bytes, want at most %d", manyMachines, used, limit)
	}
	runtime.KeepAlive(w)
}

// An organization of one large app is no harder than one of many small ones.
func TestWatchOneLargeApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, oneApp{bigList{time.Now()}}, fleet.WatchConfig{})
		s, ok := w.Snapshot("web")
		if !ok || len(s.Machines) != manyMachines {
			t.Errorf("got %v with %d Machines, want %d", ok, len(s.Machines), manyMachines)
		}
	})
}

type oneApp struct{ bigList }

func (l oneApp) ListOrgMachines(ctx context.Context, org string, q flyapi.OrgQuery) (flyapi.OrgPage, error) {
	page, err := l.bigList.ListOrgMachines(ctx, org, q)
	for i := range page.Machines {
		page.Machines[i].App = "web"
	}
	return page, err
}

// prepared is a list whose pages were made beforehand.
type prepared struct{ pages []flyapi.OrgPage }

func (p prepared) ListOrgMachines(_ context.Context, _ string, q flyapi.OrgQuery) (flyapi.OrgPage, error) {
	n := 0
	if !q.UpdatedAfter.IsZero() {
		return flyapi.OrgPage{}, nil
	}
	if q.Cursor != "" {
		if _, err := fmt.Sscan(q.Cursor, &n); err != nil {
			return flyapi.OrgPage{}, err
		}
	}
	page := p.pages[n]
	if n+1 < len(p.pages) {
		page.NextCursor = fmt.Sprint(n + 1)
	}
	return page, nil
}

func prepare(b *testing.B) prepared {
	var p prepared
	list := bigList{time.Now()}
	for from := 0; from < manyMachines; from += 1000 {
		page, err := list.ListOrgMachines(b.Context(), "", flyapi.OrgQuery{Cursor: fmt.Sprint(from)})
		if err != nil {
			b.Fatal(err)
		}
		page.NextCursor = ""
		p.pages = append(p.pages, page)
	}
	return p
}

// BenchmarkFullList takes over 40,000 decoded rows of 10,000 apps.
func BenchmarkFullList(b *testing.B) {
	api := prepare(b)
	b.ReportAllocs()
	for b.Loop() {
		_, stop := synced(api)
		stop()
	}
}

// BenchmarkSnapshots reads the pictures of 10,000 apps, as one cycle does.
func BenchmarkSnapshots(b *testing.B) {
	w, stop := synced(prepare(b))
	defer stop()
	apps := w.Apps()
	b.ReportAllocs()
	for b.Loop() {
		for _, app := range apps {
			if s, ok := w.Snapshot(app); !ok || len(s.Machines) != 4 {
				b.Fatalf("%s: %v with %d Machines", app, ok, len(s.Machines))
			}
		}
	}
}
