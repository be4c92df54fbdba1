package docs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

// TestBlocks checks what can be checked of a block by itself.
func TestBlocks(t *testing.T) {
	for _, file := range documents(t) {
		all := blocks(t, file)
		for i, b := range all {
			var err error
			switch {
			case b.is("sh run"), b.is("sh server"), b.is("text output"), b.is("json output"):
				// By TestCommands.
			case b.is("text message"):
				// By TestMessages.
			case b.is("text drawing demo"):
				err = checkDemo(t, b.text)
			case b.is("text drawing"):
			case b.is("sh fly"):
				err = checkFly(b.text)
			case b.is("sh make"):
				err = checkMake(t, b.text)
			case b.is("yaml scenario"):
				err = checkScenario(b.text)
			case b.is("yaml invalid"):
				if i+1 == len(all) || !all[i+1].is("text problems") {
					err = fmt.Errorf("there are no problems behind it")
					break
				}
				_, _, problems := config.Load(config.Input{Path: "fly-autoscaler.yml", File: []byte(b.text)})
				if got := fmt.Sprint(problems); got != strings.TrimSpace(all[i+1].text) {
					err = fmt.Errorf("its problems are\n%s", got)
				}
			case b.is("text problems"):
				if i == 0 || !all[i-1].is("yaml invalid") {
					err = fmt.Errorf("there are no settings before it")
				}
			case b.is("yaml"):
				err = checkSettings(b)
			case b.is("toml"):
				err = checkFlyToml(b.text)
			case b.is("promql"):
				err = checkQueries(b.text)
			default:
				err = fmt.Errorf("unknown tag %q", b.tag)
			}
			if err != nil {
				t.Errorf("%s:%d: %v", b.file, b.line, err)
			}
		}
	}
}

// load loads settings that must be without fault.
func load(in config.Input) (*config.Settings, error) {
	in.Environ = append(in.Environ, "FAS_API_TOKEN=FlyV1 a")
	s, warnings, err := config.Load(in)
	if err != nil {
		return nil, err
	}
	if len(warnings) > 0 {
		return nil, fmt.Errorf("warnings %v", warnings)
	}
	return s, s.RequireToken()
}

func checkSettings(b block) error {
	var environ []string
	for _, word := range strings.Fields(b.tag)[1:] {
		if word != "env" && !strings.HasPrefix(word, "file=") {
			environ = append(environ, word)
		}
	}
	_, err := load(config.Input{File: []byte(b.text), Environ: environ})
	return err
}

func checkScenario(text string) error {
	s, err := flysim.ParseScenario([]byte(text))
	if err != nil {
		return err
	}
	_, err = s.World(time.Now(), nil)
	return err
}

func checkQueries(text string) error {
	language := parser.NewParser(parser.Options{})
	for line := range strings.Lines(text) {
		if _, err := language.ParseExpr(strings.ReplaceAll(line, "$APP_NAME", "my-app")); err != nil {
			return err
		}
	}
	return nil
}

// The sections of fly.toml that the documents use, with their keys. Those of
// [env] are checked as settings.
var flyToml = map[string][]string{
	"":               {"app", "primary_region", "kill_signal", "kill_timeout"},
	"[build]":        {"dockerfile", "image"},
	"[env]":          nil,
	"[metrics]":      {"port", "path"},
	"[checks.alive]": {"type", "port", "path", "interval", "timeout", "grace_period"},
	"[mounts]":       {"source", "destination"},
	"[[files]]":      {"guest_path", "local_path"},
	"[[restart]]":    {"policy"},
	"[[vm]]":         {"size", "memory"},
	"[http_service]": {"internal_port", "auto_stop_machines", "auto_start_machines", "min_machines_running"},
}

var tomlLine = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*) *= *(?:"([^"]*)"|'([^']*)'|(\d+|true|false))$`)

// checkFlyToml checks sections, keys, and that [env] is valid settings, unless
// they are in a file.
func checkFlyToml(text string) error {
	at, hasEnv, hasFile := "", false, false
	var environ []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "[") {
			if _, ok := flyToml[line]; !ok {
				return fmt.Errorf("unknown section %s", line)
			}
			at = line
			hasEnv, hasFile = hasEnv || at == "[env]", hasFile || at == "[[files]]"
			continue
		}
		found := tomlLine.FindStringSubmatch(line)
		if found == nil {
			return fmt.Errorf("cannot read %q", line)
		}
		if at == "[env]" {
			environ = append(environ, found[1]+"="+found[2]+found[3]+found[4])
			continue
		}
		if !slices.Contains(flyToml[at], found[1]) {
			return fmt.Errorf("unknown key %s in section %q", found[1], at)
		}
	}
	if !hasEnv {
		return nil
	}
	in := config.Input{Environ: environ}
	if hasFile {
		in.File = []byte("app-name: a\nstarted-machine-count: 1\n")
	}
	_, err := load(in)
	return err
}

// The commands of the platform's tool that the documents use, with the flags
// that its reference gives them.
var flyCommands = map[string]string{
	"apps create":            "-o --org",
	"apps destroy":           "-y --yes",
	"deploy":                 "-a --app -c --config --ha --build-arg -i --image",
	"logs":                   "-a --app -n --no-tail",
	"proxy":                  "-a --app",
	"scale count":            "-a --app -g --process-group -r --region -y --yes",
	"secrets set":            "-a --app --stage",
	"tokens create deploy":   "-a --app -n --name -x --expiry",
	"tokens create org":      "-o --org -n --name -x --expiry",
	"tokens create readonly": "-o --org -n --name -x --expiry",
	"tokens list":            "-a --app -o --org",
	"tokens revoke":          "",
	"volumes create":         "-a --app -r --region -s --size -y --yes",
}

// substitution is a command in a command, of whatever program.
var substitution = regexp.MustCompile(`\$\([^)]*\)`)

// checkFly checks commands of the platform's tool.
func checkFly(text string) error {
	text = substitution.ReplaceAllString(strings.ReplaceAll(text, "\\\n", " "), "x")
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, " #")
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if words[0] != "fly" {
			return fmt.Errorf("%q is no command of fly", line)
		}
		flags, known := "", false
		for n := min(3, len(words)-1); n > 0 && !known; n-- {
			flags, known = flyCommands[strings.Join(words[1:1+n], " ")]
		}
		if !known {
			return fmt.Errorf("%q is not a known command of fly", line)
		}
		for _, word := range words {
			name, _, _ := strings.Cut(word, "=")
			if strings.HasPrefix(word, "-") && !slices.Contains(strings.Fields(flags), name) {
				return fmt.Errorf("%q: unknown flag %s", line, name)
			}
		}
	}
	return nil
}

// checkMake checks that what is made exists.
func checkMake(t *testing.T, text string) error {
	t.Helper()
	makefile := read(t, "Makefile")
	module, _, _ := strings.Cut(strings.TrimPrefix(read(t, "go.mod"), "module "), "\n")
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, " #")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "make":
			if !strings.Contains(makefile, "\n"+words[1]+":") {
				return fmt.Errorf("there is no target %s", words[1])
			}
			for _, setting := range words[2:] {
				name, _, _ := strings.Cut(setting, "=")
				if !strings.Contains(makefile, "\n"+name+" ?=") {
					return fmt.Errorf("there is no setting %s", name)
				}
			}
		case "git":
			if words[1] != "clone" || words[2] != "https://"+module {
				return fmt.Errorf("%q does not clone %s", line, module)
			}
		case "cd":
			if words[1] != filepath.Base(module) {
				return fmt.Errorf("%q does not lead into the clone", line)
			}
		default:
			return fmt.Errorf("unknown command %q", words[0])
		}
	}
	return nil
}

// checkDemo checks that the picture of the demo shows the rules that it has.
func checkDemo(t *testing.T, picture string) error {
	t.Helper()
	help, err := exec.CommandContext(t.Context(), filepath.Join(bin, "fly-autoscaler"), "demo", "-help").Output()
	if err != nil {
		return err
	}
	rules := regexp.MustCompile(`(?m)^ started = (.+?)   created = (.+)$`).FindStringSubmatch(picture)
	if rules == nil {
		return errors.New("the picture shows no rules")
	}
	for i, name := range []string{"FAS_STARTED_MACHINE_COUNT=", "FAS_CREATED_MACHINE_COUNT="} {
		if !strings.Contains(string(help), name+rules[i+1]+"\n") {
			return fmt.Errorf("the demo has another rule than %s%s", name, rules[i+1])
		}
	}
	return nil
}

// The commands of the README are those that the program has.
func TestCommandsTable(t *testing.T) {
	help, err := exec.CommandContext(t.Context(), filepath.Join(bin, "fly-autoscaler"), "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, found := range regexp.MustCompile(`(?m)^\t([a-z]+) +(.+)$`).FindAllStringSubmatch(string(help), -1) {
		want = append(want, found[1]+": "+found[2])
	}
	for _, row := range rows(section(t, "README.md", "## Commands"))[1:] {
		got = append(got, strings.TrimPrefix(strings.Trim(row[0], "`"), "fly-autoscaler ")+": "+row[1])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

// The Dockerfile builds what there is, with the Go version that go.mod asks for.
func TestDockerfile(t *testing.T) {
	text := read(t, "Dockerfile")
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	image := regexp.MustCompile(`(?m)^FROM golang:(\S+) AS build`).FindStringSubmatch(text)
	if goVersion == nil || image == nil || !strings.HasPrefix(image[1], goVersion[1]) {
		t.Errorf("go.mod wants Go %v, the image has %v", goVersion, image)
	}
	for _, path := range regexp.MustCompile(`\./cmd/\S+`).FindAllString(text, -1) {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(text, `ENTRYPOINT ["/fly-autoscaler"]`) || !strings.Contains(text, `CMD ["serve"]`) {
		t.Error("the image does not serve by default")
	}
}
