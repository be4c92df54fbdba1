package docs_test

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// trouble is how a message of docs/troubleshooting.md comes about.
type trouble struct {
	order   [][2]string // what is posted to the administration of the platform before
	env     []string    // beside that of usual; NAME= removes
	command string      // default plan
	args    []string
	again   string // serve is left to run until it logs the message, ordering this once it is ready
}

// usual is what the trouble befalls.
var usual = []string{
	"FAS_APP_NAME=my-app", "FAS_STARTED_MACHINE_COUNT=ceil(queue_depth / 10)", "FAS_API_TOKEN=FlyV1 simulated",
	"FAS_PROMETHEUS_METRIC_NAME=queue_depth", "FAS_PROMETHEUS_QUERY=sum(queue_depth{app='$APP_NAME'})", "FAS_LISTEN=127.0.0.1:0",
}

func fault(body string) [][2]string { return [][2]string{{"faults", body}} }

// releases are two Machines of different releases.
const releases = `{"org": "my-org", "app": "mixed", "machines": [
	{"region": "iad", "metadata": {"fly_release_version": "3"}}, {"region": "iad", "metadata": {"fly_release_version": "4"}}]}`

// mounted are two Machines with volumes.
const mounted = `{"org": "my-org", "app": "data", "machines": [
	{"region": "iad", "count": 2, "config": {"image": "x", "mounts": [{"path": "/data", "volume": ""}]}}]}`

var troubles = map[string]trouble{
	"unknown-variable": {env: []string{"FAS_STARTED_MACHINE_COUN=1"}},
	"unknown-name":     {env: []string{"FAS_STARTED_MACHINE_COUNT=ceil(queue_dept / 10)"}},
	"no-app":           {env: []string{"FAS_APP_NAME=", "FAS_STARTED_MACHINE_COUNT="}},
	"exclusive":        {env: []string{"FAS_MIN_STARTED_MACHINE_COUNT=1"}},
	"address-in-use":   {command: "serve", env: []string{"FAS_LISTEN=TAKEN"}},

	"no-token":    {command: "serve", env: []string{"FAS_API_TOKEN="}},
	"bad-token":   {order: fault(`{"kind": "error", "op": "machine_list", "status": 401}`)},
	"no-such-app": {env: []string{"FAS_APP_NAME=nope"}},
	"no-match":    {env: []string{"FAS_APP_NAME=nope-*", "FAS_ORG=my-org"}},
	"no-such-org": {env: []string{"FAS_APP_NAME=my-*", "FAS_ORG=other"}},

	"metric-empty":         {order: fault(`{"kind": "empty", "op": "prometheus_query"}`)},
	"metric-holds":         {order: fault(`{"kind": "empty", "op": "prometheus_query"}`)},
	"no-value":             {order: fault(`{"kind": "empty", "op": "prometheus_query"}`)},
	"metric-several":       {env: []string{"FAS_PROMETHEUS_QUERY=queue_depth{app=~'customer-.*'}"}},
	"metric-nan":           {order: fault(`{"kind": "nan", "op": "prometheus_query"}`)},
	"metric-refused":       {order: fault(`{"kind": "error", "op": "prometheus_query", "status": 401}`)},
	"metric-no-credential": {command: "eval", env: []string{"FAS_API_TOKEN="}},
	"metric-query":         {env: []string{"FAS_PROMETHEUS_QUERY=sum(queue_depth"}},
	"metric-no-api":        {order: fault(`{"kind": "garbage", "op": "prometheus_query"}`)},
	"metric-silent":        {order: fault(`{"kind": "hang", "op": "prometheus_query"}`), env: []string{"FAS_TIMEOUT=1s"}},
	"metric-unreachable":   {env: []string{"FAS_PROMETHEUS_ADDRESS=http://CLOSED"}},

	"nothing-to-clone": {
		order: [][2]string{{"apps", `{"org": "my-org", "app": "empty"}`}},
		env:   []string{"FAS_APP_NAME=empty", "FAS_STARTED_MACHINE_COUNT=", "FAS_CREATED_MACHINE_COUNT=2"},
	},
	"only-so-many": {env: []string{"FAS_STARTED_MACHINE_COUNT=9"}},
	"capacity": {
		command: "once", env: []string{"FAS_CREATED_MACHINE_COUNT=6"},
		order: [][2]string{{"capacity", `{"region": "iad", "max": 0}`}, {"capacity", `{"region": "fra", "max": 0}`}},
	},
	"create-back-off": {
		command: "serve", env: []string{"FAS_CREATED_MACHINE_COUNT=6", "FAS_STARTED_MACHINE_COUNT=", "FAS_INTERVAL=100ms", "FAS_LOG_LEVEL=debug"},
		order: [][2]string{{"capacity", `{"region": "iad", "max": 0}`}, {"capacity", `{"region": "fra", "max": 0}`}},
	},

	"release-running": {order: [][2]string{{"release", `{"app": "my-app", "status": "running", "new": true}`}}},
	"leased":          {order: [][2]string{{"LEASE", "my-app"}}},
	"mixed-releases":  {order: [][2]string{{"apps", releases}}, env: []string{"FAS_APP_NAME=mixed", "FAS_STARTED_MACHINE_COUNT=1"}},
	"release-unknown": {order: fault(`{"kind": "error", "op": "graphql", "status": 503}`), env: []string{"FAS_STARTED_MACHINE_COUNT=1"}},
	"incomplete": {
		command: "serve", env: []string{"FAS_STARTED_MACHINE_COUNT=1", "FAS_INTERVAL=100ms", "FAS_DRY_RUN=true"},
		again: `[{"kind": "partial", "op": "machine_list", "regions": ["fra"], "count": 1}]`,
	},
	"last-machine": {env: []string{"FAS_STARTED_MACHINE_COUNT=", "FAS_CREATED_MACHINE_COUNT=0"}},
	"volumes": {
		order: [][2]string{{"apps", mounted}},
		env:   []string{"FAS_APP_NAME=data", "FAS_STARTED_MACHINE_COUNT=", "FAS_CREATED_MACHINE_COUNT=1"},
	},

	"rate-limited":    {order: fault(`{"kind": "error", "op": "machine_list", "status": 429}`)},
	"outcome-unknown": {command: "once", order: fault(`{"kind": "error", "op": "machine_stop", "status": 502}`), env: []string{"FAS_STARTED_MACHINE_COUNT=1"}},
	"answer-lost": {
		command: "once", env: []string{"FAS_CREATED_MACHINE_COUNT=5"},
		order: fault(`{"kind": "error", "op": "machine_create", "status": 502, "applied": true, "count": 1}`),
	},
	"forbidden": {
		command: "once", env: []string{"FAS_CREATED_MACHINE_COUNT=6"},
		order: fault(`{"kind": "error", "op": "machine_create", "status": 403}`),
	},
}

// TestMessages brings about every trouble that the documents explain, and looks
// for the message in what the program prints.
func TestMessages(t *testing.T) {
	seen := map[string]bool{}
	for _, file := range documents(t) {
		for _, b := range blocks(t, file) {
			name, ok := strings.CutPrefix(b.tag, "text message ")
			if !ok {
				continue
			}
			seen[name] = true
			trouble, ok := troubles[name]
			if !ok {
				t.Errorf("%s:%d: no test provokes %s", b.file, b.line, name)
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				message := regexp.QuoteMeta(normalize(b.text))
				trouble.provoke(t, regexp.MustCompile(strings.ReplaceAll(message, "…", `[^\n]*`)))
			})
		}
	}
	for name := range troubles {
		if !seen[name] {
			t.Errorf("%s is provoked, and no document tells of it", name)
		}
	}
}

// provoke runs the program into the trouble until it has printed the message.
func (tr trouble) provoke(t *testing.T, message *regexp.Regexp) {
	t.Helper()
	p := newWorld(t)
	for _, o := range tr.order {
		if o[0] == "LEASE" {
			takeLease(t, p, o[1])
			continue
		}
		order(t, p, o[0], o[1])
	}
	command := tr.command
	if command == "" {
		command = "plan"
	}
	ctx, cancel := context.WithTimeout(t.Context(), longestCommand)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "fly-autoscaler"), append([]string{command}, tr.args...)...)
	cmd.Env = tr.environ(t, p)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out := &watched{found: func(text string) bool {
		return message.MatchString(normalize(strings.ReplaceAll(text, `\"`, `"`)))
	}, ready: make(chan struct{}), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // most of these commands fail, that is the point
	}()
	if tr.again != "" {
		select {
		case <-out.ready:
			order(t, p, "faults", tr.again)
		case <-ended:
		}
	}
	select {
	case <-out.done:
		cancel()
		<-ended
	case <-ended:
	}
	select {
	case <-out.done:
	default:
		t.Errorf("no %q in\n%s", message, out.text.String())
	}
}

func (tr trouble) environ(t *testing.T, p *flysim.Server) []string {
	t.Helper()
	values := map[string]string{}
	for _, list := range [][]string{usual, {
		"FLY_FLAPS_BASE_URL=" + p.URL(), "FLY_API_BASE_URL=" + p.URL(), "FAS_PROMETHEUS_ADDRESS=" + p.URL() + "/prometheus/my-org",
	}, tr.env} {
		for _, variable := range list {
			name, value, _ := strings.Cut(variable, "=")
			values[name] = value
		}
	}
	var out []string
	for name, value := range values {
		if strings.Contains(value, "TAKEN") || strings.Contains(value, "CLOSED") {
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := listener.Addr().String()
			if strings.Contains(value, "CLOSED") {
				_ = listener.Close()
			} else {
				t.Cleanup(func() { _ = listener.Close() })
			}
			value = strings.NewReplacer("TAKEN", address, "CLOSED", address).Replace(value)
		}
		if value != "" {
			out = append(out, name+"="+value)
		}
	}
	return out
}

// takeLease has somebody else lease a Machine of the app.
func takeLease(t *testing.T, p *flysim.Server, app string) {
	t.Helper()
	sh := newShell(t, p.URL())
	out, status := sh.run(t, `
url=https://api.fly.io/v1/apps/`+app+`/machines
id=$(curl -sS -H 'Authorization: Bearer x' $url | grep -o '"id":"[0-9a-f]*"' | head -n 1 | cut -d '"' -f 4)
curl -sS -f -X POST -H 'Authorization: Bearer x' -d '{"ttl": 60, "description": "by hand"}' $url/$id/lease`)
	if status != 0 {
		t.Fatalf("take a lease: %s", out)
	}
}

// watched keeps what a program prints, and tells when it is ready and when
// something was found.
type watched struct {
	text        bytes.Buffer
	found       func(string) bool
	ready, done chan struct{}
	isReady     bool
	isDone      bool
}

// Write implements io.Writer. One goroutine calls it, that of the command.
func (w *watched) Write(p []byte) (int, error) {
	w.text.Write(p)
	text := w.text.String()
	if !w.isReady && strings.Contains(text, "msg=ready") {
		w.isReady = true
		close(w.ready)
	}
	if !w.isDone && w.found(text) {
		w.isDone = true
		close(w.done)
	}
	return len(p), nil
}
