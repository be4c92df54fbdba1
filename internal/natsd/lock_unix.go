//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package natsd

import (
	"errors"
	"os"
	"syscall"
)

// lockExclusively opens the file and locks it, or returns ErrLocked. The lock ends
// with the file or the process, however that ends.
func lockExclusively(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, os.NewSyscallError("flock", err)
	}
	return file, nil
}
