package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// world is the platform that the commands of a document meet: what its readers
// have, under the names that the documents use.
const world = `
seed: 7
timings:
  prepare: {min: 0s, max: 0s}
  boot: {min: 0s, max: 0s}
  start: {min: 0s, max: 0s}
  stop: {min: 0s, max: 0s}
apps:
  - app: my-app
    org: my-org
    release: {version: 3, status: complete}
    machines:
      - {count: 2, region: iad, state: started}
      - {count: 2, region: fra, state: stopped}
  - app: customer-a
    org: my-org
    machines: [{count: 3, region: iad, state: started}]
  - app: customer-b
    org: my-org
    machines: [{count: 3, region: iad, state: stopped}]
`

// newWorld serves the world until the test ends.
func newWorld(t *testing.T) *flysim.Server {
	t.Helper()
	p := platform(t, world)
	for app, value := range map[string]int{"my-app": 37, "customer-a": 14, "customer-b": 3} {
		order(t, p, "gauge", fmt.Sprintf(`{"app": %q, "metric": "queue_depth", "value": %d}`, app, value))
	}
	return p
}

// order posts to the administration of the platform.
func order(t *testing.T, p *flysim.Server, what, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+"/_sim/"+what, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
		t.Fatalf("POST /_sim/%s %s: %s %s", what, body, resp.Status, text)
	}
}

// platform serves the scenario until the test ends.
func platform(t *testing.T, scenario string) *flysim.Server {
	t.Helper()
	s, err := flysim.ParseScenario([]byte(scenario))
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.World(time.Now().Truncate(time.Second), nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := flysim.Start(t.Context(), "127.0.0.1:0", w, s.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close the platform: %v", err)
		}
	})
	return server
}

// shell runs the commands of one document in a folder and a home of their own.
type shell struct {
	dir    string
	env    []string
	stands [][2]string // an address in the documents, and the one that stands in for it
}

// newShell returns a shell whose programs talk to the platform at url.
func newShell(t *testing.T, url string) *shell {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Where make puts the programs of a checkout.
	if err := os.Symlink(bin, filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	return &shell{
		dir: dir,
		env: []string{
			"PATH=" + bin + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + dir,
			"FLY_FLAPS_BASE_URL=" + url, "FLY_API_BASE_URL=" + url, "FAS_API_TOKEN=FlyV1 simulated",
		},
		stands: [][2]string{{"https://api.fly.io", url}},
	}
}

// here writes the addresses of the documents as those of this test.
func (s *shell) here(text string) string {
	for _, stand := range s.stands {
		text = strings.ReplaceAll(text, stand[0], stand[1])
	}
	return text
}

// there writes the addresses of this test as those of the documents.
func (s *shell) there(text string) string {
	for _, stand := range s.stands {
		text = strings.ReplaceAll(text, stand[1], stand[0])
		_, host, _ := strings.Cut(stand[0], "://")
		_, stood, _ := strings.Cut(stand[1], "://")
		text = strings.ReplaceAll(text, stood, host)
	}
	return text
}

// file makes a file of a document available to its commands.
func (s *shell) file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(s.here(text)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// longestCommand is how long the commands of one block may take together.
const longestCommand = 60 * time.Second

// run runs a script and returns what it printed, and its status. What it exports
// is there for the scripts after it.
func (s *shell) run(t *testing.T, script string) (string, int) {
	t.Helper()
	text := ". ./.env\nset -eu\n" + s.here(script) + "\nexport -p >.env\n"
	cmd := exec.CommandContext(t.Context(), "sh", "-c", text)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(longestCommand, func() { _ = cmd.Cancel() })
	defer timer.Stop()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return s.there(out.String()), exit.ExitCode()
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out.String())
	}
	return s.there(out.String()), 0
}

// serve starts the flysim that a document starts, on a free port, and has it
// stand in for the port that the document means.
func (s *shell) serve(t *testing.T, script string) {
	t.Helper()
	args := strings.Fields(strings.TrimSpace(script))
	if len(args) == 0 || args[0] != "flysim" {
		t.Fatalf("%q starts no flysim", script)
	}
	// The test's own context ends before the clean-up, and would kill it.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, "flysim"), append(args[1:], "-listen", "127.0.0.1:0")...)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("flysim: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("flysim said nothing: %v", err)
	}
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	if url == "" {
		t.Fatalf("no address in %q", line)
	}
	s.stands = append(s.stands, [2]string{"http://127.0.0.1:4280", url}, [2]string{"http://localhost:4280", url})
}

// What differs from run to run.
var varying = []struct {
	pattern *regexp.Regexp
	stand   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<time>"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "<clock>"},
	{regexp.MustCompile(`\b01[0-9A-Z]{18,24}(-[a-z]{3})?\b`), "<ulid>"},
	{regexp.MustCompile(`\b[0-9a-f]{14}\b`), "<machine>"},
	{regexp.MustCompile(`took=\S+`), "took=<duration>"},
	{regexp.MustCompile(`"took_ns": ?\d+`), `"took_ns": <duration>`},
	{regexp.MustCompile(`[ \t]+(\n|$)`), "$1"},
	{regexp.MustCompile(`   +`), "  "},
}

func normalize(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.stand)
	}
	return strings.TrimSpace(text)
}

// matches reports whether what was printed is as documented, where … stands for
// anything within a line, and alone in a line for any lines.
func matches(documented, printed string) bool {
	pattern := regexp.QuoteMeta(normalize(documented))
	pattern = regexp.MustCompile(`(?m)^ *…$`).ReplaceAllString(pattern, `(?s:.*?)`)
	pattern = strings.ReplaceAll(pattern, "…", `[^\n]*`)
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(normalize(printed))
}

// TestCommands runs the commands of every document in order.
func TestCommands(t *testing.T) {
	for _, file := range documents(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			all := blocks(t, file)
			var sh *shell
			ready := func() *shell {
				if sh == nil {
					sh = newShell(t, newWorld(t).URL())
				}
				return sh
			}
			printed, from := "", block{}
			for _, b := range all {
				switch {
				case b.option("file") != "":
					ready().file(t, b.option("file"), b.text)
				case b.is("sh server"):
					ready().serve(t, b.text)
				case b.is("sh run"):
					var status int
					from = b
					printed, status = ready().run(t, b.text)
					want, err := strconv.Atoi("0" + b.option("exit"))
					if err != nil || status != want {
						t.Errorf("%s:%d: status %d, want %d\n%s%s", b.file, b.line, status, want, b.text, printed)
					}
				case b.is("text output"), b.is("json output"):
					if from.text == "" {
						t.Errorf("%s:%d: there is no command before this output", b.file, b.line)
					} else if !matches(b.text, printed) {
						t.Errorf("%s:%d: documented\n%s\nand printed\n%s", b.file, b.line, b.text, printed)
					}
				}
			}
		})
	}
}

// The comparison itself can fail.
func TestMatches(t *testing.T) {
	for _, test := range []struct {
		documented, printed string
		want                bool
	}{
		{"start  fra  0b3c4047c3043a", "start  fra  e10bc8e9ed0d50  \n", true},
		{"start  fra  0b3c4047c3043a", "start  iad  e10bc8e9ed0d50", false},
		{"a\n…\nd", "a\nb\nc\nd", true},
		{"a\n…\nd", "a\nb\nc", false},
		{"a … c", "a b c", true},
		{"a … c", "a b\nc", false},
		{"at 15:41:23", "at 01:02:03", true},
		{"4 created", "5 created", false},
	} {
		if got := matches(test.documented, test.printed); got != test.want {
			t.Errorf("%q and %q: got %t", test.documented, test.printed, got)
		}
	}
}
