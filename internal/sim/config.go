package sim

import (
	"fmt"
	"time"
)

// Duration is a time.Duration that reads and writes as text, such as "1m30s",
// in JSON and YAML.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("parse duration %q: want a number with a unit, such as 500ms or 2m", text)
	}
	if v < 0 {
		return fmt.Errorf("parse duration %q: must not be negative", text)
	}
	*d = Duration(v)
	return nil
}

// Span is a range of durations from which the world draws uniformly.
type Span struct {
	Min Duration `json:"min" yaml:"min"`
	Max Duration `json:"max" yaml:"max"`
}

// Between is the Span from lo to hi.
func Between(lo, hi time.Duration) Span { return Span{Min: Duration(lo), Max: Duration(hi)} }

// Timings says how long the platform takes for things. Zero spans take no
// time: the transition happens when the world next advances.
type Timings struct {
	Prepare Span `json:"prepare" yaml:"prepare"` // created, while the image is fetched
	Boot    Span `json:"boot" yaml:"boot"`       // starting, for a first boot
	Start   Span `json:"start" yaml:"start"`     // starting, from stopped
	Resume  Span `json:"resume" yaml:"resume"`   // starting, from suspended
	Stop    Span `json:"stop" yaml:"stop"`       // stopping, when the process obeys the signal
	Suspend Span `json:"suspend" yaml:"suspend"` // suspending
	Replace Span `json:"replace" yaml:"replace"` // replacing or updating
	Restart Span `json:"restart" yaml:"restart"` // restarting
	Destroy Span `json:"destroy" yaml:"destroy"` // destroying
	// StillActive is how long after a stop a start is refused with "machine
	// still active".
	StillActive Span `json:"still-active" yaml:"still-active"`
	// DestroyedVisible is how long a destroyed Machine can still be read.
	DestroyedVisible Duration `json:"destroyed-visible" yaml:"destroyed-visible"`
	// KeepDeleted is how long lists that include deleted Machines remember one.
	KeepDeleted Duration `json:"keep-deleted" yaml:"keep-deleted"`
}

// DefaultTimings returns what small Machines on the platform are seen to take:
// two to six seconds from create to started, one to two to start, a third of a
// second to resume.
func DefaultTimings() Timings {
	return Timings{
		Prepare:          Between(time.Second, 3*time.Second),
		Boot:             Between(time.Second, 3*time.Second),
		Start:            Between(time.Second, 2*time.Second),
		Resume:           Between(200*time.Millisecond, 400*time.Millisecond),
		Stop:             Between(500*time.Millisecond, 1500*time.Millisecond),
		Suspend:          Between(500*time.Millisecond, 1500*time.Millisecond),
		Replace:          Between(2*time.Second, 4*time.Second),
		Restart:          Between(1500*time.Millisecond, 3*time.Second),
		Destroy:          Between(300*time.Millisecond, time.Second),
		DestroyedVisible: Duration(5 * time.Second),
		KeepDeleted:      Duration(time.Hour),
	}
}

// Config says what a new World is like.
type Config struct {
	Seed uint64
	// Start is the first moment of the world; zero means 2026-01-01 00:00 UTC.
	Start time.Time
	// Timings is DefaultTimings when nil.
	Timings *Timings
	// ScrapeInterval is how often the scraper set by OnScrape runs; zero means
	// 15 s, the platform's interval.
	ScrapeInterval time.Duration
	// Events is how many events of each Machine are kept and listed; zero means 50, the
	// platform's. They are most of what lists consist of, and nobody scales by them.
	Events int
}
