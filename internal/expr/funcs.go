package expr

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// function is one function of the language. Exactly one of the implementations
// is set.
type function struct {
	name    string
	builtin bool // typed by the library; the others have our signature
	arity   int  // number of arguments; 0 for any number of numbers or lists
	call    func(args []float64) (float64, error)
	sig     any // signature for the checker, when not builtin
}

// table is every function, sorted by name.
var table = []function{
	{name: "abs", builtin: true, arity: 1, call: unary(math.Abs)},
	{name: "ceil", builtin: true, arity: 1, call: unary(math.Ceil)},
	{name: "clamp", arity: 3, call: clamp, sig: new(func(x, lo, hi float64) float64)},
	{name: "float", builtin: true, arity: 1, call: unary(func(x float64) float64 { return x })},
	{name: "floor", builtin: true, arity: 1, call: unary(math.Floor)},
	{name: "int", builtin: true, arity: 1, call: truncate},
	{name: "log", arity: 1, call: unary(math.Log), sig: new(func(float64) float64)},
	{name: "log2", arity: 1, call: unary(math.Log2), sig: new(func(float64) float64)},
	{name: "max", builtin: true, call: func(a []float64) (float64, error) { return slices.Max(a), nil }},
	{name: "mean", builtin: true, call: mean},
	{name: "median", builtin: true, call: median},
	{name: "min", builtin: true, call: func(a []float64) (float64, error) { return slices.Min(a), nil }},
	{name: "mod", arity: 2, call: binary(math.Mod), sig: new(func(x, y float64) float64)},
	{name: "pow", arity: 2, call: binary(math.Pow), sig: new(func(x, y float64) float64)},
	{name: "round", builtin: true, arity: 1, call: unary(math.Round)},
	{name: "sqrt", arity: 1, call: unary(math.Sqrt), sig: new(func(float64) float64)},
	{name: "sum", builtin: true, call: sum},
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
