package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/httpapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Options are what does not come from the settings.
type Options struct {
	Logger  *slog.Logger
	Version string
	// Self is the app that the autoscaler itself runs as; empty off the platform.
	Self scale.App
	// Reload, unless nil, tells that the settings may have changed, by a function that
	// reads them anew.
	Reload <-chan func() (*config.Settings, error)
	// Transport, unless nil, carries all requests, to the platform and to sources of
	// metrics. It is not closed.
	Transport http.RoundTripper
	// Observe, unless nil, is called after each pass, by the
	// goroutine that made it.
	Observe func(Report)
}

// App is a configured autoscaler. Make it with New and close it when done.
type App struct {
	logger   *slog.Logger
	metrics  *metrics
	passes   *passes
	platform *platform
	options  Options
	self     scale.App
	now      atomic.Pointer[generation]
	views    orgViews
	reloads  reloads
	records  *records
	cleanups []cleanup

	mu     sync.Mutex
	orgs   map[question]*orgList                     // guarded by mu
	groups map[scale.App]map[scale.ProcessGroup]bool // guarded by mu; those governed
}

// cleanup is one named step of taking the App down.
type cleanup struct {
	name string
	run  func() error
}

// New builds an App. It talks to nobody yet.
func New(settings *config.Settings, options Options) (_ *App, err error) {
	a := &App{
		logger:  options.Logger,
		options: options,
		self:    options.Self,
		passes:  newPasses(),
		orgs:    make(map[question]*orgList),
		groups:  make(map[scale.App]map[scale.ProcessGroup]bool),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	a.metrics = newMetrics(options.Version, a.passes)
	a.records = newRecords(settings.StoreDir, retentionOf(settings), a.logger, a.metrics)
	a.platform = newPlatform(settings, options, a.metrics)
	a.onClose("platform clients", func() error { a.platform.close(); return nil })
	g, err := a.newGeneration(settings)
	if err != nil {
		return nil, err
	}
	a.now.Store(g)
	return a, nil
}

func (a *App) onClose(name string, run func() error) {
	a.cleanups = append(a.cleanups, cleanup{name, run})
}

// Close releases what New acquired, the last first.
func (a *App) Close() error {
	var err error
	if g := a.now.Load(); g != nil {
		err = g.close()
	}
	err = errors.Join(err, closeAll(a.cleanups))
	a.cleanups = nil
	return err
}

// closeAll runs the cleanups, the last first.
func closeAll(cleanups []cleanup) error {
	var errs []error
	for _, c := range slices.Backward(cleanups) {
		if err := c.run(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

// shutdownGrace is how long requests of the HTTP face may go on at the end.
const shutdownGrace = 2 * time.Second

// Serve governs the targets and answers over HTTP until ctx ends or the listener
// fails. It returns when everything has come to rest.
func (a *App) Serve(ctx context.Context) error {
	return a.drive(ctx, a.serve)
}

// Govern governs the targets as Serve does, and answers nobody.
func (a *App) Govern(ctx context.Context) error {
	return a.drive(ctx, func(ctx context.Context, _ context.CancelFunc, loop *reconcile.Loop) error {
		loop.Run(ctx)
		return nil
	})
}

// drive makes the loop, has run run it until ctx ends, and waits for what it
// started besides. stop, which run is given, ends it before.
func (a *App) drive(ctx context.Context, run func(ctx context.Context, stop context.CancelFunc, loop *reconcile.Loop) error) error {
	if err := a.now.Load().settings.RequireToken(); err != nil {
		return err
	}
	if err := a.records.open(ctx); err != nil {
		return err
	}
	defer func() {
		if err := a.records.close(ctx); err != nil {
			a.logger.Warn("close the store", "error", err)
		}
	}()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g := a.now.Load()
	changed, err := a.views.start(ctx, a, g)
	if err != nil {
		return err
	}
	defer a.views.wait()
	defer stop()
	cfg := a.loopConfig(g.settings)
	cfg.Wake = changed
	loop := reconcile.New(cfg, a.discover)
	a.records.settle(loop.Complete)
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		a.keepReloading(ctx, loop)
	}()
	defer func() { stop(); <-reloads }()
	return run(ctx, stop, loop)
}

// serve runs the loop and the HTTP face.
func (a *App) serve(ctx context.Context, stop context.CancelFunc, loop *reconcile.Loop) error {
	handler := httpapi.Handler(httpapi.Config{
		Metrics: a.metrics.handler(),
		Ready:   func() (bool, string) { return a.ready(loop) },
		Targets: a.targets,
		Journal: a.records,
		Logger:  a.logger,
	})
	g := a.now.Load()
	server, err := httpapi.Listen(ctx, g.settings.Listen, handler, a.logger)
	if err != nil {
		return err
	}
	a.logger.Info("serving", "address", server.Addr(), "targets", len(g.rules), "interval", g.settings.Interval, "dry_run", g.settings.DryRun)

	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-ctx.Done():
		case failed = <-server.Failed():
			stop()
		}
	})
	loop.Run(ctx)
	wg.Wait()
	a.logger.Info("stopping")
	downCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := server.Shutdown(downCtx); err != nil {
		a.logger.Debug("shut the HTTP server down", "error", err)
	}
	if failed != nil {
		return fmt.Errorf("serve HTTP on %s: %w", server.Addr(), failed)
	}
	return nil
}

func (a *App) loopConfig(settings *config.Settings) reconcile.Config {
	return reconcile.Config{
		Interval:    settings.Interval,
		Timeout:     settings.Timeout,
		Refresh:     settings.AppListRefreshInterval,
		Concurrency: settings.Concurrency,
		Logger:      a.logger,
		Observe:     a.observe,
		Forget:      a.forget,
		Memories:    a.records,
	}
}

// observe takes note of a pass.
func (a *App) observe(r reconcile.Report) {
	a.metrics.pass(r)
	if a.options.Observe != nil {
		a.options.Observe(r)
	}
	a.passes.add(r)
	a.records.pass(r)
}

// forget drops what is kept of a target that is no longer governed, so that no
// graph shows it as it was for ever.
func (a *App) forget(t reconcile.Target) {
	a.passes.forget(t.App, t.Policy.Group)
	a.records.forget(t)
	if a.release(t.App, t.Policy.Group) {
		a.platform.forget(t.App)
	}
}

func (a *App) ready(loop *reconcile.Loop) (bool, string) {
	ready := loop.Ready()
	all, failing := a.passes.count()
	how := fmt.Sprintf("%d targets had a pass, %d of the last ones failed", all, failing)
	if bad := a.reloads.problem(); bad != "" {
		how += "; the settings in force are not the newest: " + bad
	}
	if bad := a.records.problem(); bad != "" {
		how += "; " + bad
	}
	return ready, how
}

// targets tells the last pass of each target.
func (a *App) targets(app scale.App) []httpapi.Target {
	var out []httpapi.Target
	for _, kept := range a.passes.of(app) {
		out = append(out, kept.target())
	}
	return out
}

// Report is what one pass saw, decided and did.
type Report = reconcile.Report
