package elasticity

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Queue is a queue of jobs and the workers that do them, one job at a time each.
type Queue struct {
	Trace  Trace
	Factor int // jobs for each of the trace
	Seed   uint64
	// Machines is how many exist, all of them stopped at first.
	Machines int
	// Boot is how long one takes to start.
	Boot time.Duration
	// Period is the time between two passes, and Lag how old the metrics are with which
	// they decide: at most as old as a period.
	Period, Lag time.Duration
	// Pulls says that workers which drain go on to take jobs, because they fetch them
	// themselves and do not heed the mark.
	Pulls bool
}

// Waits is what came of a run.
type Waits struct {
	Jobs          int // that were done
	Kills         int // stops of Machines at work
	P50, P95, P99 time.Duration
	Longest       time.Duration
	Paid, Busy    time.Duration // of Machines
	Ups           int           // starts, and Machines that were taken back
}

// Cost is the time of Machines that is paid for a time at work.
func (w Waits) Cost() float64 { return float64(w.Paid) / float64(w.Busy) }

// String tells the result in one line.
func (w Waits) String() string {
	second := func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
	return fmt.Sprintf("%d jobs: wait p50 %s, p95 %s, p99 %s, longest %s; cost %.3f (%.0f Machine-hours); %d killed; %d ups",
		w.Jobs, second(w.P50), second(w.P95), second(w.P99), second(w.Longest), w.Cost(), w.Paid.Hours(), w.Kills, w.Ups)
}

// Run plays the trace under the policy, and then until the queue is empty.
func (q Queue) Run(p *policy.Policy) (Waits, error) {
	jobs := q.Trace.work(q.Factor, q.Seed)
	if len(jobs) == 0 {
		return Waits{}, errors.New("no jobs come")
	}
	f := newFleet(q.Trace.Began, q.Machines, q.Boot)
	f.pulls = q.Pulls
	var (
		memory     decide.Memory
		seen       []scale.Sample
		now        time.Duration
		came       int
		pass, look time.Duration // the next pass, and the next look at the metrics
	)
	look = -q.Lag
	for end := q.Trace.Span(); now < end || f.done < len(jobs); {
		if now > 2*end {
			return Waits{}, fmt.Errorf("%d of %d jobs were done in twice the time", f.done, len(jobs))
		}
		arrival := never
		if came < len(jobs) {
			arrival = jobs[came].arrived
		}
		w, due := f.next()
		switch now = min(arrival, due, pass, look); now {
		case due:
			f.end(w, now)
		case arrival:
			f.submit(&jobs[came], now)
			came++
		case look:
			seen = f.samples(now)
			look += q.Period
		case pass:
			pass += q.Period
			at := f.began.Add(now)
			s := f.snapshot(now)
			d, next := decide.Decide(s, seen, p, memory, at)
			outcomes, err := f.apply(plan.Build(s, d, p), now)
			if err != nil {
				return Waits{}, fmt.Errorf("at %s: %w\n%s", at, err, d.Line())
			}
			memory = decide.Observe(next, outcomes, at)
		}
	}
	waits := make([]time.Duration, len(jobs))
	for i := range jobs {
		waits[i] = jobs[i].waited
	}
	slices.Sort(waits)
	at := func(share float64) time.Duration { return waits[int(share*float64(len(waits)-1))] }
	return Waits{
		Jobs: f.done, Kills: f.kills, P50: at(0.5), P95: at(0.95), P99: at(0.99), Longest: waits[len(waits)-1],
		Paid: f.cost(now), Busy: f.busy, Ups: f.ups,
	}, nil
}
