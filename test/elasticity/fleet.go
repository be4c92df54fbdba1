package elasticity

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// never is later than everything.
const never = time.Duration(math.MaxInt64)

// worker is a Machine that does one job at a time.
type worker struct {
	machine scale.Machine
	job     *job          // nil when it does none
	due     time.Duration // when what it does comes to its end: a job, a boot or a stop
	idle    time.Duration // since when it waits for a job
	on      time.Duration // since when it is paid for
}

// fleet is the workers and the queue before them. All times are since the trace began.
type fleet struct {
	began   time.Time
	workers []*worker
	queue   []*job
	boot    time.Duration
	// pulls says that Machines which drain go on to take jobs.
	pulls bool

	paid  time.Duration // by Machines that have been stopped
	done  int           // jobs
	busy  time.Duration // that those took
	kills int
	ups   int // Machines started, or taken back
}

// stopTime is how long a Machine stops.
const stopTime = time.Second

func newFleet(began time.Time, size int, boot time.Duration) *fleet {
	f := &fleet{began: began, boot: boot}
	for i := range size {
		id := fmt.Sprintf("%014x", i+1)
		f.workers = append(f.workers, &worker{due: never, machine: scale.Machine{
			ID: scale.MachineID(id), Name: "worker-" + id, State: scale.StateStopped, Region: "iad", Group: scale.DefaultProcessGroup,
			InstanceID: "01" + id, Host: scale.HostOK, CreatedAt: began.Add(-time.Hour), UpdatedAt: began.Add(-time.Hour), Config: []byte(`{}`),
		}})
	}
	return f
}

// next returns the worker whose end comes first, and when; nil for none.
func (f *fleet) next() (*worker, time.Duration) {
	var first *worker
	at := never
	for _, w := range f.workers {
		if w.due < at {
			first, at = w, w.due
		}
	}
	return first, at
}

// end ends what the worker does.
func (f *fleet) end(w *worker, now time.Duration) {
	w.due = never
	switch {
	case w.job != nil:
		f.done++
		f.busy += w.job.takes
		w.job, w.idle = nil, now
	case w.machine.State == scale.StateStarting:
		f.turn(w, scale.StateStarted, now)
		w.idle = now
	case w.machine.State == scale.StateStopping:
		f.turn(w, scale.StateStopped, now)
		f.paid += now - w.on
	case w.machine.State == scale.StateSuspending:
		f.turn(w, scale.StateSuspended, now)
		f.paid += now - w.on
	}
	f.dispatch(now)
}

func (f *fleet) turn(w *worker, state scale.State, now time.Duration) {
	w.machine.State, w.machine.UpdatedAt = state, f.began.Add(now)
}

// submit adds a job to the queue.
func (f *fleet) submit(j *job, now time.Duration) {
	f.queue = append(f.queue, j)
	f.dispatch(now)
}

// dispatch gives the jobs that wait to the workers that do, the longest first.
func (f *fleet) dispatch(now time.Duration) {
	for len(f.queue) > 0 {
		var to *worker
		for _, w := range f.workers {
			takes := w.machine.State == scale.StateStarted && w.job == nil && (f.pulls || !w.machine.Cordoned)
			if takes && (to == nil || w.idle < to.idle) {
				to = w
			}
		}
		if to == nil {
			return
		}
		to.job, f.queue = f.queue[0], f.queue[1:]
		to.due = now + to.job.takes
		if to.job.waited < 0 {
			to.job.waited = now - to.job.arrived
		}
	}
}

// apply carries out a plan.
func (f *fleet) apply(p scale.Plan, now time.Duration) ([]scale.Outcome, error) {
	outcomes := make([]scale.Outcome, 0, len(p.Actions))
	for _, a := range p.Actions {
		at := slices.IndexFunc(f.workers, func(w *worker) bool { return w.machine.ID == a.Machine })
		if at < 0 {
			return nil, fmt.Errorf("%s: there is no such Machine", a)
		}
		if err := f.act(a, f.workers[at], now); err != nil {
			return nil, err
		}
		outcomes = append(outcomes, scale.Outcome{Action: a, Result: scale.Done, Machine: a.Machine, Region: a.Region, At: f.began.Add(now)})
	}
	f.dispatch(now)
	return outcomes, nil
}

func (f *fleet) act(a scale.Action, w *worker, now time.Duration) error {
	if w.machine.State != a.State {
		return fmt.Errorf("%s: the Machine is %s, and not %s", a, w.machine.State, a.State)
	}
	switch runs := w.machine.State == scale.StateStarted || w.machine.State == scale.StateStarting; {
	case a.Verb == scale.Start && !runs:
		w.machine.Metadata, w.machine.Cordoned = nil, false
		f.turn(w, scale.StateStarting, now)
		w.due, w.on = now+f.boot, now
		f.ups++
	case a.Verb == scale.Suspend && w.machine.State == scale.StateStarted && w.job == nil:
		w.machine.Metadata, w.machine.Cordoned = nil, false
		f.turn(w, scale.StateSuspending, now)
		w.due = now + stopTime
	case a.Verb == scale.Stop && runs:
		if w.job != nil {
			f.kills++
			f.queue = slices.Insert(f.queue, 0, w.job)
			w.job = nil
		}
		w.machine.Metadata, w.machine.Cordoned = nil, false
		f.turn(w, scale.StateStopping, now)
		w.due = now + stopTime
	case a.Verb == scale.Drain && runs:
		w.machine.Metadata, w.machine.Cordoned = map[string]string{scale.MetaDrain: scale.DrainMark(a.Until)}, true
		w.machine.UpdatedAt = f.began.Add(now)
	case a.Verb == scale.Undrain:
		w.machine.Metadata, w.machine.Cordoned = nil, false
		w.machine.UpdatedAt = f.began.Add(now)
		f.ups++
	default:
		return fmt.Errorf("%s of a Machine that is %s: these are only started, drained, stopped, and suspended at rest", a, w.machine.State)
	}
	return nil
}

// cost returns how long all Machines were paid for so far, while they boot and stop too.
func (f *fleet) cost(now time.Duration) time.Duration {
	sum := f.paid
	for _, w := range f.workers {
		if w.machine.State != scale.StateStopped && w.machine.State != scale.StateSuspended {
			sum += now - w.on
		}
	}
	return sum
}

// ready returns how many Machines serve.
func (f *fleet) ready() int {
	n := 0
	for _, w := range f.workers {
		if w.machine.State == scale.StateStarted && !w.machine.Cordoned {
			n++
		}
	}
	return n
}

// snapshot returns the Machines as they are. Nothing that happens later changes it.
func (f *fleet) snapshot(now time.Duration) scale.Snapshot {
	machines := make([]scale.Machine, len(f.workers))
	for i, w := range f.workers {
		machines[i] = w.machine
	}
	return scale.Snapshot{
		App: "workers", Machines: machines, TakenAt: f.began.Add(now), Complete: true,
		Release: scale.Release{Known: true},
	}
}

// samples returns the metrics as they are: how many jobs wait, how many are under way,
// and the work of each Machine that runs.
func (f *fleet) samples(now time.Duration) []scale.Sample {
	at := f.began.Add(now)
	work := make(map[scale.MachineID]float64)
	running := 0.0
	for _, w := range f.workers {
		if w.machine.State != scale.StateStarted {
			continue
		}
		work[w.machine.ID] = 0
		if w.job != nil {
			work[w.machine.ID] = 1
			running++
		}
	}
	return []scale.Sample{
		{Metric: "in_flight", Value: running, At: at, Quality: scale.Fresh},
		{Metric: "jobs", Value: running, At: at, Quality: scale.Fresh, Machines: work},
		{Metric: "visible", Value: float64(len(f.queue)), At: at, Quality: scale.Fresh},
	}
}
