package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// Of sixty apps the list of one fails for ever, every call about another hangs, and
// the data of a third make the metrics server refuse the query for all, and never
// answer about that app alone. The others get what they want within an interval
// and a few seconds, and the three are named with what is wrong with them.
func TestThreeInTroubleAmongSixty(t *testing.T) {
	t.Parallel()
	const apps, interval = 60, 2 * time.Second
	const fails, hangs, spoils = "tenant-7", "tenant-23", "tenant-42"
	p := newPlatform(t, timings+fmt.Sprintf(`
apps:
  - app: tenant
    count: %d
    org: acme
    release: {version: 3, status: complete}
    machines:
      - {count: 1, region: iad, state: started, group: app}
      - {count: 1, region: iad, state: stopped, group: app}
    load:
      - gauge: {metric: depth, value: 10}
      - gauge: {metric: size, value: 10}
`, apps))
	s := serve(t, p.env(
		"FAS_INTERVAL="+interval.String(), "FAS_TIMEOUT=4s",
		"FAS_APP_NAME=tenant-*", "FAS_ORG=acme", "FAS_API_TOKEN=token",
		"FAS_PROMETHEUS_ADDRESS="+p.prometheus("acme"), "FAS_PROMETHEUS_METRIC_NAME=load",
		`FAS_PROMETHEUS_QUERY=depth{app="$APP_NAME"} / on () size{app="$APP_NAME"}`, "FAS_STARTED_MACHINE_COUNT=load",
	))
	s.ready(t)
	s.morePasses(t, apps)

	p.post(t, "/_sim/gauge", map[string]any{"org": "acme", "app": spoils, "metric": "size", "labels": map[string]string{"part": "x"}, "value": 5})
	p.faults(t,
		sim.Fault{Kind: sim.FaultError, Op: "machine_list", App: fails, Status: http.StatusInternalServerError},
		sim.Fault{Kind: sim.FaultHang, Op: "machine_*", App: hangs},
	)
	alone := p.fault(t, sim.Fault{Kind: sim.FaultHang, Op: "prometheus_query", App: spoils})
	eventually(t, 10*time.Second, "the app that spoils the query is asked for by itself", func() bool { return p.struck(alone) > 0 })
	well := func(name string) bool { return name != fails && name != hangs && name != spoils }
	for i := range apps {
		p.gauge(t, "acme", fmt.Sprint("tenant-", i+1), "depth", 20)
	}
	began := time.Now()
	eventually(t, interval+6*time.Second, "57 apps have two Machines started", func() bool {
		n := 0
		for _, a := range p.world.Summary("") {
			started := 0
			for _, m := range a.Machines {
				if m.State == scale.StateStarted {
					started++
				}
			}
			if well(string(a.App)) && started == 2 {
				n++
			}
		}
		return n == apps-3
	})
	t.Logf("57 apps have what they want %s after they wanted it", time.Since(began).Round(time.Millisecond))
	for _, app := range []string{fails, hangs, spoils} {
		if did := p.did(app, changes()...); len(did) > 0 {
			t.Errorf("%s is in trouble, and yet: %+v", app, did)
		}
	}

	// What is wrong is told of the three, and of nobody else.
	reasons := map[string]string{fails: "500", hangs: "deadline exceeded", spoils: "no answer within"}
	eventually(t, 10*time.Second, "the three are told of with what is wrong with them", func() bool {
		told := s.told(t)
		for app, reason := range reasons {
			if !strings.Contains(told[app], reason) {
				return false
			}
		}
		return true
	})
	for app, text := range s.told(t) {
		if well(app) && (strings.Contains(text, `"error"`) || strings.Contains(text, "unknown")) {
			t.Errorf("%s is well, and yet: %s", app, text)
		}
	}
	if log := s.log.String(); !strings.Contains(log, "app is asked for by itself") || !strings.Contains(log, "app="+spoils+" ") {
		t.Errorf("the log does not name %s", spoils)
	}
}

// told returns what the program tells of each target.
func (p *process) told(t *testing.T) map[string]string {
	t.Helper()
	var body struct {
		Targets []json.RawMessage `json:"targets"`
	}
	if err := json.Unmarshal([]byte(get(t, p.address+"/api/v1/targets")), &body); err != nil {
		t.Fatal(err)
	}
	told := make(map[string]string, len(body.Targets))
	for _, target := range body.Targets {
		var name struct {
			App string `json:"app"`
		}
		if err := json.Unmarshal(target, &name); err != nil {
			t.Fatal(err)
		}
		told[name.App] = string(target)
	}
	return told
}
