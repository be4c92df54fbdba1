package expr

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// The bounds of a window of history.
const (
	MinWindow = time.Second
	MaxWindow = 24 * time.Hour
)

// aggregate makes one number of the points of a window, of which there is at least
// one, oldest first. Before is the last point from before the window, where that is the
// one nearest to its beginning, and else nil. room is scratch. It reports false when
// the points are too few.
type aggregate func(points []scale.Point, before *scale.Point, q float64, room []float64) (float64, bool)

// fewest is how many points are needed at least to tell the usual time between them,
// and a hole from it, even when a window is shorter.
const fewest = 4

// Recent returns the end of points, which are in order of time, that a function over
// the window looks at: what is no older than window before the newest; the one before
// that, which tells that the history reaches back so far; and at least four, which
// tell how far apart points usually are. Points that are later than their successors
// are of a clock that has been set back; they, and all before them, are left out.
func Recent(points []scale.Point, window time.Duration) []scale.Point {
	if len(points) == 0 {
		return nil
	}
	first := len(points) - 1
	begin := points[first].At.Add(-window)
	for first > 0 && !points[first-1].At.After(points[first].At) {
		if points[first].At.Before(begin) && len(points)-first >= fewest {
			break
		}
		first--
	}
	return points[first:]
}

// over returns the operation of a function over the history of a metric.
func over(metric string, window time.Duration, of aggregate, q float64) operation {
	return func(f *frame) (value, error) {
		// History tells nothing of a metric that is lost: its greatest value of an
		// hour would hold a fleet for an hour after nobody knows any more.
		if x, ok := f.metrics[metric]; !ok || !finite(x) {
			return value{kind: unknownKind, name: metric}, nil
		}
		if f.history == nil {
			return value{kind: unknownKind, name: metric, num: lacksHistory}, nil
		}
		recent := Recent(f.history(metric), window)
		if len(recent) == 0 {
			return value{kind: unknownKind, name: metric, num: lacksHistory}, nil
		}
		usual, settled := interval(recent)
		points, before := split(recent, window, usual)
		// The room behind the arguments under way is free until this call returns.
		x, ok := of(points, before, q, f.args[len(f.args):])
		if !ok {
			return value{kind: unknownKind, name: metric, num: lacksPoints}, nil
		}
		if !finite(x) {
			return value{}, fmt.Errorf("the history of %s is out of range", metric)
		}
		if f.young == "" {
			covered := coverage(recent, window, usual)
			switch {
			case covered+max(usual, window/10) < window:
				f.young = fmt.Sprintf("history of %s covers %s of %s", metric, brief(covered), brief(window))
			case !settled:
				f.young = fmt.Sprintf("history of %s has just begun", metric)
			}
		}
		return num(x), nil
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// split parts what Recent returned into the points within the window and the last one
// before. That one is nil when there is none, when a hole is behind it, and when the
// first one within is nearer to the beginning of the window.
func split(recent []scale.Point, window, usual time.Duration) (points []scale.Point, before *scale.Point) {
	begin := recent[len(recent)-1].At.Add(-window)
	n := 0
	for recent[n].At.Before(begin) {
		n++
	}
	points = recent[n:]
	if n == 0 || points[0].At.Sub(recent[n-1].At) > holeAfter*usual {
		return points, nil
	}
	if len(points) > 1 && points[0].At.Sub(begin) < begin.Sub(recent[n-1].At) {
		return points, nil
	}
	return points, &recent[n-1]
}

// holeAfter is how many intervals without a point make a hole in a history.
const holeAfter = 3

// interval returns the usual time between the points, by the newest of them: the
// median, so that neither a hole nor a pass out of turn shows. It reports false for
// less than two times between points, of which nobody can say what is usual.
func interval(points []scale.Point) (time.Duration, bool) {
	var room [15]time.Duration
	gaps := room[:0]
	for i := len(points) - 1; i > 0 && len(gaps) < len(room); i-- {
		if gap := points[i].At.Sub(points[i-1].At); gap > 0 {
			gaps = append(gaps, gap)
		}
	}
	if len(gaps) == 0 {
		return 0, false
	}
	slices.Sort(gaps)
	return gaps[(len(gaps)-1)/2], len(gaps) > 1
}

// coverage returns how much of the window the points tell about, which is all but
// holes and what is before the first.
func coverage(recent []scale.Point, window, usual time.Duration) time.Duration {
	covered := time.Duration(0)
	begin := recent[len(recent)-1].At.Add(-window)
	from := recent[0].At.Sub(begin)
	for _, p := range recent[1:] {
		to := p.At.Sub(begin)
		if to > 0 && to-from <= holeAfter*usual {
			covered += to - max(from, 0)
		}
		from = to
	}
	return covered
}

// brief writes a duration to the second, without parts that are zero: 5m, 1h30m.
func brief(d time.Duration) string {
	text := d.Round(time.Second).String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}

func lowest(points []scale.Point, _ *scale.Point, _ float64, _ []float64) (float64, bool) {
	x := points[0].Value
	for _, p := range points[1:] {
		x = min(x, p.Value)
	}
	return x, true
}

func highest(points []scale.Point, _ *scale.Point, _ float64, _ []float64) (float64, bool) {
	x := points[0].Value
	for _, p := range points[1:] {
		x = max(x, p.Value)
	}
	return x, true
}

// average is the mean of the points, all of one weight. It is kept within the least
// and the greatest of them, beyond which rounding would lead: the average of equal
// values is that value.
func average(points []scale.Point, _ *scale.Point, _ float64, _ []float64) (float64, bool) {
	n, total := float64(len(points)), 0.0
	lo, hi := points[0].Value, points[0].Value
	for _, p := range points {
		total += p.Value
		lo, hi = min(lo, p.Value), max(hi, p.Value)
	}
	if math.IsInf(total, 0) {
		total, n = 0, 1
		for _, p := range points {
			total += p.Value / float64(len(points))
		}
	}
	return min(max(total/n, lo), hi), true
}

// quantile interpolates between the two points next to the rank q(n-1), as
// Prometheus does in quantile_over_time.
func quantile(points []scale.Point, _ *scale.Point, q float64, room []float64) (float64, bool) {
	room = slices.Grow(room, len(points))
	for _, p := range points {
		room = append(room, p.Value)
	}
	slices.Sort(room)
	rank := q * float64(len(room)-1)
	i := int(rank)
	lo, hi := room[i], room[min(i+1, len(room)-1)]
	part := rank - float64(i)
	return min(max(lo*(1-part)+hi*part, lo), hi), true
}

// rate is the increase of a counter per second from the point nearest to the beginning
// of the window to the newest. A counter that went down was begun anew at 0.
func rate(points []scale.Point, before *scale.Point, _ float64, _ []float64) (float64, bool) {
	last := points[0]
	if before != nil {
		last = *before
	}
	begin, increase := last.At, 0.0
	for _, p := range points {
		if p.Value < last.Value {
			increase += p.Value
		} else {
			increase += p.Value - last.Value
		}
		last = p
	}
	elapsed := last.At.Sub(begin).Seconds()
	return increase / elapsed, elapsed > 0
}

// delta is how much more the newest point is than the one nearest to the beginning of
// the window.
func delta(points []scale.Point, before *scale.Point, _ float64, _ []float64) (float64, bool) {
	first := points[0]
	if before != nil {
		first = *before
	}
	last := points[len(points)-1]
	return last.Value - first.Value, last.At.After(first.At)
}

// history builds a call of a function over history.
func (b *builder) history(at ast.Node, f function, args []ast.Node) operation {
	metric, ok := b.metricArgument(f, args[0])
	if !ok {
		return nil
	}
	window, ok := b.window(f, args[1])
	if !ok {
		return nil
	}
	q := 0.0
	if f.arity > 2 {
		q, ok = literal(args[2])
		if !ok || q < 0 || q > 1 {
			return b.fail(located(args[2], at), "the quantile is not a number from 0 to 1", fmt.Sprintf(`write %s(%s, "5m", 0.9)`, f.name, metric))
		}
	}
	b.names[metric] = true
	b.windows[metric] = max(b.windows[metric], window)
	return over(metric, window, f.over, q)
}

// metricArgument returns the name of the metric that stands first in a call.
func (b *builder) metricArgument(f function, n ast.Node) (string, bool) {
	id, ok := n.(*ast.IdentifierNode)
	switch {
	case ok && slices.Contains(b.metrics, id.Value):
		return id.Value, true
	case ok && slices.Contains(CountNames(), id.Value):
		b.fail(n, fmt.Sprintf("history is kept of metrics, and %s is a count of Machines", id.Value), "")
		return "", false
	case ok && !b.declared(id.Value):
		b.identifier(id) // says what is wrong
		return "", false
	}
	b.fail(n, f.name+" takes the name of a metric first, of which history is kept", fmt.Sprintf("write %s", f.usage))
	return "", false
}

// window returns the window that stands second in a call.
func (b *builder) window(f function, n ast.Node) (time.Duration, bool) {
	text, ok := n.(*ast.StringNode)
	if !ok {
		b.fail(n, f.name+` takes a time such as "5m" second`, fmt.Sprintf("write %s", f.usage))
		return 0, false
	}
	d, err := time.ParseDuration(text.Value)
	if err != nil {
		b.fail(n, fmt.Sprintf("%q is not a duration", text.Value), `write a number and a unit, such as "90s", "5m" or "1h30m"`)
		return 0, false
	}
	if d < MinWindow || d > MaxWindow {
		b.fail(n, fmt.Sprintf("the window %q is not between %s and %s", text.Value, brief(MinWindow), brief(MaxWindow)), "")
		return 0, false
	}
	return d, true
}

// literal returns the value of a number that is written out.
func literal(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	}
	return 0, false
}

// located returns n, or at for a number, which the library puts into another form
// without its place.
func located(n, at ast.Node) ast.Node {
	if n.Location() == (file.Location{}) {
		return at
	}
	return n
}
