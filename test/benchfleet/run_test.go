package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programs builds the real programs and returns their folder.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"fly-autoscaler", "flysim"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), "../../cmd/"+name)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return dir
}

// A small benchmark measures everything, both ways.
func TestRun(t *testing.T) {
	bin := programs(t)
	var out, progress bytes.Buffer
	code := run(t.Context(), []string{"-bin", bin, "-apps", "3", "-compare", "2", "-interval", "1s", "-settle", "0s", "-quiet", "1", "-json"}, &out, &progress)
	if code != 0 {
		t.Fatalf("status %d:\n%s", code, &progress)
	}
	var got []result
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Apps != 3 || got[1].Apps != 2 || got[0].Variant == got[1].Variant {
		t.Fatalf("not the runs that were asked for: %s", &out)
	}
	for _, r := range got {
		if r.Setup <= 0 || r.Ready == nil || r.Requests["prometheus_query"] <= 0 || r.First == nil || r.Last == nil || *r.Last < *r.First {
			t.Errorf("not all of it was measured: %s", &out)
		}
		if r.Mutations < r.Apps*perApp {
			t.Errorf("%d apps: %d requests that change, want %d at least", r.Apps, r.Mutations, r.Apps*perApp)
		}
	}
}

// A benchmark that cannot get its Machines, or that is told to end, says so and
// leaves nothing running.
func TestRunFails(t *testing.T) {
	bin := programs(t)
	args := []string{"-bin", bin, "-apps", "2", "-compare", "", "-interval", "1s", "-settle", "0s", "-quiet", "1", "-timeout", "1ms"}
	var out, progress bytes.Buffer
	if code := run(t.Context(), args, &out, &progress); code != 1 || !strings.Contains(progress.String(), "not ready within 1ms") {
		t.Errorf("without time: status %d:\n%s", code, &progress)
	}
	if !strings.Contains(out.String(), "NO") {
		t.Errorf("the table does not say that it failed:\n%s", &out)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	ended := errors.New("told to end")
	b := newBench(settings{quiet: 1, interval: 1e9, timeout: 1e10, bin: bin}, together, 2, writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "quiet cycles") {
			cancel(ended)
		}
		return len(p), nil
	}))
	r, err := b.run(ctx)
	if !errors.Is(err, ended) || r.Ready == nil || r.First != nil {
		t.Errorf("told to end: error %v, result %+v", err, r)
	}
	for _, p := range []*process{b.sim, b.fas} {
		if p.cmd.ProcessState == nil || !p.cmd.ProcessState.Exited() {
			t.Errorf("%s was left running, or had to be killed", p.name)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
