package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fly-autoscaler/fly-autoscaler/internal/schedule"
)

// fields is a Policy without methods.
type fields Policy

// document is how a Policy is written: by the names of its fields, so that those it
// gains are written without being named here; expressions by their source, windows
// by their text.
type document struct {
	fields
	// ExactCreated and ExactStarted tell that minimum and maximum are one expression,
	// which is more than two that say the same.
	ExactCreated, ExactStarted bool `json:",omitempty"`
	Schedules                  []scheduleDocument
}

type scheduleDocument struct {
	Schedule
	Window string
}

// MarshalJSON writes the policy so that UnmarshalJSON makes the same of it.
func (p Policy) MarshalJSON() ([]byte, error) {
	d := document{
		fields:       fields(p),
		ExactCreated: p.MinCreated != nil && p.MinCreated == p.MaxCreated,
		ExactStarted: p.MinStarted != nil && p.MinStarted == p.MaxStarted,
	}
	for _, s := range p.Schedules {
		d.Schedules = append(d.Schedules, scheduleDocument{Schedule: s, Window: s.Window.String()})
	}
	return json.Marshal(d)
}

// UnmarshalJSON compiles what MarshalJSON wrote. Settings that it does not know are an
// error: the policy would not be the one that was written.
func (p *Policy) UnmarshalJSON(data []byte) error {
	var d document
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return fmt.Errorf("read a policy: %w", err)
	}
	if d.ExactCreated {
		d.MinCreated = d.MaxCreated
	}
	if d.ExactStarted {
		d.MinStarted = d.MaxStarted
	}
	*p = Policy(d.fields)
	p.Schedules = nil
	for _, s := range d.Schedules {
		window, err := schedule.Parse(s.Window)
		if err != nil {
			return fmt.Errorf("read a policy: schedule %q: %w", s.Name, err)
		}
		s.Schedule.Window = window
		p.Schedules = append(p.Schedules, s.Schedule)
	}
	return nil
}

// The names of settings that are one of a few, in the order of their constants.
var (
	selectNames = [...]string{"max", "min", "disabled"}
	pauseNames  = [...]string{"none", "up", "down", "all"}
	idleNames   = [...]string{"stop", "suspend", "destroy"}
	orderNames  = [...]string{"by-id", "oldest-first", "newest-first"}
)

func nameOf(names []string, i int) ([]byte, error) {
	if i < 0 || i >= len(names) {
		return nil, fmt.Errorf("%d is none of %q", i, names)
	}
	return []byte(names[i]), nil
}

func named[T ~int](names []string, text []byte, to *T) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("%q is none of %q", text, names)
	}
	*to = T(i)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Select) MarshalText() ([]byte, error) { return nameOf(selectNames[:], int(s)) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Select) UnmarshalText(text []byte) error { return named(selectNames[:], text, s) }

// MarshalText implements encoding.TextMarshaler.
func (p Pause) MarshalText() ([]byte, error) { return nameOf(pauseNames[:], int(p)) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Pause) UnmarshalText(text []byte) error { return named(pauseNames[:], text, p) }

// MarshalText implements encoding.TextMarshaler.
func (m IdleMode) MarshalText() ([]byte, error) { return nameOf(idleNames[:], int(m)) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *IdleMode) UnmarshalText(text []byte) error { return named(idleNames[:], text, m) }

// MarshalText implements encoding.TextMarshaler.
func (o Order) MarshalText() ([]byte, error) { return nameOf(orderNames[:], int(o)) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Order) UnmarshalText(text []byte) error { return named(orderNames[:], text, o) }
