package flyapi_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

func date(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The file is a list as the platform documents it, with keys that this program
// does not know.
func TestDecodeList(t *testing.T) {
	body, err := os.ReadFile("testdata/machines.json")
	if err != nil {
		t.Fatal(err)
	}
	var raw []struct {
		ID     string          `json:"id"`
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		t.Fatal(err)
	}
	configs := map[string]json.RawMessage{}
	for _, r := range raw {
		configs[r.ID] = r.Config
	}

	got, err := flyapi.DecodeMachines(body)
	if err != nil {
		t.Fatal(err)
	}
	want := []scale.Machine{
		{
			ID: "0e286039c1d486", Name: "lonely-sea-9", State: scale.StateStopped, Region: "ams", Group: "worker",
			InstanceID: "01JB0000000000000000000002", Host: scale.HostUnreachable,
			CreatedAt: date(t, "2026-10-02T08:00:00Z"), UpdatedAt: date(t, "2026-10-02T09:00:00Z"),
			Metadata:  map[string]string{"fly_process_group": "worker", "fly_release_version": "41"},
			Image:     "registry.fly.io/web:deployment-01JA@sha256:0f0f",
			HasMounts: true,
		},
		{
			ID: "148e21ffb25d89", Name: "still-bird-2145", State: scale.StateStarted, Region: "iad", Group: "app",
			InstanceID: "01JB0000000000000000000001", Host: scale.HostOK, Cordoned: true,
			CreatedAt: date(t, "2026-10-01T10:00:00Z"), UpdatedAt: date(t, "2026-10-01T10:00:07.123456789Z"),
			Metadata: map[string]string{
				"fly_process_group": "app", "fly_platform_version": "v2", "fly_release_id": "r1", "fly_release_version": "42",
			},
			Image:  "registry.fly.io/web:deployment-01JB@sha256:abcd",
			Lease:  &scale.Lease{Owner: "bob@example.com", Description: "deploy", ExpiresAt: date(t, "2026-10-01T10:02:00Z")},
			Config: configs["148e21ffb25d89"],
		},
		{
			ID: "185750c5e9e748", Name: "job", State: scale.StateDestroying, Region: "fra", Group: "cron",
			InstanceID: "01JB0000000000000000000003", Host: scale.HostOK,
			Metadata:  map[string]string{"process_group": "cron"},
			Image:     "flyio/hellofly:latest",
			Standby:   true,
			Scheduled: true, AutoDestroy: true,
			Config: configs["185750c5e9e748"],
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("machines (-want +got):\n%s", diff)
	}
}

func TestDecodeKeepsConfigBytes(t *testing.T) {
	const config = `{ "image":"x",  "n": 123456789012345678901234567890, "e": 1e400, "u":"\u003c<", "z": null }`
	m, err := flyapi.DecodeMachine([]byte(`{"id":"m1","host_status":"ok","config":` + config + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Config) != config {
		t.Errorf("got %s, want %s", m.Config, config)
	}
}

func TestDecodeOddities(t *testing.T) {
	base := func(change func(*scale.Machine)) scale.Machine {
		m := scale.Machine{ID: "m1", Host: scale.HostUnknown}
		change(&m)
		// The group is the default one only where something is told of the config.
		if m.Group == "" && (m.Config != nil || len(m.Metadata) > 0) {
			m.Group = scale.DefaultProcessGroup
		}
		return m
	}
	tests := []struct {
		name, body string
		want       scale.Machine
	}{
		{"only an id", `{"id":"m1"}`, base(func(*scale.Machine) {})},
		{
			"nulls everywhere",
			`{"id":"m1","name":null,"state":null,"region":null,"instance_id":null,"host_status":null,"cordoned":null,"created_at":null,"updated_at":null,"image_ref":null,"lease":null,"config":null,"incomplete_config":null}`,
			base(func(*scale.Machine) {}),
		},
		{
			"wrong types everywhere",
			`{"id":"m1","name":7,"state":["x"],"region":{},"instance_id":9,"host_status":true,"cordoned":"true","created_at":"","updated_at":"yesterday","image_ref":"x","lease":[],"config":"x","incomplete_config":3}`,
			base(func(m *scale.Machine) { m.Name, m.InstanceID, m.Cordoned = "7", "9", true }),
		},
		{
			"a state we do not know", `{"id":"m1","state":"hibernating"}`,
			base(func(m *scale.Machine) { m.State = "hibernating" }),
		},
		{
			"version instead of instance_id", `{"id":"m1","version":"01V"}`,
			base(func(m *scale.Machine) { m.InstanceID = "01V" }),
		},
		{
			"times as numbers", `{"id":"m1","created_at":1790000000,"updated_at":1790000000500}`,
			base(func(m *scale.Machine) {
				m.CreatedAt, m.UpdatedAt = time.Unix(1790000000, 0).UTC(), time.UnixMilli(1790000000500).UTC()
			}),
		},
		{
			"no host status but a config", `{"id":"m1","config":{}}`,
			base(func(m *scale.Machine) { m.Host, m.Config = scale.HostOK, json.RawMessage(`{}`) }),
		},
		{
			"a host status we do not know", `{"id":"m1","host_status":"haunted","config":{}}`,
			base(func(*scale.Machine) {}),
		},
		{
			"a config of a host that is not ok is not for cloning", `{"id":"m1","host_status":"unreachable","config":{"metadata":{"fly_process_group":"w"}}}`,
			base(func(m *scale.Machine) {
				m.Host, m.Group, m.Metadata = scale.HostUnreachable, "w", map[string]string{"fly_process_group": "w"}
			}),
		},
		{
			"group only in the incomplete config", `{"id":"m1","host_status":"ok","config":{"metadata":{}},"incomplete_config":{"metadata":{"fly_process_group":"w"},"standbys":["m2"]}}`,
			base(func(m *scale.Machine) {
				m.Host, m.Group, m.Metadata = scale.HostOK, "w", map[string]string{"fly_process_group": "w"}
				m.Config, m.Standby = json.RawMessage(`{"metadata":{}}`), true
			}),
		},
		{
			"an empty group is the default", `{"id":"m1","config":{"metadata":{"fly_process_group":"","process_group":"","n":5,"o":{},"z":null}}}`,
			base(func(m *scale.Machine) {
				m.Host = scale.HostOK
				m.Metadata = map[string]string{"fly_process_group": "", "process_group": "", "n": "5", "o": "", "z": ""}
				m.Config = json.RawMessage(`{"metadata":{"fly_process_group":"","process_group":"","n":5,"o":{},"z":null}}`)
			}),
		},
		{
			"empty lists are no standbys and no mounts", `{"id":"m1","config":{"standbys":[ ],"mounts":null,"schedule":"","auto_destroy":false}}`,
			base(func(m *scale.Machine) {
				m.Host, m.Config = scale.HostOK, json.RawMessage(`{"standbys":[ ],"mounts":null,"schedule":"","auto_destroy":false}`)
			}),
		},
		{
			"image without tag", `{"id":"m1","image_ref":{"registry":"r.io","repository":"a/b","digest":"sha256:1"}}`,
			base(func(m *scale.Machine) { m.Image = "r.io/a/b@sha256:1" }),
		},
		{
			"image without repository", `{"id":"m1","image_ref":{"registry":"r.io","tag":"t"}}`,
			base(func(*scale.Machine) {}),
		},
		{
			"lease with a Unix time", `{"id":"m1","lease":{"owner":"bob","expires_at":1790000000}}`,
			base(func(m *scale.Machine) {
				m.Lease = &scale.Lease{Owner: "bob", ExpiresAt: time.Unix(1790000000, 0).UTC()}
			}),
		},
		{
			"lease without an end holds", `{"id":"m1","lease":{"owner":"bob"}}`,
			base(func(m *scale.Machine) {
				m.Lease = &scale.Lease{Owner: "bob", ExpiresAt: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}
			}),
		},
		{"an empty lease is none", `{"id":"m1","lease":{}}`, base(func(*scale.Machine) {})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := flyapi.DecodeMachine([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("machine (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeListShape(t *testing.T) {
	got, err := flyapi.DecodeMachines([]byte(`[{"id":"c"},null,{"id":"a","state":"destroyed"},{"id":"b","state":"destroying"}]`))
	if err != nil {
		t.Fatal(err)
	}
	var ids []scale.MachineID
	for _, m := range got {
		ids = append(ids, m.ID)
	}
	if diff := cmp.Diff([]scale.MachineID{"b", "c"}, ids); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if got, err := flyapi.DecodeMachines([]byte(`null`)); err != nil || len(got) != 0 {
		t.Errorf("null: got %v, %v, want none", got, err)
	}
}
