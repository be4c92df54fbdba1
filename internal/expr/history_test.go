package expr_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// series is values at an interval, the last at noon.
func series(interval time.Duration, values ...float64) []scale.Point {
	points := make([]scale.Point, len(values))
	for i, v := range values {
		points[i] = scale.Point{At: noon.Add(-interval * time.Duration(len(values)-1-i)), Value: v}
	}
	return points
}

// env is an environment in which the newest of the points of q is the present one.
func env(q []scale.Point) expr.Env {
	e := expr.Env{Metrics: map[string]float64{"w": 2.5}, Counts: counts, Now: noon, History: func(metric string) []scale.Point {
		if metric == "q" {
			return q
		}
		return nil
	}}
	if len(q) > 0 {
		e.Metrics["q"] = q[len(q)-1].Value
	}
	return e
}

func TestHistory(t *testing.T) {
	minutes := series(time.Minute, 90, 10, 40, 20, 30, 60) // 90 is just within five minutes
	for _, test := range []struct {
		src    string
		points []scale.Point
		want   float64
		young  string
	}{
		{`avg_over(q, "5m")`, minutes, 250.0 / 6, ""},
		{`avg_over(q, "3m")`, minutes, 37.5, ""},
		{`min_over(q, "4m")`, minutes, 10, ""},
		{`max_over(q, "4m")`, minutes, 60, ""},
		{`max_over(q, "5m")`, minutes, 90, ""},
		{`max_over(q, "4m59s")`, minutes, 60, ""},
		{`max_over(q, "1s")`, minutes, 60, ""},
		{`quantile_over(q, "4m", 0)`, minutes, 10, ""},
		{`quantile_over(q, "4m", 0.5)`, minutes, 30, ""},
		{`quantile_over(q, "4m", 0.9)`, minutes, 52, ""},
		{`quantile_over(q, "4m", 1)`, minutes, 60, ""},
		{`delta_over(q, "2m")`, minutes, 40, ""},
		{`20 + delta_over(q, "1m30s")`, minutes, 60, ""}, // from the one before the window
		{`q | avg_over("3m")`, minutes, 37.5, ""},
		{`max(q, avg_over(q, "3m"), w)`, minutes, 60, ""},
		{`max_over(q, "3m") > 50 ? ceil(max_over(q, "3m") / 10) : 1`, minutes, 6, ""},

		// Counters: per second, from a value that is at least as old as the window.
		{`rate_over(q, "1m")`, series(15*time.Second, 0, 30, 60, 90, 120), 2, ""},
		{`rate_over(q, "55s")`, series(15*time.Second, 0, 30, 60, 90, 150), 2.5, ""},
		{`rate_over(q, "1m")`, series(15*time.Second, 100, 130, 10, 40, 70), (30 + 10 + 30 + 30) / 60.0, ""},
		{`rate_over(q, "1m")`, series(15*time.Second, 7, 7, 7, 7, 7), 0, ""},

		// Less than was asked for.
		{`max_over(q, "5m")`, series(time.Minute, 4, 6, 5), 6, "history of q covers 2m of 5m"},
		{`max_over(q, "5m")`, series(time.Minute, 4), 4, "history of q covers 0s of 5m"},
		{`avg_over(q, "1h30m")`, series(30*time.Second, 1, 2, 3, 4), 2.5, "history of q covers 1m30s of 1h30m"},
		{`rate_over(q, "5m")`, series(time.Minute, 0, 60, 120), 1, "history of q covers 2m of 5m"},
		{`max_over(q, "5m") ?? 3`, series(time.Minute, 4, 5), 5, "history of q covers 1m of 5m"},
		// Its share of the value does not matter, whether it was looked at does.
		{`max_over(q, "5m") > 100 ? 2 : 1`, series(time.Minute, 4, 5), 1, "history of q covers 1m of 5m"},
		{`w > 1 ? 1 : max_over(q, "5m")`, series(time.Minute, 4, 5), 1, ""},
		// An interval is missing: that much is slack.
		{`max_over(q, "5m")`, series(time.Minute, 1, 2, 3, 4, 5), 5, ""},
		{`max_over(q, "5m")`, series(time.Minute, 2, 3, 4, 5), 5, "history of q covers 3m of 5m"},
	} {
		got, err := mustCompile(t, test.src).Run(env(test.points))
		if err != nil {
			t.Errorf("%s: %v", test.src, err)
		} else if math.Abs(got.Value-test.want) > 1e-12 || got.Young != test.young {
			t.Errorf("%s over %v: got %+v, want %g %q", test.src, test.points, got, test.want, test.young)
		}
	}
}

// What was not seen is not covered: the autoscaler was away, and its memory is from
// before. A short gap does not matter.
func TestHistoryWithAHole(t *testing.T) {
	t.Parallel()
	at := func(seconds ...int) (points []scale.Point) {
		for _, s := range seconds {
			points = append(points, scale.Point{At: noon.Add(time.Duration(s) * time.Second), Value: float64(-s)})
		}
		return points
	}
	for _, test := range []struct {
		src    string
		points []scale.Point
		want   float64
		young  string
	}{
		{`max_over(q, "5m")`, at(-330, -315, -300, -285, -270, -15, 0), 285 + 15, "history of q covers 45s of 5m"},
		{`max_over(q, "5m")`, at(-3630, -3615, -3600, 0), 0, "history of q covers 0s of 5m"},
		// The increase since an hour ago is not that of five minutes.
		{`100 + delta_over(q, "5m")`, at(-3630, -3615, -3600, -30, -15, 0), 70, "history of q covers 30s of 5m"},
		// With so few nobody can tell a hole.
		{`max_over(q, "5m")`, at(-3600, 0), 0, "history of q has just begun"},
		{`max_over(q, "1s")`, at(-15, 0), 0, "history of q has just begun"},
		{`max_over(q, "1s")`, at(-30, -15, 0), 0, ""},
		{`max_over(q, "2m")`, at(-120, -105, -90, -75, -30, -15, 0), 120, ""},
		{`max_over(q, "10m")`, at(-600, -540, -480, -420, -60, 0), 600, "history of q covers 4m of 10m"},
		// The clock was set back: what it said before tells nothing.
		{`max_over(q, "5m")`, at(3400, 3415, 3430, -15, 0), 15, "history of q covers 15s of 5m"},
		// The same reading more than once, as of a source that remembers its answer.
		{`max_over(q, "1m")`, at(-60, -60, -45, -45, -30, -30, -15, -15, 0, 0), 60, ""},
	} {
		e := env(test.points)
		got, err := mustCompile(t, test.src).Run(e)
		if err != nil {
			t.Errorf("%s: %v", test.src, err)
		} else if got.Value != test.want || got.Young != test.young {
			t.Errorf("%s over %v: got %+v, want %g %q", test.src, test.points, got, test.want, test.young)
		}
	}
}

// Nothing is known of the history of a metric that is unknown now, however much is
// remembered; and nothing of one of which nothing is.
func TestUnknownHistory(t *testing.T) {
	t.Parallel()
	long := series(time.Minute, 1, 2, 3, 4, 5, 6)
	lost := env(long)
	delete(lost.Metrics, "q")
	broken := env(long)
	broken.Metrics["q"] = math.NaN()
	empty := env(nil)
	empty.Metrics["q"] = 1
	none := env(long)
	none.History = nil
	one := env(series(time.Minute, 4))
	const reading, history, points = "metric q has no reading", "metric q: there is no history of it", "metric q: its history has one value, and two are needed"
	for _, test := range []struct {
		src  string
		env  expr.Env
		want string
	}{
		{`max_over(q, "5m")`, lost, reading},
		{`max_over(q, "5m")`, broken, reading},
		{`1 + max_over(q, "5m")`, lost, reading},
		{`max(1, rate_over(q, "5m"))`, lost, reading},
		{`q > 1 ? avg_over(q, "5m") : 1`, lost, reading},
		{`avg_over(q, "5m")`, empty, history},
		{`quantile_over(q, "5m", 0.5)`, none, history},
		{`rate_over(q, "5m")`, one, points},
		{`delta_over(q, "5m")`, one, points},
		{`let x = rate_over(q, "5m"); x * 2`, one, points},
	} {
		got, err := mustCompile(t, test.src).Run(test.env)
		unknown, ok := errors.AsType[*expr.UnknownMetricError](err)
		if !ok || unknown.Name != "q" || unknown.Error() != test.want {
			t.Errorf("%s: got %+v, %v, want that %s", test.src, got, err, test.want)
		}
	}
	for _, e := range []expr.Env{lost, broken, empty, none, one} {
		for src, want := range map[string]float64{
			`rate_over(q, "5m") ?? 3`:                                3,
			`rate_over(q, "5m") == nil ? 3 : 4`:                      3,
			`known(rate_over(q, "5m")) ? rate_over(q, "5m") : 3`:     3,
			`let r = rate_over(q, "5m"); known(r) ? r : 3`:           3,
			`not known(delta_over(q, "5m")) or q > 1e6 ? 3 : 4`:      3,
			`known(delta_over(q, "5m")) and q / 0 > 1 ? 4 : 3`:       3,
			`(known(q) ? delta_over(q, "5m") : gone) ?? (gone ?? 3)`: 3,
		} {
			if got, err := mustCompile(t, src).Run(e); err != nil || got.Value != want {
				t.Errorf("%s: got %+v, %v, want %g", src, got, err, want)
			}
		}
	}
}

// known looks at nothing but whether there is a value, and what is not chosen is not
// looked at.
func TestKnown(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]float64{
		"known(q) ? q : 1":                          7,
		"known(gone) ? gone : 3":                    3,
		"known(zero) ? 1 : 2":                       1,
		"not known(gone) and q > 5 ? 1 : 2":         1,
		"known(gone) and gone > 5 ? 1 : 2":          2,
		"!known(gone) || gone > 5 ? 1 : 2":          1,
		"known(gone) == known(lost) ? 1 : 2":        1,
		"let x = gone; known(x) ? x : 4":            4,
		"if known(q) { ceil(q / 10) } else { 5 }":   1,
		"q ?? (gone / zero)":                        7,
		"gone ?? known(lost) ? 1 : 2":               2,
		"known(q) and known(gone) ? q + gone : 9":   9,
		"let seen = known(gone); seen ? gone : q":   7,
		`known(max_over(gone, "5m")) ? 1 : q ?? 2`:  7,
		`gone ?? max_over(lost, "5m") ?? min(q, 3)`: 3,
	} {
		if got, err := mustCompile(t, src).Run(expr.Env{Metrics: readings, Counts: counts}); err != nil || got.Value != want {
			t.Errorf("%s: got %+v, %v, want %g", src, got, err, want)
		}
	}
}

func TestHistoryCompileErrors(t *testing.T) {
	t.Parallel()
	const duration = `write a number and a unit, such as "90s", "5m" or "1h30m"`
	for _, test := range []struct {
		src  string
		want expr.Error
	}{
		{`1 + avg_over(q, "5")`, expr.Error{16, 1, 17, `"5" is not a duration`, duration}},
		{`avg_over(q, "1d")`, expr.Error{12, 1, 13, `"1d" is not a duration`, duration}},
		{`avg_over(q, "999ms")`, expr.Error{12, 1, 13, `the window "999ms" is not between 1s and 24h`, ""}},
		{`avg_over(q, "24h1s")`, expr.Error{12, 1, 13, `the window "24h1s" is not between 1s and 24h`, ""}},
		{`avg_over(q, "-5m")`, expr.Error{12, 1, 13, `the window "-5m" is not between 1s and 24h`, ""}},
		{`avg_over(q, 300)`, expr.Error{12, 1, 13, `avg_over takes a time such as "5m" second`, `write avg_over(queue_depth, "5m")`}},
		{`avg_over(q, "5" + "m")`, expr.Error{16, 1, 17, `avg_over takes a time such as "5m" second`, `write avg_over(queue_depth, "5m")`}},
		{`avg_over(q)`, expr.Error{0, 1, 1, "avg_over takes 2 arguments, not 1", `write avg_over(queue_depth, "5m")`}},
		{"1 +\n  max_over(q / 2, \"5m\")", expr.Error{17, 2, 14, "max_over takes the name of a metric first, of which history is kept", `write max_over(queue_depth, "5m")`}},
		{`let x = q; max_over(x, "5m")`, expr.Error{20, 1, 21, "max_over takes the name of a metric first, of which history is kept", `write max_over(queue_depth, "5m")`}},
		{`max_over(started, "5m")`, expr.Error{9, 1, 10, "history is kept of metrics, and started is a count of Machines", ""}},
		{`max_over(qq, "5m")`, expr.Error{9, 1, 10, `unknown name "qq"`, "did you mean q?"}},
		{`max_over("5m", q)`, expr.Error{9, 1, 10, "max_over takes the name of a metric first, of which history is kept", `write max_over(queue_depth, "5m")`}},
		{`quantile_over(0.9, q, "5m")`, expr.Error{14, 1, 15, "quantile_over takes the name of a metric first, of which history is kept", `write quantile_over(queue_depth, "5m", 0.9)`}},
		{`1 + quantile_over(q, "5m", 90)`, expr.Error{4, 1, 5, "the quantile is not a number from 0 to 1", `write quantile_over(q, "5m", 0.9)`}},
		{`quantile_over(q, "5m", w)`, expr.Error{23, 1, 24, "the quantile is not a number from 0 to 1", `write quantile_over(q, "5m", 0.9)`}},
		{`max_over + 1`, expr.Error{0, 1, 1, "max_over is a function", "call it: max_over(…)"}},
		{`avgover(q, "5m")`, expr.Error{0, 1, 1, `unknown function "avgover"`, "did you mean avg_over?"}},
		{`known(q / 2) ? 1 : 2`, expr.Error{8, 1, 9, "known takes a metric, or a function over its history", "write known(queue_depth)"}},
		{`known(started) ? 1 : 2`, expr.Error{6, 1, 7, "known takes a metric, or a function over its history", "write known(queue_depth)"}},
		{`known(nil) ? 1 : 2`, expr.Error{6, 1, 7, "known takes a metric, or a function over its history", "write known(queue_depth)"}},
		{`known(qq) ? 1 : 2`, expr.Error{6, 1, 7, `unknown name "qq"`, "did you mean q?"}},
		{`known(q)`, expr.Error{0, 1, 1, "the expression gives true or false, not a number", `write a condition as "condition ? 2 : 1"`}},
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

func TestProgramTellsItsHistory(t *testing.T) {
	t.Parallel()
	p := mustCompile(t, `avg_over(q, "5m") + max_over(q, "1h") + max_over(q, "90s") + rate_over(w, "2m") + zero`)
	if diff := cmp.Diff(map[string]time.Duration{"q": time.Hour, "w": 2 * time.Minute}, p.History()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"q", "w", "zero"}, p.Metrics()); diff != "" {
		t.Error(diff)
	}
	if h := mustCompile(t, "ceil(q)").History(); len(h) != 0 {
		t.Errorf("got %v, want none", h)
	}
	for src, want := range map[string]bool{"1 + 2": true, "q": false, "started": false, "hour()": false, `max_over(q, "1m")`: false, "drain(10, 2, 5)": true} {
		if got := mustCompile(t, src).Fixed(); got != want {
			t.Errorf("%s: got fixed %t, want %t", src, got, want)
		}
	}
}

// Settings from before a function was there stay valid: a metric, or a variable, of
// its name hides it.
func TestNamesOfOurFunctions(t *testing.T) {
	t.Parallel()
	metrics := []string{"hour", "known", "q"}
	e := expr.Env{Metrics: map[string]float64{"hour": 3, "q": 7}}
	for src, want := range map[string]float64{
		"hour * 2":                    6,
		"let drain = 2; drain * hour": 6,
		"let log = 1; log + q":        8,
		"known ?? hour":               3,
		"let erlang_c = (q); (erlang_c) * drain(1,2,2)": 7,
	} {
		p, err := expr.Compile(src, metrics)
		if err != nil {
			t.Errorf("%s: %v", src, err)
		} else if got, err := p.Run(e); err != nil || got.Value != want {
			t.Errorf("%s: got %+v, %v, want %g", src, got, err, want)
		}
	}
	_, err := expr.Compile(`hour("UTC")`, metrics)
	if want := "1:1: hour is a number and cannot be called, the metric of that name hides the function"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// genPoints draws a history in order of time, with steps of any length.
func genPoints(t *rapid.T, least int) []scale.Point {
	values := rapid.SliceOfN(rapid.Float64Range(0, 1e6), least, 40).Draw(t, "values")
	points := make([]scale.Point, len(values))
	at := noon
	for i := len(values) - 1; i >= 0; i-- {
		points[i] = scale.Point{At: at, Value: values[i]}
		at = at.Add(-time.Duration(rapid.IntRange(0, 90_000).Draw(t, "gap")) * time.Millisecond)
	}
	return points
}

func genWindow(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(1, 3600).Draw(t, "window")) * time.Second
}

// The functions agree with their definitions, and with one another.
func TestHistoryDefinitions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		points, window := genPoints(t, 1), genWindow(t)
		value := func(format string, args ...any) float64 {
			r, err := mustCompileIn(t, fmt.Sprintf(format, args...)).Run(env(points))
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			return r.Value
		}
		lo, hi, total, n := math.Inf(1), math.Inf(-1), 0.0, 0.0
		for _, p := range points {
			if noon.Sub(p.At) <= window {
				lo, hi, total, n = min(lo, p.Value), max(hi, p.Value), total+p.Value, n+1
			}
		}
		gotLo, gotHi := value(`min_over(q, %q)`, window), value(`max_over(q, %q)`, window)
		if gotLo != lo || gotHi != hi {
			t.Fatalf("got %g to %g, want %g to %g", gotLo, gotHi, lo, hi)
		}
		avg := value(`avg_over(q, %q)`, window)
		if avg < lo || avg > hi || !near(avg, total/n) {
			t.Fatalf("got average %g of %g to %g, want %g", avg, lo, hi, total/n)
		}
		last := lo
		for _, q := range []string{"0", "0.1", "0.25", "0.5", "0.9", "0.99", "1"} {
			x := value(`quantile_over(q, %q, %s)`, window, q)
			if x < last || x > hi || q == "0" && x != lo || q == "1" && x != hi {
				t.Fatalf("got quantile %s %g of %g to %g, and %g below it", q, x, lo, hi, last)
			}
			last = x
		}
	})
}

// A constant is its own average and quantile to the bit, whatever the number of
// points: ceil of it is not one too many.
func TestHistoryOfAConstant(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		points := genPoints(t, 2)
		x := rapid.Float64Range(0, 1e6).Draw(t, "x")
		for i := range points {
			points[i].Value = x
		}
		points[0].At = points[0].At.Add(-time.Second)
		for src, want := range map[string]float64{
			`avg_over(q, "1h")`: x, `quantile_over(q, "1h", 0.7)`: x, `rate_over(q, "1h")`: 0, `delta_over(q, "1h")`: 0,
		} {
			if got, err := mustCompileIn(t, src).Run(env(points)); err != nil || got.Value != want {
				t.Fatalf("%s of %g: got %+v, %v", src, x, got, err)
			}
		}
	})
}

// The rate of a counter is that of its increases, wherever it began anew: a reset
// loses what was counted before it since the last reading, and nothing is counted
// twice or below zero.
func TestRateOfACounter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		points := genPoints(t, 2)
		points[0].At = points[0].At.Add(-time.Second)
		count, increase := float64(rapid.IntRange(0, 1000).Draw(t, "first")), 0.0
		for i := range points {
			if i > 0 {
				by := float64(rapid.IntRange(0, 1000).Draw(t, "by"))
				if by < count && rapid.Bool().Draw(t, "reset") {
					count = 0
				}
				count += by
				increase += by
			}
			points[i].Value = count
		}
		got, err := mustCompileIn(t, `rate_over(q, "24h")`).Run(env(points))
		want := increase / noon.Sub(points[0].At).Seconds()
		if err != nil || !near(got.Value, want) {
			t.Fatalf("got %+v, %v, want %g", got, err, want)
		}
	})
}

// What Recent leaves out changes neither a value nor whether it is young, so that a
// memory may keep what Recent gives and nothing else.
func TestRecentIsEnough(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		points, window := genPoints(t, 1), genWindow(t)
		longest := window + time.Duration(rapid.IntRange(0, 600).Draw(t, "longer"))*time.Second
		kept := expr.Recent(points, longest)
		if again := expr.Recent(kept, longest); len(again) != len(kept) {
			t.Fatalf("of %d points that were kept %d are kept", len(kept), len(again))
		}
		for _, f := range []string{"avg_over", "min_over", "max_over", "rate_over", "delta_over"} {
			p := mustCompileIn(t, fmt.Sprintf("1e5 + %s(q, %q) / 10", f, window))
			want, wantErr := p.Run(env(points))
			got, err := p.Run(env(kept))
			if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("%s: got %+v, %v of %d points, want %+v, %v of %d", p, got, err, len(kept), want, wantErr, len(points))
			}
		}
	})
}

// History that is kept at a steady interval with Recent stops being young once it is
// as long as the window, and stays so, also for a window below the interval.
func TestHistoryComesOfAge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		window := genWindow(t)
		every := time.Duration(rapid.IntRange(1, 120).Draw(t, "interval")) * time.Second
		p := mustCompileIn(t, fmt.Sprintf(`max_over(q, %q)`, window))
		var kept []scale.Point
		begin := noon
		for i := range min(int(window/every), 500) + 5 {
			jitter := time.Duration(rapid.IntRange(0, int(every/10)).Draw(t, "jitter"))
			at := begin.Add(every*time.Duration(i) + jitter)
			kept = expr.Recent(append(kept, scale.Point{At: at, Value: 1}), window)
			r, err := p.Run(env(kept))
			if err != nil {
				t.Fatal(err)
			}
			age := at.Sub(begin)
			if r.Young == "" && age+2*every+window/10 < window {
				t.Fatalf("is grown up after %s of %s", age, window)
			}
			if r.Young != "" && age > window+3*every {
				t.Fatalf("after %s of %s: %s", age, window, r.Young)
			}
		}
	})
}

func mustCompileIn(t *rapid.T, src string) *expr.Program {
	p, err := expr.Compile(src, declared)
	if err != nil {
		t.Fatalf("compile %s: %v", src, err)
	}
	return p
}
