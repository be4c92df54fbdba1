package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

const (
	// startLimit bounds how long a program may take to say where it listens; ten
	// thousand apps are made in one or two seconds.
	startLimit = time.Minute
	// stopLimit is more than the ten seconds within which the programs promise to
	// end.
	stopLimit = 12 * time.Second
	// tailSize is how much of a program's output is kept, to show when it fails.
	tailSize = 4 << 10
)

// process is a program that runs until stop.
type process struct {
	name    string
	cmd     *exec.Cmd
	address string // where it listens, as it said itself
	exited  chan struct{}
	output  *tail
}

// start starts a program and waits until its output tells where it listens: the
// first group of the pattern. It sees no environment but the given one. The
// context bounds the start only; stop ends the program.
func start(ctx context.Context, listens *regexp.Regexp, env []string, program string, args ...string) (*process, error) {
	p := &process{
		name:   filepath.Base(program),
		cmd:    exec.Command(program, args...), //nolint:noctx // Ended by stop, which lets it end by itself first.
		exited: make(chan struct{}),
		output: &tail{pattern: listens, found: make(chan string, 1)},
	}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, p.output, p.output
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // How it ended is in ProcessState.
	}()
	var err error
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	select {
	case p.address = <-p.output.found:
		return p, nil
	case <-p.exited:
		err = p.ended()
	case <-limit.C:
		err = fmt.Errorf("%s did not say within %v where it listens", p.name, startLimit)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return nil, errors.Join(err, p.stop())
}

// ended is the error of a program that ended before it was asked to.
func (p *process) ended() error {
	return fmt.Errorf("%s ended by itself (%v):\n%s", p.name, p.cmd.ProcessState, p.output)
}

// stop asks the program to end, and makes it end when it does not.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(os.Interrupt) // Fails only when it has ended already.
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-p.exited:
		return nil
	case <-limit.C:
		_ = p.cmd.Process.Kill() // Likewise.
		<-p.exited
		return fmt.Errorf("%s (process %d) did not end within %v; killed", p.name, p.cmd.Process.Pid, stopLimit)
	}
}

// tail keeps the end of a program's output, and looks for an address in it
// until it is found.
type tail struct {
	pattern *regexp.Regexp
	found   chan string // takes one

	mu   sync.Mutex
	data []byte // guarded by mu
	done bool   // guarded by mu
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if !t.done {
		if match := t.pattern.FindSubmatch(t.data); match != nil {
			t.done = true
			t.found <- string(match[1])
		}
	}
	if over := len(t.data) - tailSize; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}

// String returns the end of the output.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}
