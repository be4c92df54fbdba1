package flyapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

func TestReleases(t *testing.T) {
	c := answering(t, 200, `{"data":{
		"a0":{"currentRelease":{"id":"r","version":"12","status":"RUNNING","createdAt":"2026-08-01T00:00:00Z"}},
		"a1":null,
		"a2":{"currentRelease":null},
		"a3":{"currentRelease":{"version":"twelve"}},
		"a4":null},
		"errors":[{"message":"Could not find App \"gone\"","path":["a1"],"extensions":{"code":"NOT_FOUND"}}]}`)
	got, err := c.Releases(t.Context(), []scale.App{"web", "gone", "new", "odd", "mute"})
	want := map[scale.App]scale.Release{
		"web":  {Known: true, Exists: true, Version: 12, Status: "running", CreatedAt: time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)},
		"new":  {Known: true},
		"gone": {Unavailable: `get current releases for app "gone": POST /graphql: NOT_FOUND: Could not find App "gone"`},
		"odd":  {Unavailable: `get current releases for app "odd": POST /graphql: unusable answer: release version: strconv.Atoi: parsing "twelve": invalid syntax`},
		"mute": {Unavailable: `get current releases for app "mute": POST /graphql: no such app that the token may see`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("releases (-want +got):\n%s", diff)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 3 {
		t.Fatalf("got error %v, want three joined", err)
	}
	kinds := map[scale.App]flyapi.Kind{}
	for _, each := range joined.Unwrap() {
		e := apiError(t, each)
		kinds[e.App] = e.Kind
	}
	if diff := cmp.Diff(map[scale.App]flyapi.Kind{"gone": flyapi.KindNotFound, "odd": flyapi.KindProtocol, "mute": flyapi.KindNotFound}, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

// Each query asks about 100 apps, each app once, and only those of a query that
// fails are left without an answer.
func TestReleasesInBatches(t *testing.T) {
	var queries []int
	c := newClient(t, flyapi.Config{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		var body struct {
			Query     string            `json:"query"`
			Variables map[string]string `json:"variables"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		queries = append(queries, len(body.Variables))
		var data []string
		for i := range len(body.Variables) {
			alias, variable := fmt.Sprintf("a%d", i), fmt.Sprintf("n%d", i)
			if !strings.Contains(body.Query, " "+alias+": app(name: $"+variable+") {") || !strings.Contains(body.Query, "$"+variable+": String!") {
				t.Errorf("%s is not asked for in %s", alias, body.Query)
			}
			if body.Variables[variable] == "app-160" {
				return answer(403, `{"error":"no"}`), nil
			}
			data = append(data, fmt.Sprintf(`%q:{"currentRelease":{"version":%s}}`, alias, strings.TrimPrefix(body.Variables[variable], "app-")))
		}
		return answer(200, `{"data":{`+strings.Join(data, ",")+`}}`), nil
	})})
	var apps []scale.App
	for i := range 220 {
		apps = append(apps, scale.App(fmt.Sprintf("app-%d", i)), "app-0")
	}
	got, err := c.Releases(t.Context(), apps)
	if diff := cmp.Diff([]int{100, 100, 20}, queries); diff != "" {
		t.Errorf("apps per query (-want +got):\n%s", diff)
	}
	if e := apiError(t, err); e.Kind != flyapi.KindUnauthorized || e.App != "" {
		t.Errorf("got %v, want one error for the query that was refused", err)
	}
	if len(got) != 220 {
		t.Fatalf("got %d entries, want one for each app", len(got))
	}
	for i := range 220 {
		r, failed := got[scale.App(fmt.Sprintf("app-%d", i))], i >= 100 && i < 200
		if r.Known == failed || (r.Unavailable != "") != failed || !failed && r.Version != i {
			t.Errorf("app-%d: %+v", i, r)
		}
	}
	queries = nil
	if got, err := c.Releases(t.Context(), nil); err != nil || len(got) > 0 || queries != nil {
		t.Errorf("no apps: got %v, %v after %v queries", got, err, queries)
	}
}

// An error without data is that of the whole query; one that names no app is why
// those without an answer have none.
func TestReleasesRefusedAsAWhole(t *testing.T) {
	for name, body := range map[string]string{
		"without data":      `{"data":null,"errors":[{"message":"You must be authenticated","extensions":{"code":"UNAUTHORIZED"}}]}`,
		"without a path":    `{"data":{"a0":null},"errors":[{"message":"You must be authenticated","extensions":{"code":"UNAUTHORIZED"}}]}`,
		"below the release": `{"data":{"a0":{"currentRelease":null}},"errors":[{"path":["a0","currentRelease",1],"message":"You must be authenticated"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := answering(t, 200, body).Releases(t.Context(), []scale.App{"web"})
			if flyapi.KindOf(err) != flyapi.KindUnauthorized {
				t.Errorf("got error %v, want unauthorized", err)
			}
			if r := got["web"]; r.Known || !strings.Contains(r.Unavailable, "authenticated") {
				t.Errorf("got %+v, want unavailable for what the platform said", r)
			}
		})
	}
}
