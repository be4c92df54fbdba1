package e2e_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// rare holds what a client that knows the platform's schema of today would lose
// or bend: keys nobody has heard of, numbers no float holds, text that encoders
// like to escape.
const rare = `{
	"image": "registry.fly.io/worker:deployment-01HRARE",
	"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256, "quantum": {"qubits": 12345678901234567890, "spin": [null, -0.50, 1e400]}},
	"env": {"PORT": "8080", "MOTTO": "<b>žluťoučký & \"kůň\" 🐎 \u2028 \u0000</b>", "FLY_STANDBY_FOR": "a1b2c3"},
	"standbys": [],
	"metadata": {"fly_process_group": "app", "fly_release_version": "3", "fly_release_id": "rel_1", "owner": "<team & co>"},
	"services": [{"internal_port": 8080, "protocol": "tcp", "concurrency": {"type": "requests", "hard_limit": 25}, "ports": [], "sharks": {"lasers": true}}],
	"unheard_of": {"deep": [{"er": [[], {}, "", 0, false, null, 12345678901234567890]}], "": "empty key", "UPPER": 1, "upper": 2},
	"init": {"cmd": ["sh", "-c", "echo '<&>' && sleep 1"], "exec": null},
	"restart": {"policy": "on-failure", "max_retries": 3, "gpu_bid_price": 0.1}
}`

// A clone has the configuration of its template but for what must differ.
func TestCloneKeepsTheWholeConfiguration(t *testing.T) {
	t.Parallel()
	for name, add := range map[string]map[string]any{
		"started": {},
		"stopped": {scale.MetaNotLaunched: "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, timings)
			ids, err := p.world.AddApp(sim.Call{}, sim.AppSpec{
				Org: "acme", App: "worker", Release: &sim.ReleaseSpec{Version: 3},
				Machines: []sim.MachineSpec{{Region: "iad", Config: json.RawMessage(rare)}},
			})
			if err != nil {
				t.Fatal(err)
			}
			serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=2", "FAS_INITIAL_MACHINE_STATE="+name))
			eventually(t, 20*time.Second, "a second Machine", func() bool { return p.count(t, "worker", "app") == 2 })

			clone := p.did("worker", "machine_create")[0].Machine
			got, err := p.world.Machine("worker", clone)
			if err != nil {
				t.Fatal(err)
			}
			template, err := p.world.Machine("worker", ids[0])
			if err != nil {
				t.Fatal(err)
			}
			want := object(t, template.Config)
			want["image"] = "registry.fly.io/worker:deployment-01HRARE@" + template.Image.Digest
			delete(want, "standbys")
			delete(want["env"].(map[string]any), "FLY_STANDBY_FOR")
			have := object(t, got.Config)
			id, _ := have["metadata"].(map[string]any)[scale.MetaCreateID].(string)
			if !strings.HasPrefix(id, "fas-app-1.") {
				t.Errorf("the clone's create id is %q", id)
			}
			metadata := want["metadata"].(map[string]any)
			metadata[scale.MetaCreateID] = id
			maps.Copy(metadata, add)
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("configuration of the clone (-want +got):\n%s", diff)
			}
			if !bytes.Contains(got.Config, []byte("echo '<&>' && sleep 1")) {
				t.Errorf("text was escaped: %s", got.Config)
			}
		})
	}
}

// object decodes a JSON object and keeps numbers as they are written.
func object(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
