package flyapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Reasons why a Machine cannot be the template of another.
var (
	// ErrHasMounts: a volume attaches to one Machine only.
	ErrHasMounts = errors.New("it has volumes mounted")
	// ErrNoConfig: the platform did not send the configuration, as is so while
	// the host does not answer.
	ErrNoConfig = errors.New("its configuration is not known")
)

// standbyVariable tells a standby which Machine it stands by for.
const standbyVariable = "FLY_STANDBY_FOR"

// notInherited returns the metadata keys that belong to one Machine or one
// deployment and would be a lie on another.
func notInherited() []string {
	return []string{
		scale.MetaBlueGreenLaunchID,
		scale.MetaBlueGreenTag,
		scale.MetaCanary,
		scale.MetaPreviousAlloc,
		scale.MetaCreateID,
		scale.MetaNotLaunched,
		scale.MetaDrain,
	}
}

// CloneConfig returns the configuration of a new Machine of the same kind as
// src, with the given metadata added. Every value that it does not mean to
// change is passed on as it stands, known to this program or not:
//
//   - image becomes src.Image, which pins the digest, where that is known;
//   - standbys and the environment variable FLY_STANDBY_FOR are left out, so
//     that the clone of a standby is an ordinary Machine;
//   - metadata of one Machine or one deployment is left out, and so are the keys
//     in omit.
//
// The error wraps ErrHasMounts or ErrNoConfig where these are the reason. The
// source's configuration is not written to.
func CloneConfig(src scale.Machine, add map[string]string, omit ...string) (json.RawMessage, error) {
	clone, err := cloneConfig(src, add, omit)
	if err != nil {
		return nil, fmt.Errorf("clone machine %s: %w", src.ID, err)
	}
	return clone, nil
}

func cloneConfig(src scale.Machine, add map[string]string, omit []string) (json.RawMessage, error) {
	if src.Config == nil {
		return nil, ErrNoConfig
	}
	config, err := decodeObject(src.Config)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if src.HasMounts || holdsAny(config["mounts"]) {
		return nil, ErrHasMounts
	}

	if src.Image != "" {
		if config["image"], err = marshal(src.Image); err != nil {
			return nil, fmt.Errorf("image: %w", err)
		}
	}
	delete(config, "standbys")
	if err := editObject(config, "env", []string{standbyVariable}, nil); err != nil {
		return nil, err
	}
	if err := editObject(config, "metadata", slices.Concat(notInherited(), omit), add); err != nil {
		return nil, err
	}
	return marshal(config)
}

// editObject removes keys from the object under name and adds others. The
// object is left as it is where there is nothing to do.
func editObject(config map[string]json.RawMessage, name string, remove []string, add map[string]string) error {
	object := map[string]json.RawMessage{}
	if raw, ok := config[name]; ok && string(raw) != "null" {
		var err error
		if object, err = decodeObject(raw); err != nil {
			return fmt.Errorf("configuration: %s: %w", name, err)
		}
	}
	changed := false
	for _, key := range remove {
		if _, ok := object[key]; ok {
			delete(object, key)
			changed = true
		}
	}
	for key, value := range add {
		raw, err := marshal(value)
		if err != nil {
			return fmt.Errorf("configuration: %s: %s: %w", name, key, err)
		}
		object[key] = raw
		changed = true
	}
	if !changed {
		return nil
	}
	raw, err := marshal(object)
	if err != nil {
		return fmt.Errorf("configuration: %s: %w", name, err)
	}
	config[name] = raw
	return nil
}

var errNotObject = errors.New("not a JSON object")

func decodeObject(raw json.RawMessage) (map[string]json.RawMessage, error) {
	if !isObject(raw) {
		return nil, errNotObject
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	return object, nil
}
