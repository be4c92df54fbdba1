package docs_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
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
	if checked < 40 {
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
// "name=value …", with names of counts and of metrics.
func evaluate(source, with string, count bool) (string, error) {
	var counts expr.Counts
	var metrics []string
	known := map[string]float64{}
	for pair := range strings.FieldsSeq(with) {
		name, text, _ := strings.Cut(pair, "=")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil && text != "unknown" {
			return "", fmt.Errorf("%s is neither a number nor unknown", pair)
		}
		switch name {
		case "created":
			counts.Created = int(value)
		case "started":
			counts.Started = int(value)
		case "starting":
			counts.Starting = int(value)
		case "stopped":
			counts.Stopped = int(value)
		case "suspended":
			counts.Suspended = int(value)
		default:
			metrics = append(metrics, name)
			if text != "unknown" {
				known[name] = value
			}
		}
	}
	p, err := expr.Compile(source, metrics)
	if err != nil {
		return "", err
	}
	if count {
		n, err := p.Count(known, counts)
		return strconv.Itoa(n), err
	}
	value, err := p.Eval(known, counts)
	if _, unknown := errors.AsType[*expr.UnknownMetricError](err); unknown {
		return "no value", nil
	}
	return strconv.FormatFloat(value, 'g', -1, 64), err
}
