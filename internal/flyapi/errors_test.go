package flyapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
)

// Calls of each effect, for the tables below.
var (
	list = func(ctx context.Context, c *flyapi.Client) error {
		_, err := c.ListMachines(ctx, "web")
		return err
	}
	create = func(ctx context.Context, c *flyapi.Client) error {
		_, err := c.CreateMachine(ctx, "web", flyapi.CreateRequest{Config: []byte(`{"image":"x"}`)})
		return err
	}
	start = func(ctx context.Context, c *flyapi.Client) error {
		return c.StartMachine(ctx, "web", "148e21ff", "")
	}
	destroy = func(ctx context.Context, c *flyapi.Client) error {
		return c.DestroyMachine(ctx, "web", "148e21ff", "", false)
	}
	cordon = func(ctx context.Context, c *flyapi.Client) error {
		return c.CordonMachine(ctx, "web", "148e21ff", "")
	}
	mark = func(ctx context.Context, c *flyapi.Client) error {
		return c.SetMetadata(ctx, "web", "148e21ff", "", "key", "value")
	}
	unmark = func(ctx context.Context, c *flyapi.Client) error {
		return c.DeleteMetadata(ctx, "web", "148e21ff", "", "key")
	}
	acquire = func(ctx context.Context, c *flyapi.Client) error {
		_, err := c.AcquireLease(ctx, "web", "148e21ff", time.Minute, "test")
		return err
	}
)

func TestClassification(t *testing.T) {
	type do = func(context.Context, *flyapi.Client) error
	tests := []struct {
		name   string
		call   do
		status int
		body   string
		want   flyapi.Kind
	}{
		{"bad token", list, 401, `{"error":"unauthorized"}`, flyapi.KindUnauthorized},
		{"no scope", list, 403, `{"error":"insufficient permissions"}`, flyapi.KindUnauthorized},
		{"no app", list, 404, `{"error":"app not found"}`, flyapi.KindNotFound},
		{"no machine", start, 404, `{"error":"not_found: machine not found"}`, flyapi.KindNotFound},
		{"rate limit", list, 429, `{"error":"rate limit exceeded"}`, flyapi.KindRateLimited},
		{"rate limit on a change", create, 429, `{"error":"resource_exhausted: rate limit exceeded"}`, flyapi.KindRateLimited},
		{"malformed", create, 400, `{"error":"invalid request"}`, flyapi.KindInvalid},
		{"validation", create, 422, `{"error":"config.guest.cpus is not valid"}`, flyapi.KindInvalid},
		{"plan limit", create, 422, `{"error":"your plan allows no more machines"}`, flyapi.KindInvalid},
		{"insufficient words that are not about room", create, 422, `{"error":"insufficient details in the request"}`, flyapi.KindInvalid},

		{"capacity code", create, 422, `{"error":"no room","status":"insufficient_capacity"}`, flyapi.KindCapacity},
		{"capacity code as 503", create, 503, `{"error":"no room","status":"insufficient_capacity"}`, flyapi.KindCapacity},
		{"reservation", create, 409, `{"error":"aborted: insufficient resources available to fulfill request: could not reserve resource"}`, flyapi.KindCapacity},
		{"memory on host", start, 409, `{"error":"aborted: could not reserve resource for machine: insufficient memory available to fulfill request"}`, flyapi.KindCapacity},
		{"cpus on host", start, 409, `{"error":"aborted: could not reserve resource for machine: insufficient CPUs available to fulfill request on the current host"}`, flyapi.KindCapacity},
		{"volume code", create, 412, `{"error":"no","status":"volume_placement_capacity"}`, flyapi.KindCapacity},
		{"volume text", create, 412, `{"error":"insufficient resources to create new machine with existing volume 'vol_1'"}`, flyapi.KindCapacity},
		{"no capacity", create, 400, `{"error":"no capacity in region"}`, flyapi.KindCapacity},
		{"memory quota", create, 403, `{"error":"organization acme is over the allowed quota of 20480 MB memory in iad, try ord"}`, flyapi.KindCapacity},
		{"host closed for starts", start, 503, `{"error":"deploys to this host are temporarily disabled"}`, flyapi.KindCapacity},
		{"governor", start, 412, `{"error":"governor policy blocked start"}`, flyapi.KindCapacity},
		{"dead host, read", list, 408, `{"error":"deadline exceeded"}`, flyapi.KindUnavailable},
		{"dead host, create", create, 408, `{"error":"deadline exceeded"}`, flyapi.KindUnknown},
		{"dead host, start", start, 408, `{"error":"deadline exceeded"}`, flyapi.KindUnknown},

		{"wrong state", start, 412, `{"error":"failed_precondition: unable to start machine from current state: 'stopping'"}`, flyapi.KindPrecondition},
		{"replaced", start, 412, `{"error":"failed_precondition: machine getting replaced, refusing to start"}`, flyapi.KindPrecondition},
		{"still active", start, 412, `{"error":"failed_precondition: machine still active, refusing to start"}`, flyapi.KindPrecondition},
		{"starting already", start, 412, `{"error":"failed_precondition: machine still attempting to start"}`, flyapi.KindPrecondition},
		{"not stopped", destroy, 412, `{"error":"failed_precondition: unable to destroy machine, not currently stopped, suspended, failed or created"}`, flyapi.KindPrecondition},
		{"volume claimed", create, 412, `{"error":"volume already claimed by machine 148e21ff"}`, flyapi.KindPrecondition},
		{"version mismatch", start, 409, `{"error":"machine version mismatch"}`, flyapi.KindPrecondition},
		{"leased", start, 409, `{"error":"machine ID 148e21ff lease currently held by bob@example.com, expires at 2026-11-22T15:00:00Z"}`, flyapi.KindLeased},
		{"leased, message form", acquire, 409, `{"status":"error","message":"machine ID 148e21ff lease currently held by bob, expires at 2026-11-22T15:00:00Z"}`, flyapi.KindLeased},
		{"name taken", create, 409, `{"error":"already_exists: unique machine name violation, machine ID 1857 already exists with name \"web-1\""}`, flyapi.KindNameTaken},
		{"name taken as 422", create, 422, `{"error":"already_exists: unique machine name violation, machine ID 1857 already exists with name \"web-1\""}`, flyapi.KindNameTaken},
		{"name taken code", create, 422, `{"error":"Name has already been taken","status":"name_taken"}`, flyapi.KindNameTaken},

		{"server error, read", list, 500, `{"error":"internal"}`, flyapi.KindUnavailable},
		{"server error, create", create, 500, `{"error":"internal"}`, flyapi.KindUnknown},
		{"bad gateway, create", create, 502, `<html>Bad Gateway</html>`, flyapi.KindUnknown},
		{"bad gateway, start", start, 502, ``, flyapi.KindUnknown},
		{"bad gateway, lease", acquire, 502, ``, flyapi.KindUnknown},
		{"start accepted with an error", start, 200, `{"status":"error","message":"could not reserve resource for machine"}`, flyapi.KindCapacity},
		{"start accepted with another error", start, 200, `{"status":"error","message":"nope"}`, flyapi.KindPrecondition},
		{"list is no JSON", list, 200, `<html>`, flyapi.KindProtocol},
		{"list is an object", list, 200, `{"machines":[]}`, flyapi.KindProtocol},
		{"list has a nameless machine", list, 200, `[{"state":"started"}]`, flyapi.KindProtocol},
		{"list is empty text", list, 204, ``, flyapi.KindProtocol},
		{"redirect", list, 302, ``, flyapi.KindProtocol},
		{"create answer unusable", create, 200, `{"id":`, flyapi.KindUnknown},
		{"create answer without id", create, 200, `{"ok":true}`, flyapi.KindUnknown},
		{"lease answer unusable", acquire, 201, `{"status":"success"}`, flyapi.KindUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := tt.call(t.Context(), answering(t, tt.status, tt.body, "Fly-Request-Id", "01JREQ"))
				e := apiError(t, err)
				if e.Kind != tt.want {
					t.Errorf("got kind %s, want %s: %v", e.Kind, tt.want, err)
				}
				if flyapi.KindOf(fmt.Errorf("wrapped: %w", err)) != tt.want {
					t.Errorf("KindOf: got %s, want %s", flyapi.KindOf(err), tt.want)
				}
				if e.Status != tt.status || e.RequestID != "01JREQ" {
					t.Errorf("got status %d and request %q, want %d and 01JREQ", e.Status, e.RequestID, tt.status)
				}
			})
		})
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		name   string
		call   func(context.Context, *flyapi.Client) error
		status int
		body   string
		want   string
	}{
		{
			"create refused", create, 422, `{"error":"no room in iad","status":"insufficient_capacity"}`,
			`create machine for app "web": POST /v1/apps/web/machines: 422 insufficient_capacity: no room in iad (request 01JREQ)`,
		},
		{
			"message before error", list, 404, `{"error":"e","message":"m","status":"unknown"}`,
			`list machines for app "web": GET /v1/apps/web/machines: 404: m (request 01JREQ)`,
		},
		{
			"unknown outcome", create, 502, "<html>\n  Bad\tGateway</html>",
			`create machine for app "web": POST /v1/apps/web/machines: outcome unknown: 502: <html> Bad Gateway</html> (request 01JREQ)`,
		},
		{
			"one machine", destroy, 412, `{"error":"no"}`,
			`destroy machine 148e21ff for app "web": DELETE /v1/apps/web/machines/148e21ff: 412: no (request 01JREQ)`,
		},
		{
			"lease", acquire, 404, `{}`,
			`acquire lease of machine 148e21ff for app "web": POST /v1/apps/web/machines/148e21ff/lease: 404: {} (request 01JREQ)`,
		},
		{
			"token echoed", list, 401, `{"error":"bad token ` + secret + `"}`,
			`list machines for app "web": GET /v1/apps/web/machines: 401: bad token [redacted]; check that the API token is right, not expired, and may see this (request 01JREQ)`,
		},
		{
			"numeric status field", list, 404, `{"status":404,"error":{"message":"nested"}}`,
			`list machines for app "web": GET /v1/apps/web/machines: 404: nested (request 01JREQ)`,
		},
		{
			"JSON string", list, 404, `"just text"`,
			`list machines for app "web": GET /v1/apps/web/machines: 404: just text (request 01JREQ)`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.call(t.Context(), answering(t, tt.status, tt.body, "Fly-Request-Id", "01JREQ"))
			if got := apiError(t, err).Error(); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestErrorTextIsBounded(t *testing.T) {
	e := apiError(t, list(t.Context(), answering(t, 404, strings.Repeat("ö ", 40_000))))
	if n := len([]rune(e.Message)); n > 300 || n < 290 {
		t.Errorf("got a message of %d characters, want just under 300", n)
	}
}

func TestNonceIsNotInErrors(t *testing.T) {
	c := answering(t, 412, `{"error":"lease nonce `+"n0nce-v4lue"+` is not right"}`)
	err := c.StopMachine(t.Context(), "web", "148e21ff", "n0nce-v4lue")
	if text := apiError(t, err).Error(); strings.Contains(text, "n0nce") || !strings.Contains(text, "[redacted]") {
		t.Errorf("got %s", text)
	}
}

func TestErrorDetails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expires := time.Now().Add(90 * time.Second).UTC().Format(time.RFC3339)
		e := apiError(t, start(t.Context(), answering(t, 409, `{"error":"machine ID 148e21ff lease currently held by bob, expires at `+expires+`"}`)))
		if e.RetryAfter != 90*time.Second {
			t.Errorf("lease: got retry after %s, want 90s", e.RetryAfter)
		}
		e = apiError(t, create(t.Context(), answering(t, 409, `{"error":"already_exists: unique machine name violation, machine ID 18579e4 already exists with name \"web-1\""}`)))
		if e.ConflictID != "18579e4" {
			t.Errorf("name taken: got conflict %q, want 18579e4", e.ConflictID)
		}
		date := time.Now().Add(45 * time.Second).UTC().Format(http.TimeFormat)
		for header, want := range map[string]time.Duration{
			"45": 45 * time.Second, "31.5": 31500 * time.Millisecond, date: 45 * time.Second,
			"": 0, "-3": 0, "NaN": 0, "soon": 0, "1e300": 24 * time.Hour,
		} {
			e := apiError(t, create(t.Context(), answering(t, 403, ``, "Retry-After", header)))
			if e.RetryAfter != want {
				t.Errorf("Retry-After %q: got %s, want %s", header, e.RetryAfter, want)
			}
		}
	})
}

func TestTemporary(t *testing.T) {
	want := map[flyapi.Kind]bool{
		flyapi.KindRateLimited: true, flyapi.KindUnavailable: true, flyapi.KindLeased: true, flyapi.KindCapacity: true,
	}
	for kind := flyapi.KindCanceled; kind <= flyapi.KindProtocol; kind++ {
		if got := (&flyapi.Error{Kind: kind}).Temporary(); got != want[kind] {
			t.Errorf("%s: got %v, want %v", kind, got, want[kind])
		}
		if kind.String() == "none" {
			t.Errorf("kind %d has no name", kind)
		}
	}
}

func TestKindOfOtherErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want flyapi.Kind
	}{
		{nil, 0},
		{errors.New("x"), 0},
		{fmt.Errorf("x: %w", context.Canceled), flyapi.KindCanceled},
		{context.DeadlineExceeded, flyapi.KindCanceled},
	} {
		if got := flyapi.KindOf(tt.err); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.err, got, tt.want)
		}
	}
}

func TestDoneAlreadyIsNoError(t *testing.T) {
	c := answering(t, 404, `{"error":"machine not found"}`)
	if err := destroy(t.Context(), c); err != nil {
		t.Errorf("destroy: %v", err)
	}
	c = answering(t, 404, `{"error":"lease not found"}`)
	if err := c.ReleaseLease(t.Context(), "web", "148e21ff", "nonce"); err != nil {
		t.Errorf("release lease: %v", err)
	}
}

func TestLocalValidation(t *testing.T) {
	c := newClient(t, flyapi.Config{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		t.Errorf("%s %s was sent", r.Method, r.URL)
		return answer(200, `{}`), nil
	})})
	ctx := t.Context()
	for name, err := range map[string]error{
		"empty app":           second(c.ListMachines(ctx, "")),
		"path as app":         second(c.ListMachines(ctx, "../orgs")),
		"empty machine":       c.DestroyMachine(ctx, "web", "", "", true),
		"path as machine":     c.DestroyMachine(ctx, "web", "a/b", "", true),
		"line in nonce":       c.StopMachine(ctx, "web", "148e21ff", "a\r\nb"),
		"empty key":           c.DeleteMetadata(ctx, "web", "148e21ff", "", ""),
		"path as key":         c.SetMetadata(ctx, "web", "148e21ff", "", "../lease", "v"),
		"no configuration":    second(c.CreateMachine(ctx, "web", flyapi.CreateRequest{})),
		"broken config":       second(c.CreateMachine(ctx, "web", flyapi.CreateRequest{Config: []byte(`{"image":`)})),
		"no ttl":              second(c.AcquireLease(ctx, "web", "148e21ff", 0, "")),
		"refresh, no nonce":   second(c.RefreshLease(ctx, "web", "148e21ff", "", time.Minute)),
		"release without one": c.ReleaseLease(ctx, "web", "148e21ff", ""),
	} {
		if got := flyapi.KindOf(err); got != flyapi.KindInvalid {
			t.Errorf("%s: got %s (%v), want invalid", name, got, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
