package source

import (
	"errors"
	"fmt"
)

// ErrEmpty is wrapped by errors which say that the source answered and that
// there is no value, as opposed to not having answered.
var ErrEmpty = errors.New("no value")

// Error is the failure to read a metric.
type Error struct {
	Kind   string // kind of source, such as "prometheus"
	Metric string // declared name of the metric
	Err    error  // what went wrong; never nil
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: collect %q: %v", e.Kind, e.Metric, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
