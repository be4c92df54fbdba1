package natsd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Error tells what is wrong with a folder.
type Error struct {
	Dir  string
	Op   string // what was being done
	Err  error
	Hint string // what to do about it; may be empty
}

func (e *Error) Error() string {
	text := fmt.Sprintf("store in folder %q: %s: %v", e.Dir, e.Op, e.Err)
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// ErrLocked is the cause when another process, or another part of this one, has
// the folder.
var ErrLocked = errors.New("in use by another process")

// errCrashed stands for contents that processes died of.
var errCrashed = errors.New("the process died each time it opened the store")

// The files in the folder. The server makes the first.
const (
	contents    = "jetstream"
	lockFile    = "lock"
	probeFile   = "probe"
	openingFile = "opening"
	asideSuffix = ".corrupt-"
)

// probeSize is how much has to fit into a folder for it to be of use.
const probeSize = 256 << 10

// maxOpenings is how many processes in a row may die while they open the folder
// before its contents are given up.
const maxOpenings = 3

// folder is the folder that a server keeps its files in.
type folder struct {
	dir  string
	lock *os.File
}

// problem returns an Error. An empty hint is chosen by the cause.
func (f *folder) problem(op string, err error, hint string) *Error {
	if hint == "" {
		hint = hintFor(err)
	}
	// The path is told once.
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return &Error{Dir: f.dir, Op: op, Err: err, Hint: hint}
}

func hintFor(err error) string {
	switch {
	case errors.Is(err, ErrLocked):
		return "wait until that process has ended, or give each its own folder"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room there, or choose a folder on another disk"
	case errors.Is(err, syscall.EROFS):
		return "mount the disk for writing, or choose another folder"
	case errors.Is(err, fs.ErrPermission):
		return "let this process's user write there, or choose another folder"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return "a file is where a folder should be: choose another folder"
	}
	return "choose another folder"
}

// take makes the folder and locks it.
func (f *folder) take() error {
	if f.dir == "" {
		return f.problem("open it", errors.New("no folder is named"), "")
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return f.problem("make the folder", err, "")
	}
	lock, err := lockExclusively(filepath.Join(f.dir, lockFile))
	if err != nil {
		return f.problem("lock it", err, "")
	}
	f.lock = lock
	return nil
}

// letGo gives the lock back. The file stays: whoever waits for it may have it open.
func (f *folder) letGo() { f.lock.Close() }

// writable returns what keeps the folder from taking writes. What is written must
// reach the disk: some systems tell only then that it is full.
func (f *folder) writable() error {
	path := filepath.Join(f.dir, probeFile)
	err := writeSynced(path, make([]byte, probeSize))
	if removeErr := os.Remove(path); err == nil {
		err = removeErr
	}
	if err != nil {
		return f.problem("write a file", err, "")
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// beginOpening notes that the contents are being opened. It returns false when
// processes have died over that: the server reads files in goroutines of its own,
// so that damage which it does not see through would end every process.
func (f *folder) beginOpening() bool {
	path := filepath.Join(f.dir, openingFile)
	if info, err := os.Stat(path); err == nil && info.Size() >= maxOpenings {
		return false
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return true
	}
	defer file.Close()
	// Without this note nothing is worse than it would be without the safeguard.
	_, _ = file.WriteString("x")
	return true
}

// endOpening notes that the contents could be opened.
func (f *folder) endOpening() { _ = os.Remove(filepath.Join(f.dir, openingFile)) }

// dropIndexes removes what the server has noted about its files of messages, so
// that it reads those, with their checksums, and not takes the notes on trust: where
// notes and a damaged file disagree, it may count to 2^64. Reading costs some
// hundred megabytes a second.
func (f *folder) dropIndexes() error {
	for _, name := range []string{"index.db"} {
		// A folder's name may hold what is special in a pattern.
		paths, err := fs.Glob(os.DirFS(f.dir), contents+"/*/streams/*/msgs/"+name)
		if err != nil {
			return f.problem("list it", err, "")
		}
		for _, path := range paths {
			if err := os.Remove(filepath.Join(f.dir, filepath.FromSlash(path))); err != nil {
				return f.problem("remove an index", err, "")
			}
		}
	}
	return nil
}

// moveAside puts the contents out of the way, and removes those that had been put
// there before, so that a disk that goes on damaging files does not fill up.
func (f *folder) moveAside(now time.Time) (string, error) {
	from := filepath.Join(f.dir, contents)
	to := from + asideSuffix + now.UTC().Format("20060102T150405.000Z")
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return "", f.problem("list it", err, "")
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), contents+asideSuffix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(f.dir, e.Name())); err != nil {
			return "", f.problem("remove "+e.Name(), err, "")
		}
	}
	if err := os.Rename(from, to); err != nil {
		return "", f.problem("move what cannot be read out of the way", err, "remove "+from)
	}
	return to, nil
}
