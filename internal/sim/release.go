package sim

import (
	"net/http"
	"slices"
	"time"
)

// Release is one release of an app.
type Release struct {
	ID          string
	App         string
	Version     int
	Status      string // "running", "complete", "failed", "interrupted", …
	Stable      bool
	Strategy    string
	Reason      string
	Description string
	ImageRef    string
	User        string // e-mail address of who deployed
	CreatedAt   time.Time
}

// ReleaseInput changes or adds a release.
type ReleaseInput struct {
	// Version of the release; 0 means the newest, or, when the app has none or
	// New is set, the next.
	Version     int
	New         bool
	Status      string
	ImageRef    string
	Strategy    string
	Description string
}

// PutRelease changes the release of that version, or adds it.
func (w *World) PutRelease(call Call, appName string, in ReleaseInput) (Release, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[appName]
	if !ok {
		return Release{}, appNotFound()
	}
	r := w.putRelease(a, in)
	w.record("release_put", a, nil, call)
	return *r, nil
}

func (w *World) putRelease(a *app, in ReleaseInput) *Release {
	newest := 0
	if n := len(a.releases); n > 0 {
		newest = a.releases[n-1].Version
	}
	if in.Version == 0 {
		in.Version = newest
		if in.New || newest == 0 {
			in.Version = newest + 1
		}
	}
	var r *Release
	for _, known := range a.releases {
		if known.Version == in.Version {
			r = known
		}
	}
	if r == nil {
		r = &Release{
			ID: "rel_" + w.opaque(16), App: a.name, Version: in.Version, Status: "complete", Strategy: "rolling",
			Description: "Deploy image", User: "user@example.com", CreatedAt: w.now,
			ImageRef: "registry.fly.io/" + a.name + ":deployment-" + ulid(w.ids, w.now),
		}
		a.releases = append(a.releases, r)
		slices.SortStableFunc(a.releases, func(x, y *Release) int { return x.Version - y.Version })
		a.status = "deployed"
	}
	for _, set := range []struct {
		to   *string
		from string
	}{{&r.Status, in.Status}, {&r.ImageRef, in.ImageRef}, {&r.Strategy, in.Strategy}, {&r.Description, in.Description}} {
		if set.from != "" {
			*set.to = set.from
		}
	}
	r.Stable = r.Status == "complete"
	return r
}

// SetReleaseStatus changes the status of a release by its identifier.
func (w *World) SetReleaseStatus(call Call, id, status string) (Release, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.orgList {
		for _, a := range o.apps {
			for _, r := range a.releases {
				if r.ID == id {
					r.Status = status
					r.Stable = status == "complete"
					w.record("release_put", a, nil, call)
					return *r, nil
				}
			}
		}
	}
	return Release{}, refuse(http.StatusNotFound, "release not found")
}

// Releases returns up to limit releases of an app, newest first; only those of
// the given status unless it is empty. A limit of 0 is no limit.
func (w *World) Releases(appName, status string, limit int) ([]Release, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[appName]
	if !ok {
		return nil, appNotFound()
	}
	out := []Release{}
	for _, r := range slices.Backward(a.releases) {
		if limit > 0 && len(out) == limit {
			break
		}
		if status == "" || r.Status == status {
			out = append(out, *r)
		}
	}
	return out, nil
}
