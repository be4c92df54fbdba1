package expr

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// value is what an operation gives. A value of unknownKind stands for a metric
// without a reading, which it names, or for nil, when the name is empty. Its num
// then says what the metric lacks.
type value struct {
	kind kind
	num  float64 // for boolKind, 1 is true
	name string
}

type kind uint8

const (
	unknownKind kind = iota
	numberKind
	boolKind
)

// What an unknown value lacks.
const (
	lacksReading = iota
	lacksHistory
	lacksPoints
)

func num(x float64) value { return value{kind: numberKind, num: x} }

func boolean(b bool) value {
	if b {
		return value{kind: boolKind, num: 1}
	}
	return value{kind: boolKind}
}

var (
	errNil       = errors.New("nil stands where a number is needed")
	errNotNumber = errors.New("true or false stands where a number is needed")
	errNotBool   = errors.New("a number stands where a condition is needed")
)

// unknown is the error of using v, which is of unknownKind.
func (v value) unknown() error {
	if v.name == "" {
		return errNil
	}
	e := &UnknownMetricError{Name: v.name}
	switch v.num {
	case lacksReading:
	case lacksHistory:
		e.history = "there is no history of it"
	case lacksPoints:
		e.history = "its history has one value, and two are needed"
	}
	return e
}

func (v value) number() (float64, error) {
	switch v.kind {
	case numberKind:
		return v.num, nil
	case boolKind:
		return 0, errNotNumber
	}
	return 0, v.unknown()
}

func (v value) bool() (bool, error) {
	switch v.kind {
	case boolKind:
		return v.num != 0, nil
	case numberKind:
		return false, errNotBool
	}
	return false, v.unknown()
}

// frame is the state of one evaluation.
type frame struct {
	metrics map[string]float64
	counts  Counts
	now     time.Time
	history func(metric string) []scale.Point
	young   string // see Result
	vars    []value
	args    []float64  // of the calls under way, the innermost last
	room    [6]float64 // for args of most expressions
}

// operation evaluates one node of the tree.
type operation func(*frame) (value, error)

func number(op operation, f *frame) (float64, error) {
	v, err := op(f)
	if err != nil {
		return 0, err
	}
	return v.number()
}

func condition(op operation, f *frame) (bool, error) {
	v, err := op(f)
	if err != nil {
		return false, err
	}
	return v.bool()
}

func constant(v value) operation {
	return func(*frame) (value, error) { return v, nil }
}

func loadMetric(name string) operation {
	return func(f *frame) (value, error) {
		// A reading that is no finite number is none.
		if x, ok := f.metrics[name]; ok && finite(x) {
			return num(x), nil
		}
		return value{kind: unknownKind, name: name}, nil
	}
}

func loadCount(name string) operation {
	return func(f *frame) (value, error) { return num(f.counts.get(name)), nil }
}

func loadVariable(slot int) operation {
	return func(f *frame) (value, error) { return f.vars[slot], nil }
}

// let keeps an unknown value as it is, so that "let x = depth; x ?? 3" works.
func let(slot int, x, body operation) operation {
	return func(f *frame) (value, error) {
		v, err := x(f)
		if err != nil {
			return value{}, err
		}
		f.vars[slot] = v
		return body(f)
	}
}

func negate(x operation) operation {
	return func(f *frame) (value, error) {
		v, err := number(x, f)
		return num(-v), err
	}
}

func plus(x operation) operation {
	return func(f *frame) (value, error) {
		v, err := number(x, f)
		return num(v), err
	}
}

func not(x operation) operation {
	return func(f *frame) (value, error) {
		v, err := condition(x, f)
		return boolean(!v), err
	}
}

var arithmetic = map[string]func(x, y float64) float64{
	"+":  func(x, y float64) float64 { return x + y },
	"-":  func(x, y float64) float64 { return x - y },
	"*":  func(x, y float64) float64 { return x * y },
	"/":  func(x, y float64) float64 { return x / y },
	"%":  math.Mod, // the checker admits whole numbers only
	"**": math.Pow,
	"^":  math.Pow,
}

func compute(operator string, op func(x, y float64) float64, left, right operation) operation {
	return func(f *frame) (value, error) {
		x, err := number(left, f)
		if err != nil {
			return value{}, err
		}
		y, err := number(right, f)
		if err != nil {
			return value{}, err
		}
		z := op(x, y)
		if math.IsNaN(z) {
			return value{}, fmt.Errorf("%g %s %g has no value", x, operator, y)
		}
		return num(z), nil
	}
}

var comparisons = map[string]func(x, y float64) bool{
	"<":  func(x, y float64) bool { return x < y },
	"<=": func(x, y float64) bool { return x <= y },
	">":  func(x, y float64) bool { return x > y },
	">=": func(x, y float64) bool { return x >= y },
}

func compare(op func(x, y float64) bool, left, right operation) operation {
	return func(f *frame) (value, error) {
		x, err := number(left, f)
		if err != nil {
			return value{}, err
		}
		y, err := number(right, f)
		return boolean(op(x, y)), err
	}
}

// equality compares two known values, unless one side is the word nil, which
// asks whether the other is unknown.
func equality(n *ast.BinaryNode, left, right operation, want bool) operation {
	_, leftNil := n.Left.(*ast.NilNode)
	_, rightNil := n.Right.(*ast.NilNode)
	asksNil := leftNil || rightNil
	return func(f *frame) (value, error) {
		x, err := left(f)
		if err != nil {
			return value{}, err
		}
		y, err := right(f)
		if err != nil {
			return value{}, err
		}
		switch {
		case asksNil:
			return boolean((x.kind == y.kind) == want), nil
		case x.kind == unknownKind:
			return value{}, x.unknown()
		case y.kind == unknownKind:
			return value{}, y.unknown()
		}
		return boolean((x.kind == y.kind && x.num == y.num) == want), nil
	}
}

// junction is "or" when stop is true, else "and". The right side is looked at
// only when the left one does not settle it.
func junction(left, right operation, stop bool) operation {
	return func(f *frame) (value, error) {
		x, err := condition(left, f)
		if err != nil || x == stop {
			return boolean(x), err
		}
		y, err := condition(right, f)
		return boolean(y), err
	}
}

func coalesce(left, right operation) operation {
	return func(f *frame) (value, error) {
		v, err := left(f)
		if err != nil || v.kind != unknownKind {
			return v, err
		}
		return right(f)
	}
}

func isKnown(x operation) operation {
	return func(f *frame) (value, error) {
		v, err := x(f)
		return boolean(v.kind != unknownKind), err
	}
}

func conditional(cond, yes, no operation) operation {
	return func(f *frame) (value, error) {
		c, err := condition(cond, f)
		if err != nil {
			return value{}, err
		}
		if c {
			return yes(f)
		}
		return no(f)
	}
}

func invoke(fn function, ops []operation) operation {
	return func(f *frame) (value, error) {
		from := len(f.args)
		for _, op := range ops {
			x, err := number(op, f)
			if err != nil {
				return value{}, err
			}
			f.args = append(f.args, x)
		}
		args := f.args[from:]
		z, err := fn.call(args)
		if err != nil {
			return value{}, err
		}
		if math.IsNaN(z) {
			return value{}, fmt.Errorf("%s%v has no value", fn.name, args)
		}
		f.args = f.args[:from]
		return num(z), nil
	}
}
