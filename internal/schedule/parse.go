package schedule

import (
	"fmt"
	"strings"
	"time"
)

// Window is a window of either kind.
type Window interface {
	Active(now time.Time) (bool, time.Time)
	String() string
}

// Parse reads what the String method of a window returned. The same window comes
// of it.
func Parse(text string) (Window, error) {
	fail := func(err error) (Window, error) { return nil, fmt.Errorf("window %q: %w", text, err) }
	body, zone, ok := cutLast(text)
	if !ok {
		return fail(fmt.Errorf("it does not end in a time zone"))
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return fail(err)
	}
	if cron, length, ok := strings.Cut(body, " for "); ok {
		e, err := ParseExpression(cron)
		if err != nil {
			return fail(err)
		}
		d, err := time.ParseDuration(length)
		if err != nil {
			return fail(err)
		}
		if d < MinLength || d > MaxLength {
			return fail(fmt.Errorf("%s is not from %s to %s", d, MinLength, MaxLength))
		}
		return NewCron(e, d, loc), nil
	}
	names, clocks, _ := cutLast(body)
	days, err := ParseDays(names)
	if err != nil {
		return fail(err)
	}
	first, last, _ := strings.Cut(clocks, "-")
	from, err := ParseClock(first)
	if err != nil {
		return fail(err)
	}
	to, err := ParseClock(last)
	if err != nil {
		return fail(err)
	}
	w, err := NewWeekly(days, from, to, loc)
	if err != nil {
		return fail(err)
	}
	return w, nil
}

// cutLast cuts off the last word.
func cutLast(text string) (before, word string, ok bool) {
	i := strings.LastIndexByte(text, ' ')
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+1:], true
}
