package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Windows are the limits that were in force within the windows of a policy: the least
// for those up, the most for those down.
type Windows struct {
	MinCreated Window `json:"min_created,omitempty"`
	MinStarted Window `json:"min_started,omitempty"`
	MaxCreated Window `json:"max_created,omitempty"`
	MaxStarted Window `json:"max_started,omitempty"`
}

// Window is the values of one limit, in order of time, without those that another
// after them is more extreme than: of a least only what rises is kept, of a most only
// what falls. So the first is the extreme of them all, and a limit that does not
// change is one value.
type Window []Mark

// Mark is a value of a limit, and the last moment at which it was in force. For the
// newest that is when it was seen.
type Mark struct {
	At    time.Time `json:"at"`
	Value int       `json:"value"`
}

// maxMarks bounds a window, which is the times at which its limit may change.
const maxMarks = 64

// gapAfter is how long nobody may have looked until what is remembered counts no more.
// A window that is longer bears a longer gap.
const gapAfter = 2 * time.Minute

// push returns the window, which stays as it is, with the value of now. Before reports
// whether a stays while b is newer. Where nothing can be said of the time before now,
// because the window is new, nobody looked for long, or the clock was set back, what
// there is counts as what was asked for: what was not seen moves nothing.
func (w Window) push(value, have int, length time.Duration, before func(a, b int) bool, now time.Time) Window {
	kept := make(Window, 0, len(w)+2)
	for _, m := range w {
		if !m.At.After(now) {
			kept = append(kept, m)
		}
	}
	unsure := len(kept) == 0 || len(kept) < len(w) || now.Sub(kept[len(kept)-1].At) > max(length, gapAfter)
	if n := len(kept); n > 0 && !unsure {
		kept[n-1].At = now
	}
	kept = slices.DeleteFunc(kept, func(m Mark) bool { return now.Sub(m.At) >= length })
	if unsure {
		kept = kept.append(Mark{now, have}, before)
	}
	kept = kept.append(Mark{now, value}, before)
	if len(kept) > maxMarks {
		kept = kept.merge()
	}
	return slices.Clip(kept)
}

func (w Window) append(m Mark, before func(a, b int) bool) Window {
	for len(w) > 0 && !before(w[len(w)-1].Value, m.Value) {
		w = w[:len(w)-1]
	}
	return append(w, m)
}

// merge joins the two marks that are nearest in time, the newest aside: the earlier,
// which is the more extreme, then counts for longer.
func (w Window) merge() Window {
	at := 1
	for i := 2; i < len(w)-1; i++ {
		if w[i].At.Sub(w[i-1].At) < w[at].At.Sub(w[at-1].At) {
			at = i
		}
	}
	w[at].Value = w[at-1].Value
	return slices.Delete(w, at-1, at)
}

func lower(a, b int) bool  { return a < b }
func higher(a, b int) bool { return a > b }

// windows moves the limits to the lowest least of the up window and the highest most
// of the down window. What the schedules ask for is exact at once. What is demanded
// before the schedules may be more than the most, as by the fast twin, and then counts
// as the most that was asked for.
func windows(d *scale.Decision, p *policy.Policy, f force, demanded scale.Limits, mem *Memory, now time.Time) {
	up, down := p.Behavior.Up.Window, p.Behavior.Down.Window
	if up <= 0 && down <= 0 {
		mem.Demand.Windows = Windows{}
		return
	}
	old, asked := mem.Demand.Windows, d.Within
	var w Windows
	if up > 0 {
		w.MinCreated, d.Within.MinCreated = rise(old.MinCreated, asked.MinCreated, d.Have.Created, up, now)
		w.MinStarted, d.Within.MinStarted = rise(old.MinStarted, asked.MinStarted, d.Have.Started, up, now)
		if p.Zero.Gated && d.Have.Started == 0 { // the first Machine is waited for
			d.Within.MinStarted = asked.MinStarted
		}
	}
	if down > 0 {
		w.MaxCreated, d.Within.MaxCreated = fall(old.MaxCreated, d.Limits.MaxCreated, asked.MaxCreated, demanded.MinCreated, d.Have.Created, down, now)
		w.MaxStarted, d.Within.MaxStarted = fall(old.MaxStarted, d.Limits.MaxStarted, asked.MaxStarted, demanded.MinStarted, d.Have.Started, down, now)
	}
	mem.Demand.Windows = w
	d.Within = f.apply(d.Within, d.Limits, p)
	want := moved(d)
	if want == d.Want {
		return
	}
	var reasons []string
	for _, c := range [...]struct {
		what         string
		before, held int
		least, most  Window
	}{
		{" created", d.Want.Created, want.Created, w.MinCreated, w.MaxCreated},
		{"", d.Want.Started, want.Started, w.MinStarted, w.MaxStarted},
	} {
		var until time.Time
		switch {
		case c.held < c.before && len(c.least) > 0:
			until = c.least[0].At.Add(up)
		case c.held > c.before && len(c.most) > 0:
			until = c.most[0].At.Add(down)
		default:
			continue
		}
		reasons = append(reasons, fmt.Sprintf("window holds %d%s until %s", c.held, c.what, until.UTC().Format(time.TimeOnly)))
	}
	step(d, scale.StageWindow, want, strings.Join(reasons, ", "))
}

// rise returns the window of a least with what is asked for now, and the least that
// has held for all of it. An up window only delays what adds: of what there is it
// never asks for less than the least of now does. Nothing is noted of a least that
// is not known, so that a reading that is lost does not begin the wait anew.
func rise(w Window, least scale.Limit, have int, length time.Duration, now time.Time) (Window, scale.Limit) {
	if !least.Defined {
		return nil, least
	}
	if !least.Known {
		return w, least
	}
	w = w.push(least.Value, have, length, lower, now)
	least.Value = max(w[0].Value, min(least.Value, have))
	return w, least
}

// fall returns the window of a most with what is asked for now, and the highest in it.
// A most of which not enough is known holds what there is, and is noted so: the window
// begins when it is known again.
func fall(w Window, told, most, least scale.Limit, have int, length time.Duration, now time.Time) (Window, scale.Limit) {
	if !most.Defined {
		return nil, most
	}
	value := most.Value
	switch {
	case !most.Known || told.Defined && !told.Known:
		value = have
	case most.Young != "":
		value = max(value, have)
	}
	if least.Known {
		value = max(value, least.Value)
	}
	w = w.push(value, have, length, higher, now)
	if most.Known {
		most.Value = w[0].Value
	}
	return w, most
}
