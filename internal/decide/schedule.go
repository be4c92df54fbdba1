package decide

import (
	"fmt"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// force is what the schedules ask for and allow now. It is exact: neither tolerance
// nor windows touch it, and a floor is reached at once.
type force struct {
	floor   int // 0 for none
	ceiling int // that floors go beyond; -1 for none
	hard    int // that nothing goes beyond; -1 for none
	// Where they come from, for the reason.
	floorBy, ceilingBy, hardBy string
}

// inForce returns what is in force now: of several floors the highest, of several
// ceilings the lowest. Machine hours that are used up are a ceiling of one.
func inForce(p *policy.Policy, mem *Memory, have scale.Count, now time.Time) force {
	f := force{ceiling: -1, hard: -1}
	for i := range p.Schedules {
		s := &p.Schedules[i]
		if active, _ := s.Window.Active(now); !active {
			continue
		}
		if s.Min != nil && *s.Min > f.floor {
			f.floor, f.floorBy = *s.Min, "schedule "+s.Name
		}
		switch {
		case s.Max == nil:
		case s.Hard && (f.hard < 0 || *s.Max < f.hard):
			f.hard, f.hardBy = *s.Max, "schedule "+s.Name+", hard"
		case !s.Hard && (f.ceiling < 0 || *s.Max < f.ceiling):
			f.ceiling, f.ceilingBy = *s.Max, "schedule "+s.Name
		}
	}
	if most := p.Limits.MachineHours; most > 0 {
		mem.Demand.Hours = mem.Demand.Hours.count(have.Started, now)
		if used := mem.Demand.Hours.Used; used >= most && (f.ceiling < 0 || f.ceiling > 1) {
			f.ceiling, f.ceilingBy = 1, fmt.Sprintf("%.4g Machine hours of today are used up", most)
		}
	} else {
		mem.Demand.Hours = Hours{}
	}
	if f.hard >= 0 && f.floor > f.hard {
		f.floor, f.floorBy = f.hard, f.hardBy
	}
	if f.ceiling >= 0 && f.ceiling < f.floor {
		f.ceiling, f.ceilingBy = f.floor, f.floorBy
	}
	return f
}

// most returns the lowest ceiling, or -1.
func (f force) most() (int, string) {
	if f.hard >= 0 && (f.ceiling < 0 || f.hard <= f.ceiling) {
		return f.hard, f.hardBy
	}
	return f.ceiling, f.ceilingBy
}

// allowed returns as much of n as the ceilings allow.
func (f force) allowed(n int) int {
	if most, _ := f.most(); most >= 0 {
		return min(n, most)
	}
	return n
}

// apply returns the limits with what is in force. Told are the limits as the
// expressions tell them.
func (f force) apply(l, told scale.Limits, p *policy.Policy) scale.Limits {
	if most, _ := f.most(); most >= 0 {
		l.MaxStarted = atMost(l.MaxStarted, most)
		if l.MinStarted.Known {
			l.MinStarted = atMost(l.MinStarted, most)
		}
	}
	if f.floor > 0 {
		l.MinStarted = atLeast(l.MinStarted, f.floor)
		l = raiseCreated(l, told, p, f.floor)
	}
	return l
}

// restore has the floor reached after all, as far as there are Machines for it.
func (f force) restore(want scale.Count) (scale.Count, string) {
	if n := min(f.floor, want.Created); want.Started < n {
		want.Started = n
		return want, fmt.Sprintf("floor %d (%s)", f.floor, f.floorBy)
	}
	return want, ""
}

// schedule raises the limits to the floors and lowers them to the ceilings.
func schedule(d *scale.Decision, p *policy.Policy, f force) {
	d.Within = f.apply(d.Within, d.Limits, p)
	want := moved(d)
	if want == d.Want {
		return
	}
	reason := fmt.Sprintf("floor %d (%s)", f.floor, f.floorBy)
	if want.Started < d.Want.Started {
		most, by := f.most()
		reason = fmt.Sprintf("ceiling %d (%s)", most, by)
	}
	step(d, scale.StageSchedule, want, reason)
}

// Hours counts the hours that started Machines run in a day, in UTC.
type Hours struct {
	At      time.Time `json:"at,omitzero"` // of the last count
	Started int       `json:"started,omitempty"`
	Used    float64   `json:"used,omitempty"`
}

// count returns the hours up to now, when there are so many started. Between two
// counts there were as many as at the first. A clock that was set back adds nothing.
func (h Hours) count(started int, now time.Time) Hours {
	midnight := now.UTC().Truncate(24 * time.Hour)
	from, used := h.At, h.Used
	if from.Before(midnight) {
		used = 0
		if !from.IsZero() {
			from = midnight
		}
	}
	if !from.IsZero() && now.After(from) {
		used += float64(h.Started) * now.Sub(from).Hours()
	}
	return Hours{At: now, Started: started, Used: used}
}
