package prometheus

import (
	"slices"

	"github.com/VictoriaMetrics/metricsql"
)

func (r rewriter) binary(e *metricsql.BinaryOpExpr) (shape, error) {
	left, err := r.part(e.Left)
	if err != nil {
		return shape{}, err
	}
	right, err := r.part(e.Right)
	switch {
	case err != nil:
		return shape{}, err
	case !left.scoped && !right.scoped:
		return shape{scalar: left.scalar && right.scalar}, nil
	case e.KeepMetricNames:
		return shape{}, refuse("keep_metric_names is not known to be the same for all apps")
	case e.JoinModifier.Op != "":
		return shape{}, refuse("%s takes labels from one side to the other, by which apps are told apart", e.JoinModifier.Op)
	case e.Op == "default" || e.Op == "if" || e.Op == "ifnot":
		return shape{}, refuse("%s is understood only as \"default\" with a number at the end of the query", e.Op)
	case left.scoped && right.scoped:
		return r.both(e, left, right)
	case left.scalar || right.scalar:
		return r.withNumber(e, left, right)
	}
	return r.withOther(e, left)
}

// withNumber is an operation of a scoped part and a number, which is done row by
// row.
func (r rewriter) withNumber(e *metricsql.BinaryOpExpr, left, right shape) (shape, error) {
	if isSet(e.Op) || e.GroupModifier.Op != "" {
		return r.withOther(e, left)
	}
	if left.scoped {
		return left, nil
	}
	return right, nil
}

// withOther is an operation of a scoped part and a vector that is not, whose rows
// cannot be told apart by app. All that can be done is to let rows through by
// what is there on the other side, matched by other labels than the app's.
func (r rewriter) withOther(e *metricsql.BinaryOpExpr, left shape) (shape, error) {
	m := e.GroupModifier
	if left.scoped && (e.Op == "and" || e.Op == "unless") && m.Op == "on" && !slices.Contains(m.Args, r.label) {
		return left, nil
	}
	if _, ok := constant(e.Right); ok && e.Op == "or" {
		return shape{}, refuse("\"or vector(…)\" is understood only at the end of the query")
	}
	return shape{}, refuse("one side of %q is about the app and the other is not; make a number of it with scalar(…)", e.Op)
}

// both is an operation of two scoped parts. In the query about one app rows match
// by some labels; in the rewritten one they match by these and the app's.
func (r rewriter) both(e *metricsql.BinaryOpExpr, left, right shape) (shape, error) {
	m := &e.GroupModifier
	named := slices.Contains(m.Args, r.label)
	// Whether, in the query about one app, the label takes part in matching.
	matched := m.Op == "" || m.Op == "on" && named || m.Op == "ignoring" && !named
	if (matched || e.Op == "or") && left.kept != right.kept {
		return shape{}, refuse("one side of %q carries the label %s and the other does not, so that they do not match for one app", e.Op, r.label)
	}
	// MetricsQL takes a single row without labels for a number, to be computed with
	// each row of the other side. Only one that cannot have labels is known to have
	// the like of it there, and only "on" or "ignoring" prevent it.
	if bare := left.bare() && right.bare(); m.Op == "" && !left.kept && !isSet(e.Op) && !bare {
		return shape{}, refuse("the rows on the sides of %q match by labels that are not named; write on(…)", e.Op)
	}
	out := left
	switch m.Op {
	case "on":
		out = shape{scoped: true, kept: named && left.kept, bounded: true, labels: drop(m.Args, r.label)}
		m.Args = with(m.Args, r.label)
	case "ignoring":
		out.kept = left.kept && !named
		out.labels = drop(left.labels, m.Args...)
		m.Args = drop(m.Args, r.label)
	}
	switch e.Op {
	case "and", "unless":
		return left, nil
	case "or":
		return left.either(right), nil
	}
	return out, nil
}

func isSet(op string) bool { return op == "and" || op == "or" || op == "unless" }

// either is the shape of rows that have one shape or the other.
func (s shape) either(other shape) shape {
	s.bounded = s.bounded && other.bounded
	s.labels = drop(slices.Concat(s.labels, other.labels))
	if !s.bounded {
		s.labels = nil
	}
	return s
}
