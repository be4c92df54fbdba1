package flyapi

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	affinityCookie = "fly_flaps_affinity"
	maxAffinities  = 2048
)

// affinity keeps the one cookie the Machines API sets: it leads later calls for
// an app to the node that did its create, where a list is sure to show it. A
// general cookie jar looks through the cookies of all apps on every request and
// never forgets one.
type affinity struct {
	mu    sync.Mutex
	byApp map[string]affinityEntry // guarded by mu
}

type affinityEntry struct {
	value   string
	expires time.Time // zero: not told
}

func newAffinity() *affinity { return &affinity{byApp: map[string]affinityEntry{}} }

// SetCookies implements http.CookieJar.
func (a *affinity) SetCookies(u *url.URL, cookies []*http.Cookie) {
	app, ok := appOfPath(u.Path)
	if !ok {
		return
	}
	for _, cookie := range cookies {
		if cookie.Name != affinityCookie {
			continue
		}
		a.mu.Lock()
		switch {
		case cookie.MaxAge < 0 || cookie.Value == "":
			delete(a.byApp, app)
		default:
			a.evict()
			expires := cookie.Expires
			if cookie.MaxAge > 0 {
				expires = time.Now().Add(time.Duration(cookie.MaxAge) * time.Second)
			}
			a.byApp[app] = affinityEntry{value: cookie.Value, expires: expires}
		}
		a.mu.Unlock()
	}
}

// evict makes room for one entry; which one goes does not matter, since the
// cookie only saves the platform a detour. The caller holds a.mu.
func (a *affinity) evict() {
	for app := range a.byApp {
		if len(a.byApp) < maxAffinities {
			return
		}
		delete(a.byApp, app)
	}
}

// Cookies implements http.CookieJar.
func (a *affinity) Cookies(u *url.URL) []*http.Cookie {
	app, ok := appOfPath(u.Path)
	if !ok {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	entry, ok := a.byApp[app]
	if !ok {
		return nil
	}
	if !entry.expires.IsZero() && time.Now().After(entry.expires) {
		delete(a.byApp, app)
		return nil
	}
	return []*http.Cookie{{Name: affinityCookie, Value: entry.value}}
}

func appOfPath(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/v1/apps/")
	if !ok {
		return "", false
	}
	app, _, _ := strings.Cut(rest, "/")
	return app, app != ""
}
