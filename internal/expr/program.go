package expr

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	lang "github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	// MaxSource is the longest expression in bytes.
	MaxSource = 4 << 10
	// MaxCount is the largest value that an expression may give. More is taken
	// for a mistake, such as bytes where a number of items was meant.
	MaxCount = 1_000_000

	maxNodes = 500
)

// Counts are an app's Machines at the time of evaluation, visible to every
// expression as created, started, starting, stopped and suspended. Created is
// all of them.
type Counts struct {
	Created, Started, Starting, Stopped, Suspended int
}

// CountNames returns the names under which Counts are visible.
func CountNames() []string {
	return []string{"created", "started", "starting", "stopped", "suspended"}
}

func (c Counts) get(name string) float64 {
	switch name {
	case "created":
		return float64(c.Created)
	case "started":
		return float64(c.Started)
	case "starting":
		return float64(c.Starting)
	case "stopped":
		return float64(c.Stopped)
	default:
		return float64(c.Suspended)
	}
}

// Program is a compiled expression.
type Program struct {
	src     string
	root    operation
	metrics []string
	windows map[string]time.Duration // of history, by metric
	counts  bool
	time    bool
	slots   int
}

// Env is what an expression is evaluated with.
type Env struct {
	// Metrics holds the metrics that have a reading, and nothing else; a missing one
	// is unknown, and so is one that is no finite number.
	Metrics map[string]float64
	Counts  Counts
	// Now is the time of hour, minute and weekday, which fail without it.
	Now time.Time
	// History returns the readings of a metric so far, in order of time, with the
	// present one as the last, all finite; see Recent for how many are needed. Nil,
	// and no points, leave functions over history unknown.
	History func(metric string) []scale.Point
}

// Result is the value of an expression.
type Result struct {
	Value float64 // from 0 to MaxCount
	// Young says that the value rests on less history than the expression asks for,
	// and how much; else it is empty. Such a value may add and must not remove.
	Young string
}

// Count is the value as a number of Machines: rounded, half away from zero.
func (r Result) Count() int { return int(math.Round(r.Value)) }

// Compile compiles src. The names it may use are the given metrics and those of
// CountNames; a metric that has the name of a count, or of a function that Expr
// itself does not have, hides it. The error is an *Error.
func Compile(src string, metrics []string) (*Program, error) {
	if len(src) > MaxSource {
		return nil, errorAt(src, MaxSource, fmt.Sprintf("the expression is longer than %d bytes", MaxSource), "")
	}
	if strings.TrimSpace(src) == "" {
		return nil, errorAt(src, 0, "the expression is empty", "")
	}
	env := make(map[string]any, len(metrics)+len(CountNames()))
	for _, name := range slices.Concat(CountNames(), metrics) {
		env[name] = float64(0)
	}
	seen := &capture{}
	options := []lang.Option{
		lang.Env(env),
		lang.MaxNodes(maxNodes),
		lang.Optimize(false), // the tree is evaluated as it was written
		lang.DisableAllBuiltins(),
		lang.Patch(seen),
	}
	for _, f := range table {
		switch {
		case f.builtin:
			options = append(options, lang.EnableBuiltin(f.name))
		case calls(src, f.name) && !hidden(f, metrics):
			options = append(options, lang.Function(f.name, neverCalled, f.sigs...))
		}
	}
	_, err := lang.Compile(src, options...)
	if seen.root == nil {
		return nil, libraryError(src, err)
	}
	// Our own walk comes before the checker's verdict: it knows more about what
	// is allowed, and what was meant.
	b := builder{src: src, metrics: metrics, names: map[string]bool{}, windows: map[string]time.Duration{}}
	root := b.build(seen.root)
	if b.err != nil {
		return nil, b.err
	}
	if err != nil {
		return nil, libraryError(src, err)
	}
	if b.kind(seen.root) == boolKind {
		return nil, errorAt(src, 0, "the expression gives true or false, not a number", `write a condition as "condition ? 2 : 1"`)
	}
	p := &Program{src: src, root: root, slots: b.slots, windows: b.windows, time: b.time}
	for name := range b.names {
		if slices.Contains(metrics, name) {
			p.metrics = append(p.metrics, name)
		} else {
			p.counts = true
		}
	}
	slices.Sort(p.metrics)
	return p, nil
}

// capture notes the last node that the library's walk reaches, which is the
// root, because it visits children first.
type capture struct{ root ast.Node }

// Visit implements ast.Visitor.
func (c *capture) Visit(n *ast.Node) { c.root = *n }

// neverCalled stands in for our own functions, which the library needs to type
// and never runs.
func neverCalled(...any) (any, error) { return nil, errors.ErrUnsupported }

// calls reports whether src may call the function. One that is not called is not
// told to the library, because its name could then not be declared with let.
func calls(src, name string) bool {
	for {
		i := strings.Index(src, name)
		if i < 0 {
			return false
		}
		src = src[i+len(name):]
		if strings.HasPrefix(strings.TrimLeft(src, " \t\r\n"), "(") {
			return true
		}
	}
}

// hidden reports whether a metric has the name of a function of ours.
func hidden(f function, metrics []string) bool {
	return !f.builtin && slices.Contains(metrics, f.name)
}

// libraryError turns an error of the parser or the checker into an Error.
func libraryError(src string, err error) *Error {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return errorAt(src, 0, "the expression cannot be compiled", "")
	}
	at := byteOffset(src, fe.From)
	hint := ""
	if at < len(src) && src[at] == '%' {
		hint = "write the remainder as mod(x, y)"
	}
	return errorAt(src, at, fe.Message, hint)
}

// String returns the source.
func (p *Program) String() string { return p.src }

// Metrics returns the names of the metrics that the expression refers to,
// sorted.
func (p *Program) Metrics() []string { return slices.Clone(p.metrics) }

// UsesCounts reports whether the value depends on the app's current Machines.
func (p *Program) UsesCounts() bool { return p.counts }

// History returns the metrics whose history the expression asks for, each with its
// longest window. It is empty for an expression that asks for none.
func (p *Program) History() map[string]time.Duration {
	if len(p.windows) == 0 {
		return nil // asked in every pass over every target
	}
	return maps.Clone(p.windows)
}

// Fixed reports whether the expression refers to nothing that changes: no metric, no
// count and not the time.
func (p *Program) Fixed() bool { return !p.counts && !p.time && len(p.metrics) == 0 }

// Const returns the value of an expression that is Fixed. It reports false for any
// other, and for one that has no value.
func (p *Program) Const() (float64, bool) {
	if !p.Fixed() {
		return 0, false
	}
	r, err := p.Run(Env{})
	return r.Value, err == nil
}

// Run returns the value of the expression, at least 0: a negative result is 0. It is
// an error when an unknown metric is needed (*UnknownMetricError), when the result
// is not a finite number, and when it is beyond MaxCount on either side.
func (p *Program) Run(env Env) (Result, error) {
	f := frame{metrics: env.Metrics, counts: env.Counts, now: env.Now, history: env.History}
	f.args = f.room[:0]
	if p.slots > 0 {
		f.vars = make([]value, p.slots)
	}
	v, err := p.root(&f)
	if err != nil {
		return Result{}, err
	}
	x, err := v.number()
	switch {
	case err != nil:
		return Result{}, err
	case !finite(x):
		return Result{}, fmt.Errorf("the result is %g", x)
	case math.Abs(x) > MaxCount:
		return Result{}, fmt.Errorf("the result %g is beyond %d", x, MaxCount)
	}
	return Result{Value: max(x, 0), Young: f.young}, nil
}
