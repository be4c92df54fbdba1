package flysim

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

func (p *Prometheus) series(r *http.Request) (answer, error) {
	if len(r.Form["match[]"]) == 0 {
		return nil, badData(errors.New("no match[] parameter provided"))
	}
	var found []labels.Labels
	err := p.eachMatch(r, func(q querier, matchers []*labels.Matcher) error {
		for _, view := range q.store.Select(q.org, q.mint, q.maxt, matchers...) {
			found = append(found, view.Labels)
		}
		return nil
	})
	slices.SortFunc(found, labels.Compare)
	return seriesList(slices.CompactFunc(found, labels.Equal)), err
}

func (p *Prometheus) labels(r *http.Request) (answer, error) {
	var names []string
	err := p.eachMatch(r, func(q querier, matchers []*labels.Matcher) error {
		some, _, err := q.LabelNames(r.Context(), nil, matchers...)
		names = append(names, some...)
		return err
	})
	slices.Sort(names)
	return nameList(slices.Compact(names)), err
}

func (p *Prometheus) labelValues(r *http.Request) (answer, error) {
	name := r.PathValue("name")
	if !model.UTF8Validation.IsValidLabelName(name) {
		return nil, badData(fmt.Errorf("invalid label name: %q", name))
	}
	var values []string
	err := p.eachMatch(r, func(q querier, matchers []*labels.Matcher) error {
		some, _, err := q.LabelValues(r.Context(), name, nil, matchers...)
		values = append(values, some...)
		return err
	})
	slices.Sort(values)
	return nameList(slices.Compact(values)), err
}

// eachMatch calls fn for each selector of a request; once, with none, when it
// names no selector.
func (p *Prometheus) eachMatch(r *http.Request, fn func(q querier, matchers []*labels.Matcher) error) error {
	start, err := timeParam(r, "start", time.UnixMilli(math.MinInt64/2))
	if err != nil {
		return err
	}
	end, err := timeParam(r, "end", time.UnixMilli(math.MaxInt64/2))
	if err != nil {
		return err
	}
	sets, err := p.parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		return badParam("match[]", err)
	}
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	q := querier{p.queryable(r), start.UnixMilli(), end.UnixMilli()}
	for _, matchers := range sets {
		if err := fn(q, matchers); err != nil {
			return err
		}
	}
	return nil
}
