package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
)

// reloads is what came of the last time that the settings were read anew.
type reloads struct {
	mu  sync.Mutex
	bad string // guarded by mu; why they could not be taken over, or ""
}

func (r *reloads) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = ""
	if err != nil {
		r.bad = err.Error()
	}
}

func (r *reloads) problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad
}

// keepReloading takes over settings that changed until ctx ends.
func (a *App) keepReloading(ctx context.Context, loop *reconcile.Loop) {
	for {
		select {
		case <-ctx.Done():
			return
		case read, ok := <-a.options.Reload:
			if !ok {
				return
			}
			settings, err := read()
			if err == nil {
				err = a.reload(ctx, loop, settings)
			}
			a.reloads.note(err)
			a.metrics.reload(err)
			if err != nil {
				a.logger.Error("settings not taken over; going on with those before", "error", err)
			}
		}
	}
}

// reload governs by other settings from the next passes on. What may fail comes
// first; until it is done nothing changes. What is remembered of targets that stay is
// kept, and passes under way end by the settings they began with.
func (a *App) reload(ctx context.Context, loop *reconcile.Loop, settings *config.Settings) error {
	if err := settings.RequireToken(); err != nil {
		return err
	}
	next, err := a.newGeneration(settings)
	if err != nil {
		return err
	}
	if err := a.views.follow(next); err != nil {
		return fmt.Errorf("%w (%w)", err, next.close())
	}
	before := a.now.Swap(next)
	for _, what := range fixed(before.settings, settings) {
		a.logger.Warn("a setting changed that holds from the next start on", "setting", what)
	}
	a.logger.Info("settings taken over", "targets", len(next.rules), "interval", settings.Interval, "dry_run", settings.DryRun)
	loop.Configure(a.loopConfig(settings))
	// The rules before may be at work until every pass that knew them has ended.
	limit, cancel := context.WithTimeout(ctx, orgTimeout+syncTimeout+before.settings.Timeout+time.Second)
	defer cancel()
	loop.Rediscover(limit)
	loop.Settle(limit)
	if err := before.close(); err != nil {
		a.logger.Warn("close the sources of the settings before", "error", err)
	}
	return nil
}

// fixed names the settings that differ and are only looked at when the program
// starts.
func fixed(before, after *config.Settings) []string {
	var names []string
	for _, s := range []struct {
		name   string
		differ bool
	}{
		{"listen", before.Listen != after.Listen},
		{"store-dir", before.StoreDir != after.StoreDir},
		{"journal-retention", before.JournalRetention != after.JournalRetention},
		{"journal-entries", before.JournalEntries != after.JournalEntries},
		{"log-format", before.LogFormat != after.LogFormat},
		{"log-level", before.LogLevel != after.LogLevel},
		{"FLY_FLAPS_BASE_URL", before.MachinesURL != after.MachinesURL},
		{"FLY_API_BASE_URL", before.GraphQLURL != after.GraphQLURL},
	} {
		if s.differ {
			names = append(names, s.name)
		}
	}
	return names
}
