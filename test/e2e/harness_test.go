package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// program is the path of the real binary, built once with the race detector.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for other processes most of the time, so that more of them fit
	// on a machine than it has processors. What the command line says goes before.
	if set := flag.Lookup("test.parallel"); set.Value.String() == set.DefValue {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "fly-autoscaler-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "fly-autoscaler")
		build := exec.Command("go", "build", "-race", "-o", program, "../../cmd/fly-autoscaler")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
			return 1
		}
		// The tests wait for other processes nearly all of their time, so that more
		// of them than there are processors can run side by side.
		flag.Parse()
		asked := false
		flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
		if !asked {
			if err := flag.Set("test.parallel", "16"); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return m.Run()
	}())
}

// platform is a simulated Fly.io that the test looks into directly.
type platform struct {
	*flysim.Server
	world *sim.World
}

// newPlatform serves the scenario until the test ends.
func newPlatform(t *testing.T, scenario string) *platform {
	t.Helper()
	s, err := flysim.ParseScenario([]byte(scenario))
	if err != nil {
		t.Fatal(err)
	}
	s.Metrics.Interval = time.Second
	world, err := s.World(time.Now().Truncate(time.Second), nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := flysim.Start(t.Context(), "127.0.0.1:0", world, s.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close the platform: %v", err)
		}
	})
	return &platform{Server: server, world: world}
}

// prometheus is the address of the organization's managed metrics.
func (p *platform) prometheus(org string) string { return p.URL() + "/prometheus/" + org }

// fault orders trouble and returns its identifier.
func (p *platform) fault(t *testing.T, f sim.Fault) string {
	t.Helper()
	ordered, err := p.world.OrderFault(f)
	if err != nil {
		t.Fatal(err)
	}
	return ordered.ID
}

// gauge sets a metric of an app by hand.
func (p *platform) gauge(t *testing.T, org, app, metric string, value any) {
	t.Helper()
	p.post(t, "/_sim/gauge", map[string]any{"org": org, "app": app, "metric": metric, "value": value})
}

func (p *platform) post(t *testing.T, path string, body any) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("POST %s: %s: %s", path, resp.Status, text)
	}
}

// machines returns the app's Machines that are not destroyed.
func (p *platform) machines(t *testing.T, app string) []sim.MachineSummary {
	t.Helper()
	for _, a := range p.world.Summary(app) {
		return slices.DeleteFunc(a.Machines, func(m sim.MachineSummary) bool {
			return m.State == scale.StateDestroyed || m.State == scale.StateDestroying
		})
	}
	t.Fatalf("the platform has no app %q", app)
	return nil
}

// count returns how many Machines of the app's group are in one of the states;
// all that exist when none is given.
func (p *platform) count(t *testing.T, app, group string, states ...scale.State) int {
	t.Helper()
	n := 0
	for _, m := range p.machines(t, app) {
		if (group == "" || string(m.Group) == group) && (len(states) == 0 || slices.Contains(states, m.State)) {
			n++
		}
	}
	return n
}

// did returns the effective changes of the app with one of the operations.
func (p *platform) did(app string, ops ...string) []sim.Mutation {
	entries, _ := p.world.History()
	return slices.DeleteFunc(entries, func(m sim.Mutation) bool {
		return m.App != app || len(ops) > 0 && !slices.Contains(ops, m.Op)
	})
}

// requests returns how many requests were made for the operation; for all when
// it is empty.
func (p *platform) requests(t *testing.T, op string) int {
	t.Helper()
	var stats struct {
		Total int            `json:"total"`
		Ops   map[string]int `json:"ops"`
	}
	p.getJSON(t, p.URL()+"/_sim/stats", &stats)
	if op == "" {
		return stats.Total
	}
	return stats.Ops[op]
}

func (p *platform) getJSON(t *testing.T, url string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(get(t, url)), into); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
}

// get returns the body of a GET that answers 200.
func get(t *testing.T, url string) string {
	t.Helper()
	status, body := getStatus(t, url)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d: %s", url, status, body)
	}
	return body
}

func getStatus(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// env is the environment of a process that uses the platform. It is all that the
// process sees; more overrides it.
func (p *platform) env(more ...string) []string {
	return append([]string{
		"HOME=/nonexistent", "FLY_FLAPS_BASE_URL=" + p.URL(), "FLY_API_BASE_URL=" + p.URL(),
		"FAS_LISTEN=127.0.0.1:0", "FAS_INTERVAL=1s",
		// The race detector's own pause at the end of a process tells nothing here.
		"GORACE=atexit_sleep_ms=0",
	}, more...)
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// run runs a command to its end.
func run(t *testing.T, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %v: %v", args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// process is a running "serve".
type process struct {
	cmd     *exec.Cmd
	log     *buffer
	exited  chan struct{}
	address string // of its HTTP face
}

// buffer collects output that is read while it grows.
type buffer struct {
	mu   sync.Mutex
	data []byte
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	return len(p), nil
}

// String returns what was written so far.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}

var serving = regexp.MustCompile(`msg=serving address=(\S+)`)

// serve starts "serve" and waits until it answers. When the test ends it is told
// to end, and must do so in time and without an error.
func serve(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return startWith(t, env, nil, args...)
}

// startWith is serve with a change to how the process is started.
func startWith(t *testing.T, env []string, change func(*exec.Cmd), args ...string) *process {
	t.Helper()
	p := startProcess(t, env, change, args...)
	t.Cleanup(func() {
		if p.running() {
			p.stop(t)
		}
		if t.Failed() {
			t.Logf("log of the program:\n%s", p.log)
		}
		if strings.Contains(p.log.String(), "DATA RACE") {
			t.Errorf("data race in the program:\n%s", p.log)
		}
	})
	eventually(t, 20*time.Second, "the program says where it serves", func() bool {
		match := serving.FindStringSubmatch(p.log.String())
		if match == nil {
			if !p.running() {
				t.Fatalf("the program ended:\n%s", p.log)
			}
			return false
		}
		p.address = "http://" + match[1]
		return true
	})
	return p
}

// start starts "serve" and returns at once.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return startProcess(t, env, nil, args...)
}

func startProcess(t *testing.T, env []string, change func(*exec.Cmd), args ...string) *process {
	t.Helper()
	p := &process{log: &buffer{}, exited: make(chan struct{})}
	p.cmd = exec.Command(program, append([]string{"serve"}, args...)...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, p.log, p.log
	if change != nil {
		change(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		if p.running() {
			p.kill()
		}
	})
	return p
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill ends the process as an out-of-memory killer does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended
	<-p.exited
}

// stopWithin is what the platform gives a process between the signal and the
// kill, and what the program promises to need at most.
const stopWithin = 10 * time.Second

// stop tells the process to end, as the platform does, and fails the test unless
// it ends in time and with success.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(stopWithin):
		p.kill()
		t.Fatalf("not ended %s after SIGTERM", stopWithin)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d after SIGTERM, want 0", code)
	}
}

// cpu is the processor time the process has used; it must have ended.
func (p *process) cpu() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// eventually waits until the condition holds, and fails the test if it does not
// within the limit.
func eventually(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		pause(t, 50*time.Millisecond)
	}
}

// holds watches that the condition stays true for a while.
func holds(t *testing.T, length time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(length); time.Now().Before(deadline); {
		if !condition() {
			t.Fatalf("no longer true: %s", what)
		}
		pause(t, 50*time.Millisecond)
	}
}

// pause lets real time pass: the program under test is another process, which no
// virtual clock reaches.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
