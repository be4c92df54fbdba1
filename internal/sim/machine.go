package sim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// machine is one Machine.
type machine struct {
	seq        uint64 // order of creation, over all apps
	id         string
	name       string
	app        *app
	region     string
	host       string
	hostStatus scale.HostStatus
	state      scale.State
	launching  bool // created, and going to start by itself
	snapshot   bool // has a memory snapshot to resume from
	epoch      uint64
	// postponed is the transition that fell due while the host was out of
	// reach; it is played when the host is back.
	postponed  func()
	instanceID string
	privateIP  string
	createdAt  time.Time
	updatedAt  time.Time
	startedAt  time.Time
	coldUntil  time.Time // start is refused as "still active" until then
	cfg        *machineConfig
	versions   []Version // oldest first
	cordoned   bool
	deaf       bool // its process ignores the stop signal
	lease      *lease
	events     []Event // oldest first
	past       []revision
	changed    chan struct{}
}

// gone reports whether the Machine is destroyed.
func gone(m *machine) bool { return m.state == scale.StateDestroyed }

// machineConfig is a Machine's configuration: the bytes as they came, and what
// the platform needs to know of them. It is never changed, so Machines share
// it.
type machineConfig struct {
	raw      json.RawMessage
	overview json.RawMessage // guest, image and metadata alone
	image    ImageRef
	facts    configFacts
}

// configFacts are the parts of a configuration that the platform acts upon.
type configFacts struct {
	Image string `json:"image"`
	Guest struct {
		CPUKind  string `json:"cpu_kind"`
		CPUs     int    `json:"cpus"`
		MemoryMB int    `json:"memory_mb"`
		GPUKind  string `json:"gpu_kind"`
	} `json:"guest"`
	Init struct {
		SwapSizeMB *int `json:"swap_size_mb"`
	} `json:"init"`
	Metadata    map[string]string          `json:"metadata"`
	AutoDestroy bool                       `json:"auto_destroy"`
	Schedule    string                     `json:"schedule"`
	Checks      map[string]json.RawMessage `json:"checks"`
	Mounts      []struct {
		Volume string `json:"volume"`
	} `json:"mounts"`
	Restart struct {
		Policy string `json:"policy"`
	} `json:"restart"`
	StopConfig struct {
		Timeout json.RawMessage `json:"timeout"`
	} `json:"stop_config"`
}

// parseConfig reads a configuration as a create or update call sends it.
func parseConfig(raw json.RawMessage) (*machineConfig, error) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, invalid("config is required")
	}
	c := &machineConfig{raw: slices.Clone(raw)}
	if err := json.Unmarshal(raw, &c.facts); err != nil {
		return nil, invalid("invalid machine config: %v", err)
	}
	if c.facts.Image == "" {
		return nil, invalid("invalid config.image: must be set")
	}
	c.image = parseImage(c.facts.Image)
	if err := c.summarize(); err != nil {
		return nil, err
	}
	return c, nil
}

// summarize fills in the overview.
func (c *machineConfig) summarize() error {
	var parts struct {
		Guest    json.RawMessage `json:"guest,omitempty"`
		Image    json.RawMessage `json:"image,omitempty"`
		Metadata json.RawMessage `json:"metadata,omitempty"`
	}
	err := json.Unmarshal(c.raw, &parts)
	if err == nil {
		c.overview, err = encode(parts)
	}
	if err != nil {
		return fmt.Errorf("summarize machine config: %w", err)
	}
	return nil
}

// ImageRef is a resolved image reference.
type ImageRef struct {
	Registry   string            `json:"registry"`
	Repository string            `json:"repository"`
	Tag        string            `json:"tag,omitempty"`
	Digest     string            `json:"digest,omitempty"`
	Labels     map[string]string `json:"labels"`
}

// parseImage resolves a reference as written, with the digest that the
// registry would give.
func parseImage(ref string) ImageRef {
	r := ImageRef{Registry: "docker-hub-mirror.fly.io", Labels: map[string]string{}}
	rest, digest, pinned := strings.Cut(ref, "@")
	if pinned {
		r.Digest = digest
	} else {
		r.Digest = digestOf(ref)
	}
	if i := strings.LastIndex(rest, ":"); i > strings.LastIndex(rest, "/") {
		rest, r.Tag = rest[:i], rest[i+1:]
	} else if !pinned {
		r.Tag = "latest"
	}
	if host, path, ok := strings.Cut(rest, "/"); ok && strings.ContainsAny(host, ".:") {
		r.Registry, r.Repository = host, path
	} else if ok {
		r.Repository = rest
	} else {
		r.Repository = "library/" + rest
	}
	return r
}

func (m *machine) group() string {
	for _, key := range [...]string{scale.MetaProcessGroup, scale.MetaProcessGroupLegacy} {
		if g := m.cfg.facts.Metadata[key]; g != "" {
			return g
		}
	}
	return string(scale.DefaultProcessGroup)
}

// Version is one version of a Machine's configuration.
type Version struct {
	ID        string          `json:"version"`
	CreatedAt time.Time       `json:"-"`
	Config    json.RawMessage `json:"user_config"`
}

// maxVersions bounds the versions remembered of one Machine.
const maxVersions = 20

// Event is one entry of a Machine's event log.
type Event struct {
	ID        string         `json:"id"`
	Type      string         `json:"type"`
	Status    string         `json:"status"`
	Source    string         `json:"source"`
	Timestamp int64          `json:"timestamp"` // unix milliseconds
	Request   map[string]any `json:"request,omitempty"`
}

// maxEvents is how many events the platform keeps; more cannot be asked for.
const maxEvents = 50

// eventTypes names the event by which a Machine reaches a state.
var eventTypes = map[scale.State]string{
	scale.StateCreated: "launch", scale.StateStarting: "start", scale.StateStarted: "start",
	scale.StateStopping: "stop", scale.StateStopped: "exit", scale.StateFailed: "exit",
	scale.StateSuspending: "suspend", scale.StateSuspended: "suspend",
	scale.StateRestarting: "restart", scale.StateReplacing: "update", scale.StateUpdating: "update",
	scale.StateDestroying: "destroy", scale.StateDestroyed: "destroy",
}

// revision is what a Machine looked like from a moment on. Lists that lag
// behind show old revisions.
type revision struct {
	at         time.Time
	updatedAt  time.Time
	state      scale.State
	instanceID string
	cfg        *machineConfig
}

// maxPast bounds the revisions of one Machine: a list that lags far behind may
// then show a busy Machine newer than it was.
const maxPast = 12

// Check is the status of one health check.
type Check struct {
	Name      string    `json:"name"`
	Status    string    `json:"status"`
	Output    string    `json:"output"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Machine is what can be read of a Machine. Its slices and maps are the
// reader's, except Config, which is shared and must not be written to.
type Machine struct {
	ID         string
	Name       string
	App        string
	Org        string
	State      scale.State
	Region     string
	Group      string
	Host       string
	HostStatus scale.HostStatus
	Image      ImageRef
	InstanceID string
	PrivateIP  string
	CreatedAt  time.Time
	UpdatedAt  time.Time
	StartedAt  time.Time // zero when it never started
	Cordoned   bool
	Config     json.RawMessage // also when the host is not ok
	Overview   json.RawMessage // guest, image and metadata of Config
	Metadata   map[string]string
	Checks     []Check
	Events     []Event // newest first
	Lease      *Lease  // nil when nobody holds it now
}

func (w *World) view(m *machine) Machine {
	v := Machine{
		ID: m.id, Name: m.name, App: m.app.name, Org: m.app.org.slug, State: m.state, Region: m.region, Group: m.group(),
		Host: m.host, HostStatus: m.hostStatus, Image: m.cfg.image, InstanceID: m.instanceID, PrivateIP: m.privateIP,
		CreatedAt: m.createdAt, UpdatedAt: m.updatedAt, StartedAt: m.startedAt, Cordoned: m.cordoned,
		Config: m.cfg.raw, Overview: m.cfg.overview, Metadata: maps.Clone(m.cfg.facts.Metadata), Lease: w.leaseView(m),
	}
	v.Events = slices.Clone(m.events)
	slices.Reverse(v.Events)
	for _, name := range slices.Sorted(maps.Keys(m.cfg.facts.Checks)) {
		status := "critical"
		if m.state == scale.StateStarted {
			status = "passing"
		}
		v.Checks = append(v.Checks, Check{Name: name, Status: status, UpdatedAt: m.updatedAt})
	}
	return v
}

// find returns the Machine for reading. Destroyed Machines are found for a
// short while.
func (w *World) find(appName, id string) (*machine, error) {
	a, ok := w.apps[appName]
	if !ok {
		return nil, appNotFound()
	}
	if !validMachineID(id) {
		return nil, invalid("invalid machine ID, '%s'", id)
	}
	m := w.machines[id]
	if m == nil || m.app != a {
		return nil, machineNotFound()
	}
	return m, nil
}

// findToChange is find for calls that change the Machine: they cannot reach a
// host that is not ok.
func (w *World) findToChange(appName, id string) (*machine, error) {
	m, err := w.find(appName, id)
	if err != nil {
		return nil, err
	}
	if m.hostStatus != scale.HostOK && !gone(m) {
		return nil, hostUnreachable(m)
	}
	return m, nil
}

func hostUnreachable(m *machine) *Error {
	return refuse(http.StatusRequestTimeout, "deadline_exceeded: host of machine %s could not be reached", m.id)
}

// Machine returns one Machine of an app.
func (w *World) Machine(appName, id string) (Machine, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.find(appName, id)
	if err != nil {
		return Machine{}, err
	}
	return w.view(m), nil
}

// AppOf returns the app of a Machine; false when there is no such Machine.
func (w *World) AppOf(id string) (App, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.machines[id]
	if m == nil {
		return App{}, false
	}
	return m.app.view(), true
}

// Versions returns the versions of a Machine's configuration, newest first.
func (w *World) Versions(appName, id string) ([]Version, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.find(appName, id)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(m.versions)
	slices.Reverse(out)
	return out, nil
}

// addMachine puts a new Machine in state created into the world.
func (w *World) addMachine(a *app, name, region string, cfg *machineConfig) *machine {
	if name == "" {
		name = w.newName(a)
	}
	w.machineSeq++
	m := &machine{
		seq: w.machineSeq, id: w.newMachineID(), name: name, app: a, region: region,
		hostStatus: scale.HostOK, instanceID: ulid(w.ids, w.now), createdAt: w.now, cfg: cfg,
	}
	m.privateIP = w.newPrivateIP(a)
	m.host = w.pickHost(region)
	m.versions = []Version{{ID: m.instanceID, CreatedAt: w.now, Config: cfg.raw}}
	w.machines[m.id] = m
	a.machines = append(a.machines, m)
	a.byName[m.name] = m
	a.org.rows = append(a.org.rows, m)
	a.status = "deployed"
	w.regions[region].machines++
	w.setState(m, scale.StateCreated, "user", nil)
	w.claimVolumes(m)
	return m
}

// setState is the one place where a Machine's state changes.
func (w *World) setState(m *machine, to scale.State, source string, request map[string]any) {
	r := w.regions[m.region]
	if m.holds() {
		r.running--
	}
	m.state = to
	m.launching = false
	if m.holds() {
		r.running++
	}
	m.epoch++ // whatever was going to happen is off
	m.postponed = nil
	if to == scale.StateStarted {
		m.startedAt = w.now
	}
	w.event(m, eventTypes[to], string(to), source, request)
	w.touch(m)
}

func (w *World) event(m *machine, kind, status, source string, request map[string]any) {
	if len(m.events) == w.events {
		m.events = slices.Delete(m.events, 0, 1)
	}
	m.events = append(m.events, Event{
		ID: ulid(w.ids, w.now), Type: kind, Status: status, Source: source,
		Timestamp: w.now.UnixMilli(), Request: request,
	})
}

// touch notes that the Machine changed now.
func (w *World) touch(m *machine) {
	m.updatedAt = w.now
	m.app.loadView = nil
	if len(m.past) == maxPast {
		m.past = slices.Delete(m.past, 0, 1)
	}
	m.past = append(m.past, revision{at: w.now, updatedAt: m.updatedAt, state: m.state, instanceID: m.instanceID, cfg: m.cfg})
	w.tell(m)
	m.wake()
}

// wake tells those who watch the Machine to look again.
func (m *machine) wake() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// Watch returns a channel that is closed when the Machine next changes, or its
// lease ends. Watch before looking, then nothing is missed.
func (w *World) Watch(id string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.machines[id]
	if m == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.changed
}

// newVersion gives the Machine another configuration.
func (w *World) newVersion(m *machine, cfg *machineConfig) {
	m.cfg = cfg
	m.instanceID = ulid(w.ids, w.now)
	if len(m.versions) == maxVersions {
		m.versions = slices.Delete(m.versions, 0, 1)
	}
	m.versions = append(m.versions, Version{ID: m.instanceID, CreatedAt: w.now, Config: cfg.raw})
}

// hide makes a destroyed Machine unreadable; lists that include deleted ones
// remember it for a while longer.
func (w *World) hide(m *machine) {
	if w.machines[m.id] != m {
		return
	}
	m.wake()
	delete(w.machines, m.id)
	m.app.machines = slices.DeleteFunc(m.app.machines, func(x *machine) bool { return x == m })
	m.app.deleted = append(m.app.deleted, m)
	m.app.loadView = nil
	w.after(time.Duration(w.timings.KeepDeleted), func() {
		m.app.deleted = slices.DeleteFunc(m.app.deleted, func(x *machine) bool { return x == m })
		o := m.app.org
		i, found := slices.BinarySearchFunc(o.rows, m.seq, func(x *machine, seq uint64) int { return cmp.Compare(x.seq, seq) })
		if found {
			o.rows = slices.Delete(o.rows, i, i+1)
		}
	})
}

// editMetadata returns a configuration whose metadata was changed by edit; all
// other keys keep their bytes.
func (c *machineConfig) editMetadata(edit func(map[string]string)) (*machineConfig, error) {
	keys := make(map[string]json.RawMessage)
	if err := json.Unmarshal(c.raw, &keys); err != nil {
		return nil, fmt.Errorf("read machine config: %w", err)
	}
	metadata := maps.Clone(c.facts.Metadata)
	if metadata == nil {
		metadata = make(map[string]string)
	}
	edit(metadata)
	raw, err := encode(metadata)
	if err != nil {
		return nil, fmt.Errorf("write machine metadata: %w", err)
	}
	keys["metadata"] = raw
	raw, err = encode(keys)
	if err != nil {
		return nil, fmt.Errorf("write machine config: %w", err)
	}
	changed := &machineConfig{raw: raw, image: c.image, facts: c.facts}
	changed.facts.Metadata = metadata
	if err := changed.summarize(); err != nil {
		return nil, err
	}
	return changed, nil
}

// encode writes JSON without escaping what need not be, so that text stays as
// it came.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
