package sim

import (
	"cmp"
	"slices"
	"sort"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// SeriesView is what one series held when it was selected. It does not change.
type SeriesView struct {
	Labels labels.Labels // includes __name__
	Runs   []Run         // in order of time; no run overlaps another
	Step   int64         // milliseconds between the samples of a run
}

// Select returns the series of an organization that all matchers match and that
// have samples, or a marker of their end, from mint to maxt (Unix milliseconds,
// both included). The order depends only on what was stored.
func (s *SeriesStore) Select(org string, mint, maxt int64, matchers ...*labels.Matcher) []SeriesView {
	s.mu.RLock()
	defer s.mu.RUnlock()
	mint = max(mint, s.now-s.retention)
	var (
		views []SeriesView
		ends  []int
		slab  []Run // of all views, as one allocation
	)
	s.match(org, matchers, func(one *series) {
		before := len(slab)
		slab = one.appendRuns(slab, mint, maxt, s.step)
		if len(slab) > before {
			views = append(views, SeriesView{Labels: one.labels, Step: s.step})
			ends = append(ends, len(slab))
		}
	})
	start := 0
	for i := range views {
		views[i].Runs = slab[start:ends[i]:ends[i]]
		start = ends[i]
	}
	return views
}

// appendRuns appends what the series holds from mint to maxt.
func (one *series) appendRuns(to []Run, mint, maxt, step int64) []Run {
	first := sort.Search(len(one.runs), func(i int) bool { return one.runs[i].End(step) >= mint })
	for _, run := range one.runs[first:] {
		if late := mint - run.Start; late > 0 {
			skip := (late + step - 1) / step
			run.Start += skip * step
			run.Count -= int32(skip)
		}
		if run.Start > maxt {
			break
		}
		run.Count = int32(min(int64(run.Count), (maxt-run.Start)/step+1))
		to = append(to, run)
	}
	return to
}

// match calls fn with each series of an organization that all matchers match.
// It looks only where a matcher for the app or the name allows.
func (s *SeriesStore) match(org string, matchers []*labels.Matcher, fn func(*series)) {
	o := s.orgs[org]
	if o == nil {
		return
	}
	visit := func(all []*series) {
		for _, one := range all {
			if one.matches(matchers) {
				fn(one)
			}
		}
	}
	if apps, ok := exactValues(matchers, "app"); ok {
		for _, app := range apps {
			if a := o.apps[app]; a != nil {
				visit(a.series.all)
			}
		}
		return
	}
	if names, ok := exactValues(matchers, model.MetricNameLabel); ok {
		for _, name := range names {
			if named := o.names[name]; named != nil {
				visit(named.all)
			}
		}
		return
	}
	for _, name := range sortedKeys(o.names) {
		visit(o.names[name].all)
	}
}

// exactValues returns the only values that a label may have, when a matcher
// lists them, sorted and each once.
func exactValues(matchers []*labels.Matcher, label string) ([]string, bool) {
	for _, m := range matchers {
		switch {
		case m.Name != label:
		case m.Type == labels.MatchEqual && m.Value != "":
			return []string{m.Value}, true
		case m.Type == labels.MatchRegexp && len(m.SetMatches()) > 0:
			values := slices.Clone(m.SetMatches())
			slices.Sort(values)
			return slices.Compact(values), true
		}
	}
	return nil, false
}

func (one *series) matches(matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(one.labels.Get(m.Name)) {
			return false
		}
	}
	return true
}

// LiveSample is the newest value of a series that has not ended.
type LiveSample struct {
	Org    string
	Labels labels.Labels // includes __name__
	Value  float64
}

// Live returns the newest value of every series of all organizations that has
// not ended, sorted by name, organization and labels.
func (s *SeriesStore) Live() []LiveSample {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var live []LiveSample
	for org, o := range s.orgs {
		for _, named := range o.names {
			for _, one := range named.all {
				if one.live {
					live = append(live, LiveSample{Org: org, Labels: one.labels, Value: one.runs[len(one.runs)-1].Value})
				}
			}
		}
	}
	slices.SortFunc(live, func(a, b LiveSample) int {
		return cmp.Or(
			cmp.Compare(a.Labels.Get(model.MetricNameLabel), b.Labels.Get(model.MetricNameLabel)),
			cmp.Compare(a.Org, b.Org),
			labels.Compare(a.Labels, b.Labels),
		)
	})
	return live
}
