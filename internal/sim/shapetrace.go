package sim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Trace is a recorded load on a regular grid: value i belongs to the interval
// that begins i steps after the first.
type Trace struct {
	Step   time.Duration
	Values []float64
}

// maxTraceRows bounds what one trace may hold: two years of minutes. A larger
// file is taken for a mistake rather than read into memory.
const maxTraceRows = 1 << 20

// traceHeader is the first line of every trace file.
const traceHeader = "unix_seconds,value"

// ReadTrace reads a trace in CSV form: the header "unix_seconds,value" and one
// row per interval, at least two, with strictly regular times. The time of a
// row is the start of its interval. Errors name the line.
func ReadTrace(r io.Reader) (Trace, error) {
	lines := bufio.NewScanner(r)
	var (
		trace Trace
		last  int64
		step  int64
	)
	for line := 1; lines.Scan(); line++ {
		text := strings.TrimSpace(lines.Text())
		if line == 1 {
			if text != traceHeader {
				return Trace{}, fmt.Errorf("line 1: the header is %q, want %q", text, traceHeader)
			}
			continue
		}
		if text == "" {
			continue
		}
		at, value, err := parseTraceRow(text)
		if err != nil {
			return Trace{}, fmt.Errorf("line %d: %w", line, err)
		}
		switch len(trace.Values) {
		case 0:
		case 1:
			if step = at - last; step <= 0 {
				return Trace{}, fmt.Errorf("line %d: time %d does not come after %d", line, at, last)
			}
		case maxTraceRows:
			return Trace{}, fmt.Errorf("line %d: more than %d rows", line, maxTraceRows)
		default:
			if at-last != step {
				return Trace{}, fmt.Errorf("line %d: time %d does not follow %d by the step of %d s", line, at, last, step)
			}
		}
		last = at
		trace.Values = append(trace.Values, value)
	}
	if err := lines.Err(); err != nil {
		return Trace{}, fmt.Errorf("read trace: %w", err)
	}
	if len(trace.Values) < 2 {
		return Trace{}, errors.New("a trace needs at least two rows")
	}
	trace.Step = time.Duration(step) * time.Second
	return trace, nil
}

func parseTraceRow(text string) (at int64, value float64, err error) {
	first, second, ok := strings.Cut(text, ",")
	if !ok {
		return 0, 0, fmt.Errorf("row %q has no comma", text)
	}
	if at, err = strconv.ParseInt(strings.TrimSpace(first), 10, 64); err != nil {
		return 0, 0, fmt.Errorf("time %q is not a whole number of seconds", first)
	}
	if value, err = strconv.ParseFloat(strings.TrimSpace(second), 64); err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return 0, 0, fmt.Errorf("value %q is not a finite number", second)
	}
	return at, value, nil
}

// Replay says how a trace is played.
type Replay struct {
	Speed  float64       // seconds of the trace per second; 60 plays an hour in a minute
	Scale  float64       // each value is multiplied by it
	Skip   time.Duration // how far into the trace to begin, in the trace's own time
	Repeat bool          // begin again at the end; otherwise the value is zero after the end
	Smooth bool          // go in straight lines between the middles of intervals, instead of steps
	Levels bool          // values are levels to be used as they are; otherwise counts, made rates per second
}

// Shape plays the trace. A count of events per interval becomes a rate per
// second of the trace's own time: playing faster squeezes the day, it does not
// multiply the load.
func (t Trace) Shape(how Replay) Shape {
	scale := how.Scale
	if !how.Levels {
		scale /= t.Step.Seconds()
	}
	n := len(t.Values)
	at := func(i int) float64 {
		switch {
		case how.Repeat:
			return t.Values[((i%n)+n)%n]
		case i < 0 || i >= n:
			return 0
		}
		return t.Values[i]
	}
	return func(elapsed time.Duration) float64 {
		position := (float64(how.Skip) + float64(elapsed)*how.Speed) / float64(t.Step)
		if how.Repeat {
			position = math.Mod(position, float64(n))
		}
		if position < 0 || position >= float64(n) {
			return 0
		}
		if !how.Smooth {
			return scale * at(int(position))
		}
		left := math.Floor(position - 0.5)
		share := position - 0.5 - left
		return scale * (at(int(left))*(1-share) + at(int(left)+1)*share)
	}
}
