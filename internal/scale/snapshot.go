package scale

import "time"

// Snapshot is what was known of an app's Machines at one moment. It is
// immutable and holds all Machines of the app, of every process group.
type Snapshot struct {
	App      App
	Machines []Machine // sorted by ID
	TakenAt  time.Time
	// Complete is false when some part of the platform did not answer. Machines
	// that are missing then may well exist.
	Complete bool
	// Overview is set when the Machines are rows of an org-wide list: they may lag
	// and tell nothing of hosts, volumes, leases, cordons and the rest of a
	// configuration, which is as if all were plain. An overview tells that
	// something may be to do. Before acting, the app's own list is read.
	Overview bool
	// Release is filled in only when the decision would act.
	Release Release
}

// Quality says how far a Sample can be trusted. The zero value is not valid,
// so that a forgotten field is never taken for a good reading.
type Quality int

// The qualities of a sample. Only Fresh samples have a usable value.
const (
	Fresh Quality = iota + 1
	Stale         // older than its maximum age
	Empty         // the source answered that there is no value
	Error         // the source could not be asked, or its answer is no number
)

// String returns the name used in traces and JSON.
func (q Quality) String() string {
	switch q {
	case Fresh:
		return "fresh"
	case Stale:
		return "stale"
	case Empty:
		return "empty"
	case Error:
		return "error"
	}
	return "invalid"
}

// MarshalText implements encoding.TextMarshaler.
func (q Quality) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// Sample is one reading of a declared metric. An unknown reading is never
// zero: it is a Sample whose quality is not Fresh and whose Reason says why.
type Sample struct {
	Metric  string    `json:"metric"`
	Value   float64   `json:"value"` // finite when Quality is Fresh, else 0 and meaningless
	At      time.Time `json:"at"`
	Quality Quality   `json:"quality"`
	Reason  string    `json:"reason,omitempty"` // why the value is unknown; empty when Fresh
	// Machines is the part of each Machine in a metric that is asked for by Machine;
	// nil for others.
	Machines map[MachineID]float64 `json:"machines,omitempty"`
}

// Point is a value of a metric at a time, as an expression's history keeps it.
type Point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// Known reports whether the value may be used.
func (s Sample) Known() bool { return s.Quality == Fresh }
