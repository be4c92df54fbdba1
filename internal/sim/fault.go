package sim

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// FaultKind is what goes wrong.
type FaultKind string

// The kinds of fault. The first group is about any request, the second about
// lists, the third about what the platform does with Machines, the last about
// metrics.
const (
	FaultError FaultKind = "error" // answer with Status and Message
	FaultCut   FaultKind = "cut"   // close the connection without an answer
	FaultHang  FaultKind = "hang"  // answer never, or as usual after Duration
	FaultSlow  FaultKind = "slow"  // answer as usual after Duration

	FaultStale     FaultKind = "stale"      // lists show what was Duration ago
	FaultPartial   FaultKind = "partial"    // lists leave out Regions
	FaultEmpty     FaultKind = "empty"      // lists and metric queries have no rows
	FaultShort     FaultKind = "short"      // lists leave out Machines by chance, every second one on average
	FaultEmptyPage FaultKind = "empty_page" // the org-wide list sends a page without rows before the next
	FaultRepeat    FaultKind = "repeat"     // the org-wide list sends rows again, as they were before their last change

	FaultCapacity FaultKind = "capacity" // refuse for lack of capacity, with Status 422 or 409
	FaultStuck    FaultKind = "stuck"    // stay in State (created or starting) for Duration more, or for good

	FaultNaN     FaultKind = "nan"     // metric queries answer NaN
	FaultInf     FaultKind = "inf"     // metric queries answer infinity
	FaultSeveral FaultKind = "several" // metric queries answer each series twice, with another label
	FaultGarbage FaultKind = "garbage" // metric queries answer a page that is not JSON
)

// Fault is trouble to order: what goes wrong, for which calls, how often and
// when. A field of the match that is empty matches everything; Op, App, Org,
// Region and Machine are patterns in which * stands for any text.
type Fault struct {
	ID   string    `json:"id,omitempty" yaml:"id"` // given by the world when empty
	Kind FaultKind `json:"kind" yaml:"kind"`

	Op      string `json:"op,omitempty" yaml:"op"` // such as machine_create; see package flysim
	App     string `json:"app,omitempty" yaml:"app"`
	Org     string `json:"org,omitempty" yaml:"org"`
	Region  string `json:"region,omitempty" yaml:"region"`
	Machine string `json:"machine,omitempty" yaml:"machine"`

	Probability float64  `json:"probability,omitempty" yaml:"probability"` // of striking a call that matches; 0 means 1
	Skip        int      `json:"skip,omitempty" yaml:"skip"`               // calls that match and pass before it may strike
	Count       int      `json:"count,omitempty" yaml:"count"`             // how often it strikes; 0 means without limit
	Gap         int      `json:"gap,omitempty" yaml:"gap"`                 // calls that match and pass after each that it struck
	After       Duration `json:"after,omitempty" yaml:"after"`             // from when it was ordered until it may strike
	For         Duration `json:"for,omitempty" yaml:"for"`                 // how long it may strike from then; 0 means for ever

	// Applied has the call take effect before the fault strikes: the answer is
	// lost, not the effect. It goes with error, cut and hang; with slow, a call
	// whose client has gone takes effect all the same, late.
	Applied  bool        `json:"applied,omitempty" yaml:"applied"`
	Status   int         `json:"status,omitempty" yaml:"status"`     // of error (500) and capacity (422)
	Message  string      `json:"message,omitempty" yaml:"message"`   // of error; the status's own text when empty
	Duration Duration    `json:"duration,omitempty" yaml:"duration"` // of hang, slow, stale and stuck
	Regions  []string    `json:"regions,omitempty" yaml:"regions"`   // of partial
	State    scale.State `json:"state,omitempty" yaml:"state"`       // of stuck
}

// FaultStatus is a fault with what came of it.
type FaultStatus struct {
	Fault
	OrderedAt time.Time `json:"ordered_at"`
	Matched   int       `json:"matched"` // calls that matched within its time
	Struck    int       `json:"struck"`

	rest int // calls that still pass because of Gap
}

// Query is a call about which faults are asked. Fields that the call has
// nothing to do with are empty, and match only faults that do not ask for them.
type Query struct {
	Op, App, Org, Region, Machine string

	state scale.State
}

type faultSet struct {
	ordered []*FaultStatus
	next    int
}

// OrderFault adds a fault and returns it as kept, with its identifier. One with
// the identifier of another replaces it.
func (w *World) OrderFault(f Fault) (Fault, error) {
	if err := f.normalize(); err != nil {
		return Fault{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.ID == "" {
		w.faults.next++
		f.ID = "fault-" + strconv.Itoa(w.faults.next)
	}
	w.dropFault(f.ID)
	w.faults.ordered = append(w.faults.ordered, &FaultStatus{Fault: f, OrderedAt: w.now})
	return f, nil
}

// normalize fills in defaults and refuses what makes no sense.
func (f *Fault) normalize() error {
	for _, pattern := range []string{f.Op, f.App, f.Org, f.Region, f.Machine} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("fault pattern %q: %w", pattern, err)
		}
	}
	if f.Probability < 0 || f.Probability > 1 {
		return fmt.Errorf("fault probability %v: want 0 to 1", f.Probability)
	}
	if f.Count < 0 || f.Skip < 0 || f.Gap < 0 {
		return fmt.Errorf("fault count %d, skip %d, gap %d: must not be negative", f.Count, f.Skip, f.Gap)
	}
	switch f.Kind {
	case FaultError:
		if f.Status == 0 {
			f.Status = http.StatusInternalServerError
		}
		if f.Status < 400 || f.Status > 599 {
			return fmt.Errorf("fault status %d: want an error status", f.Status)
		}
	case FaultCapacity:
		if f.Status == 0 {
			f.Status = http.StatusUnprocessableEntity
		}
		if f.Status != http.StatusUnprocessableEntity && f.Status != http.StatusConflict {
			return fmt.Errorf("capacity fault status %d: want 422 or 409", f.Status)
		}
	case FaultSlow, FaultStale:
		if f.Duration == 0 {
			return fmt.Errorf("fault of kind %s: duration is required", f.Kind)
		}
	case FaultPartial:
		if len(f.Regions) == 0 {
			return fmt.Errorf("fault of kind partial: regions are required")
		}
	case FaultStuck:
		if f.State == "" {
			f.State = scale.StateCreated
		}
		if f.State != scale.StateCreated && f.State != scale.StateStarting {
			return fmt.Errorf("stuck fault state %q: want created or starting", f.State)
		}
	case FaultCut, FaultHang, FaultEmpty, FaultShort, FaultEmptyPage, FaultRepeat, FaultNaN, FaultInf, FaultSeveral, FaultGarbage:
	default:
		return fmt.Errorf("unknown fault kind %q", f.Kind)
	}
	return nil
}

// DropFault removes a fault and reports whether there was one.
func (w *World) DropFault(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropFault(id)
}

func (w *World) dropFault(id string) bool {
	n := len(w.faults.ordered)
	w.faults.ordered = slices.DeleteFunc(w.faults.ordered, func(f *FaultStatus) bool { return f.ID == id })
	return len(w.faults.ordered) < n
}

// ClearFaults removes all faults.
func (w *World) ClearFaults() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults.ordered = nil
}

// Faults returns the faults that are ordered, in the order they are tried.
func (w *World) Faults() []FaultStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]FaultStatus, 0, len(w.faults.ordered))
	for _, f := range w.faults.ordered {
		out = append(out, *f)
	}
	return out
}

// Faulty reports whether any fault is ordered.
func (w *World) Faulty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.faults.ordered) > 0
}

// Fault asks whether a fault of one of the kinds strikes a call; nil when none
// does. Asking counts: a fault that may strike once strikes the first who ask.
func (w *World) Fault(q Query, kinds ...FaultKind) *Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.matchFault(q, kinds...)
}

func (w *World) matchFault(q Query, kinds ...FaultKind) *Fault {
	for _, f := range w.faults.ordered {
		if !slices.Contains(kinds, f.Kind) || !f.matches(q) || !f.due(w.now) {
			continue
		}
		if f.Count > 0 && f.Struck == f.Count {
			continue
		}
		f.Matched++
		if f.Matched <= f.Skip {
			continue
		}
		if f.rest > 0 {
			f.rest--
			continue
		}
		if f.Probability > 0 && w.luck.Float64() >= f.Probability {
			continue
		}
		f.Struck++
		f.rest = f.Gap
		struck := f.Fault
		return &struck
	}
	return nil
}

func (f *FaultStatus) due(now time.Time) bool {
	from := f.OrderedAt.Add(time.Duration(f.After))
	return !now.Before(from) && (f.For == 0 || now.Before(from.Add(time.Duration(f.For))))
}

func (f *Fault) matches(q Query) bool {
	for _, m := range [...]struct{ pattern, value string }{
		{f.Op, q.Op}, {f.App, q.App}, {f.Org, q.Org}, {f.Region, q.Region}, {f.Machine, q.Machine},
	} {
		if m.pattern == "" {
			continue
		}
		if ok, err := path.Match(m.pattern, m.value); err != nil || !ok {
			return false
		}
	}
	return f.Kind != FaultStuck || f.State == q.state
}
