package prometheus

import (
	"slices"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/metricsql"
)

// printer writes a tree as text that both dialects read as this tree, cut at the
// matchers of the app. The parser's own printer leaves out parentheses that
// PromQL needs, as in (-2) ^ x.
type printer struct {
	label string
	name  string // stands for the app
	parts []string
	text  strings.Builder
}

func (p *printer) write(texts ...string) {
	for _, text := range texts {
		p.text.WriteString(text)
	}
}

func (p *printer) expr(e metricsql.Expr) error {
	switch e := e.(type) {
	case *metricsql.MetricExpr:
		return p.selector(e)
	case *metricsql.RollupExpr:
		return p.rollup(e)
	case *metricsql.FuncExpr:
		p.write(e.Name)
		if err := p.list(e.Args); err != nil {
			return err
		}
		if e.KeepMetricNames {
			p.write(" keep_metric_names")
		}
		return nil
	case *metricsql.AggrFuncExpr:
		return p.aggregation(e)
	case *metricsql.BinaryOpExpr:
		return p.binary(e)
	}
	text := string(e.AppendString(nil))
	if strings.Contains(text, p.name) {
		return errStray()
	}
	p.write(text)
	return nil
}

func (p *printer) list(args []metricsql.Expr) error {
	p.write("(")
	for i, arg := range args {
		if i > 0 {
			p.write(", ")
		}
		if err := p.expr(arg); err != nil {
			return err
		}
	}
	p.write(")")
	return nil
}

func (p *printer) inParens(e metricsql.Expr) error { return p.list([]metricsql.Expr{e}) }

func (p *printer) aggregation(e *metricsql.AggrFuncExpr) error {
	p.write(e.Name)
	if e.Modifier.Op != "" {
		p.write(" ")
		if err := p.modifier(e.Modifier); err != nil {
			return err
		}
		p.write(" ")
	}
	if err := p.list(e.Args); err != nil {
		return err
	}
	if e.Limit > 0 {
		p.write(" limit ", strconv.Itoa(e.Limit))
	}
	return nil
}

func (p *printer) modifier(m metricsql.ModifierExpr) error {
	p.write(m.Op, " (")
	for i, label := range m.Args {
		if i > 0 {
			p.write(", ")
		}
		if !isPlainLabel(label) && label != "*" {
			return errOddLabel(label)
		}
		p.write(label)
	}
	p.write(")")
	return nil
}

func (p *printer) binary(e *metricsql.BinaryOpExpr) error {
	if e.KeepMetricNames {
		p.write("(")
		defer p.write(") keep_metric_names")
	}
	if err := p.operand(e.Left); err != nil {
		return err
	}
	p.write(" ", e.Op, " ")
	if e.Bool {
		p.write("bool ")
	}
	for _, m := range []metricsql.ModifierExpr{e.GroupModifier, e.JoinModifier} {
		if m.Op == "" {
			continue
		}
		if err := p.modifier(m); err != nil {
			return err
		}
		p.write(" ")
	}
	if e.JoinModifierPrefix != nil {
		p.write("prefix ")
		if err := p.expr(e.JoinModifierPrefix); err != nil {
			return err
		}
		p.write(" ")
	}
	return p.operand(e.Right)
}

// operand writes one side of an operation, in parentheses where an operator could
// take only a part of it.
func (p *printer) operand(e metricsql.Expr) error {
	parens := false
	switch e := e.(type) {
	case *metricsql.BinaryOpExpr:
		parens = true
	case *metricsql.RollupExpr:
		parens = e.Offset != nil || e.At != nil
	case *metricsql.NumberExpr:
		parens = strings.HasPrefix(string(e.AppendString(nil)), "-")
	}
	if parens {
		return p.inParens(e)
	}
	return p.expr(e)
}

func (p *printer) rollup(e *metricsql.RollupExpr) error {
	inner := p.inParens
	switch e.Expr.(type) {
	case *metricsql.MetricExpr, *metricsql.FuncExpr:
		inner = p.expr
	}
	if err := inner(e.Expr); err != nil {
		return err
	}
	if e.Window != nil || e.ForSubquery() {
		p.write("[", string(e.Window.AppendString(nil)))
		if e.ForSubquery() {
			p.write(":", string(e.Step.AppendString(nil)))
		}
		p.write("]")
	}
	if e.Offset != nil {
		p.write(" offset ", string(e.Offset.AppendString(nil)))
	}
	if e.At == nil {
		return nil
	}
	p.write(" @ ")
	if _, ok := e.At.(*metricsql.BinaryOpExpr); ok {
		return p.inParens(e.At)
	}
	return p.expr(e.At)
}

func (p *printer) selector(e *metricsql.MetricExpr) error {
	groups := e.LabelFilterss
	for _, group := range groups {
		names := 0
		for _, f := range group {
			if isName(f) {
				names++
			}
		}
		if names > 1 {
			return refuse("a selector has two names of metrics")
		}
	}
	if len(groups) == 1 && len(groups[0]) > 0 {
		if f := groups[0][0]; isName(f) && isPlainMetric(f.Value) {
			if strings.Contains(f.Value, p.name) {
				return errStray()
			}
			p.write(f.Value)
			if groups = [][]metricsql.LabelFilter{groups[0][1:]}; len(groups[0]) == 0 {
				return nil
			}
		}
	}
	p.write("{")
	for i, group := range groups {
		if i > 0 {
			p.write(" or ")
		}
		for j, f := range group {
			if j > 0 {
				p.write(",")
			}
			if err := p.filter(f); err != nil {
				return err
			}
		}
	}
	p.write("}")
	return nil
}

// isName reports whether a matcher is the name of a metric.
func isName(f metricsql.LabelFilter) bool {
	return f.Label == "__name__" && !f.IsNegative && !f.IsRegexp
}

func (p *printer) filter(f metricsql.LabelFilter) error {
	switch {
	case !isPlainLabel(f.Label):
		return errOddLabel(f.Label)
	case isAppMatcher(f, p.label, p.name):
		p.write(f.Label)
		p.parts = append(p.parts, p.text.String())
		p.text.Reset()
		return nil
	case strings.Contains(f.Value, p.name):
		return errStray()
	}
	op := "="
	switch {
	case f.IsNegative && f.IsRegexp:
		op = "!~"
	case f.IsNegative:
		op = "!="
	case f.IsRegexp:
		op = "=~"
	}
	p.write(f.Label, op, strconv.Quote(f.Value))
	return nil
}

func errOddLabel(label string) error {
	return refuse("the label %q is not made of letters, digits and underscores", label)
}

// isPlainLabel reports whether a label needs no quotes in any version of either
// dialect.
func isPlainLabel(label string) bool {
	return label != "" && !isDigit(label[0]) && !strings.ContainsFunc(label, func(r rune) bool {
		return r >= 0x80 || !isIdentifier(byte(r))
	})
}

// isPlainMetric reports whether a metric's name can be written without quotes and
// is no word of either dialect.
func isPlainMetric(name string) bool {
	words := []string{
		"and", "atan2", "bool", "by", "default", "group_left", "group_right", "if", "ifnot", "ignoring", "inf",
		"keep_metric_names", "limit", "nan", "offset", "on", "or", "prefix", "unless", "with", "without",
	}
	return isPlainLabel(strings.ReplaceAll(name, ":", "_")) && !slices.Contains(words, strings.ToLower(name))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
