package expr

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// function is one function of the language.
type function struct {
	name    string
	builtin bool // typed by the library; the others have our signatures
	form    form
	arity   int    // number of arguments; 0 for any number of numbers or lists
	usage   string // an example of a call, for forms other than of numbers

	call func(args []float64) (float64, error) // ofNumbers
	over aggregate                             // ofHistory
	part func(time.Time) int                   // ofTime
	sigs []any                                 // signatures for the checker, when not builtin
}

// form says what arguments a function takes.
type form uint8

const (
	ofNumbers form = iota
	ofHistory      // the name of a metric, a window and perhaps a number
	ofTime         // perhaps the name of a time zone
	ofUnknown      // what may be unknown
)

// table is every function, sorted by name.
var table = []function{
	{name: "abs", builtin: true, arity: 1, call: unary(math.Abs)},
	history("avg_over", average),
	{name: "ceil", builtin: true, arity: 1, call: unary(math.Ceil)},
	{name: "clamp", arity: 3, call: clamp, sigs: of(new(func(x, lo, hi float64) float64))},
	history("delta_over", delta),
	{name: "drain", arity: 3, call: drain, sigs: of(new(func(queue, serviceTime, within float64) float64))},
	{name: "erlang_c", arity: 4, call: erlangC, sigs: of(new(func(arrivals, serviceTime, maxWait, share float64) float64))},
	{name: "float", builtin: true, arity: 1, call: unary(func(x float64) float64 { return x })},
	{name: "floor", builtin: true, arity: 1, call: unary(math.Floor)},
	timeOfDay("hour", time.Time.Hour),
	{name: "int", builtin: true, arity: 1, call: truncate},
	{name: "known", form: ofUnknown, arity: 1, usage: "known(queue_depth)", sigs: of(new(func(float64) bool))},
	{name: "log", arity: 1, call: unary(math.Log), sigs: of(new(func(float64) float64))},
	{name: "log2", arity: 1, call: unary(math.Log2), sigs: of(new(func(float64) float64))},
	{name: "max", builtin: true, call: func(a []float64) (float64, error) { return slices.Max(a), nil }},
	history("max_over", highest),
	{name: "mean", builtin: true, call: mean},
	{name: "median", builtin: true, call: median},
	{name: "min", builtin: true, call: func(a []float64) (float64, error) { return slices.Min(a), nil }},
	history("min_over", lowest),
	timeOfDay("minute", time.Time.Minute),
	{name: "mod", arity: 2, call: binary(math.Mod), sigs: of(new(func(x, y float64) float64))},
	{name: "pow", arity: 2, call: binary(math.Pow), sigs: of(new(func(x, y float64) float64))},
	{
		name: "quantile_over", form: ofHistory, arity: 3, usage: `quantile_over(queue_depth, "5m", 0.9)`, over: quantile,
		sigs: of(new(func(metric float64, window string, q float64) float64)),
	},
	history("rate_over", rate),
	{name: "round", builtin: true, arity: 1, call: unary(math.Round)},
	{name: "sqrt", arity: 1, call: unary(math.Sqrt), sigs: of(new(func(float64) float64))},
	{name: "sum", builtin: true, call: sum},
	timeOfDay("weekday", weekday),
}

func of(signatures ...any) []any { return signatures }

func history(name string, f aggregate) function {
	return function{
		name: name, form: ofHistory, arity: 2, usage: name + `(queue_depth, "5m")`, over: f,
		sigs: of(new(func(metric float64, window string) float64)),
	}
}

func timeOfDay(name string, part func(time.Time) int) function {
	return function{
		name: name, form: ofTime, usage: name + `("Europe/Berlin")`, part: part,
		sigs: of(new(func() float64), new(func(zone string) float64)),
	}
}

// Functions returns the names of the functions of the language, sorted.
//
//	abs ceil floor round int float       of one number; int cuts towards zero,
//	                                     round goes half away from zero
//	min max mean median                  of any numbers or lists
//	sum                                  of one list: sum([a, b])
//	clamp(x, lo, hi)                     x within lo and hi
//	log log2 sqrt pow(x, y)
//	mod(x, y)                            remainder, with the sign of x
//	avg_over min_over max_over           of the history of a metric, over a window:
//	rate_over delta_over                 avg_over(queue_depth, "5m"); the rate of a
//	                                     counter is per second
//	quantile_over(metric, window, q)     likewise, with q from 0 to 1
//	known(x)                             whether a metric, or what a function over
//	                                     its history gives, is known
//	hour minute weekday                  now, in UTC or in a zone: hour("Europe/Berlin");
//	                                     weekday is from 1, Monday, to 7
//	erlang_c(arrivals, service_time, max_wait, share)
//	                                     Machines at which a share of arrivals waits
//	                                     at most so long; times in seconds
//	drain(queue, service_time, within)   Machines that work a queue off within a time
func Functions() []string {
	names := make([]string, len(table))
	for i, f := range table {
		names[i] = f.name
	}
	return names
}

func lookup(name string) (function, bool) {
	i := slices.IndexFunc(table, func(f function) bool { return f.name == name })
	if i < 0 {
		return function{}, false
	}
	return table[i], true
}

func unary(f func(float64) float64) func([]float64) (float64, error) {
	return func(a []float64) (float64, error) { return f(a[0]), nil }
}

func binary(f func(x, y float64) float64) func([]float64) (float64, error) {
	return func(a []float64) (float64, error) { return f(a[0], a[1]), nil }
}

// maxInt is the largest number up to which every integer is one float64.
const maxInt = 1 << 53

func truncate(a []float64) (float64, error) {
	if math.Abs(a[0]) > maxInt {
		return 0, fmt.Errorf("int(%g) is out of range", a[0])
	}
	return math.Trunc(a[0]), nil
}

func clamp(a []float64) (float64, error) {
	x, lo, hi := a[0], a[1], a[2]
	if lo > hi {
		return 0, fmt.Errorf("clamp has its lower bound %g above its upper bound %g", lo, hi)
	}
	return min(max(x, lo), hi), nil
}

func sum(a []float64) (float64, error) {
	var total float64
	for _, x := range a {
		total += x
	}
	return total, nil
}

func mean(a []float64) (float64, error) {
	if len(a) == 0 {
		return 0, nil
	}
	total, err := sum(a)
	return total / float64(len(a)), err
}

// median may reorder a, which belongs to the call.
func median(a []float64) (float64, error) {
	if len(a) == 0 {
		return 0, nil
	}
	sort.Float64s(a)
	mid := len(a) / 2
	if len(a)%2 == 1 {
		return a[mid], nil
	}
	return (a[mid-1] + a[mid]) / 2, nil
}
