package flyapi

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Error is what every method of Client returns when it fails.
type Error struct {
	Op        string          // as in Request.Op
	App       scale.App       // empty when the call is not about one app
	MachineID scale.MachineID // empty when the call is not about one Machine
	Method    string          // HTTP method
	Path      string          // URL path, without host and query
	Status    int             // HTTP status; 0 when there was no answer
	Code      string          // the platform's machine-readable code; often empty
	// Message is what the platform or the network said, on one line, at most 300
	// characters, secrets removed.
	Message   string
	RequestID string // the platform's name of the request, for its support
	// RetryAfter is how long to wait before asking again; 0 when not known.
	RetryAfter time.Duration
	Kind       Kind
	// ConflictID is, for KindNameTaken, the Machine that has the name; empty when
	// the platform did not tell.
	ConflictID scale.MachineID
	// Err is the cause below HTTP: a context error, a network error. Error does
	// not print it, Message is its safe form.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Condition()
	if e.RequestID != "" {
		text += fmt.Sprintf(" (request %s)", e.RequestID)
	}
	return text
}

// Condition is the error's text without what is different each time the same
// thing goes wrong.
func (e *Error) Condition() string {
	var b strings.Builder
	action := strings.ReplaceAll(e.Op, "_", " ")
	b.WriteString(action)
	if e.MachineID != "" {
		if !strings.HasSuffix(action, "machine") {
			b.WriteString(" of machine")
		}
		b.WriteByte(' ')
		b.WriteString(string(e.MachineID))
	}
	if e.App != "" {
		fmt.Fprintf(&b, " for app %q", string(e.App))
	}
	if e.Method != "" {
		fmt.Fprintf(&b, ": %s %s", e.Method, e.Path)
	}
	if e.Kind == KindUnknown {
		b.WriteString(": outcome unknown")
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %d", e.Status)
	}
	if e.Code != "" {
		if e.Status == 0 {
			b.WriteByte(':')
		}
		b.WriteByte(' ')
		b.WriteString(e.Code)
	}
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	if e.Kind == KindUnauthorized {
		b.WriteString("; check that the API token is right, not expired, and may see this")
	}
	return b.String()
}

// Unwrap returns the cause below HTTP, so that errors.Is finds context errors.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same call may succeed later although nobody
// changes anything. It is false for KindUnknown and KindPrecondition, which
// ask for a fresh look instead of another try.
func (e *Error) Temporary() bool {
	switch e.Kind {
	case KindRateLimited, KindUnavailable, KindLeased, KindCapacity:
		return true
	default:
		return false
	}
}

const maxMessage = 300

// oneLine makes text from outside fit for a log line: white space runs become
// one blank, other control characters vanish, the length is bounded.
func oneLine(text string) string {
	var b strings.Builder
	count, blank := 0, false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			blank = true
			continue
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			continue
		}
		needed := 1
		if blank && count > 0 {
			needed = 2
		}
		if count+needed > maxMessage-1 {
			b.WriteRune('…')
			break
		}
		if needed == 2 {
			b.WriteByte(' ')
		}
		blank = false
		b.WriteRune(r)
		count += needed
	}
	return b.String()
}
