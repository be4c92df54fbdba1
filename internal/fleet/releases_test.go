package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/fleet"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// releases answers after a moment, and counts.
type releases struct {
	mu    sync.Mutex
	asked []int // guarded by mu
}

func (r *releases) Releases(ctx context.Context, apps []scale.App) (map[scale.App]scale.Release, error) {
	r.mu.Lock()
	r.asked = append(r.asked, len(apps))
	r.mu.Unlock()
	out := map[scale.App]scale.Release{}
	select {
	case <-time.After(30 * time.Millisecond):
	case <-ctx.Done():
		for _, app := range apps {
			out[app] = scale.Release{Unavailable: "the asker left"}
		}
		return out, ctx.Err()
	}
	for i, app := range apps {
		out[app] = scale.Release{Known: true, Exists: true, Version: i + 1, Status: "complete"}
		if app == "none" {
			out[app] = scale.Release{Unavailable: "could not find the app"}
		}
	}
	return out, errors.New("some could not be had")
}

// Questions of the same moment go together, a hundred at a time; one app's error is
// its own.
func TestReleasesGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &releases{}
		r := fleet.NewReleases(api)
		var wg sync.WaitGroup
		for i := range 220 {
			app := scale.App(fmt.Sprint("app-", i))
			if i == 60 {
				app = "none"
			}
			wg.Go(func() {
				got, err := r.Release(t.Context(), app)
				if (err != nil) != (app == "none") || got.Known == (app == "none") {
					t.Errorf("%s: got %+v, %v", app, got, err)
				}
			})
		}
		wg.Wait()
		if got := fmt.Sprint(api.asked); got != "[100 100 20]" {
			t.Errorf("asked for %s releases, want three requests", got)
		}
		begin := time.Now()
		if _, err := r.Release(t.Context(), "alone"); err != nil || time.Since(begin) > 50*time.Millisecond {
			t.Errorf("alone: %v after %s", err, time.Since(begin))
		}
	})
}

// Whoever's time is up leaves; those who wait for an asker that left get an error
// and no silence.
func TestReleasesEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fleet.NewReleases(&releases{})
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		for _, ctx := range []context.Context{ctx, t.Context()} {
			wg.Go(func() {
				if _, err := r.Release(ctx, "web"); err == nil {
					t.Error("no error although the asker left")
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}
