package flyapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// A page with the rows of both shapes of the API, an odd row and one without a
// configuration.
const orgPage = `{"machines":[
	{"app_name":"web","id":"e1","name":"red-1","state":"started","region":"iad","private_ip":"fdaa::1","version":"01JB2",
	 "created_at":"2026-10-01T10:00:00Z","updated_at":"2026-10-01T10:00:07.5Z",
	 "config":{"guest":{"cpus":1},"image":"registry.fly.io/web:d1","metadata":{"fly_process_group":"worker","fly_release_version":7}}},
	{"app_id":12,"app_name":"web","id":"e2","name":"red-2","state":"stopped","region":"ord","instance_id":"01JB3",
	 "created_at":"2026-10-01T10:00:00Z","updated_at":1790000000,"config":{"image":"i","metadata":null}},
	{"app_name":"api","id":"e3","name":null,"state":"destroyed","region":"ams","version":"01JB4","config":null}],
	"next_cursor":"abc","last_machine_id":"e3","last_updated_at":"2026-10-01T10:00:07.5Z","error_regions":["syd"],"new":{}}`

func TestListOrgMachines(t *testing.T) {
	var got string
	c := newClient(t, flyapi.Config{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		got = r.Method + " " + r.URL.Path + "?" + r.URL.Query().Encode()
		return answer(200, orgPage), nil
	})})
	since := time.Date(2026, 10, 1, 9, 59, 30, 250_000_000, time.FixedZone("", 3600))
	page, err := c.ListOrgMachines(t.Context(), "acme", flyapi.OrgQuery{UpdatedAfter: since, Cursor: "a+/=", IncludeDeleted: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := "GET /v1/orgs/acme/machines?cursor=a%2B%2F%3D&include_deleted=true&limit=1000&updated_after=2026-10-01T08%3A59%3A30.25Z"; got != want {
		t.Errorf("request\n got %s\nwant %s", got, want)
	}
	want := flyapi.OrgPage{
		Machines: []flyapi.OrgMachine{
			{App: "web", Machine: scale.Machine{
				ID: "e1", Name: "red-1", State: scale.StateStarted, Region: "iad", Group: "worker", InstanceID: "01JB2",
				CreatedAt: date(t, "2026-10-01T10:00:00Z"), UpdatedAt: date(t, "2026-10-01T10:00:07.5Z"),
				Metadata: map[string]string{"fly_process_group": "worker", "fly_release_version": "7"}, Image: "registry.fly.io/web:d1",
			}},
			{App: "web", Machine: scale.Machine{
				ID: "e2", Name: "red-2", State: scale.StateStopped, Region: "ord", Group: "app", InstanceID: "01JB3",
				CreatedAt: date(t, "2026-10-01T10:00:00Z"), UpdatedAt: time.Unix(1790000000, 0).UTC(), Image: "i",
			}},
			{App: "api", Bare: true, Machine: scale.Machine{
				ID: "e3", State: scale.StateDestroyed, Region: "ams", Group: "app", InstanceID: "01JB4",
			}},
		},
		NextCursor: "abc", LastUpdatedAt: date(t, "2026-10-01T10:00:07.5Z"), ErrorRegions: []string{"syd"},
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}

	if _, err := c.ListOrgMachines(t.Context(), "acme", flyapi.OrgQuery{}); err != nil {
		t.Fatal(err)
	}
	if want := "GET /v1/orgs/acme/machines?limit=1000"; got != want {
		t.Errorf("request of the least: got %s, want %s", got, want)
	}
	got = ""
	for _, org := range []string{"", "../apps/web", "a b"} {
		if _, err := c.ListOrgMachines(t.Context(), org, flyapi.OrgQuery{}); flyapi.KindOf(err) != flyapi.KindInvalid || got != "" {
			t.Errorf("org %q: got %v, request %q, want it refused unsent", org, err, got)
		}
	}
}

// What is no page must not pass for an organization without Machines, and a
// region that is missing must not go unnoticed.
func TestOrgPagesThatAreNone(t *testing.T) {
	for _, body := range []string{`{}`, `[]`, `null`, `""`, `{"machines":{}}`, `{"machines":[{"app_name":"web"}]}`, `{"machines":[null]}`, `{"machines":[],"error_regions":"all"}`} {
		page, err := flyapi.DecodeOrgPage([]byte(body))
		if err == nil {
			t.Errorf("%s passes for a page: %+v", body, page)
		}
	}
	for _, body := range []string{`{"machines":[]}`, `{"machines":null}`, `{"machines":[],"error_regions":[],"next_cursor":null,"last_updated_at":""}`} {
		page, err := flyapi.DecodeOrgPage([]byte(body))
		if err != nil || len(page.Machines) > 0 || page.NextCursor != "" || page.ErrorRegions != nil || !page.LastUpdatedAt.IsZero() {
			t.Errorf("%s: got %+v, %v, want an empty last page", body, page, err)
		}
	}
}

func TestOrgListErrors(t *testing.T) {
	for status, kind := range map[int]flyapi.Kind{403: flyapi.KindUnauthorized, 404: flyapi.KindNotFound, 400: flyapi.KindInvalid, 503: flyapi.KindUnavailable} {
		_, err := answering(t, status, `{"error":"no"}`).ListOrgMachines(t.Context(), "acme", flyapi.OrgQuery{})
		if e := apiError(t, err); e.Kind != kind || e.Op != "list_org_machines" || e.Status != status {
			t.Errorf("status %d: got %v, want kind %s", status, e, kind)
		}
	}
}

// Pages of one organization take turns in a bucket of their own.
func TestOrgListRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := unlimited(t, `{"machines":[]}`)
		began := time.Now()
		for range 42 {
			if _, err := c.ListOrgMachines(t.Context(), "acme", flyapi.OrgQuery{}); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(began); got != 4*time.Second {
			t.Errorf("42 pages took %s, want 4s", got)
		}
		if _, err := c.ListOrgMachines(t.Context(), "other", flyapi.OrgQuery{}); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(began); got != 4*time.Second {
			t.Errorf("a page of another organization waited until %s", got)
		}
	})
}

func FuzzOrgPage(f *testing.F) {
	f.Add([]byte(orgPage))
	f.Add([]byte(`{"machines":null}`))
	f.Add([]byte(`{"machines":[{"id":"a","config":{"metadata":[1]}}],"error_regions":{"a":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := flyapi.DecodeOrgPage(body)
		if err != nil {
			return
		}
		for _, m := range page.Machines {
			if m.ID == "" || m.Group == "" || m.Host != "" || m.Config != nil {
				t.Errorf("row %+v", m)
			}
		}
	})
}

// orgPageOf is a page of n rows, four of each app.
func orgPageOf(n int) []byte {
	var rows []string
	for i := range n {
		rows = append(rows, fmt.Sprintf(`{"app_name":"app-%d","id":"148e21ff%06x","name":"still-bird-%d","state":"started","region":"iad",`+
			`"private_ip":"fdaa:0:1:a7b:1:2:3:%x","created_at":"2026-10-01T10:00:00Z","updated_at":"2026-10-01T10:00:07.123456789Z","version":"01JB%022d",`+
			`"config":{"guest":{"cpu_kind":"shared","cpus":1,"memory_mb":256},"image":"registry.fly.io/app-%d:deployment-01JAAAAAAAAAAAAAAAAAAAAAAA",`+
			`"metadata":{"fly_platform_version":"v2","fly_process_group":"app","fly_release_id":"rel_%d","fly_release_version":"7"}}}`, i/4, i, i, i, i, i/4, i/4))
	}
	return []byte(`{"machines":[` + strings.Join(rows, ",") + `],"next_cursor":"abc"}`)
}

// BenchmarkDecodeOrgPage decodes a full page.
func BenchmarkDecodeOrgPage(b *testing.B) {
	body := orgPageOf(1000)
	if !json.Valid(body) {
		b.Fatal("not JSON")
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		page, err := flyapi.DecodeOrgPage(body)
		if err != nil || len(page.Machines) != 1000 {
			b.Fatalf("got %d rows, %v", len(page.Machines), err)
		}
	}
}
