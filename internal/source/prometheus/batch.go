package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// group finds out how the query can be asked for many apps.
func (s *Source) group(cfg Config) error {
	if cfg.GroupLabel == "" {
		grouped, err := Group(cfg.Query, "")
		if err != nil {
			s.perApp = refusal(err)
		}
		s.grouped = grouped
		return nil
	}
	switch {
	case s.query.perApp():
		return fmt.Errorf("a query that is grouped by %s already must not hold $%s", cfg.GroupLabel, variable)
	case !isPlainLabel(cfg.GroupLabel):
		return fmt.Errorf("group label %q is not made of letters, digits and underscores", cfg.GroupLabel)
	}
	s.byLabel = true
	s.grouped = Grouped{label: cfg.GroupLabel, parts: []string{cfg.Query}}
	return nil
}

// Mode reports whether many apps are asked for in one query, and if not, why, in
// words for the author of the query. A rewritten query counts as grouped until
// its answers are seen to differ.
func (s *Source) Mode() (grouped bool, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.perApp == "", s.perApp
}

// batch is what became of asking for many apps at once.
type batch struct {
	*Source
	warnings *warningSet

	mu      sync.Mutex
	samples map[scale.App]scale.Sample // guarded by mu
	origins map[scale.App]origin       // of samples, while the query is not checked; guarded by mu
	refused []part                     // guarded by mu
}

// origin is where the sample of an app comes from.
type origin struct {
	list []scale.App // asked for in one query
	row  bool        // there was a row for the app
}

// part is apps to ask for in one query.
type part struct {
	apps []scale.App // whose samples are wanted
	list []scale.App // that are asked for; nil is all that the server knows
	err  error       // why the server refused
}

// collectGrouped asks for many apps at once.
func (s *Source) collectGrouped(ctx context.Context, apps []scale.App, warnings *warningSet) map[scale.App]scale.Sample {
	b := &batch{Source: s, warnings: warnings, samples: make(map[scale.App]scale.Sample, len(apps))}
	if s.byLabel {
		b.run(ctx, []part{{apps: apps}})
		for _, p := range b.refused {
			b.fail(p, p.err)
		}
		return b.samples
	}
	// A name that the platform cannot have given is asked for by itself, so that
	// what a server makes of it is nobody else's trouble.
	valid, single := divideApps(apps)
	checked := s.isChecked()
	if !checked {
		b.origins = make(map[scale.App]origin, len(valid))
	}
	b.run(ctx, s.parts(valid))
	switch {
	case checked:
		single = append(single, b.resolve(ctx)...)
	case len(b.refused) > 0 || !b.check(ctx, valid):
		single = apps
	}
	b.eachOf(ctx, single)
	if !checked && len(b.refused) > 0 {
		b.checkRefused(ctx, valid)
	}
	return b.samples
}

func divideApps(apps []scale.App) (valid, odd []scale.App) {
	for _, app := range apps {
		if source.ValidApp(app) {
			valid = append(valid, app)
		} else {
			odd = append(odd, app)
		}
	}
	return valid, odd
}

// parts divides apps into queries.
func (s *Source) parts(apps []scale.App) []part {
	if len(apps) == 0 {
		return nil
	}
	lists := s.grouped.divide(apps)
	parts := make([]part, len(lists))
	for i, list := range lists {
		parts[i] = part{apps: list, list: list}
		if list == nil {
			parts[i].apps = apps
		}
	}
	return parts
}

// run asks for all parts, a few at a time.
func (b *batch) run(ctx context.Context, parts []part) {
	var group sync.WaitGroup
	slots := make(chan struct{}, concurrency)
	for _, p := range parts {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			b.part(ctx, p)
		})
	}
	group.Wait()
}

// part asks for one part and keeps the samples of its apps, unless the server
// refused the query.
func (b *batch) part(ctx context.Context, p part) {
	found, err := b.askRows(ctx, p, time.Time{}, b.warnings)
	switch {
	case isMute(err):
		b.fail(p, err)
		return
	case err != nil:
		p.err = err
		b.mu.Lock()
		b.refused = append(b.refused, p)
		b.mu.Unlock()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, app := range p.apps {
		r, err := found.read(app, b.grouped.label, b.grouped.absent)
		b.samples[app] = b.newSample(r, err)
		if b.origins != nil {
			b.origins[app] = origin{list: p.list, row: found.byApp[app] != nil}
		}
	}
}

// fail gives all apps of a part the same error.
func (b *batch) fail(p part, err error) {
	sample := b.newSample(reading{}, err)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, app := range p.apps {
		b.samples[app] = sample
	}
}

// eachOf asks for apps one by one.
func (b *batch) eachOf(ctx context.Context, apps []scale.App) {
	maps.Copy(b.samples, b.collectEach(ctx, apps, b.warnings))
}

// resolve asks again, in smaller parts, for what the server refused: because of
// what it has of a single app, such as two series where one may be, or because
// of the answer's size. It returns the apps that are left to be asked for by
// themselves. Halving finds one such app among a thousand in some twenty queries,
// and never takes more than two for every app.
func (b *batch) resolve(ctx context.Context) (single []scale.App) {
	for len(b.refused) > 0 {
		refused := b.refused
		b.refused = nil
		slices.SortFunc(refused, func(x, y part) int { return cmp.Compare(x.apps[0], y.apps[0]) })
		var parts []part
		b.warnings.add([]string{fmt.Sprintf("the query for many apps at once was refused: %v", refused[0].err)})
		for _, p := range refused {
			lists := [][]scale.App{p.apps[:len(p.apps)/2], p.apps[len(p.apps)/2:]}
			if p.list == nil {
				lists = b.grouped.chunks(p.apps)
			}
			for _, list := range lists {
				if len(list) > 1 {
					parts = append(parts, part{apps: list, list: list})
				} else {
					single = append(single, list...)
				}
			}
		}
		b.run(ctx, parts)
	}
	return single
}

// askRows asks for the apps of a part, as of a time unless that is zero.
func (s *Source) askRows(ctx context.Context, p part, at time.Time, warnings *warningSet) (rows, error) {
	wanted := make(map[scale.App]bool, len(p.apps))
	for _, app := range p.apps {
		wanted[app] = true
	}
	began := time.Now()
	var found rows
	err := s.request(ctx, s.grouped.Query(p.list), at, func(body []byte, answered time.Time) (err error) {
		found, err = decodeRows(body, s.grouped.label, wanted)
		found.answered = answered
		return err
	})
	if err == nil && found.named == 0 && found.nameless > 0 && s.grouped.absent == nil {
		err = fmt.Errorf("none of the %d series that the query returned has the label %s; add it to by(…)", found.nameless, s.grouped.label)
	}
	warnings.add(found.warnings)
	s.observe(time.Since(began), s.wrap(err))
	return found, err
}

// isMute reports whether an error says that the server could not be heard, or
// not wholly, as opposed to having answered that it will not or cannot answer
// this query.
func isMute(err error) bool {
	if _, lost := errors.AsType[*transportError](err); lost || errors.Is(err, errNotAPI) || errors.Is(err, errPartial) {
		return true
	}
	e, ok := errors.AsType[*statusError](err)
	return ok && !slices.Contains([]int{
		http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
	}, e.status)
}
