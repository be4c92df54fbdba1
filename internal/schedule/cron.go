package schedule

import (
	"fmt"
	"time"
)

// Cron is windows that begin as an Expression says and last for some time. Windows
// that overlap or touch are one.
type Cron struct {
	expr   Expression
	length int64 // seconds
	loc    *time.Location
	text   string
}

// The bounds of a window's length.
const (
	MinLength = time.Minute
	MaxLength = 31 * 24 * time.Hour
)

// NewCron returns the windows, whose length is in whole seconds from MinLength to
// MaxLength. It panics on any other, which the caller has to have checked.
func NewCron(expr Expression, length time.Duration, loc *time.Location) *Cron {
	if length < MinLength || length > MaxLength {
		panic(fmt.Sprintf("schedule: a window of %s", length))
	}
	return &Cron{expr, int64(length / time.Second), loc, fmt.Sprintf("%s for %s %s", expr, length, loc)}
}

// String returns the window in one line.
func (c *Cron) String() string { return c.text }

// maxChain bounds the windows that are followed from one to the next to find the end
// of them all.
const maxChain = 1000

// Active reports whether now is within a window, and until when that stays so or,
// outside, when the next one begins. Of windows that go on into each other no end is
// told, as if there were none, when it is not among the next thousand.
func (c *Cron) Active(now time.Time) (bool, time.Time) {
	t := now.Unix()
	start, ok := c.last(t, t-c.length+1)
	if !ok {
		return false, at(c.loc, c.next(t))
	}
	for range maxChain {
		end := start + c.length
		later, ok := c.last(end, start+1)
		if !ok {
			return true, at(c.loc, end)
		}
		start = later
	}
	return true, time.Time{}
}

// last returns the latest beginning that is not after t, nor before the earliest.
func (c *Cron) last(t, earliest int64) (int64, bool) {
	for t >= earliest {
		p := periodAt(c.loc, t)
		before := forever // the wall time that the clock did not yet show before the period
		if p.from != forever {
			before = p.from + periodAt(c.loc, p.from-1).offset
		}
		// Where the clock went back it shows nothing new at first, but what it shows counts.
		wall, ok := c.expr.last(t+p.offset, max(min(before, p.from+p.offset), earliest+p.offset-day))
		switch {
		case ok && wall-p.offset >= p.from:
			return wall - p.offset, wall-p.offset >= earliest
		case ok && wall >= before:
			return p.from, p.from >= earliest // skipped
		}
		t = p.from - 1
	}
	return 0, false
}

// next returns the earliest beginning after t.
func (c *Cron) next(t int64) int64 {
	from, p := t+1, periodAt(c.loc, t)
	for {
		wall, ok := c.expr.next(from + p.offset)
		if !ok {
			return never
		}
		if wall-p.offset < p.to {
			return wall - p.offset
		}
		from, p = p.to, periodAt(c.loc, p.to)
		if wall < from+p.offset {
			return from // skipped
		}
	}
}
