package flyapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// The wire types take what comes: null, a number for a string, an object where
// none is expected. One odd field must not hide a Machine, because a Machine
// that is not seen would be made a second time.

// text is a string, or a number or boolean spelled as one.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	switch b[0] {
	case '"':
		*t = text(unquote(b))
	case 'n', '{', '[':
	default:
		*t = text(b)
	}
	return nil
}

// unquote returns the value of a JSON string that the decoder has found valid.
// Nearly all hold no escape and are taken as they stand.
func unquote(b []byte) string {
	inner := b[1 : len(b)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	return jsonString(b)
}

// flag is a boolean, or the word for one.
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	*f = string(b) == "true" || string(b) == `"true"`
	return nil
}

// stamp is a time: RFC 3339, or Unix time in seconds or milliseconds. It is
// zero when it can not be read.
type stamp struct{ time.Time }

func (s *stamp) UnmarshalJSON(b []byte) error {
	s.Time = time.Time{}
	if b[0] == '"' {
		if t, err := time.Parse(time.RFC3339Nano, unquote(b)); err == nil {
			s.Time = t
		}
		return nil
	}
	if n, err := strconv.ParseFloat(string(b), 64); err == nil {
		switch size := math.Abs(n); {
		case n == 0 || size > 1e15:
		case size >= 1e11: // as seconds it would be past the year 5000
			s.Time = time.UnixMilli(int64(n)).UTC()
		default:
			s.Time = time.Unix(int64(n), 0).UTC()
		}
	}
	return nil
}

type wireMachine struct {
	ID               text            `json:"id"`
	Name             text            `json:"name"`
	State            text            `json:"state"`
	Region           text            `json:"region"`
	InstanceID       text            `json:"instance_id"`
	Version          text            `json:"version"` // newer name of instance_id
	HostStatus       text            `json:"host_status"`
	Cordoned         flag            `json:"cordoned"`
	CreatedAt        stamp           `json:"created_at"`
	UpdatedAt        stamp           `json:"updated_at"`
	ImageRef         json.RawMessage `json:"image_ref"`
	Lease            json.RawMessage `json:"lease"`
	Config           json.RawMessage `json:"config"`
	IncompleteConfig json.RawMessage `json:"incomplete_config"`
}

type wireImage struct {
	Registry   text `json:"registry"`
	Repository text `json:"repository"`
	Tag        text `json:"tag"`
	Digest     text `json:"digest"`
}

type wireConfig struct {
	Metadata    json.RawMessage `json:"metadata"`
	Standbys    json.RawMessage `json:"standbys"`
	Schedule    text            `json:"schedule"`
	AutoDestroy flag            `json:"auto_destroy"`
	Mounts      json.RawMessage `json:"mounts"`
}

var errNoMachineID = errors.New("a machine without an id")

// decodeMachine reads one Machine.
func decodeMachine(body []byte) (scale.Machine, error) {
	var w wireMachine
	if err := json.Unmarshal(body, &w); err != nil {
		return scale.Machine{}, fmt.Errorf("decode machine: %w", err)
	}
	return w.machine(make(configurations))
}

// decodeMachines reads a list, leaves out what is destroyed and sorts by ID. Machines
// with the same configuration, byte for byte, share one Metadata.
func decodeMachines(body []byte) ([]scale.Machine, error) {
	var list []*wireMachine
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("decode machine list: %w", err)
	}
	machines := make([]scale.Machine, 0, len(list))
	known := make(configurations)
	for i, w := range list {
		if w == nil {
			continue
		}
		m, err := w.machine(known)
		if err != nil {
			return nil, fmt.Errorf("decode machine list: entry %d: %w", i, err)
		}
		if m.State == scale.StateDestroyed {
			continue
		}
		machines = append(machines, m)
	}
	slices.SortStableFunc(machines, func(a, b scale.Machine) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return machines, nil
}

// configuration is what is read of a Machine's configuration and image.
type configuration struct {
	facts    wireConfig
	metadata map[string]string
	image    string
}

// configurations are those of one answer. Most Machines of an app have the same one,
// byte for byte, which is decoded once.
type configurations map[[2]string]configuration

func (c configurations) of(config, image json.RawMessage) configuration {
	if known, ok := c[[2]string{string(config), string(image)}]; ok {
		return known
	}
	facts := factsOf(config)
	read := configuration{facts: facts, metadata: metadataOf(facts.Metadata), image: imageOf(image)}
	c[[2]string{string(config), string(image)}] = read
	return read
}

func (w *wireMachine) machine(known configurations) (scale.Machine, error) {
	if w.ID == "" {
		return scale.Machine{}, errNoMachineID
	}
	config := known.of(w.Config, w.ImageRef)
	m := scale.Machine{
		ID:         scale.MachineID(w.ID),
		Name:       string(w.Name),
		State:      scale.State(w.State),
		Region:     scale.Region(w.Region),
		InstanceID: string(w.InstanceID),
		Cordoned:   bool(w.Cordoned),
		CreatedAt:  w.CreatedAt.Time,
		UpdatedAt:  w.UpdatedAt.Time,
		Image:      config.image,
		Lease:      leaseOf(w.Lease),
	}
	if m.InstanceID == "" {
		m.InstanceID = string(w.Version)
	}
	m.Host = hostOf(w.HostStatus, isObject(w.Config))
	if m.Host == scale.HostOK && isObject(w.Config) {
		m.Config = w.Config
	}

	// The incomplete configuration is what is known of a Machine whose host does
	// not answer. Without it, the Machine would fall into the wrong group.
	facts := config.facts
	m.Metadata = config.metadata
	if len(m.Metadata) == 0 || m.Host != scale.HostOK {
		partial := factsOf(w.IncompleteConfig)
		m.Metadata = maps.Clone(m.Metadata) // it is shared
		for key, value := range metadataOf(partial.Metadata) {
			if _, known := m.Metadata[key]; !known {
				if m.Metadata == nil {
					m.Metadata = map[string]string{}
				}
				m.Metadata[key] = value
			}
		}
		facts.merge(partial)
	}
	m.Group = groupOf(m.Metadata)
	if len(m.Metadata) == 0 && m.Config == nil {
		m.Group = "" // nobody can tell; the default would make it somebody's
	}
	m.Standby = holdsAny(facts.Standbys)
	m.Scheduled = facts.Schedule != ""
	m.AutoDestroy = bool(facts.AutoDestroy)
	m.HasMounts = holdsAny(facts.Mounts)
	return m, nil
}

// merge adds the facts that only other knows.
func (c *wireConfig) merge(other wireConfig) {
	if !holdsAny(c.Standbys) {
		c.Standbys = other.Standbys
	}
	if !holdsAny(c.Mounts) {
		c.Mounts = other.Mounts
	}
	if c.Schedule == "" {
		c.Schedule = other.Schedule
	}
	c.AutoDestroy = c.AutoDestroy || other.AutoDestroy
}

// hostOf reads the host status. A server too old to tell it sends the
// configuration only of Machines whose host answers.
func hostOf(status text, hasConfig bool) scale.HostStatus {
	switch host := scale.HostStatus(status); {
	case host == scale.HostOK || host == scale.HostUnreachable:
		return host
	case host == "" && hasConfig:
		return scale.HostOK
	}
	return scale.HostUnknown
}

func groupOf(metadata map[string]string) scale.ProcessGroup {
	for _, key := range []string{scale.MetaProcessGroup, scale.MetaProcessGroupLegacy} {
		if group := metadata[key]; group != "" {
			return scale.ProcessGroup(group)
		}
	}
	return scale.DefaultProcessGroup
}

// imageOf spells the full reference: registry/repository[:tag][@digest].
func imageOf(raw json.RawMessage) string {
	var w wireImage
	if !isObject(raw) || json.Unmarshal(raw, &w) != nil || w.Repository == "" {
		return ""
	}
	ref := string(w.Repository)
	if w.Registry != "" {
		ref = string(w.Registry) + "/" + ref
	}
	if w.Tag != "" {
		ref += ":" + string(w.Tag)
	}
	if w.Digest != "" {
		ref += "@" + string(w.Digest)
	}
	return ref
}

// endless is the end of a lease whose end cannot be read: it holds for as long
// as it is reported, because taking it for ended would be to act on a Machine
// that somebody else works on.
var endless = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

func leaseOf(raw json.RawMessage) *scale.Lease {
	var w wireLease
	if !isObject(raw) || json.Unmarshal(raw, &w) != nil {
		return nil
	}
	if w.Owner == "" && w.Description == "" && w.ExpiresAt.IsZero() {
		return nil
	}
	lease := &scale.Lease{Owner: string(w.Owner), Description: string(w.Description), ExpiresAt: w.ExpiresAt.Time}
	if lease.ExpiresAt.IsZero() {
		lease.ExpiresAt = endless
	}
	return lease
}

func factsOf(config json.RawMessage) wireConfig {
	var w wireConfig
	if !isObject(config) || json.Unmarshal(config, &w) != nil {
		return wireConfig{}
	}
	return w
}

func metadataOf(raw json.RawMessage) map[string]string {
	var w map[string]text
	if !isObject(raw) || json.Unmarshal(raw, &w) != nil || len(w) == 0 {
		return nil
	}
	metadata := make(map[string]string, len(w))
	for key, value := range w {
		metadata[key] = string(value)
	}
	return metadata
}

func isObject(raw json.RawMessage) bool {
	trimmed := bytes.TrimLeft(raw, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{'
}

// holdsAny reports whether a value that lists things lists at least one.
func holdsAny(raw json.RawMessage) bool {
	var compact bytes.Buffer
	if len(raw) == 0 || json.Compact(&compact, raw) != nil {
		return false
	}
	switch compact.String() {
	case "null", "[]", "{}", `""`, "false":
		return false
	}
	return true
}
