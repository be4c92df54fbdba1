package flyapi_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// decodeExact decodes JSON with numbers as they are written.
func decodeExact(t testing.TB, raw []byte) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("decode %s: %v", raw, err)
	}
	return v
}

func TestCloneConfig(t *testing.T) {
	tests := []struct {
		name   string
		config string
		image  string
		add    map[string]string
		want   string
	}{
		{
			"unknown fields, big numbers, nulls and order stay",
			`{"image":"old","z":[3,1,2],"big":123456789012345678901234567890,"e":1e400,"n":null,"deep":{"x":{"y":[{"k":0.10}]}},"guest":{"required_host_features":["a"]}}`,
			"", nil,
			`{"image":"old","z":[3,1,2],"big":123456789012345678901234567890,"e":1e400,"n":null,"deep":{"x":{"y":[{"k":0.10}]}},"guest":{"required_host_features":["a"]}}`,
		},
		{
			"the image is pinned", `{"image":"registry.fly.io/web:latest"}`, "registry.fly.io/web:latest@sha256:1", nil,
			`{"image":"registry.fly.io/web:latest@sha256:1"}`,
		},
		{
			"a standby becomes ordinary", `{"standbys":["m2"],"env":{"FLY_STANDBY_FOR":"m2","A":"<b>&"}}`, "", nil,
			`{"env":{"A":"<b>&"}}`,
		},
		{
			"an environment without the variable is left alone", `{"env":null}`, "", nil, `{"env":null}`,
		},
		{
			"only inheritable metadata stays",
			`{"metadata":{"fly_process_group":"app","fly_platform_version":"v2","fly_release_id":"r","fly_release_version":"4","mine":"x",
				"fly_flyctl_bluegreen_launch_id":"1","fly_bluegreen_deployment_tag":"2","fly_canary":"true","fly_previous_alloc":"3",
				"fly_autoscaler_create_id":"4","fly_autoscaler_not_launched":"5","fly_autoscaler_drain":"2026-01-01T00:00:00Z","busy":"yes"}}`,
			"",
			map[string]string{"fly_autoscaler_create_id": "new", "added": `"quoted" <&>`},
			`{"metadata":{"fly_process_group":"app","fly_platform_version":"v2","fly_release_id":"r","fly_release_version":"4","mine":"x",
				"fly_autoscaler_create_id":"new","added":"\"quoted\" <&>"}}`,
		},
		{
			"metadata is made where there is none", `{"image":"x"}`, "", map[string]string{"a": "b"}, `{"image":"x","metadata":{"a":"b"}}`,
		},
		{
			"metadata null", `{"metadata":null}`, "", map[string]string{"a": "b"}, `{"metadata":{"a":"b"}}`,
		},
		{
			"metadata that is no string is kept", `{"metadata":{"n":5}}`, "", map[string]string{"a": "b"}, `{"metadata":{"n":5,"a":"b"}}`,
		},
		{
			"nothing to add and nothing to remove", `{"image":"x"}`, "", nil, `{"image":"x"}`,
		},
		{
			"no mounts", `{"mounts":[],"dns":{"skip_registration":true}}`, "", nil, `{"mounts":[],"dns":{"skip_registration":true}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := flyapi.NewMachine("m1", tt.config)
			src.Image = tt.image
			got, err := flyapi.CloneConfig(src, tt.add, "busy")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decodeExact(t, []byte(tt.want)), decodeExact(t, got)); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
			if string(src.Config) != tt.config {
				t.Errorf("the source was written to: %s", src.Config)
			}
			again, err := flyapi.CloneConfig(src, tt.add, "busy")
			if err != nil || string(again) != string(got) {
				t.Errorf("a second clone differs: %s, %v", again, err)
			}
		})
	}
}

func TestCloneConfigOfListedMachine(t *testing.T) {
	body, err := os.ReadFile("testdata/machines.json")
	if err != nil {
		t.Fatal(err)
	}
	machines, err := flyapi.DecodeMachines(body)
	if err != nil {
		t.Fatal(err)
	}
	src := machines[1]
	got, err := flyapi.CloneConfig(src, map[string]string{scale.MetaCreateID: "id1"})
	if err != nil {
		t.Fatal(err)
	}
	want := decodeExact(t, src.Config).(map[string]any)
	want["image"] = "registry.fly.io/web:deployment-01JB@sha256:abcd"
	want["metadata"].(map[string]any)[scale.MetaCreateID] = "id1"
	if diff := cmp.Diff(any(want), decodeExact(t, got)); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestCloneConfigRefuses(t *testing.T) {
	tests := []struct {
		name string
		src  scale.Machine
		is   error
		text string
	}{
		{"mounts", flyapi.NewMachine("m1", `{"mounts":[{"volume":"vol_1"}]}`), flyapi.ErrHasMounts, "clone machine m1: it has volumes mounted"},
		{"mounts known from elsewhere", scale.Machine{ID: "m1", HasMounts: true, Config: []byte(`{}`)}, flyapi.ErrHasMounts, "volumes"},
		{"no config", scale.Machine{ID: "m1", Host: scale.HostUnreachable}, flyapi.ErrNoConfig, "not known"},
		{"config is a list", flyapi.NewMachine("m1", `[]`), nil, "configuration: not a JSON object"},
		{"config is broken", flyapi.NewMachine("m1", `{"a":`), nil, "configuration: unexpected end"},
		{"metadata is a list", flyapi.NewMachine("m1", `{"metadata":[1]}`), nil, "metadata: not a JSON object"},
		{"env is text", flyapi.NewMachine("m1", `{"env":"x"}`), nil, "env: not a JSON object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := flyapi.CloneConfig(tt.src, map[string]string{"a": "b"})
			if err == nil {
				t.Fatalf("got %s, want an error", got)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want it to wrap %v", err, tt.is)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %q, want it to contain %q", err, tt.text)
			}
		})
	}
}
