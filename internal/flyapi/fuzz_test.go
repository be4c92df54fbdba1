package flyapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

func FuzzDecodeMachines(f *testing.F) {
	f.Add([]byte(`[{"id":"m2","name":"n","state":"started","region":"iad","instance_id":"01","image_ref":{"registry":"r","repository":"w","tag":"t","digest":"d"},"created_at":"2026-10-01T10:00:00Z","config":{"metadata":{"fly_process_group":"app"},"mounts":[{}],"n":1e400},"host_status":"ok","lease":{"owner":"bob","expires_at":"2026-10-01T10:02:00Z"}},{"id":"m1","state":"destroyed"}]`))
	f.Add([]byte(`[{"id":"m1","created_at":1e30,"lease":{"expires_at":-1e14,"owner":1},"config":{"metadata":[]},"host_status":"ok"}]`))
	f.Add([]byte(`[{"id":["x"]},null,{}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		machines, err := flyapi.DecodeMachines(body)
		if err != nil {
			return
		}
		for i, m := range machines {
			switch {
			case m.ID == "" || m.Group == "" && (m.Config != nil || len(m.Metadata) > 0):
				t.Errorf("machine %d has id %q and group %q", i, m.ID, m.Group)
			case m.State == scale.StateDestroyed:
				t.Errorf("machine %s is destroyed", m.ID)
			case m.Config != nil && (m.Host != scale.HostOK || !bytes.Contains(body, m.Config) || !json.Valid(m.Config)):
				t.Errorf("machine %s: config %s, host %s", m.ID, m.Config, m.Host)
			case i > 0 && machines[i-1].ID > m.ID:
				t.Errorf("machine %s comes after %s", m.ID, machines[i-1].ID)
			}
		}
	})
}

// decodeLoose is decodeExact for input that need not decode.
func decodeLoose(raw []byte) (map[string]any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v map[string]any
	return v, decoder.Decode(&v) == nil && v != nil
}

func FuzzCloneConfig(f *testing.F) {
	f.Add([]byte(`{"image":"x","n":123456789012345678901234567890,"metadata":{"fly_canary":"true","a":null},"env":{"FLY_STANDBY_FOR":"m","B":"c"},"standbys":["m"]}`), "r/x@sha256:1", "key", "value")
	f.Add([]byte(`{"mounts":[],"a":{"b":[{}]},"":{"":""},"metadata":null}`), "", "fly_canary", "")
	f.Fuzz(func(t *testing.T, config []byte, image, key, value string) {
		if config == nil {
			return
		}
		// Names that are not valid UTF-8 have no exact form in JSON.
		image, key, value = strings.ToValidUTF8(image, "?"), strings.ToValidUTF8(key, "?"), strings.ToValidUTF8(value, "?")
		before := bytes.Clone(config)
		src := scale.Machine{ID: "m1", Image: image, Config: config}
		clone, err := flyapi.CloneConfig(src, map[string]string{key: value})
		if !bytes.Equal(before, config) {
			t.Errorf("the source was written to: %q, before %q", config, before)
		}
		if err != nil {
			return
		}
		want, ok := decodeLoose(config)
		if !ok {
			t.Fatalf("cloned what is no object: %q", config)
		}
		got, ok := decodeLoose(clone)
		if !ok {
			t.Fatalf("the clone is no object: %q", clone)
		}
		if image != "" {
			want["image"] = image
		}
		delete(want, "standbys")
		if env, ok := want["env"].(map[string]any); ok {
			delete(env, "FLY_STANDBY_FOR")
		}
		metadata, _ := want["metadata"].(map[string]any)
		metadata = maps.Clone(metadata)
		if metadata == nil {
			metadata = map[string]any{}
		}
		for _, gone := range []string{
			"fly_flyctl_bluegreen_launch_id", "fly_bluegreen_deployment_tag", "fly_canary", "fly_previous_alloc",
			"fly_autoscaler_create_id", "fly_autoscaler_not_launched",
		} {
			delete(metadata, gone)
		}
		metadata[key] = value
		want["metadata"] = metadata
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("clone of %q (-want +got):\n%s", config, diff)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	f.Add(422, []byte(`{"error":"no room","status":"insufficient_capacity"}`))
	f.Add(409, []byte(`{"error":"machine ID m1 lease currently held by bob, expires at 2026-11-22T15:00:00Z"}`))
	f.Add(409, []byte(`{"error":"already_exists: unique machine name violation, machine ID 18 already exists with name \"a\""}`))
	f.Add(502, []byte("<html>\x00\xff"))
	f.Add(401, []byte(`{"error":{"message":"`+secret+`"},"status":["x"]}`))
	f.Add(404, []byte(`null`))
	c := answering(f, 200, "")
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		status = 300 + (status%300+300)%300 // any status that is no success
		e := c.ErrorFromBody(status, body)
		text := e.Error()
		switch {
		case e.Kind.String() == "none" || e.Kind == flyapi.KindCanceled:
			t.Errorf("status %d, body %q: kind %s", status, body, e.Kind)
		case status >= 500 && e.Kind != flyapi.KindUnknown && e.Kind != flyapi.KindCapacity:
			t.Errorf("status %d, body %q: kind %s, want unknown or capacity", status, body, e.Kind)
		case strings.Contains(text, secret):
			t.Errorf("the token is in %q", text)
		case len([]rune(e.Message)) > 300 || len([]rune(text)) > 1000:
			t.Errorf("the message has %d characters, the text %d", len([]rune(e.Message)), len([]rune(text)))
		case strings.ContainsAny(text, "\n\r\x00\x1b"):
			t.Errorf("control characters in %q", text)
		case e.RetryAfter < 0:
			t.Errorf("retry after %s", e.RetryAfter)
		}
	})
}

// BenchmarkDecodeList decodes the list of an app with 50 Machines.
func BenchmarkDecodeList(b *testing.B) {
	body, err := os.ReadFile("testdata/machines.json")
	if err != nil {
		b.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(body, &list); err != nil {
		b.Fatal(err)
	}
	var machines []map[string]any
	for i := range 50 {
		m := maps.Clone(list[1])
		m["id"] = fmt.Sprintf("148e21ffb2%04x", i)
		machines = append(machines, m)
	}
	if body, err = json.Marshal(machines); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		got, err := flyapi.DecodeMachines(body)
		if err != nil || len(got) != 50 {
			b.Fatalf("got %d machines, %v", len(got), err)
		}
	}
}
