package journal

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Kind says why a pass has an entry.
type Kind string

// The kinds.
const (
	// Acted: there was something to do, and it was done or tried; in dry run it was
	// only planned.
	Acted Kind = "acted"
	// Failed: the pass came to no decision, or to nothing that it could do.
	Failed Kind = "failed"
	// Sample: there was nothing to do. Some of these passes are kept, to tell how a
	// target was between changes.
	Sample Kind = "sample"
)

// Entry is the record of one pass.
type Entry struct {
	App    scale.App          `json:"app"`
	Group  scale.ProcessGroup `json:"process_group"`
	At     time.Time          `json:"at"` // when the pass began
	Took   time.Duration      `json:"took_ns,omitempty"`
	Kind   Kind               `json:"kind"`
	DryRun bool               `json:"dry_run,omitempty"`
	// Inputs is what the decision was made from; nil when the pass did not come so
	// far.
	Inputs *Inputs `json:"inputs,omitempty"`
	// Decision and Plan are the JSON of what was decided and planned.
	Decision json.RawMessage `json:"decision,omitempty"`
	Plan     json.RawMessage `json:"plan,omitempty"`
	// Outcomes is the JSON of what came of the plan's actions.
	Outcomes json.RawMessage `json:"outcomes,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// Inputs is all that a decision is made from.
type Inputs struct {
	// Snapshot is the app's Machines, reduced: see Reduce.
	Snapshot scale.Snapshot
	Samples  []scale.Sample
	// Policy is the target's settings as JSON, expressions as their source, so that
	// the policy can be compiled again.
	Policy json.RawMessage
	// Memory is the JSON of what was remembered before the pass.
	Memory json.RawMessage
	Now    time.Time
}

// Fingerprint tells the settings of one policy from those of another.
func (in *Inputs) Fingerprint() string {
	sum := sha256.Sum256(in.Policy)
	return hex.EncodeToString(sum[:6])
}

// inputsJSON is how Inputs are written. The names of a snapshot's fields are those
// of the Go type, so that fields which it gains are kept without being named here.
type inputsJSON struct {
	Snapshot    scale.Snapshot  `json:"snapshot"`
	Samples     []sampleJSON    `json:"samples"`
	Fingerprint string          `json:"policy_fingerprint"` // for readers of the JSON
	Policy      json.RawMessage `json:"policy,omitempty"`
	Memory      json.RawMessage `json:"memory,omitempty"`
	Now         time.Time       `json:"now"`
}

// sampleJSON is a sample whose quality can be read back.
type sampleJSON struct {
	scale.Sample
	Quality string `json:"quality"`
}

// MarshalJSON implements json.Marshaler.
func (in Inputs) MarshalJSON() ([]byte, error) {
	out := inputsJSON{Snapshot: in.Snapshot, Fingerprint: in.Fingerprint(), Policy: in.Policy, Memory: in.Memory, Now: in.Now}
	if in.Samples != nil { // none and an empty list are written differently in decisions
		out.Samples = make([]sampleJSON, len(in.Samples))
	}
	for i, s := range in.Samples {
		out.Samples[i] = sampleJSON{Sample: s, Quality: s.Quality.String()}
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (in *Inputs) UnmarshalJSON(data []byte) error {
	var read inputsJSON
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*in = Inputs{Snapshot: read.Snapshot, Policy: read.Policy, Memory: read.Memory, Now: read.Now}
	for i := range in.Snapshot.Machines { // none is written as null and read as that text
		if m := &in.Snapshot.Machines[i]; string(m.Config) == "null" {
			m.Config = nil
		}
	}
	if read.Samples != nil {
		in.Samples = make([]scale.Sample, len(read.Samples))
	}
	for i, s := range read.Samples {
		quality, ok := qualityNamed(s.Quality)
		if !ok {
			return fmt.Errorf("sample of %q: no quality is named %q", s.Metric, s.Quality)
		}
		in.Samples[i] = s.Sample
		in.Samples[i].Quality = quality
	}
	return nil
}

func qualityNamed(name string) (scale.Quality, bool) {
	for _, q := range []scale.Quality{scale.Fresh, scale.Stale, scale.Empty, scale.Error} {
		if q.String() == name {
			return q, true
		}
	}
	return 0, false
}

// Reduce returns the snapshot as a journal may keep it. A Machine's configuration
// becomes an empty one, or none where there was none, because decisions look only
// at that; of its metadata stays what the platform's tools and we write.
func Reduce(s scale.Snapshot) scale.Snapshot {
	if s.Machines == nil {
		return s
	}
	machines := make([]scale.Machine, len(s.Machines))
	for i, m := range s.Machines {
		if m.Config != nil {
			m.Config = json.RawMessage("{}")
		}
		m.Metadata = reduceMetadata(m.Metadata)
		machines[i] = m
	}
	s.Machines = machines
	return s
}

func reduceMetadata(all map[string]string) map[string]string {
	if all == nil {
		return nil
	}
	kept := make(map[string]string, len(all))
	for k, v := range all {
		if k == scale.MetaProcessGroupLegacy || strings.HasPrefix(k, "fly_") || strings.HasPrefix(k, "fly-") {
			kept[k] = v
		}
	}
	return kept
}

// version is that of the entries that are written.
const version = 1

// ErrVersion is returned for an entry that a newer version of the program has
// written.
var ErrVersion = errors.New("written by a newer version")

// versioned is how an entry is written.
type versioned struct {
	Version int `json:"v"`
	Entry
}

// maxDecoded bounds the JSON of one entry, which gzip could make out of little.
const maxDecoded = 16 << 20

// Encode returns the entry as gzipped JSON, with its snapshot reduced.
func Encode(e Entry) ([]byte, error) {
	if e.Inputs != nil {
		in := *e.Inputs
		in.Snapshot = Reduce(in.Snapshot)
		e.Inputs = &in
	}
	text, err := json.Marshal(versioned{Version: version, Entry: e})
	if err != nil {
		return nil, fmt.Errorf("encode journal entry of %s/%s: %w", e.App, e.Group, err)
	}
	if len(text) > maxDecoded {
		return nil, fmt.Errorf("encode journal entry of %s/%s: %d bytes are more than %d", e.App, e.Group, len(text), maxDecoded)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	// A buffer takes everything.
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes(), nil
}

// Decode reads what Encode wrote. Fields that it does not know are left out.
func Decode(data []byte) (Entry, error) {
	fail := func(err error) (Entry, error) { return Entry{}, fmt.Errorf("decode journal entry: %w", err) }
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return fail(err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxDecoded+1))
	if err != nil {
		return fail(err)
	}
	if len(text) > maxDecoded {
		return fail(fmt.Errorf("more than %d bytes", maxDecoded))
	}
	var v versioned
	if err := json.Unmarshal(text, &v); err != nil {
		return fail(err)
	}
	switch {
	case v.Version > version:
		return fail(fmt.Errorf("version %d: %w", v.Version, ErrVersion))
	case v.Version < 1:
		return fail(errors.New("not a journal entry"))
	}
	return v.Entry, nil
}
