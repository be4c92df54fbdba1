package flyapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// sent is a request as the platform sees it.
type sent struct {
	Method, URL, Body, ContentType, Nonce string
}

// TestRequests checks what goes over a real connection.
func TestRequests(t *testing.T) {
	const lease = `{"status":"success","data":{"nonce":"abc","expires_at":1790000000,"owner":"us","description":"d","version":"01V"}}`
	var got sent
	var reply string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read body: %v", err)
		}
		if r.Header.Get("Authorization") != "FlyV1 "+secret || r.Header.Get("User-Agent") != "tester/1" {
			t.Errorf("got headers %v", r.Header)
		}
		got = sent{r.Method, r.URL.String(), string(body), r.Header.Get("Content-Type"), r.Header.Get("fly-machine-lease-nonce")}
		_, _ = io.WriteString(w, reply)
	}))
	defer server.Close()
	c := newClient(t, flyapi.Config{MachinesURL: server.URL, UserAgent: "tester/1"})

	const base = "/v1/apps/web/machines"
	const js = "application/json"
	tests := []struct {
		name  string
		reply string
		call  func(context.Context) error
		want  sent
	}{
		{"list", `[]`, func(ctx context.Context) error { return second(c.ListMachines(ctx, "web")) }, sent{"GET", base + "?include_leases=true", "", "", ""}},
		{"get", oneMachine, func(ctx context.Context) error { return second(c.GetMachine(ctx, "web", "m1")) }, sent{"GET", base + "/m1?include_leases=true", "", "", ""}},
		{"create", oneMachine, func(ctx context.Context) error {
			return second(c.CreateMachine(ctx, "web", flyapi.CreateRequest{
				Name: "web-1", Region: "iad", SkipLaunch: true, Config: []byte(`{"image":"a<b>&c","n":12345678901234567890123}`),
			}))
		}, sent{"POST", base, `{"name":"web-1","region":"iad","config":{"image":"a<b>&c","n":12345678901234567890123},"skip_launch":true}`, js, ""}},
		{"create, least", oneMachine, func(ctx context.Context) error {
			return second(c.CreateMachine(ctx, "web", flyapi.CreateRequest{Config: []byte(`{}`)}))
		}, sent{"POST", base, `{"config":{}}`, js, ""}},
		{"start", `{"previous_state":"stopped"}`, func(ctx context.Context) error { return c.StartMachine(ctx, "web", "m1", "abc") }, sent{"POST", base + "/m1/start", "", "", "abc"}},
		{"start, empty answer", ``, func(ctx context.Context) error { return c.StartMachine(ctx, "web", "m1", "") }, sent{"POST", base + "/m1/start", "", "", ""}},
		{"stop", `{"ok":true}`, func(ctx context.Context) error { return c.StopMachine(ctx, "web", "m1", "abc") }, sent{"POST", base + "/m1/stop", "{}", js, "abc"}},
		{"suspend", `{"ok":true}`, func(ctx context.Context) error { return c.SuspendMachine(ctx, "web", "m1", "abc") }, sent{"POST", base + "/m1/suspend", "", "", "abc"}},
		{"destroy", `{"ok":true}`, func(ctx context.Context) error { return c.DestroyMachine(ctx, "web", "m1", "abc", false) }, sent{"DELETE", base + "/m1", "", "", "abc"}},
		{"destroy by force", `{"ok":true}`, func(ctx context.Context) error { return c.DestroyMachine(ctx, "web", "m1", "", true) }, sent{"DELETE", base + "/m1?force=true", "", "", ""}},
		{"cordon", `{"ok":true}`, func(ctx context.Context) error { return c.CordonMachine(ctx, "web", "m1", "abc") }, sent{"POST", base + "/m1/cordon", "", "", "abc"}},
		{"uncordon", ``, func(ctx context.Context) error { return c.UncordonMachine(ctx, "web", "m1", "abc") }, sent{"POST", base + "/m1/uncordon", "", "", "abc"}},
		{"set metadata", ``, func(ctx context.Context) error {
			return c.SetMetadata(ctx, "web", "m1", "abc", "key_1", `<"v">`)
		}, sent{"POST", base + "/m1/metadata/key_1", `{"value":"<\"v\">"}`, js, "abc"}},
		{"delete metadata", ``, func(ctx context.Context) error { return c.DeleteMetadata(ctx, "web", "m1", "", "key_1") }, sent{"DELETE", base + "/m1/metadata/key_1", "", "", ""}},
		{"get lease", lease, func(ctx context.Context) error { return second(c.GetLease(ctx, "web", "m1")) }, sent{"GET", base + "/m1/lease", "", "", ""}},
		{"acquire lease", lease, func(ctx context.Context) error {
			return second(c.AcquireLease(ctx, "web", "m1", 90500*time.Millisecond, "d"))
		}, sent{"POST", base + "/m1/lease?ttl=91", `{"ttl":91,"description":"d"}`, js, ""}},
		{"refresh lease", lease, func(ctx context.Context) error {
			return second(c.RefreshLease(ctx, "web", "m1", "abc", time.Minute))
		}, sent{"POST", base + "/m1/lease?ttl=60", `{"ttl":60}`, js, "abc"}},
		{"release lease", `{"status":"success","data":{"ok":true}}`, func(ctx context.Context) error {
			return c.ReleaseLease(ctx, "web", "m1", "abc")
		}, sent{"DELETE", base + "/m1/lease", "", "", "abc"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reply = tt.reply
			if err := tt.call(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLeaseAnswers(t *testing.T) {
	want := flyapi.Lease{Nonce: "abc", InstanceID: "01V", Owner: "us", Description: "d", ExpiresAt: time.Unix(1790000000, 0).UTC()}
	for name, body := range map[string]string{
		"envelope":     `{"status":"success","data":{"nonce":"abc","expires_at":1790000000,"owner":"us","description":"d","version":"01V"}}`,
		"bare":         `{"nonce":"abc","expires_at":1790000000,"owner":"us","description":"d","version":"01V"}`,
		"time as text": `{"status":"success","data":{"nonce":"abc","expires_at":"2026-09-21T14:13:20Z","owner":"us","description":"d","version":"01V"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := answering(t, 201, body).AcquireLease(t.Context(), "web", "m1", time.Minute, "d")
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if got.Nonce != "abc" {
				t.Errorf("got another nonce")
			}
		})
	}
	foreign := `{"status":"success","data":{"nonce":"","expires_at":1790000000,"owner":"bob"}}`
	got, err := answering(t, 200, foreign).GetLease(t.Context(), "web", "m1")
	if err != nil || got.Owner != "bob" || got.Nonce != "" {
		t.Errorf("got %+v, %v, want bob's lease without a nonce", got, err)
	}
	_, err = answering(t, 201, foreign).AcquireLease(t.Context(), "web", "m1", time.Minute, "d")
	if flyapi.KindOf(err) != flyapi.KindUnknown {
		t.Errorf("a lease without a nonce: got %v, want unknown", err)
	}
	held := `{"status":"error","message":"machine ID m1 lease currently held by bob, expires at 2026-11-22T15:00:00Z"}`
	_, err = answering(t, 200, held).AcquireLease(t.Context(), "web", "m1", time.Minute, "d")
	if flyapi.KindOf(err) != flyapi.KindLeased {
		t.Errorf("an error in the envelope: got %v, want leased", err)
	}
}

// A real refused connection, through the client's own transport.
func TestConnectionRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	tries := 0
	c := newClient(t, flyapi.Config{MachinesURL: address, Observe: func(flyapi.Request) { tries++ }})
	e := apiError(t, create(t.Context(), c))
	if op, ok := errors.AsType[*net.OpError](error(e)); !ok || op.Op != "dial" || e.Kind != flyapi.KindUnavailable {
		t.Errorf("got %s (%v), want unavailable because of a failed dial", e.Kind, e)
	}
	if tries != 3 {
		t.Errorf("got %d tries, want 3", tries)
	}
}

// A certificate that is not trusted ends the connection before the token goes
// over it.
func TestUntrustedCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the request was sent")
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it would report the failed handshakes
	server.StartTLS()
	defer server.Close()
	c := newClient(t, flyapi.Config{MachinesURL: server.URL})
	if e := apiError(t, create(t.Context(), c)); e.Kind != flyapi.KindUnavailable {
		t.Errorf("got %s (%v), want unavailable", e.Kind, e)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("followed with %s", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	c := newClient(t, flyapi.Config{MachinesURL: server.URL})
	for name, call := range map[string]func(context.Context, *flyapi.Client) error{"list": list, "create": create} {
		if e := apiError(t, call(t.Context(), c)); e.Kind != flyapi.KindProtocol || e.Status != 307 {
			t.Errorf("%s: got %s (%v), want protocol", name, e.Kind, e)
		}
	}
}

func TestGraphQL(t *testing.T) {
	c := func(status int, body string) *flyapi.Client { return answering(t, status, body) }
	release := func(t *testing.T, body string) (scale.Release, error) {
		return answering(t, 200, body).CurrentRelease(t.Context(), "web")
	}

	t.Run("release", func(t *testing.T) {
		at := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
		for body, want := range map[string]scale.Release{
			`{"data":{"app":{"currentRelease":{"id":"r","version":12,"status":"complete","createdAt":"2026-08-01T00:00:00Z","user":null}}}}`: {Known: true, Exists: true, Version: 12, Status: "complete", CreatedAt: at},
			`{"data":{"app":{"currentRelease":{"version":"13","status":"RUNNING","createdAt":null}}}}`:                                       {Known: true, Exists: true, Version: 13, Status: "running"},
			`{"data":{"app":{"currentRelease":null}},"errors":null}`:                                                                         {Known: true},
			`{"data":{"app":{"currentRelease":null}},"errors":[]}`:                                                                           {Known: true},
		} {
			got, err := release(t, body)
			if err != nil {
				t.Errorf("%s: %v", body, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", body, diff)
			}
		}
	})

	t.Run("errors", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // some are tried again
			for body, want := range map[string]flyapi.Kind{
				`{"data":{"app":null},"errors":[{"message":"Could not find App","path":["app"],"extensions":{"code":"NOT_FOUND"}}]}`: flyapi.KindNotFound,
				`{"errors":[{"message":"Could not find App"}]}`:                                                                      flyapi.KindNotFound,
				`{"data":{"app":null}}`: flyapi.KindNotFound,
				`{"errors":[{"message":"You must be authenticated to view this.","extensions":{"code":"UNAUTHORIZED"}}]}`: flyapi.KindUnauthorized,
				`{"errors":[{"message":"Not authorized to access this app"}]}`:                                            flyapi.KindUnauthorized,
				`{"errors":[{"message":"no","extensions":{"code":"FORBIDDEN"}}]}`:                                         flyapi.KindUnauthorized,
				`{"errors":[{"message":"rate limit exceeded"}]}`:                                                          flyapi.KindRateLimited,
				`{"errors":[{"message":"oops","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}`:                           flyapi.KindUnavailable,
				`{"errors":[{"message":"Field 'x' doesn't exist","extensions":[]}]}`:                                      flyapi.KindInvalid,
				`{"data":null}`: flyapi.KindProtocol,
				`{}`:            flyapi.KindProtocol,
				`<html>`:        flyapi.KindProtocol,
				`{"data":{"app":{"currentRelease":{"version":"x"}}}}`: flyapi.KindProtocol,
			} {
				got, err := release(t, body)
				if flyapi.KindOf(err) != want || got != (scale.Release{}) {
					t.Errorf("%s: got %+v and %s (%v), want %s", body, got, flyapi.KindOf(err), err, want)
				}
			}
			_, err := release(t, `{"errors":[{"message":"Could not find App","extensions":{"code":"NOT_FOUND"}},{"message":"b"}]}`)
			want := `get current release for app "web": POST /graphql: 200 NOT_FOUND: Could not find App (and 1 more)`
			if err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
		})
	})

	t.Run("organization", func(t *testing.T) {
		if got, err := c(200, `{"data":{"organization":{"id":"D307G","internalNumericId":"5"}}}`).OrganizationID(t.Context(), "acme"); err != nil || got != "D307G" {
			t.Errorf("got %q, %v, want D307G", got, err)
		}
		_, err := c(200, `{"data":{"organization":null}}`).OrganizationID(t.Context(), "acme")
		if flyapi.KindOf(err) != flyapi.KindNotFound {
			t.Errorf("got %v, want not_found", err)
		}
	})
}

func TestApps(t *testing.T) {
	pages := map[string]string{
		"": `{"data":{"apps":{"pageInfo":{"hasNextPage":true,"endCursor":"c1"},"nodes":[
			{"id":"web","name":"web","status":"deployed","currentRelease":null,"postgresAppRole":null},
			{"name":"db","status":"DEPLOYED","postgresAppRole":{"name":"postgres_cluster"}}]}}}`,
		"c1": `{"data":{"apps":{"pageInfo":{"hasNextPage":true,"endCursor":"c2"},"nodes":[]}}}`,
		"c2": `{"data":{"apps":{"pageInfo":{"hasNextPage":false,"endCursor":null},"nodes":[null,
			{"name":"api","status":"suspended"},{"name":"web","status":"deployed"}]}}}`,
	}
	c := newClient(t, flyapi.Config{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		var request struct {
			Variables struct {
				Org   string `json:"org"`
				After string `json:"after"`
			} `json:"variables"`
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Variables.Org != "D307G" {
			t.Errorf("got %+v, %v", request, err)
		}
		return answer(200, pages[request.Variables.After]), nil
	})})
	got, err := c.Apps(t.Context(), "D307G")
	if err != nil {
		t.Fatal(err)
	}
	want := []flyapi.AppInfo{
		{Name: "api", Status: "suspended"},
		{Name: "db", Status: "deployed", Role: "postgres_cluster"},
		{Name: "web", Status: "deployed"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("apps (-want +got):\n%s", diff)
	}

	// Pages that lead nowhere, or round in a circle, are no list.
	for _, page := range []string{
		`{"data":{"apps":{"pageInfo":{"hasNextPage":true,"endCursor":""},"nodes":[{"name":"a"}]}}}`,
		`{"data":{"apps":{"pageInfo":{"hasNextPage":true,"endCursor":"c1"},"nodes":[{"name":"a"}]}}}`,
		`{"data":{"apps":null}}`,
	} {
		apps, err := answering(t, 200, page).Apps(t.Context(), "D307G")
		if flyapi.KindOf(err) != flyapi.KindProtocol || apps != nil {
			t.Errorf("%s: got %v, %v, want a protocol error", page, apps, err)
		}
	}
}
