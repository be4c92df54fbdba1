package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process that the demo runs. It is told to end by SIGTERM, and killed
// when it has not ended within childGrace.
type child struct {
	name  string
	path  string
	args  []string
	env   []string // all of its environment
	stdin string

	cancel context.CancelFunc
	done   chan struct{} // closed when the process has ended
	err    error         // how it ended; to be read after done

	mu      sync.Mutex
	partial string   // guarded by mu; a line that is not complete yet
	unread  []string // guarded by mu; complete lines that nobody took yet
	last    []string // guarded by mu; the last lines, to tell what it died of
}

const (
	childGrace  = 3 * time.Second // two of them, one after the other, end before hardStop
	childUnread = 1000            // lines
	childLast   = 5               // lines
)

// startChild starts the process that c describes. A failure to start is an end, too.
// It goes on when ctx ends and is ended by stop, so that parts end in order.
func startChild(ctx context.Context, c *child) *child {
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		// The system ends the process with the thread that started it, see childAttributes.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd := exec.CommandContext(ctx, c.path, c.args...)
		cmd.Env = append([]string{}, c.env...) // nil would pass on ours
		cmd.Stdin = strings.NewReader(c.stdin)
		cmd.Stdout, cmd.Stderr = c, c
		cmd.SysProcAttr = childAttributes()
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = childGrace
		c.err = cmd.Run()
	}()
	return c
}

// stop ends the process and returns when it has ended.
func (c *child) stop() {
	c.cancel()
	<-c.done
}

// died tells how a process ended that should not have, with its last words.
func (c *child) died() error {
	how := "exit status 0"
	if c.err != nil {
		how = c.err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var words strings.Builder
	for _, line := range append(c.last, c.partial) {
		if line != "" {
			words.WriteString("\n  " + c.name + ": " + line)
		}
	}
	return fmt.Errorf("%s (%s) ended before its time: %s%s", c.name, c.path, how, words.String())
}

// Write takes what the process prints. It never blocks and never fails.
func (c *child) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := strings.Split(c.partial+string(data), "\n")
	c.partial = lines[len(lines)-1]
	lines = lines[:len(lines)-1]
	c.unread = tail(append(c.unread, lines...), childUnread)
	c.last = tail(append(c.last, lines...), childLast)
	return len(data), nil
}

// takeLine returns the next line that the process printed, if there is one.
func (c *child) takeLine() (line string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unread) == 0 {
		return "", false
	}
	line, c.unread = c.unread[0], c.unread[1:]
	return line, true
}

// tail returns the last n elements, or all there are.
func tail[T any](list []T, n int) []T {
	return list[max(0, len(list)-n):]
}

// awaitLine returns what match finds in the first line of the process that
// matches.
func awaitLine[T any](ctx context.Context, c *child, within time.Duration, match func(string) (T, bool)) (found T, err error) {
	deadline := time.After(within)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		over := false
		select {
		case <-ctx.Done():
			return found, context.Cause(ctx)
		case <-deadline:
			return found, fmt.Errorf("%s (%s) was not ready within %s", c.name, c.path, within)
		case <-c.done:
			over = true
		case <-ticker.C:
		}
		for line, ok := c.takeLine(); ok; line, ok = c.takeLine() {
			if found, ok := match(line); ok {
				return found, nil
			}
		}
		if over {
			return found, c.died()
		}
	}
}
