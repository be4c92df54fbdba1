package fleet_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/fleet"
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// trouble is how likely each thing is to go wrong with a page.
type trouble struct {
	fail   float64 // no page
	silent float64 // a region does not answer, and the page says so
	blank  float64 // a page without rows before the next
	late   float64 // the page shows what was up to 20 s ago
	repeat float64 // the page has a row of an earlier page
	short  float64 // a full list ends early and does not say so
	slow   float64 // the page takes up to 3 s
}

const maxLate = 20 * time.Second

// worldList is the org-wide list of a simulated world, with trouble. It keeps
// account of what the reader can know of its completeness.
type worldList struct {
	world *sim.World
	rows  int // of a page, at most

	mu sync.Mutex
	// All that follows is guarded by mu.

	rng      *rand.Rand
	trouble  trouble
	calls    int
	sessions []session
	sent     []flyapi.OrgMachine
	lastBad  int // call that failed or lacked a region
	// cleanFrom is the first call of the newest listing of which every page was
	// good.
	cleanFrom int
	// mayShort is unset from a list that ended early until one that did not.
	mayShort bool
}

// session is one walk over the pages.
type session struct {
	began int
	full  bool
	since time.Time
	after uint64
	bad   bool
}

func (l *worldList) strikes(p float64) bool { return l.rng.Float64() < p }

func (l *worldList) latency() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.strikes(l.trouble.slow) {
		return time.Duration(l.rng.Int64N(int64(3 * time.Second)))
	}
	return 0
}

// calm ends all trouble.
func (l *worldList) calm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = trouble{}
}

// account returns the last call that went wrong and the first of the newest
// listing that went well throughout.
func (l *worldList) account() (lastBad, cleanFrom int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastBad, l.cleanFrom
}

func (l *worldList) ListOrgMachines(ctx context.Context, org string, q flyapi.OrgQuery) (flyapi.OrgPage, error) {
	select {
	case <-time.After(l.latency()):
	case <-ctx.Done():
		return flyapi.OrgPage{}, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	call := l.calls
	l.world.Advance(time.Now())
	at := len(l.sessions)
	if q.Cursor == "" {
		l.sessions = append(l.sessions, session{began: call, full: q.UpdatedAfter.IsZero(), since: q.UpdatedAfter})
	} else if _, err := fmt.Sscanf(q.Cursor, "%d/", &at); err != nil {
		return flyapi.OrgPage{}, err
	}
	s := &l.sessions[at]
	next := func() string { return fmt.Sprintf("%d/%d", at, call) }
	f := sim.OrgFilter{ListFilter: sim.ListFilter{IncludeDeleted: q.IncludeDeleted}, UpdatedAfter: s.since, After: s.after, Limit: 1 + l.rng.IntN(l.rows)}
	switch {
	case l.strikes(l.trouble.fail):
		l.lastBad = call
		return flyapi.OrgPage{}, errors.New("503")
	case l.strikes(l.trouble.blank):
		return flyapi.OrgPage{NextCursor: next()}, nil
	case l.strikes(l.trouble.silent):
		l.lastBad, s.bad = call, true
		f.Omit = []string{[]string{"iad", "ord", "lhr"}[l.rng.IntN(3)]}
	}
	if l.strikes(l.trouble.late) {
		f.Lag = time.Duration(l.rng.Int64N(int64(maxLate)))
	}
	page, err := l.world.ListOrg(org, f)
	if err != nil {
		return flyapi.OrgPage{}, err
	}
	out := flyapi.OrgPage{ErrorRegions: f.Omit, LastUpdatedAt: page.Newest}
	for _, row := range page.Rows {
		out.Machines = append(out.Machines, orgMachine(row))
	}
	l.sent = append(l.sent, out.Machines...)
	for len(l.sent) > 0 && l.strikes(l.trouble.repeat) {
		out.Machines = append(out.Machines, l.sent[l.rng.IntN(len(l.sent))])
	}
	s.after = page.Next
	short := s.full && page.Next != 0 && l.mayShort && l.strikes(l.trouble.short)
	if page.Next != 0 && !short {
		out.NextCursor = next()
		return out, nil
	}
	if !s.bad {
		l.cleanFrom = max(l.cleanFrom, s.began)
		if s.full {
			l.mayShort = !short
		}
	}
	return out, nil
}

// orgMachine is a row as the client decodes it.
func orgMachine(row sim.OrgRow) flyapi.OrgMachine {
	var overview struct {
		Image    string            `json:"image"`
		Metadata map[string]string `json:"metadata"`
	}
	if err := json.Unmarshal(row.Overview, &overview); err != nil {
		panic(err) // the world made it
	}
	return flyapi.OrgMachine{App: scale.App(row.App), Machine: scale.Machine{
		ID: scale.MachineID(row.ID), Name: row.Name, State: row.State, Region: scale.Region(row.Region), InstanceID: row.InstanceID,
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt, Image: overview.Image, Metadata: overview.Metadata,
		Group: scale.ProcessGroup(cmp.Or(overview.Metadata[scale.MetaProcessGroup], string(scale.DefaultProcessGroup))),
	}}
}

// truth is what an overview of the world should show, by app.
func truth(t interface{ Fatal(...any) }, world *sim.World) map[scale.App][]scale.Machine {
	page, err := world.ListOrg("acme", sim.OrgFilter{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	apps := make(map[scale.App][]scale.Machine)
	for _, row := range page.Rows {
		m := orgMachine(row)
		m.Host = scale.HostOK
		kept := map[string]string{}
		for _, key := range []string{scale.MetaReleaseVersion, scale.MetaCanary} {
			if v := m.Metadata[key]; v != "" {
				kept[key] = v
			}
		}
		if m.Metadata = kept; len(kept) == 0 {
			m.Metadata = nil
		}
		apps[m.App] = append(apps[m.App], m.Machine)
	}
	for _, machines := range apps {
		slices.SortFunc(machines, func(a, b scale.Machine) int { return strings.Compare(string(a.ID), string(b.ID)) })
	}
	return apps
}

// history is a random course of events.
type history struct {
	seed        uint64
	trouble     trouble
	rows        int
	full        time.Duration
	keepDeleted time.Duration
	steps       int
}

func genHistory(t *rapid.T) history {
	chance := func(label string, atMost float64) float64 {
		return rapid.SampledFrom([]float64{0, 0.1, 0.5, 1}).Draw(t, label) * atMost
	}
	return history{
		seed: rapid.Uint64().Draw(t, "seed"),
		trouble: trouble{
			fail: chance("fail", 0.4), silent: chance("silent", 0.4), blank: chance("blank", 0.5), late: chance("late", 0.8),
			repeat: chance("repeat", 0.5), short: chance("short", 0.5), slow: chance("slow", 0.5),
		},
		rows:        rapid.SampledFrom([]int{2, 7, 100}).Draw(t, "rows"),
		full:        rapid.SampledFrom([]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute}).Draw(t, "full"),
		keepDeleted: rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(t, "keep deleted"),
		steps:       rapid.IntRange(5, 60).Draw(t, "steps"),
	}
}

var config = json.RawMessage(`{"image":"registry.fly.io/a:1","guest":{"cpu_kind":"shared","cpus":1,"memory_mb":256}}`)

// mutate makes a random change to the world. Most are refused at times, which is
// as good as none.
func mutate(world *sim.World, rng *rand.Rand) {
	apps := world.Summary("")
	a := apps[rng.IntN(len(apps))]
	pick := func() string {
		if len(a.Machines) == 0 {
			return "none"
		}
		return a.Machines[rng.IntN(len(a.Machines))].ID
	}
	switch rng.IntN(12) {
	case 0, 1, 2:
		_, _, _ = world.CreateMachine(sim.Call{}, a.App, sim.MachineInput{Region: []string{"iad", "ord", "lhr"}[rng.IntN(3)], Config: config, SkipLaunch: rng.IntN(3) == 0})
	case 3, 4:
		_ = world.StopMachine(sim.Call{}, a.App, pick(), sim.StopInput{})
	case 5, 6:
		_, _ = world.StartMachine(sim.Call{}, a.App, pick())
	case 7, 8:
		_ = world.DestroyMachine(sim.Call{}, a.App, pick(), true)
	case 9:
		_ = world.EditMetadata(sim.Call{}, a.App, pick(), "", func(m map[string]string) {
			m[[]string{scale.MetaReleaseVersion, scale.MetaProcessGroup, "color", scale.MetaCanary}[rng.IntN(4)]] = fmt.Sprint(rng.IntN(3))
		})
	case 10:
		_ = world.SuspendMachine(sim.Call{}, a.App, pick())
	default:
		for _, m := range a.Machines { // all at once, as a person does
			_ = world.DestroyMachine(sim.Call{}, a.App, m.ID, true)
		}
	}
}

// run plays the history and returns what was wrong, "" when nothing was.
func (h history) run(t *testing.T) (wrong string) {
	synctest.Test(t, func(t *testing.T) {
		fail := func(format string, args ...any) {
			if wrong == "" {
				wrong = fmt.Sprintf(format, args...)
			}
		}
		timings := sim.DefaultTimings()
		timings.KeepDeleted = sim.Duration(h.keepDeleted)
		world := sim.New(sim.Config{Seed: h.seed, Start: time.Now(), Timings: &timings})
		rng := rand.New(rand.NewPCG(h.seed, 0))
		for i := range 5 {
			spec := sim.AppSpec{Org: "acme", App: fmt.Sprintf("app-%d", i)}
			for _, region := range []string{"iad", "ord", "lhr"} {
				if n := rng.IntN(3); n > 0 {
					spec.Machines = append(spec.Machines, sim.MachineSpec{Count: n, Region: region, Group: []string{"", "worker"}[rng.IntN(2)]})
				}
			}
			if _, err := world.AddApp(sim.Call{}, spec); err != nil {
				t.Fatal(err)
			}
		}
		api := &worldList{world: world, rng: rand.New(rand.NewPCG(h.seed, 1)), rows: h.rows, trouble: h.trouble, mayShort: true}
		w := fleet.NewWatch(api, "acme", fleet.WatchConfig{Full: h.full})
		w.Seed(h.seed)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.Run(ctx); close(done) }()
		defer func() { cancel(); <-done }()

		known := map[string]time.Time{} // Machines that exist and were shown, as of when
		var held []scale.Snapshot       // handed out, with a copy of what they said
		var copies [][]scale.Machine
		check := func() {
			synctest.Wait()
			world.Advance(time.Now())
			lastBad, cleanFrom := api.account()
			shown := map[string]time.Time{}
			for _, app := range w.Apps() {
				s, ok := w.Snapshot(app)
				switch {
				case !ok || s.App != app || !s.Overview || s.TakenAt.After(time.Now()):
					fail("app %s is known, and its snapshot is %v %+v", app, ok, s)
				case s.Complete && lastBad > cleanFrom:
					fail("%s is complete although call %d went wrong and all was well last from call %d on", app, lastBad, cleanFrom)
				}
				for i, m := range s.Machines {
					shown[string(m.ID)] = m.UpdatedAt
					if i > 0 && m.ID <= s.Machines[i-1].ID {
						fail("%s is not sorted or has one twice: %v", app, s.Machines)
					}
				}
				if rng.IntN(10) == 0 {
					held, copies = append(held, s), append(copies, slices.Clone(s.Machines))
				}
			}
			for _, a := range world.Summary("") {
				for _, m := range a.Machines {
					at, ok := shown[m.ID]
					switch before, was := known[m.ID]; {
					case was && !ok:
						fail("Machine %s of %s is %s and was shown, and now it is gone", m.ID, a.App, m.State)
					case at.Before(before):
						fail("Machine %s of %s is shown as of %s after it was shown as of %s", m.ID, a.App, at, before)
					case ok:
						known[m.ID] = at
					}
				}
			}
		}
		for range h.steps {
			for range rng.IntN(4) {
				mutate(world, rng)
			}
			time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Second))))
			check()
		}
		api.calm()
		time.Sleep(2*time.Minute + 2*h.full) // the longest pause, and lists to confirm what is missing
		check()
		want := truth(t, world)
		for app, machines := range want {
			s, ok := w.Snapshot(app)
			if !ok || !s.Complete || time.Since(s.TakenAt) > 6*time.Second {
				fail("after the trouble %s is %v, complete %v, of %s", app, ok, s.Complete, time.Since(s.TakenAt))
			}
			if diff := gocmp.Diff(machines, s.Machines); diff != "" {
				fail("after the trouble %s is (-world +watch):\n%s", app, diff)
			}
		}
		for _, app := range w.Apps() {
			if s, _ := w.Snapshot(app); len(s.Machines) > 0 && want[app] == nil {
				fail("after the trouble %s still has %v", app, s.Machines)
			}
		}
		for i, s := range held {
			if diff := gocmp.Diff(copies[i], s.Machines); diff != "" {
				fail("a snapshot was changed after it was handed out:\n%s", diff)
			}
		}
	})
	return wrong
}

// Whatever goes wrong with the list, the picture never loses a Machine that
// exists, never calls itself complete while something did not answer, and is
// right again once the trouble ends.
func TestWatchFollowsTheWorld(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		if wrong := genHistory(rt).run(t); wrong != "" {
			rt.Fatal(wrong)
		}
	})
}
