package docs_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// TestExpressions evaluates every row of the tables of docs/expressions.md whose
// first column is an expression.
func TestExpressions(t *testing.T) {
	text := read(t, "docs/expressions.md")
	checked := 0
	var head []string
	for _, row := range rows(text) {
		if row[0] == "expression" || !strings.HasPrefix(row[0], "`") {
			head = row
			continue
		}
		if head[0] != "expression" {
			continue
		}
		cell := func(names ...string) string {
			for _, name := range names {
				if i := slices.Index(head, name); i >= 0 && i < len(row) {
					return row[i]
				}
			}
			return ""
		}
		source := strings.Trim(row[0], "`")
		got, err := evaluate(source, cell("with"), slices.Contains(head, "Machines"))
		if err != nil {
			t.Errorf("%s: %v", source, err)
		} else if want := cell("gives", "Machines"); got != want {
			t.Errorf("%s with %s: got %s, documented %s", source, cell("with"), got, want)
		}
		checked++
	}
	if checked < 80 {
		t.Fatalf("only %d expressions were found", checked)
	}
	functions := section(t, "docs/expressions.md", "## Functions")
	for _, name := range expr.Functions() {
		if !strings.Contains(functions, "| `"+name+"(") {
			t.Errorf("the function %s is not documented", name)
		}
	}
	names := section(t, "docs/expressions.md", "## Names")
	for _, name := range expr.CountNames() {
		if !strings.Contains(names, "| `"+name+"` |") {
			t.Errorf("the name %s is not documented", name)
		}
	}
}

// evaluate returns the value of an expression as the tables write it. with is
// "name=value …", with names of counts and of metrics, and of now. Several values
// with commas between are the history of a metric, a minute apart.
func evaluate(source, with string, count bool) (string, error) {
	env := expr.Env{Metrics: map[string]float64{}, Now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	history := map[string][]scale.Point{}
	env.History = func(metric string) []scale.Point { return history[metric] }
	number := map[string]*int{
		"created": &env.Counts.Created, "started": &env.Counts.Started, "starting": &env.Counts.Starting,
		"stopped": &env.Counts.Stopped, "suspended": &env.Counts.Suspended,
	}
	var metrics []string
	for pair := range strings.FieldsSeq(with) {
		name, text, _ := strings.Cut(pair, "=")
		if name == "now" {
			var err error
			if env.Now, err = time.Parse(time.RFC3339, text); err != nil {
				return "", err
			}
			continue
		}
		if n := number[name]; n != nil {
			var err error
			if *n, err = strconv.Atoi(text); err != nil {
				return "", err
			}
			continue
		}
		metrics = append(metrics, name)
		values := strings.Split(text, ",")
		for i, text := range values {
			delete(env.Metrics, name)
			if text == "unknown" {
				continue
			}
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return "", fmt.Errorf("%s is neither a number nor unknown", pair)
			}
			env.Metrics[name] = value
			at := env.Now.Add(-time.Minute * time.Duration(len(values)-1-i))
			history[name] = append(history[name], scale.Point{At: at, Value: value})
		}
	}
	p, err := expr.Compile(source, metrics)
	if err != nil {
		return "", err
	}
	r, err := p.Run(env)
	if _, unknown := errors.AsType[*expr.UnknownMetricError](err); unknown {
		return "no value", nil
	}
	if count {
		return strconv.Itoa(r.Count()), err
	}
	value := strconv.FormatFloat(r.Value, 'g', -1, 64)
	if r.Young != "" {
		value += ", young: " + r.Young
	}
	return value, err
}
