package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNoInputs is returned for an entry of a pass that came to no decision.
var ErrNoInputs = errors.New("the pass came to no decision")

// Difference tells that an entry decided again gives something else than it did.
type Difference struct {
	What      string // "decision" or "plan"
	Then, Now string // the JSON from shortly before where they part
}

func (d *Difference) Error() string {
	return fmt.Sprintf("the %s was …%s… and is now …%s…", d.What, d.Then, d.Now)
}

// Replay makes the entry's decision again, with the function that is given, and
// returns nil if the JSON of decision and plan is what it was, byte for byte; a
// *Difference if not.
func Replay(e Entry, decide func(Inputs) (decision, plan json.RawMessage, err error)) error {
	if e.Inputs == nil || e.Decision == nil {
		return ErrNoInputs
	}
	decision, plan, err := decide(*e.Inputs)
	if err != nil {
		return fmt.Errorf("decide again: %w", err)
	}
	if err := compare("decision", e.Decision, decision); err != nil {
		return err
	}
	return compare("plan", e.Plan, plan)
}

func compare(what string, then, now json.RawMessage) error {
	now, err := json.Marshal(now) // spaces and escapes as in an entry
	if err != nil {
		return fmt.Errorf("decide again: %w", err)
	}
	if then == nil {
		then = json.RawMessage("null") // the same to json
	}
	if bytes.Equal(then, now) {
		return nil
	}
	at := 0
	for at < min(len(then), len(now)) && then[at] == now[at] {
		at++
	}
	around := func(b []byte) string { return string(b[max(0, at-40):min(len(b), at+80)]) }
	return &Difference{What: what, Then: around(then), Now: around(now)}
}
