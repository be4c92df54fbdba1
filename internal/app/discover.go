package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	// orgTimeout bounds one listing of an organization's apps, all pages and tries
	// included.
	orgTimeout = 10 * time.Second
	// firstOrgTimeout bounds the very first one where settings name other apps: these
	// are not kept waiting for it. The next listing follows a second later.
	firstOrgTimeout = time.Second
	// orgPatience is how many listings of an organization must fail before the
	// autoscaler may be ready without its apps.
	orgPatience = 3
	// relistAfter is how many refreshes a list of apps serves while the picture of the
	// organization's Machines tells of the same apps. The list is one request for every
	// 200 apps, and what it adds are apps without Machines, of which none could be
	// cloned.
	relistAfter = 10
)

// question is one organization to be listed, with the token for it.
type question struct {
	connection *connection
	org        string
}

// orgList is what is known of the apps of an organization.
type orgList struct {
	apps   []scale.App // of the last listing that succeeded
	listed bool        // one has
	at     time.Time   // when it began
	seen   []scale.App // the apps that had Machines then
	failed int         // listings in a row
	note   string      // the condition that was logged last
}

// answer is the result of one listing.
type answer struct {
	apps []scale.App
	at   time.Time   // when it began
	seen []scale.App // the apps that had Machines then
	err  error
}

// discover returns all targets: those of the apps that settings name, and those
// of the apps that match a pattern. Of an organization that cannot be listed they
// are those of its last list. The error is about organizations that have none, and
// are still hoped to; an organization that refuses us, or has failed time and
// again, keeps nobody waiting as long as there is something to govern.
func (a *App) discover(ctx context.Context) ([]reconcile.Target, error) {
	g := a.now.Load()
	questions, err := g.questions()
	if err != nil {
		return nil, err
	}
	lists := make(map[question][]scale.App, len(questions))
	questions = slices.DeleteFunc(questions, func(q question) bool {
		list, current := a.current(g, q)
		if current {
			lists[q] = list.apps
		}
		return current
	})
	// As it was before the list is asked for: who comes in between makes a difference
	// the next time.
	seen := make([][]scale.App, len(questions))
	for i, q := range questions {
		if view := a.views.of(q); view != nil {
			seen[i] = view.watch.Apps()
		}
	}
	answers := ask(ctx, questions, func(q question) time.Duration { return a.listTimeout(g, q) })
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, context.Cause(ctx)
	}
	var waiting, hopeless []error
	for i, q := range questions {
		answers[i].seen = seen[i]
		list, err := a.learn(q, answers[i])
		lists[q] = list.apps
		switch {
		case err == nil || list.listed:
		case list.failed >= orgPatience || refused(err):
			hopeless = append(hopeless, err)
		default:
			waiting = append(waiting, err)
		}
	}
	a.views.await(ctx)
	targets := a.match(g, lists)
	a.govern(targets)
	if len(targets) == 0 {
		waiting = append(waiting, hopeless...)
	}
	if len(waiting) == 0 && len(hopeless) > 0 {
		return targets, &reconcile.Partial{Err: errors.Join(hopeless...)}
	}
	return targets, errors.Join(waiting...)
}

// current returns the list of an organization's apps if it need not be asked for
// again: what is seen of the organization's Machines is that of the same apps.
func (a *App) current(g *generation, q question) (orgList, bool) {
	view := a.views.of(q)
	if view == nil || !view.watch.Synced() || view.watch.Failing() {
		return orgList{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.orgs[q]
	if list == nil || !list.listed || list.failed > 0 || time.Since(list.at) >= relistAfter*g.settings.AppListRefreshInterval {
		return orgList{}, false
	}
	return *list, slices.Equal(list.seen, view.watch.Apps())
}

// allTargets returns all targets, or an error when an organization cannot be
// listed.
func (a *App) allTargets(ctx context.Context) ([]reconcile.Target, error) {
	g := a.now.Load()
	questions, err := g.questions()
	if err != nil {
		return nil, err
	}
	lists := make(map[question][]scale.App, len(questions))
	var errs []error
	for i, got := range ask(ctx, questions, func(question) time.Duration { return min(orgTimeout, g.settings.Timeout) }) {
		lists[questions[i]] = got.apps
		errs = append(errs, got.err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return a.match(g, lists), nil
}

// questions returns what has to be listed, each organization once for each token.
func (g *generation) questions() ([]question, error) {
	var questions []question
	known := make(map[question]bool)
	for _, r := range g.rules {
		if !r.target.Wildcard() {
			continue
		}
		if r.connection == nil {
			return nil, fmt.Errorf("list the apps that match %q: %w", r.target.AppPattern, g.settings.RequireToken())
		}
		if q := (question{r.connection, r.target.Org}); !known[q] {
			known[q] = true
			questions = append(questions, q)
		}
	}
	return questions, nil
}

// ask lists the organizations side by side, each within its own time, so that one
// that hangs costs the others nothing. The answers are in the order of questions.
func ask(ctx context.Context, questions []question, timeout func(question) time.Duration) []answer {
	answers := make([]answer, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions {
		limit := timeout(q)
		wg.Go(func() {
			ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no list of apps within %s", limit))
			defer cancel()
			answers[i].at = time.Now()
			answers[i].apps, answers[i].err = q.connection.apps(ctx, q.org)
		})
	}
	wg.Wait()
	return answers
}

// listTimeout is how long the next listing of an organization may last.
func (a *App) listTimeout(g *generation, q question) time.Duration {
	limit := min(orgTimeout, g.settings.Timeout)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.orgs[q] == nil && g.namesApps() {
		return min(limit, firstOrgTimeout)
	}
	return limit
}

// namesApps reports whether settings name an app.
func (g *generation) namesApps() bool {
	for _, r := range g.rules {
		if !r.target.Wildcard() {
			return true
		}
	}
	return false
}

// learn takes over the answer to a question, and returns what is then known with
// the answer's error. It logs what the caller will not return as an error.
func (a *App) learn(q question, got answer) (orgList, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.orgs[q]
	if list == nil {
		list = &orgList{}
		a.orgs[q] = list
	}
	if got.err == nil {
		if list.note != "" {
			a.logger.Info("list of apps available again", "org", q.org, "apps", len(got.apps))
		}
		*list = orgList{apps: got.apps, listed: true, at: got.at, seen: got.seen}
		return *list, nil
	}
	list.failed++
	if note := condition(got.err); note != list.note && (list.listed || list.failed >= orgPatience || refused(got.err)) {
		list.note = note
		a.logger.Warn("list of apps not available; going on without what is new in it", "org", q.org, "known", len(list.apps), "error", got.err)
	}
	return *list, got.err
}

// condition is the text of an error without what is different each time.
func condition(err error) string {
	var c interface{ Condition() string }
	if errors.As(err, &c) {
		return c.Condition()
	}
	return err.Error()
}

// refused reports whether asking again will not help.
func refused(err error) bool {
	switch flyapi.KindOf(err) {
	case flyapi.KindUnauthorized, flyapi.KindNotFound, flyapi.KindInvalid:
		return true
	}
	return false
}

// match returns the targets of the apps that settings name, and of those in lists
// that match a pattern. An app's group is governed once, by the first rule that
// matches it.
func (a *App) match(g *generation, lists map[question][]scale.App) []reconcile.Target {
	var targets []reconcile.Target
	seen := make(map[string]bool)
	add := func(r rule, app scale.App) {
		if t := a.target(r, app); !seen[t.Key()] {
			seen[t.Key()] = true
			targets = append(targets, t)
		}
	}
	for _, r := range g.rules {
		if !r.target.Wildcard() {
			add(r, scale.App(r.target.AppPattern))
			continue
		}
		var apps []scale.App
		for _, app := range lists[question{r.connection, r.target.Org}] {
			// A pattern never means the autoscaler itself, which would stop itself.
			if app != a.self && config.MatchApp(r.target.AppPattern, string(app)) {
				apps = append(apps, app)
				add(r, app)
			}
		}
		r.apps.set(apps)
	}
	return targets
}

// target is the target of one app that the rule governs.
func (a *App) target(r rule, app scale.App) reconcile.Target {
	t := reconcile.Target{App: app, Policy: r.policy, Sources: r.sources, DryRun: r.dryRun}
	if r.connection != nil {
		t.Fleet, t.Actuator = r.connection.fleet, r.connection.actuator
	}
	if view := a.views.of(question{r.connection, r.target.Org}); view != nil && r.target.Wildcard() {
		t.Fleet = view.fleet
	}
	return t
}

// govern notes which groups of an app are governed.
func (a *App) govern(targets []reconcile.Target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range targets {
		groups := a.groups[t.App]
		if groups == nil {
			groups = make(map[scale.ProcessGroup]bool)
			a.groups[t.App] = groups
		}
		groups[t.Policy.Group] = true
	}
}

// release notes that a group of an app is no longer governed, and returns whether
// it was the last one.
func (a *App) release(app scale.App, group scale.ProcessGroup) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.groups[app], group)
	if len(a.groups[app]) > 0 {
		return false
	}
	delete(a.groups, app)
	return true
}
