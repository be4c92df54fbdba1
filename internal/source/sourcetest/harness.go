package sourcetest

import (
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// The readings that a harness makes its server give.
const (
	// Value is the reading of App, and of every app when the source asks once
	// for all of them.
	Value = 42
	// OtherValue is the reading of OtherApp under condition PerApp.
	OtherValue = 7

	App      scale.App = "web"
	OtherApp scale.App = "api-2"
)

// Condition is what the server of an opened source is like.
type Condition string

// The conditions. Under all of them but PerApp the source may ask one question
// for all apps.
const (
	Right   Condition = "right value" // answers Value
	Empty   Condition = "empty"       // answers that there is no value
	Several Condition = "several"     // answers more than one value where one is wanted
	NaN     Condition = "NaN"         // answers not-a-number
	Inf     Condition = "Inf"         // answers infinity
	Text    Condition = "text"        // answers something that is no number
	Down    Condition = "server down" // nothing listens
	Hang    Condition = "hang"        // takes the request and never answers
	Refused Condition = "refused"     // refuses the credential, repeating it in the refusal
	PerApp  Condition = "per app"     // App reads Value, OtherApp OtherValue, no other app has a value
)

// Harness connects the suite to one kind of source.
type Harness struct {
	// Open returns a source, with the given timeout and with Secret as its
	// credential, whose server is in the given condition and ready. The suite
	// closes the source; Open registers the end of everything else with
	// t.Cleanup.
	Open func(t *testing.T, c Condition, timeout time.Duration) source.Source

	// Secret is the credential of every opened source.
	Secret scale.Secret

	// Impossible names conditions that this kind cannot get into, with the
	// reason, such as NaN for a server that counts.
	Impossible map[Condition]string
}
