package sim

import (
	"net/http"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// volume is a volume; all of it can be read.
type volume = Volume

// Volume is a disk in one region that one Machine can mount.
type Volume struct {
	ID                string
	App               string
	Name              string
	State             string
	SizeGB            int
	Region            string
	Zone              string
	Encrypted         bool
	AttachedMachine   string // empty when free
	CreatedAt         time.Time
	FSType            string
	SnapshotRetention int
	AutoBackup        bool
	HostStatus        scale.HostStatus

	app *app
}

// VolumeInput is the body of a volume create call.
type VolumeInput struct {
	Name              string `json:"name"`
	Region            string `json:"region"`
	SizeGB            int    `json:"size_gb"`
	Encrypted         *bool  `json:"encrypted"`
	FSType            string `json:"fstype"`
	SnapshotRetention int    `json:"snapshot_retention"`
	AutoBackup        *bool  `json:"auto_backup_enabled"`
	SourceVolumeID    string `json:"source_volume_id"`
}

// CreateVolume creates a volume in the first region of the expression.
func (w *World) CreateVolume(call Call, appName string, in VolumeInput) (Volume, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[appName]
	if !ok {
		return Volume{}, appNotFound()
	}
	if in.Name == "" {
		return Volume{}, invalid("volume name is required")
	}
	codes, err := w.expandRegions(in.Region)
	if err != nil {
		return Volume{}, err
	}
	code := ""
	for _, c := range codes {
		if w.matchFault(Query{Op: "volume_create", App: a.name, Org: a.org.slug, Region: c}, FaultCapacity) == nil {
			code = c
			break
		}
	}
	if code == "" {
		return Volume{}, refuse(http.StatusBadRequest, "no capacity for a volume in region %s", codes[0])
	}
	v := &volume{
		ID: "vol_" + w.opaque(20), App: a.name, Name: in.Name, State: "created", SizeGB: in.SizeGB, Region: code,
		Zone: w.pickHost(code), Encrypted: in.Encrypted == nil || *in.Encrypted, CreatedAt: w.now, FSType: in.FSType,
		SnapshotRetention: in.SnapshotRetention, AutoBackup: in.AutoBackup == nil || *in.AutoBackup,
		HostStatus: scale.HostOK, app: a,
	}
	if source := w.volumes[in.SourceVolumeID]; v.SizeGB == 0 && source != nil {
		v.SizeGB = source.SizeGB
	}
	if v.SizeGB == 0 {
		v.SizeGB = 3
	}
	if v.FSType == "" {
		v.FSType = "ext4"
	}
	if v.SnapshotRetention == 0 {
		v.SnapshotRetention = 5
	}
	w.volumes[v.ID] = v
	a.volumes = append(a.volumes, v)
	w.record("volume_create", a, nil, call)
	return *v, nil
}

// Volumes returns the volumes of an app in order of creation.
func (w *World) Volumes(appName string) ([]Volume, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[appName]
	if !ok {
		return nil, appNotFound()
	}
	return a.volumeViews(nil), nil
}

// OrgVolumes returns the volumes of an org, by app.
func (w *World) OrgVolumes(slug string) ([]Volume, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, err := w.org(slug)
	if err != nil {
		return nil, err
	}
	out := []Volume{}
	for _, a := range o.apps {
		out = a.volumeViews(out)
	}
	return out, nil
}

func (a *app) volumeViews(out []Volume) []Volume {
	for _, v := range a.volumes {
		out = append(out, *v)
	}
	return out
}

// Volume returns one volume of an app.
func (w *World) Volume(appName, id string) (Volume, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, err := w.findVolume(appName, id)
	if err != nil {
		return Volume{}, err
	}
	return *v, nil
}

// DeleteVolume removes a volume that no Machine has mounted.
func (w *World) DeleteVolume(call Call, appName, id string) (Volume, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, err := w.findVolume(appName, id)
	if err != nil {
		return Volume{}, err
	}
	if v.AttachedMachine != "" {
		return Volume{}, precondition("volume is currently bound to machine: %s", v.AttachedMachine)
	}
	delete(w.volumes, id)
	v.app.volumes = slices.DeleteFunc(v.app.volumes, func(x *volume) bool { return x == v })
	v.State = "pending_destroy"
	w.record("volume_delete", v.app, nil, call)
	return *v, nil
}

// ExtendVolume makes a volume larger.
func (w *World) ExtendVolume(call Call, appName, id string, sizeGB int) (Volume, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, err := w.findVolume(appName, id)
	if err != nil {
		return Volume{}, err
	}
	if sizeGB <= v.SizeGB {
		return Volume{}, invalid("volume size %d GB must be greater than the current size of %d GB", sizeGB, v.SizeGB)
	}
	v.SizeGB = sizeGB
	w.record("volume_extend", v.app, nil, call)
	return *v, nil
}

func (w *World) findVolume(appName, id string) (*volume, error) {
	a, ok := w.apps[appName]
	if !ok {
		return nil, appNotFound()
	}
	v := w.volumes[id]
	if v == nil || v.app != a {
		return nil, refuse(http.StatusNotFound, "not_found: volume not found")
	}
	return v, nil
}

// claimVolumes attaches the volumes that a new Machine mounts.
func (w *World) claimVolumes(m *machine) {
	for _, mount := range m.cfg.facts.Mounts {
		if v := w.volumes[mount.Volume]; v != nil && v.app == m.app {
			v.AttachedMachine = m.id
		}
	}
}
