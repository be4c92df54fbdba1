package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
)

const (
	// maxPages bounds one listing at a million Machines, so that a platform that
	// always has one more page does not keep us for ever.
	maxPages = 1000
	// pageTimeout leaves room for the tries that one call makes.
	pageTimeout = 45 * time.Second
	// recheck is when a full list that lacked Machines is read again.
	recheck = 30 * time.Second
	// slowest bounds the time between tries while they fail, and longestRetryAfter
	// the pause that the platform may ask for.
	slowest           = time.Minute
	longestRetryAfter = 5 * time.Minute
)

var errPageTimeout = fmt.Errorf("no page within %s", pageTimeout)

// follow reads the full list, and then what changed, until ctx ends. Changes are
// also read while the pages of a full list come in, because these may be many.
func (w *Watch) follow(ctx context.Context) {
	var full *listing
	var fullDue, pollDue time.Time // at once
	fullFails, pollFails := 0, 0
	for ctx.Err() == nil {
		now := time.Now()
		synced := w.Synced()
		switch {
		case synced && !now.Before(pollDue):
			err := w.readChanges(ctx)
			pollDue = time.Now().Add(w.pause(w.cfg.Poll, &pollFails, err))
		case full == nil && !now.Before(fullDue):
			full = w.beginFull()
		case full != nil:
			done, err := w.readPage(ctx, full)
			if !done && err == nil {
				continue
			}
			again := w.cfg.Full
			if w.endFull(ctx, full, err) {
				again = min(again, recheck)
			}
			if err == nil {
				err = full.partial()
			}
			w.mu.Lock()
			w.failing = err != nil
			w.mu.Unlock()
			fullDue = time.Now().Add(w.pause(again, &fullFails, err))
			full = nil
		default:
			next := fullDue
			if synced && pollDue.Before(next) {
				next = pollDue
			}
			select {
			case <-ctx.Done():
			case <-time.After(next.Sub(now)):
			}
		}
	}
}

// pause returns the time until the next read: regular after a success, and after
// failures in a row a longer and longer one. The random part spreads those who
// failed together.
func (w *Watch) pause(regular time.Duration, fails *int, err error) time.Duration {
	if err == nil {
		*fails = 0
		return regular
	}
	wait := slowest
	if *fails < 6 {
		wait = min(wait, w.cfg.Poll<<*fails)
	}
	*fails++
	wait = wait/2 + time.Duration(w.rng.Int64N(int64(wait/2)+1))
	if e, ok := errors.AsType[*flyapi.Error](err); ok {
		wait = max(wait, min(e.RetryAfter, longestRetryAfter))
	}
	return wait
}

// listing is one walk over the pages of the list.
type listing struct {
	query    flyapi.OrgQuery
	began    time.Time
	wide     bool // it goes back the whole margin, or tells of all
	pages    int
	existing int       // Machines that it told of and that exist
	newest   time.Time // change that it told of
	silent   []string  // regions that did not answer
}

// partial returns an error when regions did not answer.
func (l *listing) partial() error {
	if len(l.silent) == 0 {
		return nil
	}
	slices.Sort(l.silent)
	return fmt.Errorf("regions that do not answer: %s", strings.Join(slices.Compact(l.silent), ", "))
}

// readPage reads the next page and takes over its rows. It returns true after the
// last.
func (w *Watch) readPage(ctx context.Context, l *listing) (bool, error) {
	if l.pages++; l.pages > maxPages {
		return false, fmt.Errorf("the list of Machines has more than %d pages", maxPages)
	}
	pageCtx, cancel := context.WithTimeoutCause(ctx, pageTimeout, errPageTimeout)
	defer cancel()
	page, err := w.api.ListOrgMachines(pageCtx, w.org, l.query)
	if err != nil {
		return false, err
	}
	if page.NextCursor != "" && page.NextCursor == l.query.Cursor {
		return false, errors.New("the list of Machines leads back to the same page")
	}
	l.query.Cursor = page.NextCursor
	now := time.Now()
	for i := range page.Machines {
		m := &page.Machines[i]
		if m.UpdatedAt.After(l.newest) {
			l.newest = m.UpdatedAt
		}
		if !destroyed(m.State) {
			l.existing++
		}
	}
	l.silent = append(l.silent, page.ErrorRegions...)
	w.clock.observe(l.newest, now)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(w.picture.apply(page.Machines, now))
	if len(page.ErrorRegions) > 0 {
		w.gap = now
	}
	return page.NextCursor == "", nil
}

// readChanges reads all pages of what changed since the last time that this
// succeeded, so that a failure leaves no gap behind once it is over.
func (w *Watch) readChanges(ctx context.Context) error {
	l := &listing{began: time.Now(), query: flyapi.OrgQuery{UpdatedAfter: w.since.Add(-w.cfg.Margin / 4), IncludeDeleted: true}}
	if l.wide = l.began.Sub(w.wide) >= w.cfg.Margin; l.wide {
		l.query.UpdatedAfter = w.sure.Add(-w.cfg.Margin)
	}
	var err error
	for done := false; !done && err == nil; {
		done, err = w.readPage(ctx, l)
	}
	if err == nil {
		err = l.partial()
	}
	if err != nil {
		w.failed(ctx, err)
		return err
	}
	w.complete(l, time.Time{})
	return nil
}

func (w *Watch) beginFull() *listing {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.picture.beginWalk()
	return &listing{began: time.Now(), wide: true}
}

// endFull closes a full list that was read to its end or failed with err. It
// returns whether it lacked Machines that may exist.
func (w *Watch) endFull(ctx context.Context, l *listing, err error) bool {
	if err == nil {
		err = l.partial()
	}
	if err != nil {
		w.failed(ctx, err)
		return false
	}
	if l.existing == 0 && !w.blank && !w.Synced() {
		// An organization without Machines, or a list that is not to be believed.
		w.blank = true
		return true
	}
	young := w.clock.at(l.began).Add(-w.cfg.Margin)
	w.mu.Lock()
	changed, doubt := w.picture.endWalk(l.existing, young, time.Now())
	w.tell(changed)
	// A region that went silent, or a read of changes that failed, after this list
	// began may concern pages that were read before. The next read of changes
	// settles it.
	gap := w.gap
	if gap.Before(l.began) {
		gap = time.Time{}
	}
	apps := len(w.picture.apps)
	first := !w.synced
	w.synced = true
	w.mu.Unlock()
	w.complete(l, gap)
	if first {
		w.logger.Info("all Machines of the organization are known", "apps", apps, "machines", l.existing, "took", time.Since(l.began))
	}
	return doubt
}

// complete notes that a listing succeeded, and what is still missing.
func (w *Watch) complete(l *listing, gap time.Time) {
	mark := w.clock.mark(l, time.Now())
	if mark.After(w.since) {
		w.since = mark
	}
	if l.wide {
		w.wide = l.began
		if mark.After(w.sure) {
			w.sure = mark
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gap = gap
	if l.began.After(w.taken) {
		w.taken = l.began
	}
	if w.note != "" && gap.IsZero() {
		w.note = ""
		w.logger.Info("the org-wide list of Machines is complete again")
	}
}

// failed notes that a listing did not succeed. Its rows were taken over, each is
// true by itself.
func (w *Watch) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	w.gap = time.Now()
	w.mu.Unlock()
	note := err.Error()
	if e, ok := errors.AsType[*flyapi.Error](err); ok {
		note = fmt.Sprint(e.Kind, e.Status) // the rest differs each time
	}
	if note != w.note {
		w.note = note
		w.logger.Warn("the org-wide list of Machines is incomplete: nothing is removed on its word", "error", err)
	}
}
