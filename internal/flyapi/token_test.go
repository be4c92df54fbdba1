package flyapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

func TestAuthorization(t *testing.T) {
	tests := []struct {
		name, token       string
		machines, graphql string
	}{
		{"opaque", "abcdef", "Bearer abcdef", "Bearer abcdef"},
		{"spaces around", "  abcdef\n", "Bearer abcdef", "Bearer abcdef"},
		{"bearer pasted", "Bearer abcdef", "Bearer abcdef", "Bearer abcdef"},
		{"opaque pasted as FlyV1", "FlyV1 abcdef", "Bearer abcdef", "Bearer abcdef"},
		{"macaroon", "fm2_abc", "FlyV1 fm2_abc", "FlyV1 fm2_abc"},
		{"old permission token", "fm1r_abc", "FlyV1 fm1r_abc", "FlyV1 fm1r_abc"},
		{"old access token", "fm1a_abc", "FlyV1 fm1a_abc", "FlyV1 fm1a_abc"},
		{"macaroon pasted", "FlyV1 fm2_abc", "FlyV1 fm2_abc", "FlyV1 fm2_abc"},
		{"scheme words repeated in any case", "bearer FLYV1  flyv1 fm2_abc", "FlyV1 fm2_abc", "FlyV1 fm2_abc"},
		{"permission and discharge", "FlyV1 fm2_abc,fm2_def", "FlyV1 fm2_abc,fm2_def", "FlyV1 fm2_abc,fm2_def"},
		{"scheme on each part", "FlyV1 fm2_abc, FlyV1 fm2_def", "FlyV1 fm2_abc,fm2_def", "FlyV1 fm2_abc,fm2_def"},
		{"empty parts", ",fm2_abc,,", "FlyV1 fm2_abc", "FlyV1 fm2_abc"},
		{"both kinds", "oauth1,fm2_abc,fm1a_def", "FlyV1 fm2_abc,fm1a_def", "FlyV1 fm2_abc,fm1a_def,oauth1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string]string{}
			c := newClient(t, flyapi.Config{Token: scale.Secret(tt.token), Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
				got[r.URL.Host] = r.Header.Get("Authorization")
				if r.URL.Path == "/graphql" {
					return answer(200, `{"data":{"organization":{"id":"o1"}}}`), nil
				}
				return answer(200, `[]`), nil
			})})
			if _, err := c.ListMachines(t.Context(), "web"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.OrganizationID(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
			if got["api.machines.dev"] != tt.machines {
				t.Errorf("Machines API: got %q, want %q", got["api.machines.dev"], tt.machines)
			}
			if got["api.fly.io"] != tt.graphql {
				t.Errorf("GraphQL API: got %q, want %q", got["api.fly.io"], tt.graphql)
			}
		})
	}
}

func TestNewRefusesBadSettings(t *testing.T) {
	tests := []struct {
		name string
		cfg  flyapi.Config
		want string // part of the error
	}{
		{"no token", flyapi.Config{}, "API token: missing"},
		{"only a scheme", flyapi.Config{Token: " FlyV1 "}, "API token: missing"},
		{"two words", flyapi.Config{Token: scale.Secret(secret + " x")}, "API token: white space inside"},
		{"control character", flyapi.Config{Token: scale.Secret(secret + "\x01")}, "API token: has a character"},
		{"no scheme", flyapi.Config{Token: "abcdef", MachinesURL: "api.machines.dev"}, `machines API address: "api.machines.dev" must begin with http`},
		{"host and port only", flyapi.Config{Token: "abcdef", MachinesURL: "localhost:4280"}, `machines API address: "localhost:4280" must begin with http`},
		{"no host", flyapi.Config{Token: "abcdef", GraphQLURL: "https:///x"}, `GraphQL API address: "https:///x" has no host`},
		{"query", flyapi.Config{Token: "abcdef", GraphQLURL: "https://h/?a=b"}, "must not have a query"},
		{"not a URL", flyapi.Config{Token: "abcdef", MachinesURL: "http://h:port"}, "machines API address: not a URL"},
		{"password", flyapi.Config{Token: "abcdef", MachinesURL: "http://u:" + secret + "@h"}, "must not hold a user name or password"},
		{"password in a broken URL", flyapi.Config{Token: "abcdef", MachinesURL: "http://u:" + secret + "@h\x7f/"}, "not a URL"},
		{"negative timeout", flyapi.Config{Token: "abcdef", AttemptTimeout: -1}, "attempt timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := flyapi.New(tt.cfg)
			if err == nil {
				c.Close()
				t.Fatal("got no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want it to contain %q", err, tt.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows the secret: %s", err)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct {
		name, machines, graphql   string
		wantMachines, wantGraphQL string
	}{
		{"defaults", "", "", "https://api.machines.dev/v1/apps/web/machines", "https://api.fly.io/graphql"},
		{"private network", "http://_api.internal:4280", "http://127.0.0.1:9", "http://_api.internal:4280/v1/apps/web/machines", "http://127.0.0.1:9/graphql"},
		{"a path counts for GraphQL only", "http://h/prefix/", "http://h/prefix/", "http://h/v1/apps/web/machines", "http://h/prefix/graphql"},
		{"slash at the end", "http://h/", "http://h/", "http://h/v1/apps/web/machines", "http://h/graphql"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			c := newClient(t, flyapi.Config{MachinesURL: tt.machines, GraphQLURL: tt.graphql, Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
				u := *r.URL
				u.RawQuery = ""
				got = append(got, u.String())
				if u.Path == "/prefix/graphql" || u.Path == "/graphql" {
					return answer(200, `{"data":{"organization":{"id":"o1"}}}`), nil
				}
				return answer(200, `[]`), nil
			})})
			if _, err := c.ListMachines(t.Context(), "web"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.OrganizationID(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
			if got[0] != tt.wantMachines || got[1] != tt.wantGraphQL {
				t.Errorf("got %q, want %q and %q", got, tt.wantMachines, tt.wantGraphQL)
			}
		})
	}
}
