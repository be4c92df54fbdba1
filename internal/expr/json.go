package expr

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// programJSON is how a program is written. Of the metrics it names those that the
// expression refers to: others make no difference.
type programJSON struct {
	Source  string   `json:"source"`
	Metrics []string `json:"metrics,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (p *Program) MarshalJSON() ([]byte, error) {
	return json.Marshal(programJSON{Source: p.src, Metrics: p.metrics})
}

// UnmarshalJSON implements json.Unmarshaler: it compiles what MarshalJSON wrote.
func (p *Program) UnmarshalJSON(data []byte) error {
	var read programJSON
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&read); err != nil {
		return err
	}
	compiled, err := Compile(read.Source, read.Metrics)
	if err != nil {
		return fmt.Errorf("expression %q: %w", read.Source, err)
	}
	*p = *compiled
	return nil
}
