package sim

import "maps"

// Metadata returns a Machine's metadata.
func (w *World) Metadata(appName, id string) (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.findToChange(appName, id)
	if err != nil {
		return nil, err
	}
	out := maps.Clone(m.cfg.facts.Metadata)
	if out == nil {
		out = map[string]string{}
	}
	return out, nil
}

// EditMetadata changes a Machine's metadata in place: no new version, no
// restart. A version that is not empty must be the current one.
func (w *World) EditMetadata(call Call, appName, id, version string, edit func(map[string]string)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.changeable(call, appName, id)
	if err != nil {
		return err
	}
	if gone(m) {
		return machineNotFound()
	}
	if version != "" && version != m.instanceID {
		return precondition("machine version %s is not the current version", version)
	}
	cfg, err := m.cfg.editMetadata(edit)
	if err != nil {
		return err
	}
	m.cfg = cfg
	w.touch(m)
	w.record("metadata_set", m.app, m, call)
	return nil
}
