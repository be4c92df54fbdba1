package flyapi

import (
	"context"
	"errors"
)

// Kind says what an error means for the caller. The zero Kind belongs to no
// error of this package.
type Kind int

// The kinds of errors. All but KindUnknown are certain about a change: it did
// not happen.
const (
	// KindCanceled: the caller's context ended before the request was sent, or
	// while reading.
	KindCanceled Kind = iota + 1
	// KindUnauthorized: the token is not valid, or does not reach this app.
	KindUnauthorized
	// KindNotFound: there is no such app, Machine, organization or lease.
	KindNotFound
	// KindLeased: another holds the Machine's lease. Error.RetryAfter is how long
	// it still has, where the platform told.
	KindLeased
	// KindNameTaken: the app has a Machine of that name, Error.ConflictID.
	KindNameTaken
	// KindPrecondition: the Machine is in no state for this. Read it again.
	KindPrecondition
	// KindCapacity: there is no room in the region or on the host. Another region
	// may have some.
	KindCapacity
	// KindRateLimited: too many requests, as judged by the platform (Error.Status
	// 429) or by the client itself (Status 0).
	KindRateLimited
	// KindUnavailable: the platform could not be reached or could not answer.
	KindUnavailable
	// KindUnknown: a change was asked for and no usable answer came, so it may or
	// may not have happened, or may yet happen. Read before doing anything else.
	KindUnknown
	// KindInvalid: the request is refused as it stands and would be again.
	KindInvalid
	// KindProtocol: the answer was not one the platform's documents describe.
	KindProtocol
)

// String returns a lower-case word, used as a metric label.
func (k Kind) String() string {
	switch k {
	case KindCanceled:
		return "canceled"
	case KindUnauthorized:
		return "unauthorized"
	case KindNotFound:
		return "not_found"
	case KindLeased:
		return "leased"
	case KindNameTaken:
		return "name_taken"
	case KindPrecondition:
		return "precondition"
	case KindCapacity:
		return "capacity"
	case KindRateLimited:
		return "rate_limited"
	case KindUnavailable:
		return "unavailable"
	case KindUnknown:
		return "unknown"
	case KindInvalid:
		return "invalid"
	case KindProtocol:
		return "protocol"
	}
	return "none"
}

// KindOf returns the kind of an error that wraps an *Error, KindCanceled for a
// bare context error, and zero for nil and for anything else.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return KindCanceled
	}
	return 0
}
