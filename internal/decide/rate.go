package decide

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// rate bounds how fast the counts move. Floors are reached at once.
func rate(d *scale.Decision, p *policy.Policy, f force, mem Memory, now time.Time) {
	up, down := p.Behavior.Up, p.Behavior.Down
	if d.Want == d.Have || !limited(up) && !limited(down) {
		return
	}
	want := d.Want
	var reasons []string
	pass := func(n *int, have, floor int, what string, of func(Change) (added, removed int)) (least, most int) {
		most, why := pace(up, have, true, mem, now, of)
		if most = max(most, floor); *n > most {
			*n = most
			reasons = append(reasons, fmt.Sprintf("rate %s: %d%s", why, *n, what))
		}
		least, why = pace(down, have, false, mem, now, of)
		if *n < least {
			*n = least
			reasons = append(reasons, fmt.Sprintf("rate %s: %d%s", why, *n, what))
		}
		return least, most
	}
	floor, first := 0, f.floor
	if p.MinCreated != nil {
		floor = f.floor
	}
	if p.Zero.Gated && d.Have.Started == 0 && up.Select != policy.SelectDisabled {
		first = max(1, first, p.Zero.First) // the first are waited for
	}
	pass(&want.Created, d.Have.Created, floor, " created", ofCreated)
	least, most := pass(&want.Started, d.Have.Started, first, "", ofStarted)
	want, why := f.restore(fit(want, d.Have))
	if why != "" {
		reasons = append(reasons, why)
	}
	// What is created and boots, or runs and is destroyed, is started and stopped too.
	if limited(up) {
		capStarted(d, most)
	}
	if limited(down) {
		d.Within.MinStarted = atLeast(d.Within.MinStarted, least)
	}
	step(d, scale.StageRate, want, strings.Join(reasons, ", "))
}

// fit has no more run than there are. What runs already is not stopped for this.
func fit(want, have scale.Count) scale.Count {
	want.Started = min(want.Started, max(want.Created, have.Started))
	return want
}

// capStarted has no more created Machines boot than lead to n started.
func capStarted(d *scale.Decision, n int) {
	if most := d.Within.MaxStarted; most.Known || !most.Defined {
		d.Within.MaxStarted = atMost(most, n)
	}
}

// limited reports whether changes in the direction are bounded.
func limited(d policy.Direction) bool { return len(d.Rates) > 0 || d.Select == policy.SelectDisabled }

func ofCreated(c Change) (added, removed int) { return c.Created, c.Destroyed }
func ofStarted(c Change) (added, removed int) { return c.Started, c.Stopped }

// pace returns how far up or down the count may move from what there is, and the rate
// that says so. A rate counts from what there was when its period began, of which the
// changes since tell, and never lies on the other side of what there is.
func pace(d policy.Direction, have int, up bool, mem Memory, now time.Time, of func(Change) (added, removed int)) (int, string) {
	switch {
	case d.Select == policy.SelectDisabled && up:
		return have, "up is off"
	case d.Select == policy.SelectDisabled:
		return have, "down is off"
	case len(d.Rates) == 0 && up:
		return math.MaxInt, ""
	case len(d.Rates) == 0:
		return 0, ""
	}
	most, rate := 0, d.Rates[0] // how far from have
	for i, r := range d.Rates {
		added, removed := of(mem.within(r.Period, now))
		begin := max(0, have-added+removed)
		n := begin + allowance(r, begin) - have
		if !up {
			n = have - (begin - allowance(r, begin))
		}
		if n = max(0, n); i == 0 || (n > most) == (d.Select == policy.SelectMax) && n != most {
			most, rate = n, r
		}
	}
	if up {
		return have + most, pacing(rate, up)
	}
	return max(0, have-most), pacing(rate, up)
}

// maxAllowance keeps a huge share from being too large for a count.
const maxAllowance = 1 << 30

// allowance is how many Machines the rate lets a count of n at the beginning of its
// period change by. A share of few is a whole Machine.
func allowance(r policy.Rate, n int) int {
	if r.Percent <= 0 {
		return min(r.Count, maxAllowance)
	}
	return int(min(max(1, math.Ceil(float64(n)*r.Percent/100-slack)), maxAllowance))
}

// pacing is a rate in a few words, such as "+4/15s".
func pacing(r policy.Rate, up bool) string {
	sign, by := "−", fmt.Sprint(r.Count)
	if up {
		sign = "+"
	}
	if r.Percent > 0 {
		by = fmt.Sprintf("%g%%", r.Percent)
	}
	return sign + by + "/" + short(r.Period)
}

// short writes a duration without what is zero, such as "5m" instead of "5m0s".
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
