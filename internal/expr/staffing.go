package expr

import (
	"fmt"
	"math"
)

// erlangC returns the least number of servers at which at least the share of the
// arrivals waits no longer than maxWait, in a queue in order of arrival with Poisson
// arrivals and exponential service times (M/M/c). Arrivals are per second, times in
// seconds. It is 0 for no arrivals, and infinite beyond MaxCount, so that a bound
// still bounds it.
//
// With the offered load a = arrivals·serviceTime, Erlang's loss formula B by its
// recursion (A. K. Erlang, 1917; R. Syski, "Introduction to Congestion Theory in
// Telephone Systems", 1960), which adds and divides positive numbers only and so
// stays exact where factorials overflow:
//
//	B(0) = 1,  B(c) = a·B(c-1) / (c + a·B(c-1))
//	C(c) = c·B(c) / (c - a·(1 - B(c)))                 for c > a: who arrives waits
//	P(wait > t) = C(c)·exp(-(c - a)·t / serviceTime)   (L. Kleinrock, "Queueing
//	                                                    Systems" vol. 1, 1975, §3.5)
//
// Up to c = a the queue grows without end, so no share of it is served in time.
func erlangC(args []float64) (float64, error) {
	arrivals, serviceTime, maxWait, share := args[0], args[1], args[2], args[3]
	switch {
	case arrivals < 0:
		return 0, fmt.Errorf("erlang_c has arrivals of %g, below 0", arrivals)
	case serviceTime <= 0:
		return 0, fmt.Errorf("erlang_c has a service time of %g, not above 0", serviceTime)
	case maxWait < 0:
		return 0, fmt.Errorf("erlang_c has a wait of %g, below 0", maxWait)
	case share < 0 || share >= 1:
		return 0, fmt.Errorf("erlang_c has a share of %g, not from 0 to below 1", share)
	case arrivals == 0 || arrivals*serviceTime == 0: // which may be too small for a number
		return 0, nil
	}
	load := arrivals * serviceTime
	if load >= MaxCount {
		return math.Inf(1), nil
	}
	// A step takes an error in B by the factor c/a or less, so that of a start that far
	// below a less than exp(-12²/2) is left at a: the work grows with √a only. B(c) is
	// then close to 1 - c/a.
	start := max(0, math.Floor(load-12*math.Sqrt(load)))
	blocked := 1 - start/load
	for c := start + 1; c <= MaxCount; c++ {
		blocked = load * blocked / (c + load*blocked)
		if c <= load {
			continue
		}
		waits := c * blocked / (c - load*(1-blocked))
		if waits*math.Exp(-(c-load)*maxWait/serviceTime) <= 1-share {
			return c, nil
		}
	}
	return math.Inf(1), nil
}

// drain returns how many Machines, each busy with one item for serviceTime, work
// queue items off within a time: ceil(queue·serviceTime/within). Times are in one
// unit. A hair above a whole number, which is rounding, is that number.
func drain(args []float64) (float64, error) {
	queue, serviceTime, within := args[0], args[1], args[2]
	switch {
	case serviceTime < 0:
		return 0, fmt.Errorf("drain has a service time of %g, below 0", serviceTime)
	case within <= 0:
		return 0, fmt.Errorf("drain has a time of %g, not above 0", within)
	}
	n := max(queue, 0) * serviceTime / within
	if whole := math.Round(n); n > whole && n-whole <= whole*1e-9 {
		return whole, nil
	}
	return math.Ceil(n), nil
}
