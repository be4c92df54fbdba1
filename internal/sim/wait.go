package sim

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// StateSettled stands for any state that a Machine stays in by itself.
const StateSettled scale.State = "settled"

// WaitQuery is what a wait call waits for.
type WaitQuery struct {
	States    []scale.State // any of them; none means started
	Version   string        // of the configuration; empty means any
	FromEvent string        // only after a newer event than this one
}

// WaitResult is what a wait call found.
type WaitResult struct {
	EventID string      `json:"event_id"`
	State   scale.State `json:"state"`
	Version string      `json:"version"`
}

// Validate refuses states that cannot be waited for.
func (q WaitQuery) Validate() error {
	for _, s := range q.States {
		switch s {
		case scale.StateStarted, scale.StateStopped, scale.StateSuspended, scale.StateDestroyed, scale.StateFailed, StateSettled:
		default:
			return invalid("unsupported state to wait for: %q", s)
		}
	}
	return nil
}

// Reached looks whether the Machine is where a wait call wants it. A version
// that was replaced counts as stopped, settled or destroyed.
func (w *World) Reached(appName, id string, q WaitQuery) (WaitResult, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.find(appName, id)
	if err != nil {
		return WaitResult{}, false, err
	}
	newest := m.events[len(m.events)-1]
	result := WaitResult{EventID: newest.ID, State: m.state, Version: m.instanceID}
	if q.FromEvent != "" && newest.ID <= q.FromEvent {
		return result, false, nil
	}
	state := m.state
	if q.Version != "" && q.Version != m.instanceID {
		if !slices.ContainsFunc(m.versions, func(v Version) bool { return v.ID == q.Version }) {
			return result, false, invalid("unknown version %q of machine %s", q.Version, id)
		}
		result.State, result.Version = scale.StateReplaced, q.Version
		return result, slices.ContainsFunc(q.States, func(s scale.State) bool {
			return s == scale.StateStopped || s == scale.StateDestroyed || s == StateSettled
		}), nil
	}
	if len(q.States) == 0 {
		q.States = []scale.State{scale.StateStarted}
	}
	for _, want := range q.States {
		if want == state || (want == StateSettled && (persistent(state) && !m.launching || state == scale.StateDestroyed)) {
			return result, true, nil
		}
	}
	return result, false, nil
}

// WaitTimeout is the platform's answer to a wait call whose time is up.
func (w *World) WaitTimeout(appName, id string, q WaitQuery) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.find(appName, id)
	if err != nil {
		return err
	}
	names := []string{"started"}
	if len(q.States) > 0 {
		names = names[:0]
		for _, s := range q.States {
			names = append(names, string(s))
		}
	}
	return refuse(http.StatusRequestTimeout, "deadline_exceeded: machine failed to reach desired state, %s, currently %s",
		strings.Join(names, " or "), m.state)
}

// The longest and the usual time that a wait call may take.
const (
	MaxWait     = 60 * time.Second
	DefaultWait = 60 * time.Second
)
