package expr_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
)

// declared are the metrics of most tests; readings leaves out "gone".
var (
	declared = []string{"q", "w", "zero", "gone", "lost", "huge", "neg"}
	readings = map[string]float64{"q": 7, "w": 2.5, "zero": 0, "huge": 1e300, "neg": -2.5}
	counts   = expr.Counts{Created: 10, Started: 4, Starting: 1, Stopped: 3, Suspended: 2}
	present  = expr.Env{Metrics: readings, Counts: counts}
)

func mustCompile(t testing.TB, src string) *expr.Program {
	t.Helper()
	p, err := expr.Compile(src, declared)
	if err != nil {
		t.Fatalf("compile %q: %v", src, err)
	}
	return p
}

func TestEval(t *testing.T) {
	for _, test := range []struct {
		src  string
		want float64
	}{
		// Division is that of real numbers, also between whole ones.
		{"1/2", 0.5},
		{"7/2", 3.5},
		{"q/2", 3.5},
		{"int(q)/2", 3.5},
		{"ceil(q / 10)", 1},
		{"max(q, 5)", 7},
		{"min(50, q / zero)", 50},
		{"round(2.5)", 3},
		{"-round(neg)", 3},
		{"round(w)", 3},
		{"floor(w)", 2},
		{"ceil(w)", 3},
		{"int(2.9)", 2},
		{"-int(neg)", 2},
		{"int(int(q))", 7},
		{"float(3)", 3},
		{"abs(neg)", 2.5},
		{"60 + (-q ^ 2)", 11},
		{"2 ** 3", 8},
		{"2 ^ 3 ^ 2", 512},
		{"7 % 4", 3},
		{"int(q) % 4", 3},
		{"mod(q, 4)", 3},
		{"10 + mod(neg, 2)", 9.5},
		{"q > 5 ? 2 : 1", 2},
		{"if q > 5 {2} else {1}", 2},
		{"if q > 50 {2} else if q > 6 {3} else {1}", 3},
		{"let x = q * 2; x + 1", 15},
		{"let x = q; let y = x + w; x * y", 66.5},
		{"(let x = 1; x) + (let x = 2; x)", 3},
		{"q >= 7 and w < 3 ? 1 : 0", 1},
		{"q > 7 or w == 2.5 ? 1 : 0", 1},
		{"not (q > 7) ? 1 : 0", 1},
		{"!(q > 7) && w != 2 ? 1 : 0", 1},
		{"1 < q < 8 ? 1 : 0", 1},
		{"q <= 7 ? 1 : 0", 1},
		{"(q > 1) == true ? 4 : 5", 4},
		{"true ? 1 : 2", 1},
		{"sum([])", 0},
		{"mean([])", 0},
		{"median([])", 0},
		{"sum([q, w, 1])", 10.5},
		{"mean(q, w, 2.5)", 4},
		{"median([9, q, 1])", 7},
		{"median(4, 1, 2, 3)", 2.5},
		{"max([1, q], 3)", 7},
		{"min(1,2,3,4,5,6,7,8,9,0.5)", 0.5},
		{"q | max(9)", 9},
		{"clamp(q, 0, 5)", 5},
		{"clamp(3, 1, 5)", 3},
		{"clamp(-3, 1, 5)", 1},
		{"log(1)", 0},
		{"log2(8)", 3},
		{"sqrt(16)", 4},
		{"pow(2, 10)", 1024},
		{"1_000 + 0x10", 1016},
		{"1e3", 1000},
		{"q // comment", 7},
		{"/* before */ q", 7},
		// Negative results are none.
		{"-5", 0},
		{"neg", 0},
		{"started - 10", 0},
		// The app's own Machines.
		{"created", 10},
		{"started + starting", 5},
		{"stopped", 3},
		{"suspended", 2},
		{"max(started, ceil(q / 2))", 4},
		// An unknown metric, where the expression says what to do.
		{"gone ?? 3", 3},
		{"(gone ?? 3) / 2", 1.5},
		{"gone == nil ? 5 : gone", 5},
		{"gone != nil ? gone : 5", 5},
		{"max(gone ?? 0, w)", 2.5},
		{"gone ?? lost ?? 4", 4},
		{"q ?? lost", 7},
		{"nil == q ? 1 : 2", 2},
		{"let x = gone; x ?? 3", 3},
		{"(q > 5 ? gone : 1) ?? 6", 6},
		{"q > 5 ? 1 : gone", 1},
		{"zero > 1 and gone > 1 ? 1 : 2", 2},
		{"zero == 0 or gone > 1 ? 1 : 2", 1},
	} {
		got, err := mustCompile(t, test.src).Run(present)
		if err != nil {
			t.Errorf("%s: %v", test.src, err)
		} else if want := (expr.Result{Value: test.want}); got != want {
			t.Errorf("%s: got %+v, want %+v", test.src, got, want)
		}
	}
}

func TestEvalErrors(t *testing.T) {
	for _, test := range []struct{ src, want string }{
		{"zero / zero", "0 / 0 has no value"},
		{"min(50, zero/zero)", "0 / 0 has no value"},
		{"zero/zero > 5 ? 10 : 1", "0 / 0 has no value"},
		{"(zero/zero) ?? 3", "0 / 0 has no value"},
		{"q/zero - q/zero", "+Inf - +Inf has no value"},
		{"q / zero", "the result is +Inf"},
		{"-q / zero", "the result is -Inf"},
		{"sqrt(neg)", "sqrt[-2.5] has no value"},
		{"log(neg)", "log[-2.5] has no value"},
		{"mod(q, zero)", "mod[7 0] has no value"},
		{"neg ^ 0.5", "-2.5 ^ 0.5 has no value"},
		{"int(q / zero)", "int(+Inf) is out of range"},
		{"int(huge)", "int(1e+300) is out of range"},
		{"clamp(q, 5, 1)", "clamp has its lower bound 5 above its upper bound 1"},
		{"1_000_001", "the result 1.000001e+06 is beyond 1000000"},
		{"-1_000_001", "the result -1.000001e+06 is beyond 1000000"},
		{"nil", "nil stands where a number is needed"},
		{"max(1, q > 5 ? nil : 1)", "nil stands where a number is needed"},
	} {
		p := mustCompile(t, test.src)
		if got, err := p.Run(present); err == nil {
			t.Errorf("%s: got %+v, want error %q", test.src, got, test.want)
		} else if err.Error() != test.want {
			t.Errorf("%s: got error %q, want %q", test.src, err, test.want)
		}
	}
}

// An unknown metric never passes for a number, whatever is done to it.
func TestUnknownMetric(t *testing.T) {
	for _, src := range []string{
		"gone", "gone + 1", "-gone", "+gone", "gone > 3 ? 1 : 2", "gone == 3 ? 1 : 2", "gone != 3 ? 1 : 2",
		"3 == gone ? 1 : 2", "max(1, gone)", "min(gone, 50)", "sum([1, gone])", "mean([gone])", "median([1, gone, 3])",
		"ceil(gone)", "clamp(1, gone, 3)", "let x = gone; x", "(lost ?? 1) + gone", "lost ?? gone",
		"q > 5 ? gone : 1", "gone == nil ? gone : 1", "gone < 1 or true ? 1 : 2",
	} {
		_, err := mustCompile(t, src).Run(present)
		unknown, ok := errors.AsType[*expr.UnknownMetricError](err)
		if !ok {
			t.Errorf("%s: got error %v, want an UnknownMetricError", src, err)
		} else if unknown.Name != "gone" {
			t.Errorf("%s: got metric %q, want gone", src, unknown.Name)
		}
	}
}

func TestCount(t *testing.T) {
	for src, want := range map[string]int{"0.4": 0, "0.5": 1, "2.5": 3, "3.49": 3, "-7": 0, "1e6": 1_000_000} {
		if got, err := mustCompile(t, src).Run(expr.Env{}); err != nil || got.Count() != want {
			t.Errorf("%s: got %+v, %v, want %d", src, got, err, want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct {
		src  string
		want expr.Error
	}{
		{" ", expr.Error{0, 1, 1, "the expression is empty", ""}},
		{"let q = 1; q", expr.Error{4, 1, 5, "cannot redeclare q", ""}},
		{"ceil(q / 10", expr.Error{10, 1, 11, "unexpected token EOF", ""}},
		{"1 +\n  qq", expr.Error{6, 2, 3, `unknown name "qq"`, "did you mean q?"}},
		{"q + qeue", expr.Error{4, 1, 5, `unknown name "qeue"`, "declared: gone, huge, lost, neg, q, w, zero"}},
		{"/* ü */ strated", expr.Error{9, 1, 9, `unknown name "strated"`, "did you mean started?"}},
		{"missing ?? 3", expr.Error{0, 1, 1, `unknown name "missing"`, "declared: gone, huge, lost, neg, q, w, zero"}},
		{"q % 2", expr.Error{2, 1, 3, "invalid operation: % (mismatched types float64 and int)", "write the remainder as mod(x, y)"}},
		{"q > 5", expr.Error{0, 1, 1, "the expression gives true or false, not a number", `write a condition as "condition ? 2 : 1"`}},
		{"1 + cel(q)", expr.Error{4, 1, 5, `unknown function "cel"`, "did you mean ceil?"}},
		{"q(1)", expr.Error{0, 1, 1, "q is a number and cannot be called", ""}},
		{"max + 1", expr.Error{0, 1, 1, "max is a function", "call it: max(…)"}},
		{"sum(q, w)", expr.Error{0, 1, 1, "sum takes one list", "write sum([a, b])"}},
		{"max([])", expr.Error{0, 1, 1, "max of nothing has no value", ""}},
		{"'text'", expr.Error{0, 1, 1, "text is not part of the language, which is about numbers", ""}},
		{"[q][0]", expr.Error{3, 1, 4, "a number has no members", ""}},
		{"[q]", expr.Error{0, 1, 1, "a list can only be an argument of min, max, sum, mean or median", ""}},
		{"q; w", expr.Error{0, 1, 1, "only one expression is possible", `name a part with "let x = …; …"`}},
		{"{'a': 1}", expr.Error{0, 1, 1, "this is not part of the language, which is about numbers", ""}},
	} {
		_, err := expr.Compile(test.src, declared)
		got, ok := errors.AsType[*expr.Error](err)
		if !ok {
			t.Errorf("%s: got %v, want an error", test.src, err)
			continue
		}
		if diff := cmp.Diff(test.want, *got); diff != "" {
			t.Errorf("%s: want -, got +\n%s", test.src, diff)
		}
	}
}

// What could run long, read the clock or leave the numbers is refused.
func TestRefused(t *testing.T) {
	for _, src := range []string{
		"sum(1..900)", "let r = 1..3; q", "reduce([1,2], #acc + #, 0)", "count([1,2], # > 1)", "sum([1,2], # * 2)",
		"map([1], # + 1)", "$env", "$env.q", "$env?.q ?? 4", "q.x", "q?.x", "now()", "len([1])", "date('2026-01-01')",
		"float('3')", "'a' matches 'b'", "q in [1, 2]", "q not in [1, 2]", "[1, 2] == [1, 2]", "'a' + 'b'", "repeat('a', 1e6)",
		"toJSON(q)", "b'x'", "[1, 2][0:1]", "q > 5 and 3 ? 1 : 2", "max(q > 5, 1)", "ceil(1, 2)", "min()",
		"max([[1]])", "if q > 5 {2}", "let x = 1", "q ? 1 : 2", "get([1], 0)",
		strings.Repeat("1+", 600) + "1",
		strings.Repeat(" ", expr.MaxSource) + "1",
	} {
		p, err := expr.Compile(src, declared)
		if _, ok := errors.AsType[*expr.Error](err); !ok {
			t.Errorf("%.40s: got %v, %v, want an *expr.Error", src, p, err)
		}
	}
}

func TestProgramDescribesItself(t *testing.T) {
	p := mustCompile(t, "max(w, q) + (let x = w; x)")
	if diff := cmp.Diff([]string{"q", "w"}, p.Metrics()); diff != "" {
		t.Error(diff)
	}
	if p.UsesCounts() {
		t.Error("uses counts, though it does not")
	}
	if got := p.String(); got != "max(w, q) + (let x = w; x)" {
		t.Errorf("got source %q", got)
	}
	if !mustCompile(t, "started + 1").UsesCounts() {
		t.Error("does not use counts, though it does")
	}
	if v, ok := mustCompile(t, "2 * 3").Const(); !ok || v != 6 {
		t.Errorf("2 * 3: got %g, %t, want 6, true", v, ok)
	}
	for _, src := range []string{"q", "started", "1/0"} {
		if v, ok := mustCompile(t, src).Const(); ok {
			t.Errorf("%s: got constant %g", src, v)
		}
	}
}

// A metric that carries the name of a count hides it.
func TestMetricHidesCount(t *testing.T) {
	p, err := expr.Compile("started", []string{"started"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Run(expr.Env{Metrics: map[string]float64{"started": 42}, Counts: counts}); err != nil || got.Value != 42 {
		t.Errorf("got %+v, %v, want 42", got, err)
	}
	if p.UsesCounts() {
		t.Error("uses counts, though the name is a metric's")
	}
}

func TestNearest(t *testing.T) {
	names := []string{"app-name", "org", "regions", "queue_depth", "q", "started-machine-count"}
	for name, want := range map[string]string{
		"app_name": "app-name", "APP-NAME": "app-name", "ap-name": "app-name", "apname": "app-name",
		"ogr": "org", "region": "regions", "queue": "queue_depth", "queue_dpeth": "queue_depth",
		"start-machine-count": "started-machine-count", "qq": "q",
		"": "", "temperature": "", "xyz": "",
	} {
		if got := expr.Nearest(name, names); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestValidMetricName(t *testing.T) {
	for _, name := range []string{"q", "queue_depth", "_x", "A9", "count", "started", "hour", "drain", "clamp", strings.Repeat("a", 64)} {
		if err := expr.ValidMetricName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := expr.Compile(name, []string{name}); err != nil {
			t.Errorf("%q is valid, but does not compile: %v", name, err)
		}
	}
	for _, name := range []string{"", "9a", "a-b", "a.b", "a b", "ü", "$x", "in", "not", "nil", "true", "let", "if", "else", "max", strings.Repeat("a", 65)} {
		if err := expr.ValidMetricName(name); err == nil {
			t.Errorf("%q: got no error", name)
		}
	}
	if !slices.IsSorted(expr.Functions()) {
		t.Error("the functions are not sorted")
	}
}
