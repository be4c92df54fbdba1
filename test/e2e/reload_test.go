package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Settings that change are taken over while the program runs; bad ones change
// nothing, and the program says what is wrong with them and goes on.
func TestReload(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, briskly+`
apps:
  - {app: web, org: acme, machines: [{count: 10, region: iad, state: stopped, group: app}]}
  - {app: other, org: acme, machines: [{count: 4, region: iad, state: stopped, group: app}]}
`)
	p.gauge(t, "acme", "web", "depth", 20)
	file := filepath.Join(t.TempDir(), "settings.yml")
	write := func(text string) {
		t.Helper()
		// As an editor does: a whole file in the place of another.
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	good := func(per string) string {
		return `app-name: web
api-token: ` + deployToken + `
timeout: 10s
started-machine-count: ceil(depth / ` + per + `)
metric-collectors:
  - {type: prometheus, metric-name: depth, address: "` + p.prometheus("acme") + `", query: "max(depth{app='$APP_NAME'})"}
`
	}
	write(good("10"))
	fas := serve(t, p.env(), "-config", file)
	started := func(app string, n int) func() bool {
		return func() bool { return p.count(t, app, "app", scale.StateStarted) == n }
	}
	eventually(t, 10*time.Second, "2 of web", started("web", 2))
	write(good("5"))
	eventually(t, 10*time.Second, "4 of web by the new rule", started("web", 4))

	hangUp := func() {
		t.Helper()
		if err := fas.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	for i, bad := range []struct{ text, want string }{
		{strings.Replace(good("4"), "app-name", "app-nam", 1), `:1:1: app-nam: unknown key, did you mean \"app-name\"?`},
		{strings.Replace(good("4"), "timeout: 10s", "timeout: 10", 1), `:3:10: timeout: `},
		{strings.Replace(good("4"), "depth / 4", "dept / 4", 1), `:4:29: started-machine-count: unknown name`},
		{strings.Replace(good("4"), "ceil(depth / 4)", "ceil(depth / 4", 1), `:4:`},
		{strings.Replace(good("4"), "type: prometheus", "type: prometeus", 1), `:6:12: metric-collectors[0].type: `},
		{strings.Replace(good("4"), "query: \"max(depth{app='$APP_NAME'})\"", "", 1), `metric-collectors[0]: query is required`},
		{strings.Replace(good("4"), "started-machine-count", "created-machine", 1), `:4:1: created-machine: unknown key`},
		{good("4") + "dry-run: perhaps\n", `:7:10: dry-run: `},
		{good("4") + "  x: [\n", `:7:`},
		{good("4") + "targets:\n- {app-name: other}\n", `targets[0]: there is no count`},
		{"", `:1:1: there is no app to scale`},
		{strings.Replace(good("4"), "api-token: "+deployToken, "", 1), "no API token"},
	} {
		write(bad.text)
		hangUp() // not to wait for the next look
		eventually(t, 10*time.Second, "the log tells: "+bad.want, func() bool {
			return strings.Count(fas.log.String(), "settings not taken over") == i+1
		})
		lines := strings.Split(strings.TrimSpace(fas.log.String()), "\n")
		told := ""
		for _, line := range lines {
			if strings.Contains(line, "settings not taken over") {
				told = line
			}
		}
		if !strings.Contains(told, bad.want) {
			t.Errorf("bad file %d: the log tells\n%s\nwant %s", i, told, bad.want)
		}
		if status, text := getStatus(t, fas.address+"/readyz?verbose"); status != 200 || !strings.Contains(text, "the settings in force are not the newest: ") {
			t.Errorf("bad file %d: /readyz?verbose tells %d %s", i, status, text)
		}
	}
	if ok := fas.metric(t, "fas_config_reload_ok"); ok != 0 {
		t.Errorf("fas_config_reload_ok %v, want 0", ok)
	}
	p.gauge(t, "acme", "web", "depth", 30)
	eventually(t, 10*time.Second, "6 of web by the rule before", started("web", 6))

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the log tells that there is no file", func() bool {
		return strings.Contains(fas.log.String(), "read the configuration")
	})
	write(good("3"))
	eventually(t, 10*time.Second, "10 of web by the newest rule", started("web", 10))
	if ok := fas.metric(t, "fas_config_reload_ok"); ok != 1 {
		t.Errorf("fas_config_reload_ok %v, want 1", ok)
	}
	taken := strings.Count(fas.log.String(), "settings taken over")
	hangUp()
	eventually(t, 10*time.Second, "SIGHUP has the settings taken over", func() bool {
		return strings.Count(fas.log.String(), "settings taken over") == taken+1
	})
}
