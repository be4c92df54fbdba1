package fleet

import "time"

// noRows is how far back a read of changes goes while no row has told the
// platform's time: more than clocks differ.
const noRows = time.Hour

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
// were not late: when it began, by reckoning, so that a burst of changes is not read
// again for ever; or the time of its newest change less the time that it took, since
// what changed meanwhile may belong to a page that was read before. A row that is
// ahead of time must not hide what comes after it, so it is never later than our own
// clock says.
func (r *reckoning) mark(l *listing, now time.Time) time.Time {
	if r.here.IsZero() {
		return l.began.Add(-noRows)
	}
	mark := r.at(l.began)
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
