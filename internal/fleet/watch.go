package fleet

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// OrgAPI is what a Watch needs of the platform.
type OrgAPI interface {
	// ListOrgMachines returns one page of the organization's Machines. The page is
	// the caller's.
	ListOrgMachines(ctx context.Context, org string, q flyapi.OrgQuery) (flyapi.OrgPage, error)
}

// WatchConfig says how a Watch keeps up.
type WatchConfig struct {
	// Poll is the time between two reads of what changed. Zero means 5 s.
	Poll time.Duration
	// Full is the time between two reads of all Machines, which find what a read
	// of changes can not: that a Machine is missing. Zero means 5 min.
	Full time.Duration
	// Margin is how late the platform may tell of a change. Once in each Margin a
	// read of changes goes back that far beyond the last that did; the others go
	// back a quarter of it, so that a burst of changes is not read again a dozen
	// times. Zero means 1 min.
	Margin time.Duration
	Logger *slog.Logger
}

// Watch keeps a picture of all Machines of an organization by its org-wide list,
// at a cost that does not grow with the number of apps: one page in each Poll, and
// all pages in each Full.
//
//	        first full list            a read fails, or a region
//	        is complete                does not answer
//	blind ───────────────▶ complete ─────────────▶ incomplete
//	                          ▲   all changes read since  │
//	                          └───────────────────────────┘
//
// A row never replaces a newer one. A Machine is gone when a row says that it was
// destroyed, or when two complete full lists in a row lack it (three, when they
// have no Machine at all); until then it is shown, and its app is incomplete.
//
// What a Watch shows is an overview, to detect that something may be to do. Before
// acting, the app's own list is read, with a Lister. A Watch may be used by many
// goroutines at once; none of its methods but Run waits for the platform.
type Watch struct {
	api    OrgAPI
	org    string
	cfg    WatchConfig
	lag    lag
	logger *slog.Logger

	changed chan scale.App
	wake    chan struct{} // holds a token when changes are pending

	mu      sync.Mutex
	picture *picture           // guarded by mu
	synced  bool               // guarded by mu; a full list was complete
	taken   time.Time          // guarded by mu; when the last complete read began
	failing bool               // guarded by mu; the last read of all Machines failed
	gap     time.Time          // guarded by mu; when the picture became incomplete, zero while it is not
	pending []scale.App        // guarded by mu; changed, and not announced yet
	queued  map[scale.App]bool // guarded by mu; those in pending

	// Only Run touches what follows.
	since time.Time // all changes up to then were read, by the platform's clock …
	sure  time.Time // … and up to then by a read that went back the whole Margin …
	wide  time.Time // … and that began then, by ours
	clock reckoning
	rng   *rand.Rand
	blank bool   // the first full list had no Machine
	note  string // the condition that was logged last
}

// NewWatch returns a Watch over the organization with the slug. It reads nothing
// until Run.
func NewWatch(api OrgAPI, org string, cfg WatchConfig) *Watch {
	cfg.Poll = cmp.Or(cfg.Poll, 5*time.Second)
	cfg.Full = cmp.Or(cfg.Full, 5*time.Minute)
	cfg.Margin = cmp.Or(cfg.Margin, time.Minute)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Watch{
		api: api, org: org, cfg: cfg, lag: lag{write: cfg.Margin, create: cfg.Margin},
		logger:  cfg.Logger.With("component", "fleet", "org", org),
		changed: make(chan scale.App), wake: make(chan struct{}, 1),
		picture: newPicture(), queued: make(map[scale.App]bool),
		rng: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
}

// Run keeps the picture up to date until ctx ends, and closes Changed when it
// returns. It may be called once.
func (w *Watch) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { w.announce(ctx) })
	w.follow(ctx)
	wg.Wait()
}

// Synced reports whether a full list has been complete. Until then there are no
// snapshots.
func (w *Watch) Synced() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced
}

// Failing reports whether the last read of all Machines failed, as it does for a
// token that may not see the organization.
func (w *Watch) Failing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failing
}

// Snapshot returns the overview of an app's Machines, with our own writes that
// the list does not show yet. TakenAt is when the last read that succeeded began;
// it grows old while the platform does not answer. Complete is false while a
// region did not answer or part of the changes could not be read, and while a
// Machine of the app is missing. It reports false while not Synced, and for an app
// without a row.
func (w *Watch) Snapshot(app scale.App) (scale.Snapshot, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.picture.apps[app]
	if a == nil || !w.synced {
		return scale.Snapshot{}, false
	}
	s := scale.Snapshot{
		App: app, Machines: slices.Clip(a.machines), TakenAt: w.taken,
		Complete: w.gap.IsZero() && a.missing == 0, Overview: true,
	}
	if len(a.writes) > 0 {
		// Compared with the time of the read, so that a write is not forgotten
		// because nothing was read since.
		s.Machines = a.writes.show(s.Machines, w.taken, w.lag)
		slices.SortFunc(s.Machines, func(a, b scale.Machine) int { return cmp.Compare(a.ID, b.ID) })
	}
	return s, true
}

// Apps returns the apps that have Machines, sorted. It is empty while not Synced.
func (w *Watch) Apps() []scale.App {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.synced {
		return nil
	}
	apps := make([]scale.App, 0, len(w.picture.apps))
	for name, a := range w.picture.apps {
		if len(a.machines) > 0 {
			apps = append(apps, name)
		}
	}
	slices.Sort(apps)
	return apps
}

// Wrote tells what was changed, so that a list that lags does not hide it.
func (w *Watch) Wrote(app scale.App, outcomes []scale.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.picture.app(app, time.Now())
	a.writes.wrote(outcomes)
}

// Changed returns the channel on which apps are announced whose Machines changed
// after Synced. An app that changes again before it is received is announced once;
// nobody needs to receive.
func (w *Watch) Changed() <-chan scale.App { return w.changed }

// announce hands the pending changes to whoever receives.
func (w *Watch) announce(ctx context.Context) {
	defer close(w.changed)
	for {
		app, ok := w.nextChange()
		if !ok {
			select {
			case <-w.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case w.changed <- app:
		case <-ctx.Done():
			return
		}
	}
}

func (w *Watch) nextChange() (scale.App, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 {
		w.pending = nil
		return "", false
	}
	app := w.pending[0]
	w.pending = w.pending[1:]
	delete(w.queued, app)
	return app, true
}

// tell makes changes pending. The caller holds mu.
func (w *Watch) tell(apps []scale.App) {
	if !w.synced {
		return
	}
	for _, app := range apps {
		if !w.queued[app] {
			w.queued[app] = true
			w.pending = append(w.pending, app)
		}
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
