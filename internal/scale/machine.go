package scale

import (
	"encoding/json"
	"time"
)

// App is the name of a Fly.io app: lower-case letters, digits and hyphens.
type App string

// Region is a three-letter region code, such as "iad".
type Region string

// ProcessGroup is the name of a process group of an app. A Machine that names
// none belongs to DefaultProcessGroup.
type ProcessGroup string

// MachineID is the platform's identifier of a Machine (14 hexadecimal digits).
type MachineID string

// DefaultProcessGroup is the group of Machines that name none.
const DefaultProcessGroup ProcessGroup = "app"

// State is a Machine's state, spelled as on the wire.
type State string

// The states of a Machine. The platform may send others; they are treated as
// transient: counted, but never acted on.
const (
	StateCreated      State = "created"
	StateStarted      State = "started"
	StateStopped      State = "stopped"
	StateSuspended    State = "suspended"
	StateFailed       State = "failed"
	StateCreating     State = "creating"
	StateStarting     State = "starting"
	StateStopping     State = "stopping"
	StateRestarting   State = "restarting"
	StateSuspending   State = "suspending"
	StateUpdating     State = "updating"
	StateReplacing    State = "replacing"
	StateDestroying   State = "destroying"
	StateLaunchFailed State = "launch_failed"
	StateDestroyed    State = "destroyed"
	StateReplaced     State = "replaced"
	StateMigrated     State = "migrated"
)

// Metadata keys that the platform's own tools write into a Machine's config.
const (
	MetaProcessGroup       = "fly_process_group"
	MetaProcessGroupLegacy = "process_group"
	MetaReleaseID          = "fly_release_id"
	MetaReleaseVersion     = "fly_release_version"
	MetaCanary             = "fly_canary"
	MetaBlueGreenTag       = "fly_bluegreen_deployment_tag"
	MetaBlueGreenLaunchID  = "fly_flyctl_bluegreen_launch_id"
	MetaPreviousAlloc      = "fly_previous_alloc"
	MetaBuilderID          = "fly_builder_id"
	MetaManagedPostgres    = "fly-managed-postgres"
)

// Metadata keys that we write into Machines we create.
const (
	// MetaCreateID identifies one intended create. A create whose answer was
	// lost is found again by it.
	MetaCreateID = "fly_autoscaler_create_id"
	// MetaNotLaunched marks a Machine created without launching, which stays in
	// state "created" and may be started, unlike one whose first boot is under
	// way and which shows the same state.
	MetaNotLaunched = "fly_autoscaler_not_launched"
	// MetaDrain marks a Machine that we took out of service, and until when it may
	// finish its work, in RFC 3339.
	MetaDrain = "fly_autoscaler_drain"
)

// HostStatus tells whether the platform can reach the Machine's host.
type HostStatus string

// The host states. Config is present only on HostOK.
const (
	HostOK          HostStatus = "ok"
	HostUnknown     HostStatus = "unknown"
	HostUnreachable HostStatus = "unreachable"
)

// Machine is one Fly Machine as observed. It is never changed after it was
// read; maps and raw bytes are shared and must not be written to.
type Machine struct {
	ID         MachineID
	Name       string
	State      State
	Region     Region
	Group      ProcessGroup // empty only where the platform tells no metadata, as on a host out of reach
	InstanceID string       // identifier of the current config version, not of the Machine
	Host       HostStatus
	Cordoned   bool
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Metadata   map[string]string
	// Image is the full resolved reference, registry/repository:tag@digest;
	// empty when the platform did not tell.
	Image string
	// Lease is who holds the Machine's lease now; nil when nobody does or when
	// leases were not asked for.
	Lease *Lease

	// Facts of the config that decide whether the Machine may be counted or
	// touched.
	Standby     bool // stands by for another Machine (config.standbys)
	Scheduled   bool // runs on a schedule (config.schedule)
	AutoDestroy bool // destroys itself on exit (config.auto_destroy)
	HasMounts   bool // has volumes (config.mounts)

	// Config is the Machine's configuration as received, byte for byte, so that
	// a clone keeps what we do not know. Nil when the host is not ok.
	Config json.RawMessage
}

// Release returns what tells one release's Machines from another's: the
// release version, else the release id, else "" for a Machine that no release
// made.
func (m Machine) Release() string {
	if v := m.Metadata[MetaReleaseVersion]; v != "" {
		return v
	}
	return m.Metadata[MetaReleaseID]
}

// Drained reports whether the Machine bears our mark: we took it out of service, or
// were about to.
func (m Machine) Drained() bool { return m.Metadata[MetaDrain] != "" }

// DrainedUntil returns when a drained Machine may be taken even if it still works;
// false when its mark does not say.
func (m Machine) DrainedUntil() (time.Time, bool) {
	until, err := time.Parse(time.RFC3339, m.Metadata[MetaDrain])
	return until, err == nil
}

// DrainMark is the value of MetaDrain on a Machine that is drained until then.
func DrainMark(until time.Time) string { return until.UTC().Format(time.RFC3339) }

// Since is when the Machine entered its state, as far as is known. Another change, such
// as of metadata, may have made it later than it was.
func (m Machine) Since() time.Time {
	if m.UpdatedAt.IsZero() {
		return m.CreatedAt
	}
	return m.UpdatedAt
}

// Lease is a lease on a Machine as others see it; the nonce is not part of it.
type Lease struct {
	Owner       string
	Description string
	ExpiresAt   time.Time
}

// LeaseDescription starts the description of every lease we take, so that a
// lease left behind by a crash is told from a person's or a deploy's.
const LeaseDescription = "fly-autoscaler"

// Release is what the platform says of an app's newest release.
type Release struct {
	// Known is false when nobody asked or the answer could not be had.
	Known bool
	// Unavailable says why the answer could not be had.
	Unavailable string
	// Exists is false for an app that never had a release.
	Exists    bool
	Version   int
	Status    string // "running", "complete", "failed", "interrupted", …
	CreatedAt time.Time
}

// Running reports whether the release is still being rolled out.
func (r Release) Running() bool { return r.Known && r.Exists && r.Status == "running" }
