package natsd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/natsd"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// onOwnDisk runs the rest of the test in a process of its own, in which a small
// disk can be mounted. It returns false in the process that only waits for it.
func onOwnDisk(t *testing.T) bool {
	t.Helper()
	const marker = "NATSD_TEST_ON_OWN_DISK"
	if os.Getenv(marker) != "" {
		return true
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), marker+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if _, started := errors.AsType[*exec.ExitError](err); err != nil && !started {
		t.Skipf("NO TEST OF DISKS: this system allows no process with mounts of its own: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// mount makes a disk of a size in memory.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatalf("make %s: %v", dir, err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// fill leaves so many bytes free on the disk.
func fill(t *testing.T, dir string, free int64) (ballast string) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatalf("statfs: %v", err)
	}
	ballast = filepath.Join(dir, "ballast")
	size := int64(st.Bavail)*st.Bsize - free
	if err := os.WriteFile(ballast, make([]byte, size), 0o600); err != nil {
		t.Fatalf("fill: %v", err)
	}
	return ballast
}

func wantCause(t *testing.T, err, want error) {
	t.Helper()
	told, ok := errors.AsType[*natsd.Error](err)
	if !ok || !errors.Is(err, want) || told.Hint == "" || told.Op == "" {
		t.Errorf("got %v, want a *natsd.Error with cause %v, what was done and a hint", err, want)
	}
	t.Log(err)
}

// Disks that take no writes are told of when they are opened.
func TestOpenDisks(t *testing.T) {
	if !onOwnDisk(t) {
		return
	}
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	mount(t, full, "size=1m")
	fill(t, full, 64<<10)
	_, err := natsd.Open(limited(t), quiet(full))
	wantCause(t, err, syscall.ENOSPC)

	locked := filepath.Join(dir, "read-only")
	mount(t, locked, "ro,size=1m")
	_, err = natsd.Open(limited(t), quiet(locked))
	wantCause(t, err, syscall.EROFS)
	_, err = natsd.Open(limited(t), quiet(filepath.Join(locked, "below")))
	wantCause(t, err, syscall.EROFS)
}

// A disk that fills up costs writers two seconds at most, and then nothing; once
// there is room the store works again, with what it had.
func TestDiskFillsUp(t *testing.T) {
	if !onOwnDisk(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "disk")
	mount(t, dir, "size=24m")
	s := mustOpen(t, quiet(dir))
	st := storeOn(t, s)
	b, err := st.Bucket(limited(t), "memory")
	if err != nil {
		t.Fatalf("open bucket: %v", err)
	}
	log, err := st.Stream(limited(t), "journal", store.Retention{})
	if err != nil {
		t.Fatalf("open stream: %v", err)
	}
	if _, err := b.Put(limited(t), web, []byte("remembered")); err != nil {
		t.Fatalf("put: %v", err)
	}
	ballast := fill(t, dir, 100<<10)

	acknowledged := 0
	data := bytes.Repeat([]byte("x"), 8<<10)
	var slowest time.Duration
	attempt := func() error {
		began := time.Now()
		seq, err := log.Append(t.Context(), web, fmt.Appendf(nil, "%d %s", acknowledged, data))
		slowest = max(slowest, time.Since(began))
		if err == nil {
			acknowledged = int(seq)
		}
		return err
	}
	for err = nil; err == nil; err = attempt() {
		if acknowledged > 1000 {
			t.Fatal("the disk does not fill up")
		}
	}
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want %v", err, store.ErrUnavailable)
	}
	if slowest > 3*time.Second {
		t.Errorf("an append took %s", slowest)
	}
	began := time.Now()
	for range 1000 {
		if err := attempt(); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got %v, want %v", err, store.ErrUnavailable)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("1000 appends to a store that is known to be down took %s", took)
	}
	eventually(t, "the server sees that it is not well", func() bool { return s.Status().Err != nil })

	if err := os.Remove(ballast); err != nil {
		t.Fatalf("make room: %v", err)
	}
	before := acknowledged
	eventually(t, "appends are taken again", func() bool { return attempt() == nil })
	status := s.Status()
	if status.Err != nil || status.Restarts == 0 || status.Aside != "" {
		t.Errorf("status: got %+v, want a server that was started anew, with what it had", status)
	}
	if e, err := b.Get(limited(t), web); err != nil || string(e.Value) != "remembered" {
		t.Errorf("got %q, %v, want what was put before", e.Value, err)
	}
	for seq := 1; seq <= before; seq++ {
		if r, err := log.Get(limited(t), uint64(seq)); err != nil || !bytes.HasPrefix(r.Data, fmt.Appendf(nil, "%d ", seq-1)) {
			t.Fatalf("record %d of %d that were acknowledged: got %.10q, %v", seq, before, r.Data, err)
		}
	}
}
