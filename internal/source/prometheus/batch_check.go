package prometheus

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

const (
	// maxDifference is how far two answers to the same question may be apart, of
	// the larger one: sums depend on the order in which a server adds.
	maxDifference = 1e-9
	// checkAttempts is how often the two forms are asked before they are said to
	// differ. A server may take in samples between the two questions, also such
	// as are older than the time asked about.
	checkAttempts = 3
)

// verdict is what came of comparing the two forms of a query.
type verdict int

const (
	undecided  verdict = iota // one of them could not be had
	consistent                // they gave the same
	different
)

func (s *Source) isChecked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checked
}

// conclude notes that the grouped query was seen to agree where it had a value.
func (s *Source) conclude(v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked = s.checked || v == consistent
}

// giveUp asks for every app by itself from now on.
func (s *Source) giveUp(ctx context.Context, reason string) {
	reason = source.Printable(s.redact.Text(reason), source.MaxReason)
	s.mu.Lock()
	first := s.perApp == ""
	if first {
		s.perApp = reason
	}
	s.mu.Unlock()
	if first {
		s.logger.WarnContext(ctx, "every app is asked for by itself from now on", "reason", reason)
	}
}

// check compares what the grouped query gave with the query about one app, and
// reports whether its samples may be used. That is done at the first collections,
// until both forms give an app the same value. Another app is looked at each time,
// in case one of them is never answered about.
func (b *batch) check(ctx context.Context, apps []scale.App) bool {
	ctx, cancel := withLimit(ctx, b.timeout/quarters)
	defer cancel()
	turn := b.nextTurn()
	var some []scale.App
	for _, app := range apps {
		if from := b.origins[app]; from.row && b.samples[app].Known() {
			some = append(some, app)
		}
	}
	if len(some) > 0 {
		app := some[turn%len(some)]
		v := b.compare(ctx, app, b.origins[app], b.samples[app], b.samples[app].At)
		b.conclude(v)
		return v == consistent
	}
	// There is no value. One of the apps that are said to have none is looked at.
	for i := range apps {
		app := apps[(turn+i)%len(apps)]
		if from, ok := b.origins[app]; ok {
			return b.compare(ctx, app, from, b.samples[app], time.Time{}) == consistent
		}
	}
	return true // The server could not be heard, which is what the samples say.
}

// nextTurn counts the checks.
func (s *Source) nextTurn() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	return s.turn - 1
}

// checkRefused finds out whether the server refuses the grouped query as such, or
// because of what it has of some app. It asks for a few apps by themselves, other
// ones each time, and returns the samples of those that were answered about.
func (b *batch) checkRefused(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	ctx, cancel := withLimit(ctx, b.timeout/quarters)
	defer cancel()
	from := b.nextTurn() * concurrency % len(apps)
	few := slices.Concat(apps[from:], apps[:from])[:min(concurrency, len(apps))]
	samples := source.Each(ctx, few, concurrency, func(ctx context.Context, app scale.App) scale.Sample {
		r, err := b.ask(ctx, app, time.Time{}, b.warnings)
		return b.newSample(r, err)
	})
	maps.DeleteFunc(samples, func(_ scale.App, sample scale.Sample) bool { return !sample.Known() })
	some := slices.Sorted(maps.Keys(samples))
	if some = some[:min(2, len(some))]; len(some) == 0 {
		return samples
	}
	found, err := b.askRows(ctx, part{apps: some, list: some}, time.Time{}, b.warnings)
	switch {
	case isMute(err):
	case err != nil:
		b.giveUp(ctx, fmt.Sprintf("the server refuses the query for several apps: %v", err))
	default:
		r, err := found.read(some[0], b.grouped.label, b.grouped.absent)
		b.conclude(b.compare(ctx, some[0], origin{list: some}, b.newSample(r, err), r.at))
	}
	return samples
}

// compare compares a sample that the grouped query gave, when it was asked for the
// apps of its origin at a time, with the query about that app. A zero time is now. When
// they differ for good, the grouped query is given up.
func (b *batch) compare(ctx context.Context, app scale.App, from origin, grouped scale.Sample, at time.Time) verdict {
	var one scale.Sample
	for range checkAttempts {
		var r reading
		err := firmly(ctx, func() (err error) {
			r, err = b.ask(ctx, app, at, b.warnings)
			return err
		})
		if isMute(err) {
			return undecided
		}
		if one = b.newSample(r, err); agree(grouped, one) {
			return consistent
		}
		if at.IsZero() {
			at = r.at
		}
		var found rows
		err = firmly(ctx, func() (err error) {
			found, err = b.askRows(ctx, part{apps: []scale.App{app}, list: from.list, except: from.except}, at, b.warnings)
			return err
		})
		if isMute(err) {
			return undecided
		}
		if err == nil {
			r, err = found.read(app, b.grouped.label, b.grouped.absent)
		}
		if grouped = b.newSample(r, err); agree(grouped, one) {
			return consistent
		}
	}
	b.giveUp(ctx, fmt.Sprintf("of app %s the server says %s when asked for many apps at once, but %s when asked for it alone",
		app, say(grouped), say(one)))
	return different
}

// agree reports whether two samples say the same.
func agree(a, b scale.Sample) bool {
	if !a.Known() || !b.Known() {
		return a.Quality == b.Quality
	}
	return math.Abs(a.Value-b.Value) <= maxDifference*max(math.Abs(a.Value), math.Abs(b.Value))
}

// say tells what a sample says.
func say(s scale.Sample) string {
	if s.Known() {
		return fmt.Sprint(s.Value)
	}
	return strconv.Quote(s.Reason)
}
