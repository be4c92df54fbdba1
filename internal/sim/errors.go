package sim

import (
	"fmt"
	"net/http"
)

// Error is a refusal of the simulated platform. Status is the HTTP status that
// the platform answers with, Code its machine-readable status (often empty)
// and Text the message, word for word.
type Error struct {
	Status int
	Code   string
	Text   string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// LeasedError is the refusal of a call on a Machine whose lease somebody else
// holds.
type LeasedError struct {
	Err       *Error
	MachineID string
}

// Error implements error.
func (e *LeasedError) Error() string { return e.Err.Text }

// Unwrap returns the refusal as the platform words it.
func (e *LeasedError) Unwrap() error { return e.Err }

func refuse(status int, format string, args ...any) *Error {
	return &Error{Status: status, Text: fmt.Sprintf(format, args...)}
}

func precondition(format string, args ...any) *Error {
	return refuse(http.StatusPreconditionFailed, "failed_precondition: "+format, args...)
}

func invalid(format string, args ...any) *Error {
	return refuse(http.StatusBadRequest, "invalid_argument: "+format, args...)
}

func machineNotFound() *Error { return refuse(http.StatusNotFound, "not_found: machine not found") }

func appNotFound() *Error { return refuse(http.StatusNotFound, "app not found") }

func orgNotFound(slug string) *Error {
	return refuse(http.StatusNotFound, "organization %q not found", slug)
}
