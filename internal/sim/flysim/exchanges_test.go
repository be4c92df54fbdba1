package flysim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

var update = flag.Bool("update", false, "write the recorded exchanges")

// exchangesDir holds what the official SDK says to the platform and hears from
// it. Another client must be able to say and understand the same.
const exchangesDir = "../../flyapi/testdata/exchanges"

// recording is one request with its answer, as kept in a file.
type recording struct {
	Client   string   `json:"client"`
	Request  request  `json:"request"`
	Response response `json:"response"`
}

type request struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   string            `json:"query,omitempty"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

type response struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

// recorder is a transport that notes what passes.
type recorder struct {
	next http.RoundTripper

	mu   sync.Mutex
	kept []recording // guarded by mu
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		var err error
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(got))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, recording{
		Client:   "fly-go v0.8.0",
		Request:  request{req.Method, req.URL.Path, req.URL.RawQuery, pick(req.Header, "Authorization", "Content-Type", "fly-machine-lease-nonce"), raw(sent)},
		Response: response{resp.StatusCode, pick(resp.Header, "Content-Type", "fly-request-id"), raw(got)},
	})
	return resp, nil
}

// pick takes the named headers. The SDK writes some in lower case.
func pick(h http.Header, names ...string) map[string]string {
	out := map[string]string{}
	for key, values := range h {
		if slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, key) }) {
			out[strings.ToLower(key)] = values[0]
		}
	}
	return out
}

func raw(b []byte) json.RawMessage { return bytes.TrimSpace(b) }

// volatile is what differs from run to run. Each value is replaced by one of
// the same form, numbered where it matters which is which.
var volatile = []struct {
	pattern *regexp.Regexp
	form    string // %d is the number of the value
}{
	{regexp.MustCompile(`01SIM[0-9A-F]{8}\d{10}-iad`), "01REQUEST-iad"},
	{regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`), "01ULID%020d"},
	{regexp.MustCompile(`\b[0-9a-f]{14}\b`), "%014d"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2026-01-01T00:00:00Z"},
	{regexp.MustCompile(`"timestamp":\d+`), `"timestamp":1767225600000`},
	{regexp.MustCompile(`"created_at":\d+`), `"created_at":1767225600000`},
	{regexp.MustCompile(`"expires_at":\d+`), `"expires_at":1767225600`},
	{regexp.MustCompile(`fdaa:[0-9a-f:]+`), "fdaa:0:1:a7b:1:1:%d:2"},
	{regexp.MustCompile(`\bvol_[0-9a-z]{20}`), "vol_%020d"},
	{regexp.MustCompile(`\brel_[0-9a-z]{16}`), "rel_%016d"},
	{regexp.MustCompile(`"nonce":"[0-9a-z]{12}"`), `"nonce":"nonce0000001"`},
	{regexp.MustCompile(`lease-nonce":"[0-9a-z]{12}"`), `lease-nonce":"nonce0000001"`},
}

// normalize makes recordings equal that mean the same.
func normalize(t *testing.T, all []recording) map[string]string {
	t.Helper()
	numbers := map[string]int{}
	out := map[string]string{}
	for i, rec := range all {
		text, err := json.Marshal(rec)
		must(t, err)
		for _, v := range volatile {
			text = v.pattern.ReplaceAllFunc(text, func(found []byte) []byte {
				if !strings.Contains(v.form, "%") {
					return []byte(v.form)
				}
				key := v.form + string(found)
				if numbers[key] == 0 {
					numbers[v.form]++
					numbers[key] = numbers[v.form]
				}
				return fmt.Appendf(nil, v.form, numbers[key])
			})
		}
		var pretty bytes.Buffer
		must(t, json.Indent(&pretty, text, "", "  "))
		out[fmt.Sprintf("%02d-%s.json", i+1, nameOf(rec))] = pretty.String() + "\n"
	}
	return out
}

// nameOf tells an exchange by its call.
func nameOf(rec recording) string {
	parts := []string{strings.ToLower(rec.Request.Method)}
	for part := range strings.SplitSeq(strings.Trim(rec.Request.Path, "/"), "/") {
		if part != "v1" && !regexp.MustCompile(`^([0-9a-f]{14}|vol_.*)$`).MatchString(part) {
			parts = append(parts, part)
		}
	}
	if rec.Request.Path == "/graphql" {
		query := regexp.MustCompile(`\{\s*(?:\w+:\s*)?(\w+)\s*[({]\s*`).FindSubmatch(rec.Request.Body[1:])
		parts = append(parts, string(query[1]))
	}
	if rec.Response.Status > 299 {
		parts = append(parts, fmt.Sprint(rec.Response.Status))
	}
	return strings.Join(parts, "-")
}

// TestSDKExchanges has the official SDK make every call that it has and an
// autoscaler may use, and holds the exchanges to those recorded.
func TestSDKExchanges(t *testing.T) {
	s, ids := start(t, flysim.Options{}, sim.MachineSpec{Count: 2, Region: "ams", Group: "app"})
	direct := &http.Transport{}
	t.Cleanup(direct.CloseIdleConnections)
	rec := &recorder{next: direct}
	machines, graph := sdk(t, s, rec)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lifeOfAMachine(ctx, t, machines)
	platformCalls(ctx, t, machines)
	graphQLCalls(ctx, t, s, graph, ids)
	must(t, machines.SetMetadata(ctx, "web", ids[0], "role", "leader"))
	must(t, machines.DeleteMetadata(ctx, "web", ids[0], "role"))
	if metadata, err := machines.GetMetadata(ctx, "web", ids[0]); err != nil || metadata["role"] != "" {
		t.Errorf("metadata: got %v, %v", metadata, err)
	}

	got := normalize(t, rec.kept)
	if *update {
		must(t, os.RemoveAll(exchangesDir))
		must(t, os.MkdirAll(exchangesDir, 0o755))
		for name, text := range got {
			must(t, os.WriteFile(filepath.Join(exchangesDir, name), []byte(text), 0o644))
		}
	}
	want := map[string]string{}
	files, err := filepath.Glob(filepath.Join(exchangesDir, "*.json"))
	must(t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		want[filepath.Base(name)] = string(text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("exchanges (-recorded +now); when the change is meant, run with -update:\n%s", diff)
	}
}

// platformCalls makes the calls about apps, regions and volumes.
func platformCalls(ctx context.Context, t *testing.T, client *flaps.Client) {
	t.Helper()
	regions, err := client.GetRegions(ctx)
	must(t, err)
	if regions.Nearest != "iad" || len(regions.Regions) < 17 || regions.Regions[0].Code != "ams" || !regions.Regions[0].GatewayAvailable {
		t.Errorf("regions: got %+v", regions)
	}
	placements, err := client.GetPlacements(ctx, &flaps.GetPlacementsRequest{Org: "acme", Region: "ams,fra", Count: 2})
	must(t, err)
	if diff := cmp.Diff([]flaps.RegionPlacement{{Region: "ams", Count: 2, Concurrency: 2}}, placements); diff != "" {
		t.Errorf("placements (-want +got):\n%s", diff)
	}
	created, err := client.CreateApp(ctx, flaps.CreateAppRequest{Name: "fresh", Org: "acme"})
	must(t, err)
	if created.ID == "" || created.Status != "pending" {
		t.Errorf("created app: got %+v", created)
	}
	_, err = client.CreateApp(ctx, flaps.CreateAppRequest{Name: "fresh", Org: "acme"})
	wantFlaps(t, err, http.StatusUnprocessableEntity, "Name has already been taken")
	apps, err := client.ListApps(ctx, flaps.ListAppsRequest{OrgSlug: "acme"})
	must(t, err)
	if len(apps) != 2 || apps[1].Name != "web" || apps[1].MachineCount != 2 || apps[1].Organization.Slug != "acme" {
		t.Errorf("apps: got %+v", apps)
	}
	app, err := client.GetApp(ctx, "web")
	must(t, err)
	if app.Name != "web" || !app.Deployed() {
		t.Errorf("app: got %+v", app)
	}
	size := 3
	volume, err := client.CreateVolume(ctx, "fresh", fly.CreateVolumeRequest{Name: "data", Region: "ams", SizeGb: &size})
	must(t, err)
	volumes, err := client.GetVolumes(ctx, "fresh")
	must(t, err)
	if len(volumes) != 1 || volumes[0].ID != volume.ID || volumes[0].IsAttached() {
		t.Errorf("volumes: got %+v, want %+v", volumes, volume)
	}
	_, err = client.DeleteVolume(ctx, "fresh", volume.ID)
	must(t, err)
	must(t, client.DeleteApp(ctx, "fresh"))
	_, err = client.GetApp(ctx, "fresh")
	wantFlaps(t, err, http.StatusNotFound, "app not found")
}

// graphQLCalls makes the calls of the other surface.
func graphQLCalls(ctx context.Context, t *testing.T, s *flysim.Server, client *fly.Client, ids []string) {
	t.Helper()
	org, err := client.GetOrganizationBySlug(ctx, "acme")
	must(t, err)
	if org.Slug != "acme" || org.RawSlug != "acme" || org.ID == "" || org.InternalNumericID != "1000" {
		t.Errorf("organization: got %+v", org)
	}
	orgs, err := client.GetOrganizations(ctx)
	must(t, err)
	if len(orgs) != 1 {
		t.Errorf("got %d organizations, want one", len(orgs))
	}
	apps, err := client.GetAppsForOrganization(ctx, org.ID)
	must(t, err)
	if len(apps) != 1 || apps[0].Name != "web" || apps[0].CurrentRelease == nil || apps[0].Organization.Slug != "acme" {
		t.Errorf("apps: got %+v", apps)
	}
	release, err := client.GetAppCurrentReleaseMachines(ctx, "web")
	must(t, err)
	if release.Version != 3 || release.Status != "complete" || !release.Stable || release.CreatedAt.IsZero() || release.User.Email == "" {
		t.Errorf("release: got %+v", release)
	}
	_, err = s.Handler.World().PutRelease(sim.Call{}, "web", sim.ReleaseInput{New: true, Status: "running", ImageRef: "registry.fly.io/web:deployment-4"})
	must(t, err)
	app, err := client.GetApp(ctx, "web")
	must(t, err)
	if app.InternalNumericID != 20000 || app.CurrentRelease == nil || !app.CurrentRelease.InProgress || app.CurrentRelease.Version != 4 || len(app.Machines.Nodes) != 2 {
		t.Errorf("app: got %+v", app)
	}
	releases, err := client.GetAppReleasesMachines(ctx, "web", "complete", 25)
	must(t, err)
	if len(releases) != 1 || releases[0].Version != 3 {
		t.Errorf("releases: got %+v, want the complete one", releases)
	}
	compact, err := client.GetAppCompact(ctx, "web")
	must(t, err)
	if compact.Organization.Slug != "acme" || compact.PostgresAppRole != nil || !compact.Deployed {
		t.Errorf("compact app: got %+v", compact)
	}
	machine, err := client.GetMachine(ctx, ids[0])
	must(t, err)
	if machine.App == nil || machine.App.Name != "web" {
		t.Errorf("machine: got %+v", machine)
	}
	_, _, err = client.PlatformRegions(ctx)
	must(t, err)
	if _, err := client.GetApp(ctx, "none"); err == nil || !strings.Contains(err.Error(), "Could not find App") {
		t.Errorf("app that is not there: got %v", err)
	}
	if _, err := client.GetLatestImageDetails(ctx, "web:1", ""); err == nil || !strings.Contains(err.Error(), "Unknown repository") {
		t.Errorf("image without news: got %v", err)
	}
	bare, err := s.Handler.World().AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: "bare"})
	must(t, err)
	if release, err := client.GetAppCurrentReleaseMachines(ctx, "bare"); err != nil || release != nil || len(bare) != 0 {
		t.Errorf("release of an app without any: got %+v, %v", release, err)
	}
}

// TestSDKPagesOfApps has the SDK go through more apps than one page holds.
func TestSDKPagesOfApps(t *testing.T) {
	s, _ := start(t, flysim.Options{})
	for i := range 450 {
		_, err := s.Handler.World().CreateApp(sim.Call{}, sim.AppInput{Name: fmt.Sprintf("app-%03d", i), Org: "acme"})
		must(t, err)
	}
	_, graph := sdk(t, s, nil)
	org, err := graph.GetOrganizationBySlug(t.Context(), "acme")
	must(t, err)
	apps, err := graph.GetAppsForOrganization(t.Context(), org.ID)
	must(t, err)
	if len(apps) != 451 {
		t.Errorf("got %d apps, want 451", len(apps))
	}
	if got := s.Handler.Stats().Ops["graphql"]; got != 4 {
		t.Errorf("asked %d times, want once for the org and three times for apps", got)
	}
}
