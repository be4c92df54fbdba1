package schedule

import (
	"fmt"
	"strings"
	"time"
)

// Weekly is a window between two times of day on some days of the week. Where it
// passes midnight the day is that on which it begins.
type Weekly struct {
	days     [7]bool
	from, to int64 // seconds since midnight; to is above from, and up to two days
	loc      *time.Location
	text     string
}

// Days is a set of days of the week; Sunday is 0.
type Days [7]bool

var dayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// ParseDays reads days such as "mon-fri" and "mon,wed,sat-sun". A range may go over
// the end of the week. The error is an *Error.
func ParseDays(text string) (Days, error) {
	var out Days
	offset := 0
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := parseDay(first, offset)
		if err != nil {
			return Days{}, err
		}
		to := from
		if isRange {
			if to, err = parseDay(last, offset+len(first)+1); err != nil {
				return Days{}, err
			}
		}
		for d := from; ; d = (d + 1) % 7 {
			out[d] = true
			if d == to {
				break
			}
		}
		offset += len(part) + 1
	}
	return out, nil
}

func parseDay(text string, offset int) (int, error) {
	name := strings.ToLower(strings.TrimSpace(text))
	for i, full := range dayNames {
		if name == full || name == full[:3] {
			return i, nil
		}
	}
	lead := len(text) - len(strings.TrimLeft(text, " "))
	return 0, &Error{offset + lead, fmt.Sprintf("%q is not a day of the week", name), "want sun, mon, tue, wed, thu, fri or sat, as in mon-fri"}
}

// Clock is a time of day in seconds since midnight, up to 24 hours.
type Clock int64

// ParseClock reads a time of day such as "08:00", up to "24:00". The error is an
// *Error.
func ParseClock(text string) (Clock, error) {
	var hours, minutes int
	ok := len(text) == 5 && text[2] == ':'
	for _, i := range []int{0, 1, 3, 4} {
		ok = ok && '0' <= text[i] && text[i] <= '9'
	}
	if ok {
		hours, minutes = int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
		ok = minutes < 60 && hours*60+minutes <= 24*60
	}
	if !ok {
		return 0, &Error{0, fmt.Sprintf("%q is not a time of day", text), `want hours and minutes from "00:00" to "24:00"`}
	}
	return Clock(hours*60+minutes) * minute, nil
}

// NewWeekly returns the window. From has to differ from to; when it is later the
// window passes midnight. The error is an *Error about to.
func NewWeekly(days Days, from, to Clock, loc *time.Location) (*Weekly, error) {
	if from == to || from == 24*60*minute {
		return nil, &Error{0, "the window is empty", `want a time after it begins; a whole day is "00:00" to "24:00"`}
	}
	w := &Weekly{days: days, from: int64(from), to: int64(to), loc: loc}
	if w.to < w.from {
		w.to += day
	}
	var names []string
	for i, on := range days {
		if on {
			names = append(names, dayNames[i][:3])
		}
	}
	if len(names) == 0 {
		return nil, &Error{0, "the window has no day", ""}
	}
	w.text = fmt.Sprintf("%s %s-%s %s", strings.Join(names, ","), from, to, loc)
	return w, nil
}

// String returns the time as in "08:00".
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", c/(60*minute), c/minute%60) }

// String returns the window in one line.
func (w *Weekly) String() string { return w.text }

// shows reports whether a clock that shows the wall time is within the window.
func (w *Weekly) shows(wall int64) bool {
	clock, today := floorMod(wall, day), weekday(wall)
	return w.days[today] && w.from <= clock && clock < w.to ||
		w.days[(today+6)%7] && clock+day < w.to
}

// edge returns the next wall time after the given one at which the window may open or
// close.
func (w *Weekly) edge(wall int64) int64 {
	midnight := wall - floorMod(wall, day)
	next := midnight + day + min(w.from, w.to%day)
	for _, clock := range []int64{w.from, w.to % day} {
		if e := midnight + clock; e > wall {
			next = min(next, e)
		}
	}
	return next
}

// Active reports whether now is within the window, and until when that stays so or,
// outside, when it opens next; zero for never.
func (w *Weekly) Active(now time.Time) (bool, time.Time) {
	// A window that is not always open changes twice a week; a zone may skip one change.
	const ahead = 3 * week
	t := now.Unix()
	p := periodAt(w.loc, t)
	active := w.shows(t + p.offset)
	for end := t + ahead; t < end; {
		next := min(w.edge(t+p.offset)-p.offset, p.to)
		if next == p.to {
			p = periodAt(w.loc, next)
		}
		t = next
		if w.shows(t+p.offset) != active {
			return active, at(w.loc, t)
		}
	}
	return active, time.Time{}
}
