package flysim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// exchange is one request and what came of it.
type exchange struct {
	status int
	header http.Header
	body   string
	err    error
}

func (x exchange) decode(t *testing.T, v any) {
	t.Helper()
	if x.err != nil || x.status > 299 {
		t.Fatalf("got status %d, error %v, body %s", x.status, x.err, x.body)
	}
	if err := json.Unmarshal([]byte(x.body), v); err != nil {
		t.Fatalf("decode %s: %v", x.body, err)
	}
}

// want checks a refusal.
func (x exchange) want(t *testing.T, status int, text string) {
	t.Helper()
	if x.err != nil || x.status != status || !strings.Contains(x.body, text) {
		t.Errorf("got status %d, error %v, body %s; want %d with %q", x.status, x.err, x.body, status, text)
	}
}

// send makes one request on a connection of its own; headers come in pairs.
func send(ctx context.Context, method, url, body string, headers ...string) (x exchange) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return exchange{err: err}
	}
	req.Header.Set("Authorization", "Bearer opaque")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return exchange{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return exchange{resp.StatusCode, resp.Header, string(raw), err}
}

// frozen serves a world whose time stands still unless the test moves it.
func frozen(t *testing.T, opts flysim.Options, machines ...sim.MachineSpec) (w *sim.World, h *flysim.Handler, url string, ids []string) {
	t.Helper()
	w = sim.New(sim.Config{Seed: 1})
	ids, err := w.AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: "web", Machines: machines})
	must(t, err)
	opts.Now = w.Now
	h = flysim.New(w, opts)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return w, h, server.URL, ids
}

const createBody = `{"config":{"image":"registry.fly.io/web:1"},"region":"ams"}`

func order(t *testing.T, w *sim.World, f sim.Fault) {
	t.Helper()
	_, err := w.OrderFault(f)
	must(t, err)
}

func countMachines(t *testing.T, w *sim.World) int {
	t.Helper()
	machines, err := w.ListMachines("web", sim.ListFilter{})
	must(t, err)
	return len(machines)
}

func TestAnswersThatAreLost(t *testing.T) {
	tests := []struct {
		name   string
		fault  sim.Fault
		status int // 0 for a connection that broke
		text   string
		left   int // Machines
	}{
		{"error before", sim.Fault{Kind: sim.FaultError, Status: 503}, 503, "service unavailable", 0},
		{"error after", sim.Fault{Kind: sim.FaultError, Status: 502, Applied: true}, 502, "bad gateway", 1},
		{"timeout after", sim.Fault{Kind: sim.FaultError, Status: 408, Applied: true}, 408, "deadline_exceeded", 1},
		{"own message", sim.Fault{Kind: sim.FaultError, Message: "something broke"}, 500, "something broke", 0},
		{"too many", sim.Fault{Kind: sim.FaultError, Status: 429}, 429, "rate limit exceeded", 0},
		{"cut before", sim.Fault{Kind: sim.FaultCut}, 0, "", 0},
		{"cut after", sim.Fault{Kind: sim.FaultCut, Applied: true}, 0, "", 1},
		{"capacity", sim.Fault{Kind: sim.FaultCapacity, Region: "ams"}, 422, "insufficient_capacity", 0},
		{"capacity, 409", sim.Fault{Kind: sim.FaultCapacity, Status: 409}, 409, "aborted: insufficient resources available", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, _, url, _ := frozen(t, flysim.Options{})
			test.fault.Op, test.fault.Count = "machine_create", 1
			if test.fault.Kind == sim.FaultCapacity {
				test.fault.Op = ""
			}
			order(t, w, test.fault)
			x := send(t.Context(), http.MethodPost, url+"/v1/apps/web/machines", createBody)
			if test.status == 0 {
				if x.err == nil {
					t.Errorf("got an answer with status %d, want none", x.status)
				}
			} else {
				x.want(t, test.status, test.text)
			}
			if got := countMachines(t, w); got != test.left {
				t.Errorf("%d machines afterwards, want %d", got, test.left)
			}
			send(t.Context(), http.MethodPost, url+"/v1/apps/web/machines", createBody).decode(t, new(any))
		})
	}
}

func TestHangEndsWhenTheClientLeaves(t *testing.T) {
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprintf("applied %v", applied), func(t *testing.T) {
			w, h, url, _ := frozen(t, flysim.Options{})
			order(t, w, sim.Fault{Kind: sim.FaultHang, Op: "machine_create", App: "web", Applied: applied})
			ctx, leave := context.WithCancel(t.Context())
			gone := make(chan exchange)
			go func() { gone <- send(ctx, http.MethodPost, url+"/v1/apps/web/machines", createBody) }()
			until(t, func() bool { return w.Faults()[0].Struck == 1 && (!applied || countMachines(t, w) == 1) })
			leave()
			if x := <-gone; x.err == nil {
				t.Errorf("got an answer with status %d from a server that hangs", x.status)
			}
			until(t, func() bool { return h.Stats().Statuses["machine_create"]["0"] == 1 })
			if got := countMachines(t, w) == 1; got != applied {
				t.Errorf("took effect: got %v, want %v", got, applied)
			}
		})
	}
}

// until waits for a condition.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal("waited 20 s in vain")
		}
	}
}

func TestSlowAnswersAndLatencyTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sim.New(sim.Config{Start: time.Now()})
		_, err := w.AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: "web"})
		must(t, err)
		h := flysim.New(w, flysim.Options{Latency: 30 * time.Millisecond})
		took := func() time.Duration {
			began := time.Now()
			if x := local(t.Context(), h, http.MethodGet, "/v1/apps/web/machines", ""); x.status != http.StatusOK {
				t.Fatalf("got status %d: %s", x.status, x.body)
			}
			return time.Since(began)
		}
		if got := took(); got != 30*time.Millisecond {
			t.Errorf("answered after %v, want 30ms", got)
		}
		order(t, w, sim.Fault{Kind: sim.FaultSlow, Duration: sim.Duration(2 * time.Second), Count: 1})
		if got := took(); got != 2030*time.Millisecond {
			t.Errorf("answered after %v, want 2.03s", got)
		}
		order(t, w, sim.Fault{Kind: sim.FaultHang, Duration: sim.Duration(time.Minute), Count: 1})
		if got := took(); got != time.Minute+30*time.Millisecond {
			t.Errorf("answered after %v, want 1m0.03s", got)
		}
	})
}

// local makes a request without a network.
func local(ctx context.Context, h http.Handler, method, path, body string, headers ...string) exchange {
	req := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	req.Header.Set("Authorization", "FlyV1 opaque")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return exchange{status: rec.Code, header: rec.Header(), body: rec.Body.String()}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sim.New(sim.Config{Start: time.Now()})
		ids, err := w.AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: "web", Machines: []sim.MachineSpec{{State: scale.StateStopped}}})
		must(t, err)
		h := flysim.New(w, flysim.Options{})
		path := "/v1/apps/web/machines/" + ids[0]
		wait := func(query string) (exchange, time.Duration) {
			began := time.Now()
			return local(t.Context(), h, http.MethodGet, path+"/wait?"+query, ""), time.Since(began)
		}
		x, took := wait("state=started&timeout=5")
		x.want(t, 408, "deadline_exceeded: machine failed to reach desired state, started, currently stopped")
		if took != 5*time.Second {
			t.Errorf("gave up after %v, want 5s", took)
		}
		x, took = wait("state=started")
		x.want(t, 408, "machine failed to reach desired state")
		if took != time.Minute {
			t.Errorf("gave up after %v, want 1m", took)
		}
		for _, query := range []string{"timeout=0", "timeout=61", "timeout=x", "state=odd", "version=01NONE"} {
			x, _ := wait(query)
			x.want(t, 400, "invalid_argument")
		}

		local(t.Context(), h, http.MethodPost, path+"/start", "").decode(t, new(any))
		for _, query := range []string{"state=failed&state=started", "state=stopped,started", "state=settled", ""} {
			x, took = wait(query)
			var got struct {
				OK      bool   `json:"ok"`
				State   string `json:"state"`
				EventID string `json:"event_id"`
			}
			x.decode(t, &got)
			if !got.OK || got.State != "started" || got.EventID == "" || took > 3*time.Second {
				t.Errorf("wait for %q: got %+v after %v, want started within 3s", query, got, took)
			}
		}

		var before, after struct {
			InstanceID string `json:"instance_id"`
		}
		local(t.Context(), h, http.MethodGet, path, "").decode(t, &before)
		local(t.Context(), h, http.MethodPost, path, createBody, "Content-Type", "application/json").want(t, 400, "region")
		local(t.Context(), h, http.MethodPost, path, `{"config":{"image":"x:1"}}`).decode(t, &after)
		if x, took := wait("state=stopped&instance_id=" + before.InstanceID); x.status != 200 || took != 0 {
			t.Errorf("wait for a version that was replaced: status %d after %v, want 200 at once", x.status, took)
		}
		if x, _ := wait("state=started&version=" + after.InstanceID); x.status != 200 {
			t.Errorf("wait for the new version: status %d, want 200", x.status)
		}

		local(t.Context(), h, http.MethodDelete, path+"?force=true", "").decode(t, new(any))
		if x, _ := wait("state=destroyed"); x.status != 200 {
			t.Errorf("wait for destroyed: status %d, want 200", x.status)
		}
		x, _ = wait("state=destroyed&timeout=60&from_event_id=9")
		x.want(t, 404, "machine not found")
	})
}

func TestStopWaitsForALeaseToEnd(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("refuse %v", refuse), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := sim.New(sim.Config{Start: time.Now()})
				ids, err := w.AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: "web", Machines: []sim.MachineSpec{{}}})
				must(t, err)
				h := flysim.New(w, flysim.Options{RefuseLeased: refuse})
				path := "/v1/apps/web/machines/" + ids[0]
				x := local(t.Context(), h, http.MethodPost, path+"/lease", `{"ttl":30,"description":"deploy"}`)
				var lease struct {
					Status string
					Data   struct {
						Nonce       string
						ExpiresAt   int64 `json:"expires_at"`
						Description string
					}
				}
				x.decode(t, &lease)
				if x.status != 201 || lease.Status != "success" || lease.Data.Description != "deploy" || lease.Data.ExpiresAt != time.Now().Add(30*time.Second).Unix() {
					t.Errorf("lease: status %d, %+v", x.status, lease)
				}
				held := "machine ID " + ids[0] + " lease currently held by "
				for _, call := range []string{"/start", "/suspend", "/restart", "/lease", "/cordon"} {
					local(t.Context(), h, http.MethodPost, path+call, "").want(t, 409, held)
				}
				local(t.Context(), h, http.MethodPost, path+"/stop", "", "fly-machine-lease-nonce", "wrong").want(t, 409, held)
				var listed []struct {
					Lease map[string]any `json:"lease"`
					Nonce string         `json:"nonce"`
				}
				local(t.Context(), h, http.MethodGet, "/v1/apps/web/machines?include_leases=true", "").decode(t, &listed)
				if listed[0].Lease["owner"] == "" || listed[0].Lease["description"] != "deploy" || listed[0].Nonce != "" {
					t.Errorf("list with leases: got %+v, want the owner and no nonce", listed[0])
				}

				began := time.Now()
				x = local(t.Context(), h, http.MethodPost, path+"/stop", `{"timeout":"0s"}`)
				if refuse {
					x.want(t, 409, held)
					return
				}
				if took := time.Since(began); x.status != 200 || took != 30*time.Second {
					t.Errorf("stop: status %d after %v, want 200 after 30s", x.status, took)
				}
			})
		})
	}
}

func TestRateLimits(t *testing.T) {
	w, _, url, ids := frozen(t, flysim.Options{RateLimits: true, RetryAfter: true}, sim.MachineSpec{Count: 2})
	statuses := func(n int, method, path string) (got []int) {
		for range n {
			got = append(got, send(t.Context(), method, url+path, createBody).status)
		}
		return got
	}
	one := "/v1/apps/web/machines/" + ids[0]
	if diff := cmp.Diff([]int{200, 200, 200, 429}, statuses(4, http.MethodPost, one+"/start")); diff != "" {
		t.Errorf("starts of one machine (-want +got):\n%s", diff)
	}
	x := send(t.Context(), http.MethodPost, url+one+"/start", "")
	x.want(t, 429, `{"error":"rate limit exceeded"}`)
	if got := x.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After: got %q, want 1", got)
	}
	if diff := cmp.Diff([]int{200}, statuses(1, http.MethodPost, "/v1/apps/web/machines/"+ids[1]+"/start")); diff != "" {
		t.Errorf("start of another machine (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{200, 200, 200, 429}, statuses(4, http.MethodPost, "/v1/apps/web/machines")); diff != "" {
		t.Errorf("creates in one app (-want +got):\n%s", diff)
	}
	if got := statuses(12, http.MethodGet, one); got[9] != 200 || got[10] != 429 {
		t.Errorf("gets of one machine: got %v, want ten and then 429", got)
	}
	w.Advance(w.Now().Add(time.Second))
	if diff := cmp.Diff([]int{200, 429}, statuses(2, http.MethodPost, one+"/start")); diff != "" {
		t.Errorf("starts a second later (-want +got):\n%s", diff)
	}
	if got := statuses(8, http.MethodGet, one); got[4] != 200 || got[5] != 429 {
		t.Errorf("gets a second later: got %v, want five and then 429", got)
	}
}

func TestAuthorization(t *testing.T) {
	_, _, url, _ := frozen(t, flysim.Options{Tokens: []string{"good"}})
	for _, path := range []string{"/v1/apps/web/machines", "/v1/platform/regions", "/api/v1/organizations", "/v1/nowhere"} {
		for _, header := range []string{"", "good", "Bearer ", "Basic good", "Bearer bad"} {
			send(t.Context(), http.MethodGet, url+path, "", "Authorization", header).want(t, 401, `{"error":"unauthorized"}`)
		}
		for _, header := range []string{"Bearer good", "bearer good", "FlyV1 good", "flyv1 good"} {
			if got := send(t.Context(), http.MethodGet, url+path, "", "Authorization", header).status; got == 401 {
				t.Errorf("%s with %q: status 401", path, header)
			}
		}
	}
	send(t.Context(), http.MethodPost, url+"/graphql", `{"query":"{organizations{nodes{id}}}"}`, "Authorization", "").want(t, 401, "You must be authenticated")
}

func TestErrorsAreJSONWithARequestOfTheirOwn(t *testing.T) {
	_, _, url, ids := frozen(t, flysim.Options{}, sim.MachineSpec{})
	seen := map[string]bool{}
	for _, test := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/v1/apps/none/machines", "", 404, "app not found"},
		{"GET", "/v1/apps/none", "", 404, "app not found"},
		{"GET", "/v1/apps/web/machines/00000000000000", "", 404, "machine not found"},
		{"GET", "/v1/apps/web/machines/no", "", 400, "invalid machine ID, 'no'"},
		{"POST", "/v1/apps/web/machines", "{", 400, "invalid request body"},
		{"POST", "/v1/apps/web/machines", `{"config":{}}`, 400, "config.image"},
		{"GET", "/v1/apps/web/machines/" + ids[0] + "/lease", "", 404, "lease not found"},
		{"DELETE", "/v1/apps/web/machines/00000000000000/lease", "", 404, "lease not found"},
		{"GET", "/v1/orgs/none/machines", "", 404, "not found"},
		{"GET", "/v1/orgs/acme/machines?cursor=!", "", 400, "invalid cursor"},
		{"GET", "/v1/apps", "", 400, "org_slug"},
		{"POST", "/v1/apps", `{"app_name":"web","org_slug":"acme"}`, 422, `"status":"name_taken"`},
		{"GET", "/v2/other", "", 404, "no such endpoint"},
	} {
		x := send(t.Context(), test.method, url+test.path, test.body)
		x.want(t, test.status, test.text)
		if !json.Valid([]byte(x.body)) {
			t.Errorf("%s %s: %q is not JSON", test.method, test.path, x.body)
		}
		id := x.header.Get("fly-request-id")
		if id == "" || seen[id] {
			t.Errorf("%s %s: fly-request-id %q is empty or was seen before", test.method, test.path, id)
		}
		seen[id] = true
	}
}

func TestHostThatIsNotOKHidesTheConfig(t *testing.T) {
	_, _, url, _ := frozen(t, flysim.Options{}, sim.MachineSpec{HostStatus: scale.HostUnreachable})
	var got []map[string]any
	send(t.Context(), http.MethodGet, url+"/v1/apps/web/machines", "").decode(t, &got)
	if got[0]["config"] != nil || got[0]["host_status"] != "unreachable" || got[0]["incomplete_config"] == nil {
		t.Errorf("got %v, want incomplete_config instead of config", got[0])
	}
	got = nil // decoding would add to the maps
	send(t.Context(), http.MethodGet, url+"/v1/apps/web/machines?summary=true", "").decode(t, &got)
	for _, key := range []string{"config", "incomplete_config", "host_status", "events", "checks", "nonce"} {
		if _, there := got[0][key]; there {
			t.Errorf("a summary has %q", key)
		}
	}
	if _, there := got[0]["cordoned"]; !there {
		t.Error(`no "cordoned"`)
	}
}

func TestPageRows(t *testing.T) {
	_, _, url, _ := frozen(t, flysim.Options{PageRows: 3}, sim.MachineSpec{Count: 7})
	var page orgPage
	send(t.Context(), http.MethodGet, url+"/v1/orgs/acme/machines?limit=1000", "").decode(t, &page)
	if len(page.Machines) != 3 || page.NextCursor == "" {
		t.Errorf("a page of %d rows and next cursor %q, want 3 and one", len(page.Machines), page.NextCursor)
	}
}

type orgPage struct {
	Machines []struct {
		AppName string         `json:"app_name"`
		ID      string         `json:"id"`
		State   string         `json:"state"`
		Region  string         `json:"region"`
		Version string         `json:"version"`
		Config  map[string]any `json:"config"`
	} `json:"machines"`
	NextCursor    string   `json:"next_cursor"`
	LastUpdatedAt string   `json:"last_updated_at"`
	ErrorRegions  []string `json:"error_regions"`
}

func TestOrgList(t *testing.T) {
	w, _, url, ids := frozen(t, flysim.Options{}, sim.MachineSpec{Count: 7, Region: "ams"}, sim.MachineSpec{Count: 3, Region: "fra"})
	list := func(query string) (rows []string, pages int, last orgPage) {
		next := ""
		for {
			var page orgPage
			send(t.Context(), http.MethodGet, url+"/v1/orgs/acme/machines?"+query+next, "").decode(t, &page)
			pages++
			for _, m := range page.Machines {
				rows = append(rows, m.ID)
			}
			if page.NextCursor == "" {
				slices.Sort(rows)
				return rows, pages, page
			}
			next = "&cursor=" + page.NextCursor
		}
	}
	all := slices.Sorted(slices.Values(ids))
	rows, pages, last := list("limit=4")
	if diff := cmp.Diff(all, rows); diff != "" || pages != 3 {
		t.Errorf("%d pages, want 3; rows (-want +got):\n%s", pages, diff)
	}
	if m := last.Machines[0]; m.AppName != "web" || m.Version == "" || m.Config["image"] == nil || m.Config["guest"] == nil || m.Config["services"] != nil {
		t.Errorf("row %+v, want an overview", m)
	}
	watermark := last.LastUpdatedAt

	order(t, w, sim.Fault{Kind: sim.FaultEmptyPage, Op: "org_machine_list"})
	if rows, pages, _ := list("limit=4"); pages != 6 || !slices.Equal(rows, all) {
		t.Errorf("with empty pages: %d pages and rows %v, want 6 and all", pages, rows)
	}
	w.ClearFaults()
	order(t, w, sim.Fault{Kind: sim.FaultShort, Op: "org_machine_list", Count: 1})
	if rows, _, page := list(""); len(rows) == 0 || len(rows) >= 10 || page.ErrorRegions != nil {
		t.Errorf("a short list has %d of 10 rows and error regions %v, want a part and none", len(rows), page.ErrorRegions)
	}

	order(t, w, sim.Fault{Kind: sim.FaultPartial, Org: "acme", Regions: []string{"fra"}, Count: 1})
	if rows, _, page := list("summary=true"); len(rows) != 7 || !slices.Equal(page.ErrorRegions, []string{"fra"}) || page.Machines[0].Config != nil {
		t.Errorf("without a region: %d rows, error regions %v, want 7 and fra", len(rows), page.ErrorRegions)
	}

	w.Advance(w.Now().Add(time.Minute))
	must(t, w.StopMachine(sim.Call{}, "web", ids[0], sim.StopInput{}))
	w.Advance(w.Now().Add(time.Minute))
	if rows, _, _ := list("updated_after=" + watermark); !slices.Equal(rows, ids[:1]) {
		t.Errorf("changed since: got %v, want the one that was stopped", rows)
	}
	order(t, w, sim.Fault{Kind: sim.FaultRepeat, Count: 1})
	if rows, _, _ := list("updated_after=" + watermark); !slices.Equal(rows, []string{ids[0], ids[0]}) {
		t.Errorf("rows that are repeated: got %v, want the changed one twice", rows)
	}
	order(t, w, sim.Fault{Kind: sim.FaultStale, Duration: sim.Duration(90 * time.Second), Count: 1})
	if rows, _, _ := list("updated_after=" + watermark); len(rows) != 0 {
		t.Errorf("a stale list knows %v already", rows)
	}
	order(t, w, sim.Fault{Kind: sim.FaultEmpty, App: "web"})
	var machines []any
	send(t.Context(), http.MethodGet, url+"/v1/apps/web/machines", "").decode(t, &machines)
	if len(machines) != 0 {
		t.Errorf("an empty list has %d rows", len(machines))
	}
}

func TestConfigRoundTripsVerbatim(t *testing.T) {
	_, _, url, _ := frozen(t, flysim.Options{})
	config := `{"image":"registry.fly.io/web:1","zz":{"n":12345678901234567890.10,"s":"<&> \u2028"},"aa":[1,2]}`
	x := send(t.Context(), http.MethodPost, url+"/v1/apps/web/machines", `{"config":`+config+`}`)
	if !strings.Contains(x.body, `"config":`+config) {
		t.Errorf("got %s, want the config as sent: %s", x.body, config)
	}
}

func TestPlatform(t *testing.T) {
	w, _, url, _ := frozen(t, flysim.Options{})
	x := send(t.Context(), http.MethodGet, url+"/v1/platform/regions", "")
	for _, part := range []string{`"Nearest":"iad"`, `"Regions":[{`, `"geo_region":"europe"`, `"deprecated":true`} {
		x.want(t, 200, part)
	}
	must(t, w.SetCapacity(sim.Capacity{Region: "ams", Max: 0}))
	send(t.Context(), http.MethodPost, url+"/v1/platform/placements", `{"org_slug":"acme","region":"ams","count":1}`).want(t, 200, `{"Regions":[]}`)
	send(t.Context(), http.MethodPost, url+"/v1/platform/placements", `{"org_slug":"acme","region":"ams,fra","count":2}`).want(t, 200, `{"Regions":[{"Region":"fra","Count":2,"Concurrency":2}]}`)
	send(t.Context(), http.MethodGet, url+"/v1/tokens/current", "").want(t, 200, `"org_slug":"acme"`)
}

func TestGraphQL(t *testing.T) {
	w, _, url, _ := frozen(t, flysim.Options{}, sim.MachineSpec{})
	_, err := w.PutRelease(sim.Call{}, "web", sim.ReleaseInput{Version: 4, Status: "complete"})
	must(t, err)
	_, err = w.PutRelease(sim.Call{}, "web", sim.ReleaseInput{Version: 5, Status: "running"})
	must(t, err)
	tests := []struct {
		name, query, variables, want string
	}{
		{
			"aliases and one document for several apps",
			`query($a: String!) { one: app(name: $a) { currentRelease: currentReleaseUnprocessed { version status } } two: app(name: "web") { name } }`,
			`{"a":"web","undeclared":1}`,
			`{"data":{"one":{"currentRelease":{"status":"running","version":5}},"two":{"name":"web"}}}`,
		},
		{
			"fragments",
			`query { app(name: "web") { ...f ... on App { deployed } } } fragment f on App { id internalNumericId }`, `{}`,
			`{"data":{"app":{"deployed":true,"id":"web","internalNumericId":20000}}}`,
		},
		{
			"releases of a status that only the variables name",
			`query($appName: String!, $limit: Int!) { app(name: $appName) { releases: releasesUnprocessed(first: $limit) { nodes { version } } } }`,
			`{"appName":"web","limit":25,"status":"complete"}`,
			`{"data":{"app":{"releases":{"nodes":[{"version":4}]}}}}`,
		},
		{
			"numeric ids of orgs are text", `{ organization(slug: "acme") { slug internalNumericId type } }`, `null`,
			`{"data":{"organization":{"internalNumericId":"1000","slug":"acme","type":"SHARED"}}}`,
		},
		{"a machine that is not there", `{ gqlmachine: machine(machineId: "x") { id } }`, `null`, `{"data":{"gqlmachine":null}}`},
		{
			"an app that is not there", `{ app(name: "none") { id } }`, `null`,
			`{"data":{"app":null},"errors":[{"extensions":{"code":"NOT_FOUND"},"message":"Could not find App \"none\"","path":["app"]}]}`,
		},
		{
			"an image without news", `{ latestImageDetails(image: "web:1") { tag } }`, `null`,
			`{"data":{"latestImageDetails":null},"errors":[{"extensions":{"code":"UNPROCESSABLE"},"message":"Unknown repository","path":["latestImageDetails"]}]}`,
		},
		{
			"lists of what nobody has", `{ app(name: "web") { egressIpAddresses { nodes { id } } hostIssues { nodes { message } } role { name } } }`, `null`,
			`{"data":{"app":{"egressIpAddresses":{"nodes":[]},"hostIssues":{"nodes":[]},"role":null}}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body, err := json.Marshal(map[string]any{"query": test.query, "variables": json.RawMessage(test.variables), "operationName": "Unknown"})
			must(t, err)
			x := send(t.Context(), http.MethodPost, url+"/graphql", string(body))
			if x.status != 200 {
				t.Fatalf("status %d", x.status)
			}
			if diff := cmp.Diff(test.want, strings.TrimSpace(x.body)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
	send(t.Context(), http.MethodPost, url+"/graphql", `{"query":"{"}`).want(t, 200, "Parse error")
	order(t, w, sim.Fault{Kind: sim.FaultError, Op: "graphql", App: "web", Status: 503, Count: 1})
	send(t.Context(), http.MethodPost, url+"/graphql", `{"query":"query($appName:String!){app(name:$appName){id}}","variables":{"appName":"web"}}`).want(t, 503, `"errors":[`)
}

func TestReleasesOfTheThirdSurface(t *testing.T) {
	_, _, url, _ := frozen(t, flysim.Options{})
	send(t.Context(), http.MethodGet, url+"/api/v1/apps/web/releases/current", "").want(t, 404, "release not found")
	var made struct{ Release struct{ ID, Status string } }
	send(t.Context(), http.MethodPost, url+"/api/v1/releases", `{"app_name":"web","image":"web:2","definition":{"app":"web"}}`).decode(t, &made)
	send(t.Context(), http.MethodGet, url+"/api/v1/apps/web/releases/current", "").want(t, 200, `"in_progress":true`)
	send(t.Context(), http.MethodPatch, url+"/api/v1/releases/"+made.Release.ID, `{"status":"complete"}`).want(t, 200, `"stable":true`)
	send(t.Context(), http.MethodGet, url+"/api/v1/apps/web/releases?limit=5", "").want(t, 200, `"version":1`)
	send(t.Context(), http.MethodPost, url+"/graphql", `{"query":"{app(name:\"web\"){currentReleaseUnprocessed{configDefinition}}}"}`).want(t, 200, `{"configDefinition":{"app":"web"}}`)
}

func TestVolumesOverTheWire(t *testing.T) {
	_, _, url, _ := frozen(t, flysim.Options{})
	var volume struct {
		ID       string  `json:"id"`
		Attached *string `json:"attached_machine_id"`
	}
	send(t.Context(), http.MethodPost, url+"/v1/apps/web/volumes", `{"name":"data","region":"ams","size_gb":null}`).decode(t, &volume)
	one := url + "/v1/apps/web/volumes/" + volume.ID
	var m struct{ ID string }
	send(t.Context(), http.MethodPost, url+"/v1/apps/web/machines", `{"config":{"image":"a:1","mounts":[{"volume":"`+volume.ID+`","path":"/d"}]}}`).decode(t, &m)
	send(t.Context(), http.MethodGet, one, "").decode(t, &volume)
	if volume.Attached == nil || *volume.Attached != m.ID {
		t.Errorf("attached to %v, want %s", volume.Attached, m.ID)
	}
	send(t.Context(), http.MethodPut, one+"/extend", `{"size_gb":10}`).want(t, 200, `"size_gb":10`)
	send(t.Context(), http.MethodGet, url+"/v1/orgs/acme/volumes", "").want(t, 200, `"app_name":"web"`)
	send(t.Context(), http.MethodGet, one+"/snapshots", "").want(t, 200, `[]`)
	send(t.Context(), http.MethodDelete, one, "").want(t, 412, "bound to machine")
}

func TestAdministration(t *testing.T) {
	w, h, url, _ := frozen(t, flysim.Options{Latency: time.Hour, Tokens: []string{"none"}})
	admin := func(method, path, body string) exchange {
		t.Helper()
		return send(t.Context(), method, url+"/_sim/"+path, body, "Authorization", "")
	}
	var made []struct {
		App      string
		Machines []string
	}
	admin("POST", "apps", `[{"org":"big","app":"shop","count":2,"release":{"version":7},
		"machines":[{"count":2,"region":"fra","state":"stopped","group":"worker","metadata":{"a":"b"}},{"config":{"image":"x:1","big":123456789012345678901},"cordoned":true}]}]`).decode(t, &made)
	if len(made) != 2 || made[1].App != "shop-2" || len(made[1].Machines) != 3 {
		t.Fatalf("made %+v, want shop-1 and shop-2 with three machines each", made)
	}
	m, err := w.Machine("shop-2", made[1].Machines[2])
	must(t, err)
	if !strings.Contains(string(m.Config), "123456789012345678901") || !m.Cordoned {
		t.Errorf("machine %+v: config or cordon lost", m)
	}

	admin("POST", "faults", `{"kind":"cut","op":"machine_*","probability":0.5,"for":"1m"}`).want(t, 200, `"id":"fault-1"`)
	admin("GET", "faults", "").want(t, 200, `"for":"1m0s"`)
	admin("DELETE", "faults/fault-9", "").want(t, 404, "fault-9")
	admin("DELETE", "faults/fault-1", "").want(t, 204, "")
	admin("POST", "faults", `{"kind":"cut","typo":1}`).want(t, 400, "typo")
	admin("POST", "faults", `{"kind":"odd"}`).want(t, 400, "odd")
	admin("DELETE", "faults", "").want(t, 204, "")

	admin("POST", "capacity", `{"region":"fra","max":4,"status":409,"starts":true}`).want(t, 204, "")
	admin("GET", "capacity", "").want(t, 200, `{"region":"fra","machines":4,"running":0}`)
	admin("POST", "capacity", `{"region":"xyz","max":4}`).want(t, 404, "xyz")
	admin("POST", "hosts", `{"app":"shop-1","status":"unknown"}`).want(t, 200, `{"machines":3}`)
	admin("POST", "release", `{"app":"shop-1","status":"running"}`).want(t, 200, `"Version":7`)
	admin("POST", "release", `{"app":"shop-1","new":true}`).want(t, 200, `"Version":8`)

	var world struct {
		Seed uint64
		Apps []sim.AppSummary
	}
	admin("GET", "world?app=shop-1", "").decode(t, &world)
	if world.Seed != 1 || len(world.Apps) != 1 || world.Apps[0].Machines[0].HostStatus != scale.HostUnknown || world.Apps[0].Machines[0].Group != "worker" {
		t.Errorf("world: got %+v", world)
	}

	must(t, w.StopMachine(sim.Call{Request: "r"}, "shop-2", made[1].Machines[2], sim.StopInput{}))
	admin("GET", "history", "").want(t, 200, `"op":"machine_stop","org":"big","app":"shop-2","machine":"`+made[1].Machines[2])
	send(t.Context(), http.MethodGet, url+"/v1/apps/web", "") // refused: its token is not the one
	admin("GET", "stats", "").want(t, 200, `"statuses":{"app_get":{"401":1}}`)
	admin("POST", "reset", "").want(t, 204, "")
	if got := h.Stats(); got.Total != 0 || len(maps.Collect(maps.All(got.Ops))) != 0 {
		t.Errorf("stats after the reset: %+v", got)
	}
	admin("GET", "history", "").want(t, 200, `{"dropped":0,"entries":[]}`)
	admin("POST", "apps", `{"app":"x","machines":[{"region":"xyz"}]}`).want(t, 400, "xyz")
}

func TestScenario(t *testing.T) {
	text := `
seed: 9
latency: 30ms
rate-limits: false
page-rows: 5
speed: 4
timings: {boot: {min: 10s, max: 10s}, prepare: {min: 0s, max: 0s}}
orgs: [{slug: acme, name: Acme Inc., personal: true}]
apps:
  - {app: shop, org: acme, count: 2, machines: [{count: 2, region: ams}, {state: stopped, config: {image: "a:1", env: {A: "1"}}}]}
capacity: [{region: ams, max: 4}]
faults: [{kind: slow, duration: 1s, op: app_get}]
`
	s, err := flysim.ParseScenario([]byte(text))
	must(t, err)
	w, err := s.World(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), nil)
	must(t, err)
	if opts := s.Options(); opts.Latency != 30*time.Millisecond || opts.RateLimits || opts.Speed != 4 || opts.PageRows != 5 {
		t.Errorf("options: got %+v", opts)
	}
	if summary := w.Summary(""); len(summary) != 2 || summary[1].App != "shop-2" || len(summary[1].Machines) != 3 || w.Seed() != 9 {
		t.Errorf("world: seed %d, apps %+v", w.Seed(), summary)
	}
	if _, err := w.Org("personal"); err != nil {
		t.Errorf("personal org: %v", err)
	}
	id, err := w.Machine("shop-1", w.Summary("shop-1")[0].Machines[2].ID)
	must(t, err)
	if !bytes.Contains(id.Config, []byte(`"env":{"A":"1"}`)) {
		t.Errorf("config: got %s", id.Config)
	}
	_, _, err = w.CreateMachine(sim.Call{}, "shop-1", sim.MachineInput{Region: "ams", Config: []byte(`{"image":"a:1"}`)})
	if err == nil {
		t.Error("created a machine in a region that is full")
	}
	m, _, err := w.CreateMachine(sim.Call{}, "shop-1", sim.MachineInput{Region: "fra", Config: []byte(`{"image":"a:1"}`)})
	must(t, err)
	w.Advance(w.Now().Add(10 * time.Second))
	if got, err := w.Machine("shop-1", m.ID); err != nil || got.State != scale.StateStarted {
		t.Errorf("after the boot that the scenario sets: %v, %v, want started", got.State, err)
	}

	for _, bad := range []string{
		"apps: [{org: x}]", "apps: [{app: web, machine: []}]", "apps: [{app: web, machines: [{regoin: ams}]}]", "speed: -1", "page-rows: -1",
		"latency: fast", "apps: [{app: web, count: -1}]", "apps: [{app: web, load: [{queue: {}}]}]", "faults: [{kond: cut}]",
	} {
		if _, err := flysim.ParseScenario([]byte(bad)); err == nil {
			t.Errorf("read %q, want an error", bad)
		}
	}
	for _, bad := range []string{"faults: [{kind: odd}]", "apps: [{app: web, machines: [{region: xyz}]}]", "capacity: [{region: xyz, max: 1}]", "apps: [{app: UPPER}]"} {
		s, err := flysim.ParseScenario([]byte(bad))
		must(t, err)
		if _, err := s.World(time.Time{}, nil); err == nil {
			t.Errorf("made a world of %q, want an error", bad)
		}
	}
}

func TestServerEndsHangingRequests(t *testing.T) {
	w := sim.New(sim.Config{})
	_, err := w.AddApp(sim.Call{}, sim.AppSpec{Org: "acme", App: "web"})
	must(t, err)
	s, err := flysim.Start(t.Context(), "127.0.0.1:0", w, flysim.Options{})
	must(t, err)
	order(t, w, sim.Fault{Kind: sim.FaultHang})
	gone := make(chan exchange)
	go func() { gone <- send(t.Context(), http.MethodGet, s.URL()+"/v1/apps/web/machines", "") }()
	until(t, func() bool { return w.Faults()[0].Struck == 1 })
	must(t, s.Close())
	<-gone
}

func TestServerKeepsTimeGoing(t *testing.T) {
	s, _ := start(t, flysim.Options{Speed: 50})
	w := s.Handler.World()
	m, _, err := w.CreateMachine(sim.Call{}, "web", sim.MachineInput{Config: []byte(`{"image":"a:1"}`)})
	must(t, err)
	until(t, func() bool {
		got, err := w.Machine("web", m.ID)
		return err == nil && got.State == scale.StateStarted
	})
}
