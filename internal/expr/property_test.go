package expr_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	lang "github.com/expr-lang/expr"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
)

// numeric draws an expression that gives a number, within the part of the
// language that the library evaluates as we do.
func numeric(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{"q", "w", "zero", "neg", "started", "stopped", "0", "1", "2", "10", "0.5", "1e3"}).Draw(t, "leaf")
	}
	sub := func() string { return numeric(t, depth-1) }
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0:
		return fmt.Sprintf("(%s %s %s)", sub(), rapid.SampledFrom([]string{"+", "-", "*", "/", "^", "**"}).Draw(t, "op"), sub())
	case 1:
		return fmt.Sprintf("%s(%s)", rapid.SampledFrom([]string{"abs", "ceil", "floor", "round", "float", "-", "+"}).Draw(t, "f"), sub())
	case 2:
		return fmt.Sprintf("%s(%s, %s)", rapid.SampledFrom([]string{"min", "max", "mean", "median"}).Draw(t, "f"), sub(), sub())
	case 3:
		return fmt.Sprintf("%s([%s, %s, %s])", rapid.SampledFrom([]string{"sum", "min", "max", "mean", "median"}).Draw(t, "f"), sub(), sub(), sub())
	case 4:
		return fmt.Sprintf("(%s ? %s : %s)", truth(t, depth-1), sub(), sub())
	case 5:
		return fmt.Sprintf("(if %s { %s } else { %s })", truth(t, depth-1), sub(), sub())
	case 6:
		name := fmt.Sprintf("v%d", depth)
		return fmt.Sprintf("(let %s = %s; %s + %s)", name, sub(), name, sub())
	default:
		return fmt.Sprintf("(%s ?? %s)", sub(), sub())
	}
}

func truth(t *rapid.T, depth int) string {
	if depth <= 0 || rapid.Bool().Draw(t, "plain") {
		op := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "==", "!="}).Draw(t, "op")
		return fmt.Sprintf("(%s %s %s)", numeric(t, max(depth, 0)), op, numeric(t, max(depth, 0)))
	}
	if rapid.Bool().Draw(t, "not") {
		return "not " + truth(t, depth-1)
	}
	op := rapid.SampledFrom([]string{"and", "or", "&&", "||"}).Draw(t, "op")
	return fmt.Sprintf("(%s %s %s)", truth(t, depth-1), op, truth(t, depth-1))
}

// Where the library gives a number, we give the same one; where we refuse, an
// operation had no value.
func TestAgreesWithTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := numeric(t, rapid.IntRange(1, 4).Draw(t, "depth"))
		program, err := expr.Compile(src, declared)
		if err != nil {
			if strings.Contains(err.Error(), "maximum allowed nodes") {
				t.Skip("too long")
			}
			t.Fatalf("compile %s: %v", src, err)
		}
		env := map[string]any{"started": 4.0, "stopped": 3.0}
		for name, v := range readings {
			env[name] = v
		}
		theirs, err := lang.Compile(src, lang.Env(env), lang.AsFloat64())
		if err != nil {
			t.Fatalf("the library refuses %s: %v", src, err)
		}
		out, err := lang.Run(theirs, env)
		if err != nil {
			t.Fatalf("the library does not run %s: %v", src, err)
		}
		want := out.(float64)
		result, err := program.Run(present)
		got := result.Value
		switch {
		case err != nil:
			// A reason is due only when the library has no usable result either,
			// or when it lost a NaN on the way.
			if !strings.Contains(err.Error(), "has no value") && !math.IsInf(want, 0) && math.Abs(want) <= expr.MaxCount {
				t.Fatalf("%s: got error %v, want %g", src, err, want)
			}
		case math.IsNaN(want):
			t.Fatalf("%s: got %g, want an error, because the library gives NaN", src, got)
		case !near(got, max(want, 0)):
			t.Fatalf("%s: got %g, want %g", src, got, want)
		}
	})
}

// near allows for another order of additions.
func near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b))
}

func TestEvalBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := numeric(t, 3)
		program, err := expr.Compile(src, declared)
		if err != nil {
			t.Skip("too long")
		}
		metrics := map[string]float64{}
		for _, name := range declared {
			if rapid.Bool().Draw(t, "known") {
				metrics[name] = rapid.Float64().Draw(t, name)
			}
		}
		checkEval(t, program, metrics)
	})
}

type fataler interface{ Fatalf(string, ...any) }

func checkEval(t fataler, p *expr.Program, metrics map[string]float64) {
	got, err := p.Run(expr.Env{Metrics: metrics, Counts: counts})
	if err == nil && !(got.Value >= 0 && got.Value <= expr.MaxCount && math.Abs(float64(got.Count())-got.Value) <= 0.5) {
		t.Fatalf("%s with %v: got %+v, a count of %d", p, metrics, got, got.Count())
	}
}

func FuzzCompile(f *testing.F) {
	for _, src := range []string{
		"ceil(queue_depth / 10)", "max(q, 5)", "min(50, q / zero)", "if q > 5 {2} else {1}", "let x = q; x ?? 3",
		"gone == nil ? 5 : gone", "sum([q, w, 1])", "-q ^ 2 ** 3", "1 < q < 8 ? 1 : 0", "q | max(9)", "reduce(1..9, #)",
		`max(avg_over(q, "5m"), quantile_over(w, "1h", 0.9) ?? 1)`, `known(rate_over(q, "1s")) ? 1 : delta_over(q, "24h")`,
		`hour("Europe/Berlin") * 60 + minute() + weekday("UTC")`, "erlang_c(q, 0.2, 1, 0.95) + drain(w, q, 60)", "let drain = 1; drain",
		"not (q > 1) ? 1 : 2 // ü", "clamp(q, 1, started)", "'\\x41'", "{a: q}[0]?.b", "((((q))))", "#", "$env",
	} {
		f.Add(src, 7.0, 0.0)
	}
	f.Fuzz(func(t *testing.T, src string, q, w float64) {
		p, err := expr.Compile(src, declared)
		if err != nil {
			e, ok := errors.AsType[*expr.Error](err)
			if !ok || e.Offset < 0 || e.Offset > len(src) || e.Line < 1 || e.Column < 1 || e.Message == "" {
				t.Fatalf("%q: bad error %#v", src, err)
			}
			return
		}
		for _, name := range p.Metrics() {
			if !strings.Contains(src, name) {
				t.Fatalf("%q refers to %q", src, name)
			}
		}
		checkEval(t, p, map[string]float64{"q": q, "w": w, "zero": 0})
		checkEval(t, p, nil)
		for metric, window := range p.History() {
			if !slices.Contains(p.Metrics(), metric) || window < expr.MinWindow || window > expr.MaxWindow {
				t.Fatalf("%q asks for %s of history of %s", src, window, metric)
			}
		}
		e := env(series(time.Minute, 1, w, q, q, w, q))
		first, firstErr := p.Run(e)
		second, secondErr := p.Run(e)
		if first != second || fmt.Sprint(firstErr) != fmt.Sprint(secondErr) || !(first.Value >= 0 && first.Value <= expr.MaxCount) {
			t.Fatalf("%q: got %+v, %v, then %+v, %v", src, first, firstErr, second, secondErr)
		}
	})
}

func BenchmarkEval(b *testing.B) {
	for _, src := range []string{"ceil(q / 10)", "max(2, min(50, ceil(q / 10) + w))", "let x = q ?? 3; x > 5 ? ceil(x) : started"} {
		b.Run(src, func(b *testing.B) {
			p := mustCompile(b, src)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Run(present); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkHistory(b *testing.B) {
	for _, n := range []int{20, 5760} {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(i * 7 % 13)
		}
		e := env(series(15*time.Second, values...))
		for _, of := range []string{`avg_over(q, "%s")`, `rate_over(q, "%s")`, `quantile_over(q, "%s", 0.9)`} {
			src := fmt.Sprintf(of, time.Duration(n)*15*time.Second)
			b.Run(src, func(b *testing.B) {
				p := mustCompile(b, src)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.Run(e); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkErlang(b *testing.B) {
	for _, src := range []string{"erlang_c(q, 0.2, 0.1, 0.95)", "erlang_c(1000, 1, 0.1, 0.95)", "erlang_c(9e5, 1, 0.1, 0.95)"} {
		b.Run(src, func(b *testing.B) {
			p := mustCompile(b, src)
			for b.Loop() {
				if _, err := p.Run(expr.Env{Metrics: readings}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		mustCompile(b, "max(2, min(50, ceil(q / 10) + w))")
	}
}
