package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"
)

const (
	// startLimit bounds how long a server may take until it is ready, on a
	// machine that runs other tests as well.
	startLimit = 60 * time.Second
	// stopLimit is how long a server may take to end when asked.
	stopLimit = 10 * time.Second
	poll      = 20 * time.Millisecond
)

// installed returns the path of a server's program, or fails the test with what
// to install.
func installed(t testing.TB, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: install Debian's package %s (apt-get install %s) or run make test",
			program, debianPackage, debianPackage)
	}
	return path
}

// process is a running server.
type process struct {
	address string // where it listens, as it said itself
	exited  chan struct{}
	output  *output
}

// start runs a program until the test ends and waits until its output tells
// where it listens: the first group of the given pattern.
func start(t testing.TB, listens *regexp.Regexp, program string, args ...string) *process {
	t.Helper()
	p := &process{exited: make(chan struct{}), output: &output{}}
	cmd := exec.Command(program, args...) //nolint:noctx // Ended in Cleanup, which needs more care than a kill.
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // How it ended shows in its output.
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // Fails only when it has ended already.
		select {
		case <-p.exited:
		case <-time.After(stopLimit):
			t.Errorf("%s (process %d) did not end within %v; killed", program, cmd.Process.Pid, stopLimit)
			_ = cmd.Process.Kill()
			<-p.exited
		}
	})
	p.wait(t, "say where it listens", func() bool {
		match := listens.FindSubmatch(p.output.bytes())
		if match != nil {
			p.address = string(match[1])
		}
		return match != nil
	})
	return p
}

// waitReady waits until a GET of the URL answers 200.
func (p *process) waitReady(t testing.TB, url string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	p.wait(t, "answer on "+url, func() bool {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatalf("make the request: %v", err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode == http.StatusOK
	})
}

// wait polls until the condition holds; the server ending or taking too long
// fails the test and shows the server's output.
func (p *process) wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	limit := time.After(startLimit)
	for !condition() {
		select {
		case <-tick.C:
		case <-p.exited:
			t.Fatalf("server ended instead of getting to %s:\n%s", what, p.output.bytes())
		case <-limit:
			t.Fatalf("server did not %s within %v:\n%s", what, startLimit, p.output.bytes())
		}
	}
}

// output collects what a server prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text.Bytes())
}
