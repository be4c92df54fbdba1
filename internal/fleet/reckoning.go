package fleet

import "time"

const (
	// slack is how much earlier than by reckoning all changes are taken to have been
	// read. The platform may show all of them that late.
	slack = 5 * time.Minute
	// noRows is the slack while no row has told the platform's time: more than
	// clocks differ.
	noRows = time.Hour
)

// reckoning tells the platform's time by what its rows say and the time that
// passed since. It is never ahead of the platform, if rows are not.
type reckoning struct {
	platform time.Time // it was at least this late there …
	here     time.Time // … when it was that here; zero when nothing is known
}

// observe takes note of a change that the platform told of.
func (r *reckoning) observe(change, now time.Time) {
	if !change.IsZero() && (r.here.IsZero() || change.After(r.at(now))) {
		r.platform, r.here = change, now
	}
}

// at returns the platform's time, at least. The difference is that of the
// monotonic clock, which nobody sets.
func (r *reckoning) at(now time.Time) time.Time { return r.platform.Add(now.Sub(r.here)) }

// mark returns the time up to which a complete listing told of all changes that
// were not late. That is the time of its newest change less the time that it took,
// since what changed meanwhile may belong to a page that was read before. When
// nothing changes for long, the reckoning moves on instead, so that a burst of
// changes is not read again for ever. A row that is ahead of time must not hide
// what comes after it, so it is never later than our own clock says.
func (r *reckoning) mark(l *listing, now time.Time) time.Time {
	if r.here.IsZero() {
		return l.began.Add(-noRows)
	}
	mark := r.at(l.began).Add(-slack)
	if !l.newest.IsZero() {
		newest := l.newest
		if newest.After(now) {
			newest = now
		}
		if newest = newest.Add(-now.Sub(l.began)); newest.After(mark) {
			mark = newest
		}
	}
	if mark.After(l.began) {
		mark = l.began
	}
	return mark
}
