package fleet

import (
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// overviewMetadata are the keys of a Machine's metadata that an overview keeps:
// those that decide what the Machine is to a target. The group has a field of its
// own. Most Machines of an app then have the same metadata.
func overviewMetadata() []string {
	return []string{
		scale.MetaReleaseID, scale.MetaReleaseVersion, scale.MetaCanary, scale.MetaBlueGreenTag,
		scale.MetaBuilderID, scale.MetaManagedPostgres, scale.MetaNotLaunched, scale.MetaDrain,
	}
}

// interner makes Machines of rows and has them share what is the same. It grows
// with what it has seen, so it is replaced from time to time.
type interner struct {
	keys     []string
	strings  map[string]string
	metadata map[string]map[string]string
}

func newInterner() interner {
	return interner{keys: overviewMetadata(), strings: make(map[string]string), metadata: make(map[string]map[string]string)}
}

// machine returns the Machine of a row, with its host taken to be well. Where the
// row tells nothing of the configuration, what was known before stays; with nothing
// known the group is empty, which is no target's.
func (in *interner) machine(row *flyapi.OrgMachine, before *scale.Machine) scale.Machine {
	m := scale.Machine{
		ID: row.ID, Name: row.Name, InstanceID: row.InstanceID, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		State: scale.State(in.string(string(row.State))), Region: scale.Region(in.string(string(row.Region))), Host: scale.HostOK,
	}
	if row.Bare {
		if before != nil {
			m.Group, m.Image, m.Metadata = before.Group, before.Image, before.Metadata
		}
		return m
	}
	m.Group = scale.ProcessGroup(in.string(string(row.Group)))
	m.Image = in.string(row.Image)
	m.Metadata = in.keep(row.Metadata)
	return m
}

func (in *interner) string(s string) string {
	if same, ok := in.strings[s]; ok {
		return same
	}
	in.strings[s] = s
	return s
}

// keep returns the part of the metadata that an overview keeps; nil when that is
// nothing.
func (in *interner) keep(metadata map[string]string) map[string]string {
	if len(metadata) == 0 {
		return nil
	}
	id := make([]byte, 0, 128)
	for i, key := range in.keys {
		if value := metadata[key]; value != "" {
			id = append(append(append(id, byte(i)), value...), 0xff) // which no UTF-8 text holds
		}
	}
	if len(id) == 0 {
		return nil
	}
	if same, ok := in.metadata[string(id)]; ok {
		return same
	}
	kept := make(map[string]string, len(in.keys))
	for _, key := range in.keys {
		if value := metadata[key]; value != "" {
			kept[key] = value
		}
	}
	in.metadata[string(id)] = kept
	return kept
}
