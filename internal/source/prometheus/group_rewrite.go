package prometheus

import (
	"slices"
	"strings"

	"github.com/VictoriaMetrics/metricsql"
)

// A part of a query is "scoped" when its value differs from app to app. The
// rewriting keeps up, from the selectors to the root, what makes the two forms
// the same: the rows of a scoped part that carry an app's name in the label are,
// but for that label, the rows of the part as the query about that app has it.
//
// For that it must know whether, in the query about one app, the rows carry the
// label ("kept") or have lost it in an aggregation. Rows of both sorts never
// match each other there, while in the rewritten query, where all rows carry
// it, they would.

// shape is what is known about the rows of a part of a query.
type shape struct {
	scoped bool
	scalar bool // not scoped: a number, not a vector
	kept   bool // scoped: rows carry the label also in the query about one app

	// bounded says that rows have no labels but those listed, sorted, and the
	// app's.
	bounded bool
	labels  []string
}

// bare reports whether the part has at most one row for an app, which has no
// label at all in the query about that app.
func (s shape) bare() bool { return s.scoped && !s.kept && s.bounded && len(s.labels) == 0 }

// rewriter adds the label to the tree of a query wherever rows are put together
// or matched, and refuses the tree where that does not give the same.
type rewriter struct {
	label string
	name  string // stands for the app in the tree
}

// rewrite rewrites a whole query. What it gives to apps without rows by "or" or
// "default" at its end is returned apart.
func (r rewriter) rewrite(tree metricsql.Expr) (metricsql.Expr, *float64, error) {
	var absent *float64
	inner := tree
	if b, ok := tree.(*metricsql.BinaryOpExpr); ok && (b.Op == "or" || b.Op == "default") {
		if n, ok := constant(b.Right); ok {
			absent, inner = &n, b.Left
		}
	}
	s, err := r.part(inner)
	switch {
	case err != nil:
		return nil, nil, err
	case !s.scoped:
		return nil, nil, errStray()
	case absent == nil:
		return inner, nil, nil
	}
	b := tree.(*metricsql.BinaryOpExpr)
	switch {
	case b.KeepMetricNames, b.Op == "default" && b.GroupModifier.Op != "":
		return nil, nil, refuse("a modifier of %q at the end of the query is not understood", b.Op)
	case b.Op == "default":
		// It stays in the query, because it also fills in for rows without a value.
		return tree, absent, nil
	case s.bare():
		return inner, absent, nil
	}
	// With "on ()" only PromQL would give the number to apps without rows alone;
	// MetricsQL also fills in for rows without a value.
	return nil, nil, refuse("\"or vector(…)\" is understood only after what has no labels left, as in \"sum(…) or vector(0)\"")
}

// constant returns the number that a part is, as a number or as a vector.
func constant(e metricsql.Expr) (float64, bool) {
	if f, ok := e.(*metricsql.FuncExpr); ok && strings.EqualFold(f.Name, "vector") && len(f.Args) == 1 {
		e = f.Args[0]
	}
	n, ok := e.(*metricsql.NumberExpr)
	if !ok {
		return 0, false
	}
	return n.N, true
}

// part rewrites a part of a query in place.
func (r rewriter) part(e metricsql.Expr) (shape, error) {
	switch e := e.(type) {
	case *metricsql.NumberExpr, *metricsql.DurationExpr:
		return shape{scalar: true}, nil
	case *metricsql.StringExpr:
		return shape{}, nil
	case *metricsql.MetricExpr:
		return r.selector(e)
	case *metricsql.RollupExpr:
		return r.rollup(e)
	case *metricsql.FuncExpr:
		return r.function(e)
	case *metricsql.AggrFuncExpr:
		return r.aggregation(e)
	case *metricsql.BinaryOpExpr:
		return r.binary(e)
	}
	return shape{}, refuse("the query has a part of an unknown sort")
}

// selector finds out whether a selector selects the app. The matcher is left
// there; the printer knows it.
func (r rewriter) selector(e *metricsql.MetricExpr) (shape, error) {
	groups := 0
	for _, group := range e.LabelFilterss {
		found := false
		for _, f := range group {
			switch {
			case isAppMatcher(f, r.label, r.name):
				found = true
			case strings.Contains(f.Value, r.name), strings.Contains(f.Label, r.name):
				return shape{}, errStray()
			}
		}
		if found {
			groups++
		}
	}
	switch groups {
	case 0:
		return shape{}, nil
	case len(e.LabelFilterss):
		return shape{scoped: true, kept: true}, nil
	}
	return shape{}, refuse(`not every alternative of a selector has %s="$%s"`, r.label, variable)
}

func (r rewriter) rollup(e *metricsql.RollupExpr) (shape, error) {
	if e.At != nil {
		at, err := r.part(e.At)
		if err != nil {
			return shape{}, err
		}
		if at.scoped {
			return shape{}, refuse("the time after @ differs from app to app")
		}
	}
	s, err := r.part(e.Expr)
	s.scalar = false
	return s, err
}

// parts rewrites arguments and returns the place of the only scoped one, or -1.
func (r rewriter) parts(args []metricsql.Expr) (shapes []shape, scoped int, err error) {
	scoped = -1
	for i, arg := range args {
		s, err := r.part(arg)
		if err != nil {
			return nil, 0, err
		}
		if s.scoped && scoped >= 0 {
			return nil, 0, refuse("a function has several arguments that differ from app to app")
		}
		if s.scoped {
			scoped = i
		}
		shapes = append(shapes, s)
	}
	return shapes, scoped, nil
}

// othersAreNumbers reports whether all arguments but one are numbers.
func othersAreNumbers(shapes []shape, but int) bool {
	for i, s := range shapes {
		if i != but && !s.scalar {
			return false
		}
	}
	return true
}

func (r rewriter) function(e *metricsql.FuncExpr) (shape, error) {
	shapes, scoped, err := r.parts(e.Args)
	if err != nil {
		return shape{}, err
	}
	name := strings.ToLower(e.Name)
	if scoped < 0 {
		return shape{scalar: name == "time" || name == "pi" || name == "scalar"}, nil
	}
	s := shapes[scoped]
	switch {
	case e.KeepMetricNames:
		return shape{}, refuse("keep_metric_names is not known to be the same for all apps")
	case !eachRow(name, scoped):
		return shape{}, refuse("%s", whyNot(name))
	case !othersAreNumbers(shapes, scoped):
		return shape{}, refuse("an argument of %s is neither a number nor about the app", name)
	}
	if name == "histogram_quantile" {
		s.labels = drop(s.labels, "le")
	}
	return s, nil
}

func (r rewriter) aggregation(e *metricsql.AggrFuncExpr) (shape, error) {
	shapes, scoped, err := r.parts(e.Args)
	if err != nil || scoped < 0 {
		return shape{}, err
	}
	place := 0
	if e.Name == "quantile" {
		place = 1
	}
	switch {
	case e.Limit > 0:
		return shape{}, refuse("limit picks series across apps")
	case !puts(e.Name):
		return shape{}, refuse("%s", whyNot(e.Name))
	case scoped != place, len(e.Args) != place+1, !othersAreNumbers(shapes, scoped):
		return shape{}, refuse("an argument of %s is neither a number nor about the app", e.Name)
	}
	in, m := shapes[scoped], &e.Modifier
	out := shape{scoped: true, bounded: true}
	switch m.Op {
	case "":
		m.Op, m.Args = "by", []string{r.label}
	case "by":
		out.kept = in.kept && slices.Contains(m.Args, r.label)
		out.labels = drop(m.Args, r.label)
		m.Args = with(m.Args, r.label)
	case "without":
		out = in
		out.kept = in.kept && !slices.Contains(m.Args, r.label)
		out.labels = drop(in.labels, m.Args...)
		m.Args = drop(m.Args, r.label)
	default:
		return shape{}, refuse("the modifier %s is not known", m.Op)
	}
	return out, nil
}

// puts reports whether an aggregation puts rows together into one, looking at
// nothing but the rows of one group.
func puts(name string) bool {
	switch name {
	case "sum", "avg", "min", "max", "count", "stddev", "stdvar", "group", "quantile",
		"median", "geomean", "sum2", "distinct":
		return true
	}
	return false
}

// eachRow reports whether a function computes each row of its argument at the
// given place from that row alone, or, for histograms, from rows that differ in
// the bucket only.
func eachRow(name string, place int) bool {
	switch name {
	case "histogram_quantile", "quantile_over_time":
		return place == 1
	case "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "clamp", "clamp_max", "clamp_min", "cos", "cosh",
		"day_of_month", "day_of_week", "day_of_year", "days_in_month", "deg", "exp", "floor", "hour", "ln", "log10", "log2",
		"minute", "month", "rad", "round", "sgn", "sin", "sinh", "sort", "sort_desc", "sqrt", "tan", "tanh", "year",
		"avg_over_time", "changes", "changes_prometheus", "count_over_time", "default_rollup", "delta", "delta_prometheus",
		"deriv", "deriv_fast", "first_over_time", "holt_winters", "idelta", "increase", "increase_prometheus",
		"increase_pure", "irate", "last_over_time", "mad_over_time", "max_over_time", "median_over_time", "min_over_time",
		"mode_over_time", "predict_linear", "present_over_time", "range_over_time", "rate", "rate_prometheus", "resets",
		"stddev_over_time", "stdvar_over_time", "sum_over_time", "timestamp":
		return place == 0
	}
	return false
}

// whyNot says why a function is not divided by app.
func whyNot(name string) string {
	switch {
	case name == "scalar" || name == "vector":
		return name + " makes one number of a series, where there is one for each app; apply it to what does not differ from app to app"
	case strings.HasPrefix(name, "absent"):
		return name + " speaks of an app that has no series, and so would have no row"
	case strings.HasPrefix(name, "label_"):
		return name + " changes labels, by which apps are told apart"
	case strings.HasPrefix(name, "topk"), strings.HasPrefix(name, "bottomk"), name == "limitk", name == "any", strings.HasPrefix(name, "outliers"):
		return name + " picks series across apps"
	case name == "union" || name == "":
		return "a list of queries has no single value"
	case name == "count_values":
		return name + " makes a label of values"
	}
	return name + " is not known to be the same for all apps"
}

// with returns a list of labels with one more.
func with(labels []string, label string) []string {
	if slices.Contains(labels, label) {
		return labels
	}
	return append(slices.Clip(labels), label)
}

// drop returns a sorted list of labels without some.
func drop(labels []string, some ...string) []string {
	left := slices.DeleteFunc(slices.Sorted(slices.Values(labels)), func(l string) bool { return slices.Contains(some, l) })
	return slices.Compact(left)
}
