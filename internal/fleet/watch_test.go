package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/fleet"
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// orgList is an org-wide list whose answers the test sets, one page each. Reads
// of changes get what full lists get unless the test sets something else.
type orgList struct {
	mu      sync.Mutex
	all     flyapi.OrgPage  // guarded by mu
	changes *flyapi.OrgPage // guarded by mu
	err     error           // guarded by mu
	// asked are the queries so far, and when.
	asked []flyapi.OrgQuery // guarded by mu
	at    []time.Time       // guarded by mu
}

func (l *orgList) ListOrgMachines(_ context.Context, _ string, q flyapi.OrgQuery) (flyapi.OrgPage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.at = append(l.asked, q), append(l.at, time.Now())
	page := l.all
	if !q.UpdatedAfter.IsZero() && l.changes != nil {
		page = *l.changes
	}
	page.Machines = slices.Clone(page.Machines)
	return page, l.err
}

// set changes the answers.
func (l *orgList) set(change func(*orgList)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// queries returns the queries since the last call of it.
func (l *orgList) queries() (full, changes int, last flyapi.OrgQuery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.asked {
		if last = q; q.UpdatedAfter.IsZero() {
			full++
		} else {
			changes++
		}
	}
	l.asked, l.at = nil, nil
	return full, changes, last
}

// row is a Machine that changed last at the given time.
func row(app, id string, state scale.State, updated time.Time) flyapi.OrgMachine {
	return flyapi.OrgMachine{App: scale.App(app), Machine: scale.Machine{
		ID: scale.MachineID(id), State: state, Region: "iad", Group: "app", CreatedAt: updated.Add(-time.Hour), UpdatedAt: updated,
	}}
}

// watch runs a Watch over api until the test ends.
func watch(t *testing.T, api fleet.OrgAPI, cfg fleet.WatchConfig) *fleet.Watch {
	t.Helper()
	w := fleet.NewWatch(api, "acme", cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return w
}

// later lets time pass.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// shows returns the states of an app's Machines as "1 started, 2 stopped", with
// "incomplete" where it is, and "none" for an app that is not known.
func shows(w *fleet.Watch, app scale.App) string {
	s, ok := w.Snapshot(app)
	if !ok {
		return "none"
	}
	var parts []string
	for _, m := range s.Machines {
		parts = append(parts, fmt.Sprintf("%s %s", m.ID, m.State))
	}
	if !s.Complete {
		parts = append(parts, "incomplete")
	}
	return strings.Join(parts, ", ")
}

func expect(t *testing.T, w *fleet.Watch, want, when string) {
	t.Helper()
	if got := shows(w, "web"); got != want {
		t.Errorf("%s: got %q, want %q", when, got, want)
	}
}

// handlerTransport answers requests with a handler, without a connection.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	if r.Body == nil { // which a server's request never is
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	h.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// Against the simulated platform: all Machines are known after as many requests
// as there are pages, at once, then one request in each poll tells of starts, stops,
// creates and destroys in any of the apps.
func TestWatchOverThePlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := sim.New(sim.Config{Start: time.Now()})
		for i := range 600 {
			spec := sim.AppSpec{Org: "acme", App: fmt.Sprintf("app-%03d", i), Machines: []sim.MachineSpec{{Count: 4, Region: "iad", Group: "web"}}}
			if _, err := world.AddApp(sim.Call{}, spec); err != nil {
				t.Fatal(err)
			}
		}
		// What is there has not just changed.
		world.Advance(time.Now().Add(time.Hour))
		time.Sleep(time.Hour)
		var requests atomic.Int64
		client, err := flyapi.New(flyapi.Config{
			Token: "opaque", Observe: func(flyapi.Request) { requests.Add(1) },
			Transport: handlerTransport{flysim.New(world, flysim.Options{Now: time.Now})},
		})
		if err != nil {
			t.Fatal(err)
		}
		w := watch(t, client, fleet.WatchConfig{})
		// All Machines were made in the same moment, so that the first read of what
		// changed since the newest of them has them all once more.
		if !w.Synced() || requests.Load() != 2*3 || len(w.Apps()) != 600 {
			t.Fatalf("synced %v after %d requests with %d apps, want true after 3 pages and those of the first changes, and 600", w.Synced(), requests.Load(), len(w.Apps()))
		}
		s, _ := w.Snapshot("app-007")
		if len(s.Machines) != 4 || s.Machines[0].Group != "web" || s.Machines[0].Host != scale.HostOK || !s.Complete || !s.Overview {
			t.Fatalf("got %+v", s)
		}

		ids := []string{string(s.Machines[0].ID), string(s.Machines[1].ID)}
		stopped, destroyed := s.Machines[0].ID, s.Machines[1].ID
		if err := errors.Join(
			world.StopMachine(sim.Call{}, "app-007", ids[0], sim.StopInput{}),
			world.DestroyMachine(sim.Call{}, "app-007", ids[1], true),
		); err != nil {
			t.Fatal(err)
		}
		var told scale.App
		select {
		case told = <-w.Changed():
		case <-time.After(6 * time.Second): // a poll and what it takes
		}
		if told != "app-007" {
			t.Errorf("told of a change of %q within the poll, want app-007", told)
		}
		later(7 * time.Second)
		s, _ = w.Snapshot("app-007")
		if len(s.Machines) != 3 || s.Machines[0].ID != stopped || s.Machines[0].State != scale.StateStopped ||
			slices.ContainsFunc(s.Machines, func(m scale.Machine) bool { return m.ID == destroyed }) {
			t.Errorf("after two polls: %+v", s.Machines)
		}

		// The first wide read tells of the world's making again.
		later(time.Minute)
		requests.Store(0)
		later(20 * time.Minute)
		const most = 20*12 + 4*3
		if got := requests.Load(); got > most || got < most-20 {
			t.Errorf("%d requests in 20 minutes at rest, want about %d: one in 5 s and 3 in 5 min", got, most)
		}
	})
}

func TestOwnWritesInOverview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := time.Now().Add(-time.Hour)
		api := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{row("web", "1", "stopped", old), row("web", "2", "started", old)}}}
		w := watch(t, api, fleet.WatchConfig{})
		expect(t, w, "1 stopped, 2 started", "at first")

		clone := scale.Machine{ID: "0", State: scale.StateCreated}
		w.Wrote("web", []scale.Outcome{
			{Action: scale.Action{Verb: scale.Start, Machine: "1", State: "stopped"}, Result: scale.Done, Machine: "1", At: time.Now()},
			{Action: scale.Action{Verb: scale.Destroy, Machine: "2", State: "started"}, Result: scale.Refused, Machine: "2", At: time.Now()},
			{Action: scale.Action{Verb: scale.Create}, Result: scale.Done, Machine: "0", Clone: &clone, At: time.Now()},
		})
		expect(t, w, "0 created, 1 starting, 2 started", "after our writes")
		later(30 * time.Second)
		expect(t, w, "0 created, 1 starting, 2 started", "while the list lags")

		// Nothing is forgotten while nothing is read.
		api.set(func(l *orgList) { l.err = errors.New("503") })
		later(10 * time.Minute)
		expect(t, w, "0 created, 1 starting, 2 started, incomplete", "while the platform does not answer")

		api.set(func(l *orgList) { l.err = nil })
		later(time.Minute)
		later(time.Minute)
		expect(t, w, "1 stopped, 2 started", "after the list should have shown them")
	})
}

// Of a Machine that is missing, one full list changes nothing but the trust in
// the app's picture, and a row takes that back.
func TestMissingTwiceIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := time.Now().Add(-time.Hour)
		one, two, other := row("web", "1", "started", old), row("web", "2", "started", old), row("api", "3", "started", old)
		leaving := row("api", "4", "destroying", old)
		api := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{one, two, other, leaving}}, changes: &flyapi.OrgPage{}}
		w := watch(t, api, fleet.WatchConfig{})
		later(2 * time.Minute)
		api.set(func(l *orgList) { l.all.Machines = []flyapi.OrgMachine{one, other} })
		later(3*time.Minute + time.Second)
		expect(t, w, "1 started, 2 started, incomplete", "after one short list")
		if got := shows(w, "api"); got != "3 started, 4 destroying" {
			t.Errorf("api: got %q, want it complete: what is being destroyed may vanish", got)
		}
		api.set(func(l *orgList) { l.changes = &flyapi.OrgPage{Machines: []flyapi.OrgMachine{two}} })
		later(5 * time.Second)
		expect(t, w, "1 started, 2 started", "after a row showed it")
		api.set(func(l *orgList) { l.changes = &flyapi.OrgPage{} })
		later(30 * time.Second)
		expect(t, w, "1 started, 2 started, incomplete", "after another short list")
		later(30 * time.Second)
		expect(t, w, "1 started", "after two in a row")

		// It was the list after all.
		api.set(func(l *orgList) { l.changes = &flyapi.OrgPage{Machines: []flyapi.OrgMachine{two}} })
		later(5 * time.Second)
		expect(t, w, "1 started, 2 started", "after it came back")
	})
}

// A list with no Machine at all is believed the third time, and at the start the
// second time.
func TestEmptyLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := time.Now().Add(-time.Hour)
		api := &orgList{changes: &flyapi.OrgPage{}}
		w := watch(t, api, fleet.WatchConfig{})
		if w.Synced() {
			t.Error("synced by one list without Machines")
		}
		later(31 * time.Second)
		if !w.Synced() {
			t.Error("not synced by two lists without Machines")
		}
		api.set(func(l *orgList) { l.all.Machines = []flyapi.OrgMachine{row("web", "1", "started", old)} })
		later(5 * time.Minute)
		expect(t, w, "1 started", "after a list with a Machine")
		if got := w.Apps(); !slices.Equal(got, []scale.App{"web"}) {
			t.Errorf("apps %v", got)
		}
		api.set(func(l *orgList) { l.all.Machines = nil })
		later(15 * time.Minute)
		expect(t, w, "", "after many empty lists")
		if got := w.Apps(); len(got) > 0 {
			t.Errorf("apps %v, want none", got)
		}
		later(2 * time.Hour)
		expect(t, w, "none", "hours later")
	})
}

func TestThirdEmptyListIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{row("web", "1", "started", time.Now().Add(-time.Hour))}}, changes: &flyapi.OrgPage{}}
		w := watch(t, api, fleet.WatchConfig{})
		later(2 * time.Minute)
		api.set(func(l *orgList) { l.all.Machines = nil })
		later(3*time.Minute + time.Second) // the first
		expect(t, w, "1 started, incomplete", "after one")
		later(30 * time.Second)
		expect(t, w, "1 started, incomplete", "after two")
		later(30 * time.Second)
		expect(t, w, "", "after three")
	})
}

// A row that comes late brings no Machine back to life, and none back in time.
func TestLateRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		alive := row("web", "1", "started", now.Add(-20*time.Second))
		api := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{alive, row("web", "2", "started", now.Add(-30*time.Second))}}, changes: &flyapi.OrgPage{}}
		w := watch(t, api, fleet.WatchConfig{})
		steps := []struct {
			name string
			rows []flyapi.OrgMachine
			want string
		}{
			{"destroyed", []flyapi.OrgMachine{row("web", "1", "destroyed", now.Add(-10*time.Second))}, "2 started"},
			{"late", []flyapi.OrgMachine{alive, row("web", "2", "stopped", now.Add(-40*time.Second))}, "2 started"},
			{"newest of three", []flyapi.OrgMachine{row("web", "2", "stopping", now.Add(-9*time.Second)), row("web", "2", "stopped", now.Add(-8*time.Second)), row("web", "2", "started", now.Add(-40*time.Second))}, "2 stopped"},
			{"at the same instant", []flyapi.OrgMachine{row("web", "2", "destroying", now.Add(-8*time.Second))}, "2 destroying"},
			{"at the same instant, less final", []flyapi.OrgMachine{row("web", "2", "started", now.Add(-8*time.Second))}, "2 destroying"},
			{"without a time", []flyapi.OrgMachine{{App: "web", Machine: scale.Machine{ID: "2", State: "started"}}}, "2 started"},
			{"without an app", []flyapi.OrgMachine{row("", "2", "destroyed", now)}, "2 started"},
			{"deleted", []flyapi.OrgMachine{row("web", "2", "deleted", now)}, ""},
		}
		for _, step := range steps {
			api.set(func(l *orgList) { l.changes = &flyapi.OrgPage{Machines: step.rows} })
			later(5 * time.Second)
			expect(t, w, step.want, step.name)
		}
	})
}

// What an overview keeps of a configuration stays when a later row tells nothing
// of it.
func TestWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		first := row("web", "1", "started", now.Add(-time.Minute))
		first.Group, first.Image, first.InstanceID = "worker", "registry.fly.io/web:1", "01J"
		first.Metadata = map[string]string{"color": "red", scale.MetaReleaseVersion: "7", scale.MetaNotLaunched: "true", scale.MetaCreateID: "x", scale.MetaCanary: ""}
		bare := row("web", "1", "stopped", now)
		bare.Bare = true
		// Nobody can tell the group of one that no row told of.
		stranger := row("web", "2", "stopped", now)
		stranger.Bare, stranger.Group = true, scale.DefaultProcessGroup
		api := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{first}}, changes: &flyapi.OrgPage{Machines: []flyapi.OrgMachine{bare, stranger}}}
		w := watch(t, api, fleet.WatchConfig{})
		later(time.Second)
		s, _ := w.Snapshot("web")
		want := scale.Machine{
			ID: "1", State: "stopped", Region: "iad", Group: "worker", Image: "registry.fly.io/web:1", Host: scale.HostOK,
			CreatedAt: now.Add(-time.Hour), UpdatedAt: now,
			Metadata: map[string]string{scale.MetaReleaseVersion: "7", scale.MetaNotLaunched: "true"},
		}
		unknown := scale.Machine{ID: "2", State: "stopped", Region: "iad", Host: scale.HostOK, CreatedAt: now.Add(-time.Hour), UpdatedAt: now}
		if diff := gocmp.Diff([]scale.Machine{want, unknown}, s.Machines); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Each read of changes goes back a quarter of the margin, and one in each margin
// all of it, beyond what was read before: never ahead of that, and not for ever to
// the same burst.
func TestHowFarBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		api := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{row("web", "1", "started", began.Add(-10*time.Second))}}}
		watch(t, api, fleet.WatchConfig{Full: 24 * time.Hour})
		back := func() (seconds []int) {
			t.Helper()
			api.mu.Lock()
			defer api.mu.Unlock()
			for _, q := range api.asked {
				if q.UpdatedAfter.IsZero() {
					continue
				}
				if !q.IncludeDeleted {
					t.Error("a read of changes asks for none of what was deleted")
				}
				seconds = append(seconds, int(q.UpdatedAfter.Sub(began).Seconds()))
			}
			api.asked, api.at = nil, nil
			return seconds
		}
		later(67 * time.Second)
		// The only row says that it is 10 s earlier there. At 60 s the whole margin of
		// 60 s goes back behind what the full list told.
		want := []int{-25, -25, -20, -15, -10, -5, 0, 5, 10, 15, 20, 25, -70, 35}
		if diff := gocmp.Diff(want, back()); diff != "" {
			t.Errorf("at rest (-want +got):\n%s", diff)
		}

		// A row that is newer tells a later time. A failure leaves the marks where they
		// are, whatever the rows said.
		next := time.Now()
		api.set(func(l *orgList) {
			l.changes = &flyapi.OrgPage{Machines: []flyapi.OrgMachine{row("web", "1", "started", next)}, ErrorRegions: []string{"ord"}}
		})
		later(3 * time.Minute)
		for _, at := range back() {
			if at != 40 && at != -10 {
				t.Errorf("while a region does not answer: asks for changes after %d s, want 40 or -10", at)
			}
		}
		api.set(func(l *orgList) { l.changes = nil })
		later(2 * time.Minute)
		if got := back(); got[0] != -10 {
			t.Errorf("after it answered: asks first for changes after %d s, want -10", got[0])
		}

		// A row from the future hides nothing.
		later(30 * time.Minute)
		back()
		api.set(func(l *orgList) {
			l.changes = &flyapi.OrgPage{Machines: []flyapi.OrgMachine{row("web", "2", "started", time.Now().Add(24*time.Hour))}}
		})
		start := time.Now()
		later(5 * time.Minute)
		wide := 0
		for i, at := range back() {
			lag := start.Sub(began).Seconds() + 5*float64(i+1) - float64(at)
			if lag < 15 {
				t.Errorf("after a row from the future changes of the last %v s are asked for, want 15 at least", lag)
			}
			if lag >= 60 {
				wide++
			}
		}
		if wide < 5 {
			t.Errorf("%d reads in five minutes went back a minute, want one a minute", wide)
		}
	})
}

// slowPages takes 40 s for each of three pages.
type slowPages struct {
	orgList
	pages [3]flyapi.OrgPage
}

func (s *slowPages) ListOrgMachines(ctx context.Context, org string, q flyapi.OrgQuery) (flyapi.OrgPage, error) {
	if _, err := s.orgList.ListOrgMachines(ctx, org, q); err != nil || !q.UpdatedAfter.IsZero() {
		return flyapi.OrgPage{}, err
	}
	n := 0
	if q.Cursor != "" {
		n = int(q.Cursor[0] - '0')
	}
	time.Sleep(40 * time.Second)
	page := s.pages[n]
	page.Machines = slices.Clone(page.Machines)
	if n+1 < len(s.pages) {
		page.NextCursor = fmt.Sprint(n + 1)
	}
	return page, nil
}

// What changes while the pages of a list come in may belong to a page that was
// read before, so the read of changes goes back to where the list began.
func TestChangesDuringALongList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().Add(-time.Hour) // by the platform's clock, which is behind
		api := &slowPages{pages: [3]flyapi.OrgPage{
			{Machines: []flyapi.OrgMachine{row("web", "1", "started", began.Add(-time.Hour))}},
			{},
			{Machines: []flyapi.OrgMachine{row("web", "2", "started", began.Add(110*time.Second))}},
		}}
		w := watch(t, api, fleet.WatchConfig{})
		later(121 * time.Second)
		_, changes, last := api.queries()
		if changes != 1 || last.UpdatedAfter.After(began.Add(-time.Minute)) {
			t.Errorf("%d reads of changes, the last from %s on, want one that goes back to the start and the margin", changes, last.UpdatedAfter.Sub(began))
		}
		if s, _ := w.Snapshot("web"); len(s.Machines) != 2 || !s.Complete {
			t.Errorf("got %+v", s)
		}
	})
}

// The lists of a platform that fails are asked for less and less often, but never
// given up, and the log tells of the condition once.
func TestFailuresAreSpacedOut(t *testing.T) {
	for name, set := range map[string]func(*orgList){
		"errors":         func(l *orgList) { l.err = errors.New("503") },
		"silent regions": func(l *orgList) { l.all.ErrorRegions = []string{"ord", "iad", "ord"} },
		"endless pages":  func(l *orgList) { l.all.NextCursor = "again" },
		"retry after":    func(l *orgList) { l.err = &flyapi.Error{Kind: flyapi.KindRateLimited, RetryAfter: 4 * time.Minute} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				api := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{row("web", "1", "started", time.Now())}}}
				api.set(set)
				w := watch(t, api, fleet.WatchConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				later(time.Hour)
				full, _, _ := api.queries()
				switch {
				case w.Synced() || shows(w, "web") != "none" || w.Apps() != nil:
					t.Errorf("synced %v, shows %q, apps %v without one complete list", w.Synced(), shows(w, "web"), w.Apps())
				case name == "retry after" && (full < 13 || full > 17):
					t.Errorf("%d requests in an hour, want one each four minutes", full)
				case name != "retry after" && (full < 60 || full > 300):
					t.Errorf("%d requests in an hour, want about one a minute", full)
				}
				if n := strings.Count(log.String(), "incomplete"); n != 1 {
					t.Errorf("the log tells %d times:\n%s", n, log.String())
				}
				if name == "silent regions" && !strings.Contains(log.String(), "regions that do not answer: iad, ord\"") {
					t.Errorf("the log does not name the regions:\n%s", log.String())
				}
				api.set(func(l *orgList) {
					l.err, l.all.ErrorRegions, l.all.NextCursor = nil, nil, ""
				})
				later(4 * time.Minute)
				expect(t, w, "1 started", "after the failures")
				if !strings.Contains(log.String(), "complete again") {
					t.Errorf("the log does not tell of the recovery:\n%s", log.String())
				}
			})
		})
	}
}

// endless always has one more page.
type endless struct {
	orgList
	pages int
}

func (e *endless) ListOrgMachines(ctx context.Context, org string, q flyapi.OrgQuery) (flyapi.OrgPage, error) {
	page, err := e.orgList.ListOrgMachines(ctx, org, q)
	e.pages++
	page.NextCursor = fmt.Sprint(e.pages)
	return page, err
}

func TestPagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &endless{}
		w := watch(t, api, fleet.WatchConfig{})
		if api.pages != 1000 || w.Synced() {
			t.Errorf("%d pages were read without a pause, synced %v, want 1000 and false", api.pages, w.Synced())
		}
	})
}

// A region that goes silent makes all pictures incomplete until the changes since
// were read, whoever is late to ask.
func TestSilentRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{row("web", "1", "started", time.Now())}}, changes: &flyapi.OrgPage{}}
		w := watch(t, api, fleet.WatchConfig{})
		before, _ := w.Snapshot("web")
		later(3 * time.Second)
		api.set(func(l *orgList) { l.changes.ErrorRegions = []string{"ord"} })
		later(3 * time.Second)
		expect(t, w, "1 started, incomplete", "while a region is silent")
		if s, _ := w.Snapshot("web"); !s.TakenAt.Equal(before.TakenAt) {
			t.Errorf("taken at %s, want %s: nothing complete was read since", s.TakenAt, before.TakenAt)
		}
		api.set(func(l *orgList) { l.changes.ErrorRegions = nil })
		later(10 * time.Second)
		expect(t, w, "1 started", "after it answered")
		if s, _ := w.Snapshot("web"); time.Since(s.TakenAt) > 5*time.Second {
			t.Errorf("taken %s ago", time.Since(s.TakenAt))
		}
	})
}

// Nobody has to receive changes, and who does gets each app once.
func TestChangesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{row("web", "1", "started", time.Now()), row("api", "2", "started", time.Now())}}}
		w := fleet.NewWatch(api, "acme", fleet.WatchConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)
		later(time.Second)
		for i := range 20 {
			state := []scale.State{"started", "stopped"}[i%2]
			api.set(func(l *orgList) {
				l.all.Machines = []flyapi.OrgMachine{row("web", "1", state, time.Now()), row("api", "2", state, time.Now())}
			})
			later(5 * time.Second)
		}
		if got := shows(w, "web"); got != "1 stopped" {
			t.Errorf("got %q while nobody received, want the latest", got)
		}
		got := map[scale.App]int{}
		for range 4 {
			select {
			case app := <-w.Changed():
				got[app]++
			case <-time.After(time.Second):
			}
		}
		// The one that was being handed over may have changed once more meanwhile.
		if got["web"] < 1 || got["api"] < 1 || got["web"]+got["api"] > 3 {
			t.Errorf("received %v, want each once, and one of them twice at most", got)
		}
		cancel()
		synctest.Wait()
		if _, open := <-w.Changed(); open {
			t.Error("a change after the end")
		}
	})
}

// Many start, are read and written to, and stop, all at once.
func TestWatchStartStop(t *testing.T) {
	world := sim.New(sim.Config{Start: time.Now()})
	if _, err := world.AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: "web", Machines: []sim.MachineSpec{{Count: 20}}}); err != nil {
		t.Fatal(err)
	}
	machines, err := world.ListMachines("web", sim.ListFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			api := &platformList{world: world}
			w := fleet.NewWatch(api, "acme", fleet.WatchConfig{Poll: time.Millisecond, Full: 5 * time.Millisecond})
			var inner sync.WaitGroup
			inner.Go(func() { w.Run(ctx) })
			inner.Go(func() {
				for range w.Changed() {
					w.Snapshot("web")
				}
			})
			inner.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					id := machines[n%len(machines)].ID
					_ = world.EditMetadata(sim.Call{}, "web", id, "", func(m map[string]string) { m[scale.MetaReleaseVersion] = fmt.Sprint(n) })
					w.Wrote("web", []scale.Outcome{{Action: scale.Action{Verb: scale.Stop, State: "started"}, Result: scale.Done, Machine: scale.MachineID(id), At: time.Now()}})
					if s, ok := w.Snapshot("web"); ok && len(s.Machines) != len(machines) {
						t.Errorf("%d Machines, want %d", len(s.Machines), len(machines))
						return
					}
					w.Apps()
				}
			})
			for api.count() < 10+i { // some are stopped in the middle of their first lists
				if i%4 == 0 && w.Synced() {
					break
				}
				<-time.After(time.Millisecond)
			}
			cancel()
			inner.Wait()
		})
	}
	wg.Wait()
}

// platformList is the org-wide list of a world whose time stands still.
type platformList struct {
	world *sim.World
	mu    sync.Mutex
	calls int // guarded by mu
}

func (l *platformList) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

func (l *platformList) ListOrgMachines(_ context.Context, org string, q flyapi.OrgQuery) (flyapi.OrgPage, error) {
	l.mu.Lock()
	l.calls++
	l.mu.Unlock()
	f := sim.OrgFilter{ListFilter: sim.ListFilter{IncludeDeleted: q.IncludeDeleted}, Limit: 7}
	if q.Cursor != "" {
		if _, err := fmt.Sscan(q.Cursor, &f.After); err != nil {
			return flyapi.OrgPage{}, err
		}
	}
	page, err := l.world.ListOrg(org, f)
	if err != nil {
		return flyapi.OrgPage{}, err
	}
	var out flyapi.OrgPage
	for _, row := range page.Rows {
		out.Machines = append(out.Machines, orgMachine(row))
	}
	if page.Next != 0 {
		out.NextCursor = fmt.Sprint(page.Next)
	}
	return out, nil
}
