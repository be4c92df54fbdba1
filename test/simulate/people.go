package simulate

import (
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

var hand = sim.Call{Request: byHand, Owner: "someone@example.com"}

// people has somebody do something by hand about once in the time.
func (e *episode) people(s *Story, d draw, about time.Duration) {
	deeds := []struct {
		name string
		do   func(*run, draw, target)
	}{
		{"start", (*run).startOne},
		{"start", (*run).startOne},
		{"stop", (*run).stopOne},
		{"stop", (*run).stopOne},
		{"destroy", (*run).destroyOne},
		{"destroy", (*run).destroyOne},
		{"add", (*run).addOne},
		{"cordon", (*run).cordonOne},
	}
	for at := e.lead + d.between(0, 2*about); at < e.lead+e.trouble; at += d.between(0, 2*about) {
		deed, dice := pick(d, deeds), newDraw(s.Seed, d.Uint64())
		t := target{s.Apps[d.IntN(len(s.Apps)-1)].App, pick(d, s.Rules).Group}
		e.acts = append(e.acts, act{at, "person: " + deed.name, func(r *run) { deed.do(r, dice, t) }})
	}
}

// machines returns the target's Machines in one of the states; all when none is
// named.
func (r *run) machines(t target, states ...scale.State) []sim.MachineSummary {
	var out []sim.MachineSummary
	for _, app := range r.world.Summary(t.app) {
		for _, m := range app.Machines {
			if m.Group != t.group || m.State == scale.StateDestroying || r.builders[m.ID] != "" {
				continue
			}
			for _, s := range states {
				if m.State == s {
					out = append(out, m)
				}
			}
			if len(states) == 0 {
				out = append(out, m)
			}
		}
	}
	return out
}

func (r *run) startOne(d draw, t target) {
	if ms := r.machines(t, scale.StateStopped, scale.StateSuspended); len(ms) > 0 {
		m := pick(d, ms)
		r.try(r.world.StartMachine(hand, t.app, m.ID))
	}
}

func (r *run) stopOne(d draw, t target) {
	if ms := r.machines(t, scale.StateStarted); len(ms) > 0 {
		m := pick(d, ms)
		r.try(nil, r.world.StopMachine(hand, t.app, m.ID, sim.StopInput{}))
	}
}

// destroyOne destroys a Machine of more than are wanted to exist, or where nothing
// says how many may; else what the program destroys at the same time may leave
// none to clone.
func (r *run) destroyOne(d draw, t target) {
	ms := r.machines(t)
	if len(ms) < 2 || len(ms) > 2 && r.shrinks(t, len(ms)) {
		return
	}
	m := pick(d, ms)
	r.try(nil, r.world.DestroyMachine(hand, t.app, m.ID, true))
}

// shrinks reports whether the program may be destroying Machines of the target.
func (r *run) shrinks(t target, n int) bool {
	for _, rule := range r.story.Rules {
		if rule.Group == t.group && rule.matches(t.app) {
			c := checker{record: r.record, story: r.story}
			r.record.mu.Lock()
			lo, _ := c.wanted(rule, t, time.Now().Add(-time.Minute), time.Now())
			r.record.mu.Unlock()
			return n > lo.maxCreated
		}
	}
	return false
}

// cordonOne takes a Machine out of routing, or puts it back.
func (r *run) cordonOne(d draw, t target) {
	if ms := r.machines(t, scale.StateStarted, scale.StateStopped); len(ms) > 2 {
		m := pick(d, ms)
		r.try(nil, r.world.CordonMachine(hand, t.app, m.ID, !m.Cordoned))
	}
}

// addOne makes a Machine like one that is there, without the marks of the program.
func (r *run) addOne(d draw, t target) {
	ms := r.machines(t)
	if len(ms) == 0 || len(ms) > 10 {
		return
	}
	from, err := r.world.Machine(t.app, pick(d, ms).ID)
	if err != nil {
		return
	}
	config, err := remark(from.Config, func(metadata map[string]any) {
		delete(metadata, scale.MetaCreateID)
		delete(metadata, scale.MetaNotLaunched)
	})
	if err == nil {
		_, _, err = r.world.CreateMachine(hand, t.app, sim.MachineInput{Region: from.Region, Config: config})
	}
	r.try(nil, err)
}

// try notes what the platform refused to a person.
func (r *run) try(_ any, err error) {
	if err != nil {
		r.record.note("person: refused: %v", err)
	}
}
