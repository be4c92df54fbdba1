package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// group finds out how the query can be asked for many apps.
func (s *Source) group(cfg Config) error {
	if cfg.MachineLabel != "" && (!isPlainLabel(cfg.MachineLabel) || cfg.MachineLabel == cfg.GroupLabel) {
		return fmt.Errorf("machine label %q is not made of letters, digits and underscores, or is the group label", cfg.MachineLabel)
	}
	if cfg.GroupLabel == "" && cfg.MachineLabel != "" {
		s.perApp = "its values are those of Machines"
		return nil
	}
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
	late    []part                     // guarded by mu
}

// origin is where the sample of an app comes from.
type origin struct {
	list   []scale.App // asked for in one query; nil is all that the server knows
	except []scale.App // left out then
	row    bool        // there was a row for the app
}

// part is apps to ask for in one query.
type part struct {
	apps   []scale.App   // whose samples are wanted
	list   []scale.App   // that are asked for; nil is all that the server knows
	except []scale.App   // that are left out when list is nil
	within time.Duration // in which the answer must come; 0 is the collection's time
	err    error         // why the server refused, or that it was late
}

// CollectTogether implements source.Together. It leaves out the apps that spoil
// the query for many apps at once, and all apps when there is no such query.
func (s *Source) CollectTogether(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	if len(apps) == 0 {
		return map[scale.App]scale.Sample{}
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var warnings warningSet
	defer func() { s.noteWarnings(ctx, "", warnings.sorted()) }()
	if !s.varies() {
		return source.Same(apps, s.sample(ctx, "", &warnings))
	}
	return s.collectTogether(ctx, slices.Compact(slices.Sorted(slices.Values(apps))), &warnings)
}

// collectTogether asks for many apps at once.
func (s *Source) collectTogether(ctx context.Context, apps []scale.App, warnings *warningSet) map[scale.App]scale.Sample {
	b := &batch{Source: s, warnings: warnings, samples: make(map[scale.App]scale.Sample, len(apps))}
	if s.byLabel {
		b.run(ctx, []part{{apps: apps}})
		for _, p := range slices.Concat(b.refused, b.late) {
			b.fail(p, p.err)
		}
		return b.samples
	}
	spoilers := s.apart.names()
	apps = without(validApps(apps), spoilers)
	if grouped, _ := s.Mode(); !grouped || len(apps) < 2 {
		return b.samples
	}
	checked := s.isChecked()
	if !checked {
		b.origins = make(map[scale.App]origin, len(apps))
	}
	parts := s.parts(apps, spoilers)
	b.run(ctx, parts)
	heard := len(b.late) < len(parts)
	if checked {
		b.resolve(ctx)
	}
	b.suspect(ctx, heard)
	switch {
	case checked:
	case len(b.refused) > 0:
		b.samples = b.checkRefused(ctx, apps)
	case !b.check(ctx, apps):
		clear(b.samples)
	}
	return b.samples
}

// validApps leaves out names that the platform cannot have given. They are asked
// for by themselves, so that what a server makes of them is nobody else's trouble.
func validApps(apps []scale.App) []scale.App {
	return slices.DeleteFunc(slices.Clone(apps), func(app scale.App) bool { return !source.ValidApp(app) })
}

// parts divides apps into queries. Those among whom one is suspected of keeping
// the server from answering are asked for in smaller parts.
func (s *Source) parts(apps, spoilers []scale.App) []part {
	s.mu.Lock()
	suspects := s.suspects
	s.mu.Unlock()
	var parts []part
	for _, list := range suspects {
		list = slices.DeleteFunc(slices.Clone(list), func(app scale.App) bool {
			_, found := slices.BinarySearch(apps, app)
			return !found
		})
		apps = without(apps, list)
		for _, p := range s.quarters(list) {
			p.within = s.timeout / quarters
			parts = append(parts, p)
		}
	}
	for _, list := range s.grouped.divide(apps, spoilers) {
		p := part{apps: list, list: list}
		if list == nil {
			p.apps, p.except = apps, spoilers
		}
		parts = append(parts, p)
	}
	return parts
}

// quarters is into how many parts apps are divided to find the one at fault. It
// takes as many queries as halving, and half the time.
const quarters = 4

// quarters divides apps to ask for them in smaller parts.
func (s *Source) quarters(apps []scale.App) []part {
	var parts []part
	for quarter := range slices.Chunk(apps, max(1, (len(apps)+quarters-1)/quarters)) {
		for _, list := range s.grouped.chunks(quarter) {
			parts = append(parts, part{apps: list, list: list})
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
// refused the query or was late.
func (b *batch) part(ctx context.Context, p part) {
	if p.within > 0 {
		var cancel func()
		ctx, cancel = withLimit(ctx, p.within)
		defer cancel()
	}
	var found rows
	err := firmly(ctx, func() (err error) {
		found, err = b.askRows(ctx, p, time.Time{}, b.warnings)
		return err
	})
	switch {
	case isLate(err):
		p.err = err
		b.mu.Lock()
		b.late = append(b.late, p)
		b.mu.Unlock()
		return
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
			b.origins[app] = origin{list: p.list, except: p.except, row: found.byApp[app] != nil}
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

// resolve asks again, in smaller parts, for what the server refused: because of
// what it has of a single app, such as two series where one may be, or because
// of the answer's size. Apps that are refused even so are set apart and have no
// sample. One such app among a thousand is found in some twenty queries, five
// after another.
func (b *batch) resolve(ctx context.Context) {
	for len(b.refused) > 0 {
		refused := b.refused
		b.refused = nil
		slices.SortFunc(refused, func(x, y part) int { return cmp.Compare(x.apps[0], y.apps[0]) })
		b.warnings.add([]string{fmt.Sprintf("the query for many apps at once was refused: %v", refused[0].err)})
		var parts []part
		for _, p := range refused {
			switch {
			case len(p.apps) == 1:
				b.setApart(ctx, p.apps[0], p.err)
			case p.list == nil:
				for _, list := range b.grouped.chunks(p.apps) {
					parts = append(parts, part{apps: list, list: list})
				}
			default:
				parts = append(parts, b.quarters(p.apps)...)
			}
		}
		for i := range parts {
			parts[i].within = b.timeout / quarters // the server answers, if it does, to refuse
		}
		b.run(ctx, parts)
	}
}

// maxSuspects bounds how many parts are searched in at a time. When more are late
// it is not for what the server has of a single app.
const maxSuspects = 8

// suspect looks at the parts that were not answered in time; heard says whether
// any was. Then one app may be to blame, of which the server has more than it can
// work through: the next collection asks in smaller parts, and so on until that
// app is found and set apart. When nothing was heard while searching, the server
// is in trouble, and it is not asked more for a while.
func (b *batch) suspect(ctx context.Context, heard bool) {
	var suspects [][]scale.App
	for _, p := range b.late {
		if len(p.apps) == 1 {
			b.setApart(ctx, p.apps[0], p.err)
		} else {
			b.fail(p, p.err)
			suspects = append(suspects, p.apps)
		}
	}
	slices.SortFunc(suspects, slices.Compare)
	b.Source.mu.Lock()
	defer b.Source.mu.Unlock()
	now := time.Now()
	searching := len(b.Source.suspects) > 0
	if searching && (!heard || len(suspects) > maxSuspects) {
		b.trustUntil = now.Add(apartFor)
	}
	if now.Before(b.trustUntil) {
		suspects = nil
	}
	b.Source.suspects = suspects
}

// askRows asks for the apps of a part, as of a time unless that is zero.
func (s *Source) askRows(ctx context.Context, p part, at time.Time, warnings *warningSet) (rows, error) {
	wanted := make(map[scale.App]bool, len(p.apps))
	for _, app := range p.apps {
		wanted[app] = true
	}
	began := time.Now()
	var found rows
	err := s.request(ctx, s.grouped.query(p), at, func(body []byte, answered time.Time) (err error) {
		found, err = decodeRows(body, s.grouped.label, s.machine, wanted)
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

// lateError is the cause of a question's end that took too long.
type lateError struct{ within time.Duration }

func (e *lateError) Error() string { return fmt.Sprintf("no answer within %v", e.within) }

// withLimit bounds a question.
func withLimit(ctx context.Context, within time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, within, &lateError{within})
}

// isLate reports whether an error says that the server took too long.
func isLate(err error) bool {
	_, lost := errors.AsType[*transportError](err)
	_, late := errors.AsType[*lateError](err)
	return lost && late
}

// isRefusal reports whether an error says that the server answered that it will
// not or cannot answer this query.
func isRefusal(err error) bool {
	_, answered := errors.AsType[*statusError](err)
	return answered && !isMute(err) || errors.Is(err, errTooLarge)
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
