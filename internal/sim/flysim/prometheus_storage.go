package flysim

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// queryable shows the series of one organization to the engine.
type queryable struct {
	store *sim.SeriesStore
	org   string
}

// Querier implements storage.Queryable.
func (q queryable) Querier(mint, maxt int64) (storage.Querier, error) {
	return querier{q, mint, maxt}, nil
}

type querier struct {
	queryable
	mint, maxt int64
}

// Select implements storage.Querier.
func (q querier) Select(_ context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = max(mint, hints.Start), min(maxt, hints.End)
	}
	views := q.store.Select(q.org, mint, maxt, matchers...)
	if sorted {
		slices.SortFunc(views, func(a, b sim.SeriesView) int { return labels.Compare(a.Labels, b.Labels) })
	}
	return &seriesSet{views: views, at: -1}
}

// LabelValues implements storage.LabelQuerier.
func (q querier) LabelValues(_ context.Context, name string, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	seen := map[string]bool{}
	for _, view := range q.store.Select(q.org, q.mint, q.maxt, matchers...) {
		if v := view.Labels.Get(name); v != "" {
			seen[v] = true
		}
	}
	return sortedSet(seen), nil, nil
}

// LabelNames implements storage.LabelQuerier.
func (q querier) LabelNames(_ context.Context, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	seen := map[string]bool{}
	for _, view := range q.store.Select(q.org, q.mint, q.maxt, matchers...) {
		view.Labels.Range(func(l labels.Label) { seen[l.Name] = true })
	}
	return sortedSet(seen), nil, nil
}

// Close implements storage.LabelQuerier.
func (querier) Close() error { return nil }

func sortedSet(set map[string]bool) []string {
	all := make([]string, 0, len(set))
	for v := range set {
		all = append(all, v)
	}
	slices.Sort(all)
	return all
}

type seriesSet struct {
	views []sim.SeriesView
	at    int
}

// Next implements storage.SeriesSet.
func (s *seriesSet) Next() bool { s.at++; return s.at < len(s.views) }

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series { return viewSeries{&s.views[s.at]} }

// Err implements storage.SeriesSet.
func (*seriesSet) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (*seriesSet) Warnings() annotations.Annotations { return nil }

type viewSeries struct{ view *sim.SeriesView }

// Labels implements storage.Series.
func (s viewSeries) Labels() labels.Labels { return s.view.Labels }

// Iterator implements storage.Series.
func (s viewSeries) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it, ok := reuse.(*runIterator)
	if !ok {
		it = &runIterator{}
	}
	*it = runIterator{runs: s.view.Runs, step: s.view.Step, place: -1}
	return it
}

// runIterator goes through the samples of runs.
type runIterator struct {
	runs  []sim.Run // what is left, the current one first
	step  int64
	place int64 // of the current sample in its run; -1 before the first
}

// Next implements chunkenc.Iterator.
func (it *runIterator) Next() chunkenc.ValueType {
	it.place++
	if len(it.runs) > 0 && it.place >= int64(it.runs[0].Count) {
		it.runs = it.runs[1:]
		it.place = 0
	}
	return it.now()
}

// unixMilli is a Unix time in milliseconds. The name tells vet that Seek below is
// not that of io.Seeker.
type unixMilli = int64

// Seek implements chunkenc.Iterator.
func (it *runIterator) Seek(t unixMilli) chunkenc.ValueType {
	for len(it.runs) > 0 && it.runs[0].End(it.step) < t {
		it.runs = it.runs[1:]
		it.place = 0
	}
	it.place = max(it.place, 0)
	if len(it.runs) > 0 {
		if late := t - it.runs[0].Start; late > 0 {
			it.place = max(it.place, (late+it.step-1)/it.step)
		}
	}
	return it.now()
}

func (it *runIterator) now() chunkenc.ValueType {
	if len(it.runs) == 0 {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

// At implements chunkenc.Iterator.
func (it *runIterator) At() (int64, float64) { return it.AtT(), it.runs[0].Value }

// AtT implements chunkenc.Iterator.
func (it *runIterator) AtT() int64 { return it.runs[0].Start + it.place*it.step }

// AtST implements chunkenc.Iterator: start times are not known.
func (*runIterator) AtST() int64 { return 0 }

// AtHistogram implements chunkenc.Iterator: there are none.
func (*runIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) { return 0, nil }

// AtFloatHistogram implements chunkenc.Iterator: there are none.
func (*runIterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return 0, nil
}

// Err implements chunkenc.Iterator.
func (*runIterator) Err() error { return nil }
