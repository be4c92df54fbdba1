package schedule

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Expression is when something begins, by minute, hour, day of the month, month, and
// day of the week, as in "0 8 * * 1-5".
type Expression struct {
	minutes, hours, days, months, weekdays uint64 // a bit for each value
	// either is set when both kinds of day are given: then one that matches is enough.
	either bool
	text   string
}

// field is one of the five parts of an Expression.
type field struct {
	what      string
	low, high int
	names     []string // of low and what follows
}

var fields = [5]field{
	{"a minute", 0, 59, nil},
	{"an hour", 0, 23, nil},
	{"a day of the month", 1, 31, nil},
	{"a month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"a day of the week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// ParseExpression reads the five fields. Each is *, a value, a range 1-5, or a list of
// those with commas; a range or * may have a step: */15, 8-18/2. Months and days of
// the week have names, jan and mon, and Sunday is 0 as well as 7. When both kinds of
// day are given, which is when neither begins with *, a day that matches one of them
// will do. The error is an *Error.
func ParseExpression(text string) (Expression, error) {
	parts, offsets := split(text)
	if len(parts) != len(fields) {
		return Expression{}, &Error{0, fmt.Sprintf("not five fields but %d", len(parts)), `want minute, hour, day of the month, month and day of the week, such as "0 8 * * 1-5"`}
	}
	var sets [5]uint64
	for i, part := range parts {
		set, err := fields[i].parse(part, offsets[i])
		if err != nil {
			return Expression{}, err
		}
		sets[i] = set
	}
	const sunday, alsoSunday = 1 << 0, 1 << 7
	if sets[4]&alsoSunday != 0 {
		sets[4] = sets[4]&^alsoSunday | sunday
	}
	e := Expression{
		minutes: sets[0], hours: sets[1], days: sets[2], months: sets[3], weekdays: sets[4],
		either: parts[2][0] != '*' && parts[4][0] != '*',
		text:   strings.Join(parts, " "),
	}
	if _, ok := e.next(0); !ok {
		return Expression{}, &Error{offsets[2], "there is no such day", "look at the day of the month and the month"}
	}
	return e, nil
}

// String returns the expression as it was written, with single spaces.
func (e Expression) String() string { return e.text }

// split returns the words of a text and where they begin.
func split(text string) (words []string, offsets []int) {
	for word := range strings.FieldsSeq(text) {
		from := 0
		if n := len(offsets); n > 0 {
			from = offsets[n-1] + len(words[n-1])
		}
		offsets = append(offsets, from+strings.Index(text[from:], word))
		words = append(words, word)
	}
	return words, offsets
}

func (f field) parse(text string, offset int) (uint64, error) {
	var set uint64
	for part := range strings.SplitSeq(text, ",") {
		body, step, stepped := strings.Cut(part, "/")
		from, to := f.low, f.high
		var err error
		if body != "*" {
			first, last, isRange := strings.Cut(body, "-")
			if from, err = f.value(first, offset); err != nil {
				return 0, err
			}
			to = from
			if isRange {
				if to, err = f.value(last, offset+len(first)+1); err != nil {
					return 0, err
				}
			}
			switch {
			case to < from:
				return 0, &Error{offset, fmt.Sprintf("the range %s goes backwards", body), fmt.Sprintf("write it as two: %s-%d,%d-%s", first, f.high, f.low, last)}
			case stepped && !isRange:
				return 0, &Error{offset, fmt.Sprintf("%s has a step and no range", part), fmt.Sprintf("want %s-%d/%s", body, f.high, step)}
			}
		}
		by := 1
		if stepped {
			by, err = strconv.Atoi(step)
			if err != nil || by < 1 || by > f.high {
				return 0, &Error{offset + len(body) + 1, fmt.Sprintf("%q is not a step", step), fmt.Sprintf("want a number from 1 to %d", f.high)}
			}
		}
		for v := from; v <= to; v += by {
			set |= 1 << v
		}
		offset += len(part) + 1
	}
	return set, nil
}

func (f field) value(text string, offset int) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.low + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err == nil && n >= f.low && n <= f.high && text[0] != '+' {
		return n, nil
	}
	hint := fmt.Sprintf("want a number from %d to %d", f.low, f.high)
	if f.names != nil {
		hint += fmt.Sprintf(", or %s to %s", f.names[0], f.names[len(f.names)-1])
	}
	return 0, &Error{offset, fmt.Sprintf("%q is not %s", text, f.what), hint}
}

// on reports whether the day of a wall time matches.
func (e Expression) on(wall int64) bool {
	_, month, date := time.Unix(wall, 0).UTC().Date()
	if e.months>>month&1 == 0 {
		return false
	}
	byMonth, byWeek := e.days>>date&1 == 1, e.weekdays>>weekday(wall)&1 == 1
	if e.either {
		return byMonth || byWeek
	}
	return byMonth && byWeek
}

// horizon is how far a beginning can be away: 29 February comes after eight years
// where a century has none.
const horizon = 8*366*day + week

// next returns the earliest wall time that matches and is not before the given one.
func (e Expression) next(wall int64) (int64, bool) {
	wall = floorDiv(wall+minute-1, minute) * minute
	end := wall + horizon
	for midnight := wall - floorMod(wall, day); midnight < end; midnight += day {
		if !e.on(midnight) {
			continue
		}
		clock := int(max(wall-midnight, 0) / minute)
		for h := clock / 60; h < 24; h++ {
			if e.hours>>h&1 == 0 {
				continue
			}
			if m := e.minutes >> max(clock-h*60, 0); m != 0 && clock-h*60 < 60 {
				return midnight + int64(h*60+max(clock-h*60, 0)+bits.TrailingZeros64(m))*minute, true
			}
		}
	}
	return 0, false
}

// last returns the latest wall time that matches and is not after the given one; the
// search ends some time before the earliest.
func (e Expression) last(wall, earliest int64) (int64, bool) {
	for midnight := wall - floorMod(wall, day); midnight > earliest-day; midnight -= day {
		if !e.on(midnight) {
			continue
		}
		clock := int(min(wall-midnight, day-minute) / minute)
		for h := clock / 60; h >= 0; h-- {
			if e.hours>>h&1 == 0 {
				continue
			}
			if m := e.minutes & (1<<(min(clock-h*60, 59)+1) - 1); m != 0 {
				return midnight + int64(h*60+bits.Len64(m)-1)*minute, true
			}
		}
	}
	return 0, false
}
