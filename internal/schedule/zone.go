package schedule

import "time"

const (
	minute = 60
	day    = 24 * 60 * minute
	week   = 7 * day
)

// period is a time during which a zone does not change its clocks. The wall time w
// of an instant t, both in seconds since 1970, is t + offset.
type period struct {
	offset   int64
	from, to int64 // instants; see bounds for a period without an end
}

// Instants that no time with a year of four digits reaches.
const (
	never   = int64(1) << 50
	forever = -never
)

// periodAt returns the period in which an instant is.
func periodAt(loc *time.Location, t int64) period {
	at := time.Unix(t, 0).In(loc)
	_, offset := at.Zone()
	p := period{offset: int64(offset), from: forever, to: never}
	from, to := at.ZoneBounds()
	if !from.IsZero() {
		p.from = from.Unix()
	}
	if !to.IsZero() {
		p.to = to.Unix()
	}
	return p
}

// weekday is that of a wall time; Sunday is 0.
func weekday(w int64) int {
	return int(floorMod(floorDiv(w, day)+4, 7)) // 1970 began on a Thursday
}

// floorDiv rounds down, also below zero.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }

// at returns an instant in the zone, or no time for what never comes.
func at(loc *time.Location, t int64) time.Time {
	if t >= never {
		return time.Time{}
	}
	return time.Unix(t, 0).In(loc)
}
