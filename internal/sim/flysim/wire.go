package flysim

import (
	"encoding/json"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// machineJSON is a Machine on the wire.
type machineJSON struct {
	ID               string            `json:"id"`
	Name             string            `json:"name"`
	State            scale.State       `json:"state"`
	Region           string            `json:"region"`
	ImageRef         sim.ImageRef      `json:"image_ref"`
	InstanceID       string            `json:"instance_id"`
	Version          string            `json:"version"`
	PrivateIP        string            `json:"private_ip"`
	CreatedAt        time.Time         `json:"created_at"`
	UpdatedAt        time.Time         `json:"updated_at"`
	Config           json.RawMessage   `json:"config,omitempty"`
	IncompleteConfig json.RawMessage   `json:"incomplete_config,omitempty"`
	HostStatus       *scale.HostStatus `json:"host_status,omitempty"`
	Cordoned         bool              `json:"cordoned"`
	Checks           []sim.Check       `json:"checks,omitempty"`
	Events           []sim.Event       `json:"events,omitempty"`
	Nonce            string            `json:"nonce,omitempty"`
	Lease            *leaseInfo        `json:"lease,omitempty"`
}

// leaseInfo is a lease as those see it who do not hold it.
type leaseInfo struct {
	Owner       string    `json:"owner"`
	Description string    `json:"description"`
	ExpiresAt   time.Time `json:"expires_at"`
}

type machineView struct {
	leases  bool
	summary bool
}

func toMachineJSON(m sim.Machine, view machineView) machineJSON {
	out := machineJSON{
		ID: m.ID, Name: m.Name, State: m.State, Region: m.Region, ImageRef: m.Image, InstanceID: m.InstanceID,
		Version: m.InstanceID, PrivateIP: m.PrivateIP, CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt, Cordoned: m.Cordoned,
	}
	if view.leases && m.Lease != nil {
		out.Lease = &leaseInfo{m.Lease.Owner, m.Lease.Description, m.Lease.ExpiresAt}
	}
	if view.summary {
		return out
	}
	out.HostStatus = &m.HostStatus
	if m.HostStatus == scale.HostOK {
		out.Config = m.Config
	} else {
		out.IncompleteConfig = m.Overview
	}
	out.Checks, out.Events = m.Checks, m.Events
	return out
}

// leaseJSON is the envelope that lease calls answer with.
type leaseJSON struct {
	Status string         `json:"status"`
	Data   map[string]any `json:"data"`
}

func toLeaseJSON(l sim.Lease) leaseJSON {
	return leaseJSON{Status: "success", Data: map[string]any{
		"nonce": l.Nonce, "expires_at": l.ExpiresAt.Unix(), "owner": l.Owner, "description": l.Description, "version": l.Version,
	}}
}

// orgRowJSON is a row of the org-wide list.
type orgRowJSON struct {
	AppName   string          `json:"app_name"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	State     scale.State     `json:"state"`
	Region    string          `json:"region"`
	PrivateIP string          `json:"private_ip"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
	Version   string          `json:"version"`
	Config    json.RawMessage `json:"config,omitempty"`
}

// orgPageJSON is a page of the org-wide list.
type orgPageJSON struct {
	Machines      []orgRowJSON `json:"machines"`
	NextCursor    string       `json:"next_cursor,omitempty"`
	LastMachineID string       `json:"last_machine_id,omitempty"`
	LastUpdatedAt string       `json:"last_updated_at,omitempty"`
	ErrorRegions  []string     `json:"error_regions,omitempty"`
}

// appJSON is an app on the wire.
type appJSON struct {
	ID                string  `json:"id"`
	Name              string  `json:"name"`
	InternalNumericID int     `json:"internal_numeric_id"`
	MachineCount      int     `json:"machine_count"`
	VolumeCount       int     `json:"volume_count"`
	Network           string  `json:"network"`
	Status            string  `json:"status"`
	AppRole           string  `json:"app_role"`
	CnameTarget       string  `json:"cname_target"`
	Organization      orgJSON `json:"organization"`
}

type orgJSON struct {
	Name              string `json:"name"`
	Slug              string `json:"slug"`
	InternalNumericID int    `json:"internal_numeric_id"`
}

func toAppJSON(a sim.App) appJSON {
	return appJSON{
		ID: a.ID, Name: a.Name, InternalNumericID: a.NumericID, MachineCount: a.Machines, VolumeCount: a.Volumes,
		Network: a.Network, Status: a.Status, AppRole: a.Role, CnameTarget: a.ID[:7] + "." + a.Name + ".fly.dev",
		Organization: orgJSON{a.Org.Name, a.Org.Slug, a.Org.NumericID},
	}
}

// volumeJSON is a volume on the wire.
type volumeJSON struct {
	ID                string           `json:"id"`
	AppName           string           `json:"app_name,omitempty"`
	Name              string           `json:"name"`
	State             string           `json:"state"`
	SizeGB            int              `json:"size_gb"`
	Region            string           `json:"region"`
	Zone              string           `json:"zone"`
	Encrypted         bool             `json:"encrypted"`
	AttachedMachineID *string          `json:"attached_machine_id"`
	AttachedAllocID   *string          `json:"attached_alloc_id"`
	CreatedAt         time.Time        `json:"created_at"`
	HostDedicationID  string           `json:"host_dedication_id"`
	FSType            string           `json:"fstype"`
	SnapshotRetention int              `json:"snapshot_retention"`
	AutoBackupEnabled bool             `json:"auto_backup_enabled"`
	HostStatus        scale.HostStatus `json:"host_status"`
}

func toVolumeJSON(v sim.Volume) volumeJSON {
	out := volumeJSON{
		ID: v.ID, Name: v.Name, State: v.State, SizeGB: v.SizeGB, Region: v.Region, Zone: v.Zone, Encrypted: v.Encrypted,
		CreatedAt: v.CreatedAt, FSType: v.FSType, SnapshotRetention: v.SnapshotRetention, AutoBackupEnabled: v.AutoBackup, HostStatus: v.HostStatus,
	}
	if v.AttachedMachine != "" {
		out.AttachedMachineID = &v.AttachedMachine
	}
	return out
}
