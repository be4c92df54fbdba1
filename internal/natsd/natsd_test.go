package natsd_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/natsd"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/jetstream"
)

// patience bounds everything that a test waits for.
const patience = 20 * time.Second

func limited(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

func quiet(dir string) natsd.Config {
	return natsd.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler), CheckInterval: 50 * time.Millisecond}
}

func mustOpen(tb testing.TB, cfg natsd.Config) *natsd.Server {
	tb.Helper()
	s, err := natsd.Open(limited(tb), cfg)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() { mustClose(tb, s) })
	return s
}

func mustClose(tb testing.TB, s *natsd.Server) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		tb.Errorf("close: %v", err)
	}
}

func storeOn(tb testing.TB, s *natsd.Server) *jetstream.Store {
	tb.Helper()
	conn, err := s.Connect("test")
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(conn.Close)
	st, err := jetstream.New(conn)
	if err != nil {
		tb.Fatalf("new store: %v", err)
	}
	return st
}

func bucketOn(tb testing.TB, s *natsd.Server) store.Bucket {
	tb.Helper()
	b, err := storeOn(tb, s).Bucket(limited(tb), "memory")
	if err != nil {
		tb.Fatalf("open bucket: %v", err)
	}
	return b
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %s: %s", patience, what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

var web = store.KeyOf("web", "app")

// What was written is there after an orderly end, and the next start is quick.
func TestReopen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "for us")
	first := mustOpen(t, quiet(dir))
	rev, err := bucketOn(t, first).Put(limited(t), web, []byte("remembered"))
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	mustClose(t, first)
	mustClose(t, first) // a second time does no harm
	began := time.Now()
	second := mustOpen(t, quiet(dir))
	if took := time.Since(began); took > time.Second {
		t.Errorf("opening took %s", took)
	}
	e, err := bucketOn(t, second).Get(limited(t), web)
	if err != nil || string(e.Value) != "remembered" || e.Revision != rev {
		t.Errorf("got %q at %d, %v, want what was put at %d", e.Value, e.Revision, err, rev)
	}
	if st := second.Status(); st != (natsd.Status{}) {
		t.Errorf("status: got %+v, want nothing to tell", st)
	}
}

// Nobody from outside can reach the server, and the files are the user's alone.
func TestPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	s := mustOpen(t, quiet(dir))
	if _, err := bucketOn(t, s).Put(limited(t), web, []byte("x")); err != nil {
		t.Fatalf("put: %v", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatalf("stat: %v", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		t.Errorf("the folder's mode is %o, which lets others in", mode)
	}
}

func TestFolderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatalf("write: %v", err)
	}
	taken := t.TempDir()
	mustOpen(t, quiet(taken))
	for _, tt := range []struct {
		name, dir string
		cause     error // nil: any
		hint      string
	}{
		{"no name", "", nil, "choose another folder"},
		{"a file", file, nil, "choose another folder"},
		{"below a file", filepath.Join(file, "store"), nil, "choose another folder"},
		{"taken", taken, natsd.ErrLocked, "wait until that process has ended"},
		{"a kernel's folder", "/proc/store", fs.ErrNotExist, "choose another folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := natsd.Open(limited(t), quiet(tt.dir))
			told, ok := errors.AsType[*natsd.Error](err)
			if !ok {
				t.Fatalf("got %v, want a *natsd.Error", err)
			}
			if told.Dir != tt.dir || tt.cause != nil && !errors.Is(err, tt.cause) || !strings.Contains(told.Hint, tt.hint) {
				t.Errorf("got %v, want cause %v and hint %q", err, tt.cause, tt.hint)
			}
			if n := strings.Count(err.Error(), tt.dir); tt.dir != "" && n != 1 {
				t.Errorf("the error names the folder %d times: %v", n, err)
			}
		})
	}
}

// A folder that one lets go can be taken at once.
func TestLockEndsWithServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 3 {
		mustClose(t, mustOpen(t, quiet(dir)))
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	s, err := natsd.Open(ctx, quiet(dir))
	if err == nil { // the folder was quicker
		mustClose(t, s)
		return
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	eventually(t, "the folder is let go", func() bool {
		s, err := natsd.Open(limited(t), quiet(dir))
		if err == nil {
			mustClose(t, s)
		}
		return err == nil
	})
}

// filled returns a folder with values and records in it.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, quiet(dir))
	ctx, b := limited(t), bucketOn(t, s)
	st, err := storeOn(t, s).Stream(ctx, "journal", store.Retention{})
	if err != nil {
		t.Fatalf("open stream: %v", err)
	}
	for i := range 50 {
		data := bytes.Repeat([]byte{byte(i)}, 300)
		if _, err := b.Put(ctx, store.KeyOf("app", string(rune('a'+i))), data); err != nil {
			t.Fatalf("put: %v", err)
		}
		if _, err := st.Append(ctx, web, data); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
	mustClose(t, s)
	return dir
}

// works reports whether the server takes writes and gives them back.
func works(t *testing.T, s *natsd.Server) {
	t.Helper()
	ctx, b := limited(t), bucketOn(t, s)
	if _, err := b.Put(ctx, web, []byte("new")); err != nil {
		t.Fatalf("put: %v", err)
	}
	if e, err := b.Get(ctx, web); err != nil || string(e.Value) != "new" {
		t.Fatalf("got %q, %v", e.Value, err)
	}
	st, err := storeOn(t, s).Stream(ctx, "journal", store.Retention{})
	if err != nil {
		t.Fatalf("open stream: %v", err)
	}
	if _, err := st.Append(ctx, web, []byte("new")); err != nil {
		t.Fatalf("append: %v", err)
	}
	// Some may be lost, but what is left can be listed to its end.
	for _, err := range b.List(ctx) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
	}
	for _, err := range st.Read(ctx, store.Query{}) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
	}
}

// Contents that the server does not read are kept aside, once.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	damage := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "jetstream", "$G", "streams", "KV_fas_memory", "meta.inf"), []byte("{nonsense"), 0o600); err != nil {
			t.Fatalf("damage: %v", err)
		}
	}
	var asides []string
	for range 2 {
		damage()
		s := mustOpen(t, quiet(dir))
		aside := s.Status().Aside
		if aside == "" || filepath.Dir(aside) != dir {
			t.Fatalf("moved to %q, want a place in %q", aside, dir)
		}
		if _, err := os.Stat(filepath.Join(aside, "$G", "streams")); err != nil {
			t.Errorf("what was moved: %v", err)
		}
		works(t, s)
		mustClose(t, s)
		asides = append(asides, aside)
	}
	if _, err := os.Stat(asides[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the older of two that were moved aside is still there: %v", err)
	}
	s := mustOpen(t, quiet(dir))
	if st := s.Status(); st.Aside != "" {
		t.Errorf("a good folder was moved to %q", st.Aside)
	}
}

// Whatever becomes of the files, the folder opens, within a second, and takes writes.
func TestDamage(t *testing.T) {
	t.Parallel()
	pristine := filled(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(pristine)); err != nil {
			t.Fatalf("copy: %v", err)
		}
		what := damageSome(t, dir, random)
		began := time.Now()
		s, err := natsd.Open(limited(t), quiet(dir))
		if err != nil {
			t.Fatalf("after %s: %v", what, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("after %s: opening took %s", what, took)
		}
		works(t, s)
		mustClose(t, s)
	}
}

// damageSome damages one to three files and says what it did.
func damageSome(t *testing.T, dir string, random *rand.Rand) string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(dir, "jetstream"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 4 {
		t.Fatalf("find files: %v, %v", files, err)
	}
	var done []string
	for range 1 + random.IntN(3) {
		path := files[random.IntN(len(files))]
		data, err := os.ReadFile(path)
		if err != nil {
			continue // removed before
		}
		var what string
		switch kind := random.IntN(5); {
		case kind == 0:
			what, err = "removing", os.Remove(path)
		case kind == 1 && len(data) > 0:
			what, err = "truncating", os.Truncate(path, int64(random.IntN(len(data))))
		case kind == 2 && len(data) > 0:
			for range 1 + random.IntN(20) {
				data[random.IntN(len(data))] ^= byte(1 + random.IntN(255))
			}
			what, err = "flipping bits of", os.WriteFile(path, data, 0o600)
		case kind == 3:
			what, err = "zeroing", os.WriteFile(path, make([]byte, len(data)), 0o600)
		default:
			what, err = "adding to", os.WriteFile(path, append(data, make([]byte, 1+random.IntN(500))...), 0o600)
		}
		if err != nil {
			t.Fatalf("%s %s: %v", what, path, err)
		}
		rel, _ := filepath.Rel(dir, path)
		done = append(done, what+" "+rel)
	}
	return strings.Join(done, ", ")
}

// Contents over which processes die are given up after some of them.
func TestCrashesWhenOpening(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	opening := filepath.Join(dir, "opening")
	for deaths, want := range []bool{false, false, false, true} {
		if err := os.WriteFile(opening, bytes.Repeat([]byte("x"), deaths), 0o600); err != nil {
			t.Fatalf("write: %v", err)
		}
		s := mustOpen(t, quiet(dir))
		if moved := s.Status().Aside != ""; moved != want {
			t.Errorf("after %d deaths: moved aside %t, want %t", deaths, moved, want)
		}
		works(t, s)
		mustClose(t, s)
		if _, err := os.Stat(opening); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the note of an opening is there after it: %v", err)
		}
	}
}
