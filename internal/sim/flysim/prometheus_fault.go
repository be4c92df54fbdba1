package flysim

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// OpPrometheusQuery is the operation by which faults name metric queries of all
// kinds.
const OpPrometheusQuery = "prometheus_query"

// queriedApp returns the app that a PromQL query asks about: the one that its
// selectors name, or none when they name several or leave it open. A fault for
// one app strikes such queries, and no other.
func queriedApp(query string) string {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return ""
	}
	apps := map[string]bool{}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			for _, m := range selector.LabelMatchers {
				if m.Name == "app" && m.Type == labels.MatchEqual {
					apps[m.Value] = true
				}
			}
		}
		return nil
	})
	if len(apps) != 1 {
		return ""
	}
	return sortedSet(apps)[0]
}

// aboutQuery says what a request asks about.
func aboutQuery(r *http.Request) sim.Query {
	return sim.Query{Op: OpPrometheusQuery, Org: r.PathValue("org"), App: queriedApp(r.FormValue("query"))}
}

// strikeConnection lets faults of the connection strike before anything is
// computed, and reports whether the request is over with that.
func (p *Prometheus) strikeConnection(h *Handler, w http.ResponseWriter, r *http.Request) (over bool) {
	if !p.world.Faulty() {
		return false // without a look at the query
	}
	about, now := aboutQuery(r), h.now()
	if slow := p.world.Fault(about, sim.FaultSlow); slow != nil {
		now = now.Add(time.Duration(slow.Duration))
		if !h.sleepUntil(r.Context(), now) {
			return true
		}
	}
	fault := p.world.Fault(about, sim.FaultError, sim.FaultCut, sim.FaultHang)
	switch {
	case fault == nil:
		return false
	case fault.Kind == sim.FaultError:
		text := cmp.Or(fault.Message, http.StatusText(fault.Status))
		writeRaw(w, fault.Status, "text/plain; charset=utf-8", []byte(text+"\n"))
		return true
	case fault.Kind == sim.FaultCut:
		cut(w)
		return true
	case fault.Duration > 0:
		return !h.sleepUntil(r.Context(), now.Add(time.Duration(fault.Duration)))
	}
	<-r.Context().Done()
	return true
}

// garbage is what a proxy in trouble answers, with status 200.
const garbage = "<html><head><title>Please wait</title></head><body>Your request is being processed.</body></html>\n"

// strikeResult lets faults of the answer strike. It returns no answer when it
// wrote one itself.
func (p *Prometheus) strikeResult(w http.ResponseWriter, r *http.Request, result answer) answer {
	if !p.world.Faulty() {
		return result
	}
	fault := p.world.Fault(aboutQuery(r), sim.FaultEmpty, sim.FaultNaN, sim.FaultInf, sim.FaultSeveral, sim.FaultGarbage)
	if fault == nil {
		return result
	}
	if fault.Kind == sim.FaultGarbage {
		writeRaw(w, http.StatusOK, "text/html; charset=utf-8", []byte(garbage))
		return nil
	}
	query, ok := result.(*queryResult)
	if !ok || query.kind == parser.ValueTypeString {
		return result
	}
	switch fault.Kind {
	case sim.FaultEmpty:
		query.makeVector()
		query.rows = nil
	case sim.FaultNaN:
		query.fill(math.NaN())
	case sim.FaultInf:
		query.fill(math.Inf(1))
	case sim.FaultSeveral:
		query.makeVector()
		twice := slices.Clone(query.rows)
		for i, row := range query.rows {
			twice[i].metric = labels.NewBuilder(row.metric).Set("replica", "a").Labels()
			twice = append(twice, resultRow{labels.NewBuilder(row.metric).Set("replica", "b").Labels(), row.points})
		}
		query.rows = twice
	}
	return query
}

// makeVector turns a scalar into a vector of one.
func (q *queryResult) makeVector() {
	if q.kind == parser.ValueTypeScalar {
		q.kind = parser.ValueTypeVector
	}
}

// fill replaces all values.
func (q *queryResult) fill(value float64) {
	for i := range q.rows {
		points := make([]promql.FPoint, len(q.rows[i].points))
		for j, point := range q.rows[i].points {
			points[j] = promql.FPoint{T: point.T, F: value}
		}
		q.rows[i].points = points
	}
}
