package sim

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Shape is how a quantity goes over time: a pure function of the time since
// the load began. What the number means (jobs per second, requests per second,
// the value of a gauge) is up to the load that uses it.
type Shape func(elapsed time.Duration) float64

// Constant is the same value at all times.
func Constant(value float64) Shape {
	return func(time.Duration) float64 { return value }
}

// StepPoint is one step of a stepped shape: from At on, the value is Value.
type StepPoint struct {
	At    time.Duration `yaml:"at"`
	Value float64       `yaml:"value"`
}

// Steps holds each point's value until the next point. Before the first point
// it is zero. The points may be given in any order.
func Steps(points ...StepPoint) Shape {
	sorted := slices.Clone(points)
	slices.SortStableFunc(sorted, func(a, b StepPoint) int { return cmp.Compare(a.At, b.At) })
	return func(elapsed time.Duration) float64 {
		after, _ := slices.BinarySearchFunc(sorted, elapsed, func(p StepPoint, t time.Duration) int {
			if p.At <= t {
				return -1
			}
			return 1
		})
		if after == 0 {
			return 0
		}
		return sorted[after-1].Value
	}
}

// Ramp goes in a straight line from one value to another, beginning at start
// and taking over; it is flat before and after.
func Ramp(from, to float64, start, over time.Duration) Shape {
	return func(elapsed time.Duration) float64 {
		switch {
		case elapsed < start:
			return from
		case elapsed >= start+over:
			return to
		}
		return from + (to-from)*float64(elapsed-start)/float64(over)
	}
}

// Sine swings between lowest and highest once per period. It is at its lowest
// when elapsed plus phase is a whole number of periods, so with no phase it
// begins at the trough.
func Sine(lowest, highest float64, period, phase time.Duration) Shape {
	return func(elapsed time.Duration) float64 {
		turns := math.Mod(float64(elapsed+phase), float64(period)) / float64(period)
		return lowest + (highest-lowest)*(1-math.Cos(2*math.Pi*turns))/2
	}
}

// Pulse is base, but value from at until at+length. When every is positive,
// the pulse comes again after each such time.
func Pulse(base, value float64, at, length, every time.Duration) Shape {
	return func(elapsed time.Duration) float64 {
		since := elapsed - at
		if since < 0 {
			return base
		}
		if every > 0 {
			since %= every
		}
		if since < length {
			return value
		}
		return base
	}
}

// Sum adds shapes up.
func Sum(shapes ...Shape) Shape {
	return func(elapsed time.Duration) float64 {
		var sum float64
		for _, shape := range shapes {
			sum += shape(elapsed)
		}
		return sum
	}
}
