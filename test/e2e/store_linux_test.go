package e2e_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// A disk without room, and one that is mounted for reading: told of, and scaling goes
// on.
func TestDiskThatTakesNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ options, want string }{
		"full":      {"size=100k", "make room there"},
		"read-only": {"ro", "mount the disk for writing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, workers(11, 1))
			p.depth(t, 1)
			dir := t.TempDir()
			s := startWith(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_STORE_DIR="+dir), func(cmd *exec.Cmd) {
				script := `mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"`
				cmd.Args = append([]string{"sh", "-c", script, "sh", tt.options, dir, cmd.Path}, cmd.Args[1:]...)
				cmd.Path = "/bin/sh"
				cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
				cmd.SysProcAttr = &syscall.SysProcAttr{
					Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
					UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
					GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
				}
				if err := exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "none", dir).Run(); err != nil {
					t.Skipf("NO TEST OF DISKS: this system allows no process with mounts of its own: %v", err)
				}
			})
			p.governs(t, s, tt.want)
		})
	}
}
