package flyapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// exchange is one request and its answer, recorded while the platform's official
// SDK drove the simulated platform. The simulator's tests record them; here our
// client has to ask the same question and to understand the same answer.
type exchange struct {
	Request struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Query   string            `json:"query"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"request"`
	Response struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"response"`
}

func loadExchange(t *testing.T, name string) exchange {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "exchanges", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var e exchange
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return e
}

// replay answers with the recorded answer and checks that the question is the
// recorded one: method, path, credential, proof of lease, and those keys of the
// body that the official SDK sends with a meaning.
func replay(t *testing.T, e exchange, keys ...string) *flyapi.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.Method+" "+r.URL.Path, e.Request.Method+" "+e.Request.Path; got != want {
			t.Errorf("asked %s, the official SDK asks %s", got, want)
		}
		for _, header := range []string{"authorization", "fly-machine-lease-nonce"} {
			if got, want := r.Header.Get(header), e.Request.Headers[header]; got != want {
				t.Errorf("header %s: got %q, the official SDK sends %q", header, got, want)
			}
		}
		var got, want map[string]any
		body, _ := io.ReadAll(r.Body)
		if len(body) > 0 {
			if err := json.Unmarshal(body, &got); err != nil {
				t.Errorf("body: %v", err)
			}
		}
		if len(e.Request.Body) > 0 {
			if err := json.Unmarshal(e.Request.Body, &want); err != nil {
				t.Errorf("recorded body: %v", err)
			}
		}
		for _, key := range keys {
			if diff := cmp.Diff(got[key], want[key]); diff != "" {
				t.Errorf("body key %s (-got +official):\n%s", key, diff)
			}
		}
		for name, value := range e.Response.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(e.Response.Status)
		_, _ = w.Write(e.Response.Body)
	}))
	t.Cleanup(server.Close)
	c, err := flyapi.New(flyapi.Config{MachinesURL: server.URL, GraphQLURL: server.URL, Token: "opaque-token"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// parts are the app and the Machine of a recorded path.
func parts(e exchange) (scale.App, scale.MachineID) {
	words := strings.Split(e.Request.Path, "/") // "", v1, apps, app, machines, id, verb
	app, id := scale.App(""), scale.MachineID("")
	if len(words) > 3 {
		app = scale.App(words[3])
	}
	if len(words) > 5 {
		id = scale.MachineID(words[5])
	}
	return app, id
}

func TestExchangesOfTheOfficialSDK(t *testing.T) {
	t.Parallel()
	nonce := func(e exchange) scale.Secret { return scale.Secret(e.Request.Headers["fly-machine-lease-nonce"]) }
	for _, tt := range []struct {
		name string
		keys []string // of the body, to be as the official SDK's
		call func(t *testing.T, c *flyapi.Client, e exchange) error
		want flyapi.Kind // of the error; 0 for none
	}{
		{name: "01-get-apps-web-machines", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, _ := parts(e)
			machines, err := c.ListMachines(t.Context(), app)
			var recorded []wireMachine
			decode(t, e.Response.Body, &recorded)
			if err == nil && len(machines) != len(recorded) {
				t.Errorf("got %d Machines, the answer has %d", len(machines), len(recorded))
			}
			for i := range min(len(machines), len(recorded)) {
				recorded[i].compare(t, machines[i])
			}
			return err
		}},
		{name: "28-get-apps-web-machines", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			if id != "" {
				_, err := c.GetMachine(t.Context(), app, id)
				return err
			}
			_, err := c.ListMachines(t.Context(), app)
			return err
		}},
		{name: "02-post-apps-web-machines", keys: []string{"name", "region", "config"}, call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, _ := parts(e)
			var body struct {
				Name   string          `json:"name"`
				Region scale.Region    `json:"region"`
				Config json.RawMessage `json:"config"`
			}
			decode(t, e.Request.Body, &body)
			m, err := c.CreateMachine(t.Context(), app, flyapi.CreateRequest{Name: body.Name, Region: body.Region, Config: body.Config})
			var recorded wireMachine
			decode(t, e.Response.Body, &recorded)
			recorded.compare(t, m)
			return err
		}},
		{name: "04-post-apps-web-machines-lease", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			lease, err := c.AcquireLease(t.Context(), app, id, 30*time.Second, "")
			var recorded struct {
				Data struct {
					Nonce, Version string
				}
			}
			decode(t, e.Response.Body, &recorded)
			if string(lease.Nonce) != recorded.Data.Nonce || lease.InstanceID != recorded.Data.Version || lease.Nonce == "" {
				t.Errorf("lease of config version %q, want %q and its nonce", lease.InstanceID, recorded.Data.Version)
			}
			return err
		}},
		{name: "06-post-apps-web-machines-lease", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			_, err := c.RefreshLease(t.Context(), app, id, nonce(e), 30*time.Second)
			return err
		}},
		{name: "05-post-apps-web-machines-start-409", want: flyapi.KindLeased, call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.StartMachine(t.Context(), app, id, nonce(e))
		}},
		{name: "07-post-apps-web-machines-stop", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.StopMachine(t.Context(), app, id, nonce(e))
		}},
		{name: "09-delete-apps-web-machines-lease", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.ReleaseLease(t.Context(), app, id, nonce(e))
		}},
		{name: "10-get-apps-web-machines-lease-404", want: flyapi.KindNotFound, call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			_, err := c.GetLease(t.Context(), app, id)
			return err
		}},
		{name: "11-post-apps-web-machines-start", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.StartMachine(t.Context(), app, id, nonce(e))
		}},
		{name: "13-post-apps-web-machines-suspend", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.SuspendMachine(t.Context(), app, id, nonce(e))
		}},
		{name: "19-post-apps-web-machines-metadata-role", keys: []string{"value"}, call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.SetMetadata(t.Context(), app, id, nonce(e), "role", "leader")
		}},
		{name: "53-delete-apps-web-machines-metadata-role", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.DeleteMetadata(t.Context(), app, id, nonce(e), "role")
		}},
		{name: "21-post-apps-web-machines-cordon", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.CordonMachine(t.Context(), app, id, nonce(e))
		}},
		{name: "22-post-apps-web-machines-uncordon", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.UncordonMachine(t.Context(), app, id, nonce(e))
		}},
		{name: "25-delete-apps-web-machines-412", want: flyapi.KindPrecondition, call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.DestroyMachine(t.Context(), app, id, nonce(e), false)
		}},
		{name: "26-delete-apps-web-machines", call: func(t *testing.T, c *flyapi.Client, e exchange) error {
			app, id := parts(e)
			return c.DestroyMachine(t.Context(), app, id, nonce(e), strings.Contains(e.Request.Query, "kill=true"))
		}},
		{name: "40-post-graphql-organization", keys: []string{"variables"}, call: func(t *testing.T, c *flyapi.Client, _ exchange) error {
			id, err := c.OrganizationID(t.Context(), "acme")
			if id != "simorg1000" {
				t.Errorf("got organization %q", id)
			}
			return err
		}},
		{name: "42-post-graphql-apps", call: func(t *testing.T, c *flyapi.Client, _ exchange) error {
			apps, err := c.Apps(t.Context(), "simorg1000")
			if len(apps) != 1 || apps[0].Name != "web" {
				t.Errorf("got apps %v, want web", apps)
			}
			return err
		}},
		{name: "43-post-graphql-app", keys: []string{"variables"}, call: func(t *testing.T, c *flyapi.Client, _ exchange) error {
			release, err := c.CurrentRelease(t.Context(), "web")
			if !release.Known || !release.Exists || release.Status != "complete" || release.Running() || release.CreatedAt.IsZero() {
				t.Errorf("got %+v, want a complete release", release)
			}
			return err
		}},
		{name: "51-post-graphql-app", keys: []string{"variables"}, call: func(t *testing.T, c *flyapi.Client, _ exchange) error {
			release, err := c.CurrentRelease(t.Context(), "bare")
			if !release.Known || release.Exists {
				t.Errorf("got %+v, want an app without a release", release)
			}
			return err
		}},
		{name: "49-post-graphql-app", want: flyapi.KindNotFound, call: func(t *testing.T, c *flyapi.Client, _ exchange) error {
			_, err := c.CurrentRelease(t.Context(), "none")
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := loadExchange(t, tt.name)
			err := tt.call(t, replay(t, e, tt.keys...), e)
			switch {
			case tt.want == 0 && err != nil:
				t.Errorf("the recorded answer is taken for an error: %v", err)
			case tt.want != 0 && flyapi.KindOf(err) != tt.want:
				t.Errorf("got %v (%v), want %v", flyapi.KindOf(err), err, tt.want)
			}
		})
	}
}

// wireMachine is what the test reads of a recorded Machine.
type wireMachine struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	State      string          `json:"state"`
	Region     string          `json:"region"`
	InstanceID string          `json:"instance_id"`
	Config     json.RawMessage `json:"config"`
	Host       string          `json:"host_status"`
}

func (w wireMachine) compare(t *testing.T, m scale.Machine) {
	t.Helper()
	got := wireMachine{string(m.ID), m.Name, string(m.State), string(m.Region), m.InstanceID, nil, string(m.Host)}
	var gotConfig, wantConfig any
	decode(t, m.Config, &gotConfig)
	decode(t, w.Config, &wantConfig)
	w.Config = nil
	if diff := cmp.Diff(got, w); diff != "" {
		t.Errorf("Machine (-got +recorded):\n%s", diff)
	}
	if diff := cmp.Diff(gotConfig, wantConfig); diff != "" {
		t.Errorf("its config (-got +recorded):\n%s", diff)
	}
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Errorf("decode %.80s: %v", data, err)
	}
}
