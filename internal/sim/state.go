package sim

import (
	"net/http"
	"slices"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// verb is a call that changes a Machine's state.
type verb string

const (
	verbStart   verb = "start"
	verbStop    verb = "stop"
	verbSuspend verb = "suspend"
	verbRestart verb = "restart"
	verbSignal  verb = "signal"
	verbUpdate  verb = "update"
	verbDestroy verb = "destroy"
)

// verdict is what the platform makes of a verb in a state.
type verdict int

const (
	refused verdict = iota
	legal
	noop // answered with success, nothing changes
)

// legality is the platform's table of states and verbs. Destroy is destroy
// without force; with force it is legal in every state but the last two. A
// state that is not listed for a verb refuses it.
var legality = map[verb]map[scale.State]verdict{
	verbStart: {
		scale.StateCreated: legal, scale.StateStopped: legal, scale.StateSuspended: legal, scale.StateFailed: legal,
		scale.StateStarted: noop,
	},
	verbStop: {
		scale.StateCreated: legal, scale.StateStarting: legal, scale.StateStarted: legal, scale.StateSuspended: legal, scale.StateFailed: legal,
		scale.StateStopping: noop, scale.StateSuspending: noop, scale.StateStopped: noop,
	},
	verbSuspend: {
		scale.StateStarted:   legal,
		scale.StateSuspended: noop, scale.StateSuspending: noop,
	},
	verbRestart: {
		scale.StateStarted: legal, scale.StateStopped: legal, scale.StateSuspended: legal, scale.StateFailed: legal,
	},
	verbSignal: {
		scale.StateStarted: legal,
	},
	verbUpdate: {
		scale.StateCreated: legal, scale.StateStarted: legal, scale.StateStopped: legal, scale.StateSuspended: legal, scale.StateFailed: legal,
	},
	verbDestroy: {
		scale.StateCreated: legal, scale.StateStopped: legal, scale.StateSuspended: legal, scale.StateFailed: legal,
	},
}

// allowed looks the verb up for the Machine as it is now. A refusal comes with
// the platform's own words.
func (m *machine) allowed(v verb) (verdict, *Error) {
	if m.state == scale.StateDestroying || m.state == scale.StateDestroyed {
		return refused, machineNotFound()
	}
	if got := legality[v][m.state]; got != refused {
		if v == verbStart && m.launching {
			return refused, precondition("machine still attempting to start")
		}
		return got, nil
	}
	switch v {
	case verbStart:
		switch m.state {
		case scale.StateReplacing, scale.StateUpdating:
			return refused, precondition("machine getting replaced, refusing to start")
		case scale.StateStarting:
			return refused, precondition("machine still attempting to start")
		}
	case verbDestroy:
		return refused, precondition("unable to destroy machine, not currently stopped, suspended, failed or created")
	case verbUpdate:
		if m.state == scale.StateReplacing || m.state == scale.StateUpdating {
			return refused, refuse(http.StatusConflict, "aborted: machine getting replaced, refusing to update")
		}
	}
	return refused, precondition("unable to %s machine from current state: '%s'", v, m.state)
}

// transitions lists, for every state, the states that may follow it. It is
// what the world promises and what its property test checks.
var transitions = map[scale.State][]scale.State{
	scale.StateCreated:    {scale.StateStarting, scale.StateStopping, scale.StateUpdating, scale.StateDestroying},
	scale.StateStarting:   {scale.StateStarted, scale.StateStopping, scale.StateDestroying},
	scale.StateStarted:    {scale.StateStopping, scale.StateSuspending, scale.StateRestarting, scale.StateReplacing, scale.StateStopped, scale.StateDestroying},
	scale.StateStopping:   {scale.StateStopped, scale.StateDestroying},
	scale.StateStopped:    {scale.StateStarting, scale.StateRestarting, scale.StateUpdating, scale.StateDestroying},
	scale.StateSuspending: {scale.StateSuspended, scale.StateDestroying},
	scale.StateSuspended:  {scale.StateStarting, scale.StateStopping, scale.StateRestarting, scale.StateUpdating, scale.StateDestroying},
	scale.StateRestarting: {scale.StateStarted, scale.StateDestroying},
	scale.StateReplacing:  {scale.StateStarted, scale.StateStopped, scale.StateDestroying},
	scale.StateUpdating:   {scale.StateCreated, scale.StateStopped, scale.StateDestroying},
	scale.StateFailed:     {scale.StateStarting, scale.StateStopping, scale.StateRestarting, scale.StateUpdating, scale.StateDestroying},
	scale.StateDestroying: {scale.StateDestroyed},
	scale.StateDestroyed:  nil,
}

// LegalTransition reports whether a Machine may go from one state straight to
// the other.
func LegalTransition(from, to scale.State) bool {
	return slices.Contains(transitions[from], to)
}

// persistent are the states that a Machine stays in until somebody acts.
func persistent(s scale.State) bool {
	switch s {
	case scale.StateCreated, scale.StateStarted, scale.StateStopped, scale.StateSuspended, scale.StateFailed:
		return true
	}
	return false
}

// holds reports whether the Machine has, or is about to have, memory and CPUs.
func (m *machine) holds() bool { return m.launching || running(m.state) }

// running are the states in which a Machine holds memory and CPUs on its host.
func running(s scale.State) bool {
	switch s {
	case scale.StateStarting, scale.StateStarted, scale.StateStopping, scale.StateSuspending, scale.StateRestarting, scale.StateReplacing:
		return true
	}
	return false
}
