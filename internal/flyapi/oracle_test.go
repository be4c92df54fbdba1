package flyapi_test

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"

	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/tokens"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// The official SDK judges what it can: the headers made of a token, and what a
// Machine's fields mean.

func TestAuthorizationAsOfficial(t *testing.T) {
	for _, token := range []string{
		"abcdef",
		"Bearer abcdef",
		"FlyV1 abcdef",
		"fm2_abc",
		"FlyV1 fm2_abc",
		"Bearer FlyV1 bearer fm2_abc",
		"fm1r_abc,fm1a_def",
		"FlyV1 fm2_abc,fm2_def",
		"oauth1,fm2_abc,fm1a_def",
		"fm2_abc,oauth1",
	} {
		t.Run(token, func(t *testing.T) {
			got := map[string]string{}
			c := newClient(t, flyapi.Config{Token: scale.Secret(token), Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
				got[r.URL.Host] = r.Header.Get("Authorization")
				if r.URL.Path == "/graphql" {
					return answer(200, `{"data":{"organization":{"id":"o1"}}}`), nil
				}
				return answer(200, `[]`), nil
			})})
			if err := list(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if _, err := c.OrganizationID(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
			official := tokens.Parse(token)
			if want := official.FlapsHeader(); got["api.machines.dev"] != want {
				t.Errorf("Machines API: got %q, want %q", got["api.machines.dev"], want)
			}
			if want := official.GraphQLHeader(); got["api.fly.io"] != want {
				t.Errorf("GraphQL API: got %q, want %q", got["api.fly.io"], want)
			}
		})
	}
}

func TestDecodeAsOfficial(t *testing.T) {
	body, err := os.ReadFile("testdata/machines.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []*fly.Machine
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	official := map[string]*fly.Machine{}
	for _, m := range list {
		official[m.ID] = m
	}
	got, err := flyapi.DecodeMachines(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range got {
		want := official[string(m.ID)]
		// Where there is no registry the SDK leaves a slash at the front.
		if want.ImageRef.Registry != "" && m.Image != want.FullImageRef() {
			t.Errorf("%s: got image %q, want %q", m.ID, m.Image, want.FullImageRef())
		}
		if group := want.ProcessGroup(); group != "" && string(m.Group) != group {
			t.Errorf("%s: got group %q, want %q", m.ID, m.Group, group)
		}
		if m.InstanceID != want.InstanceID || string(m.State) != want.State {
			t.Errorf("%s: got %+v, want as %+v", m.ID, m, want)
		}
	}
}
