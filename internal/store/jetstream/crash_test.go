package jetstream_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/natsd"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/jetstream"
)

// crashDir names the folder for a process that is to be killed while it writes.
const crashDir = "JETSTREAM_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// writeUntilKilled writes, and tells of each write once it was acknowledged.
func writeUntilKilled(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := natsd.Open(ctx, natsd.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	conn, err := server.Connect("crash")
	if err != nil {
		return err
	}
	s, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	b, err := s.Bucket(ctx, "memory")
	if err != nil {
		return err
	}
	log, err := s.Stream(ctx, "journal", store.Retention{MaxRecords: crashKept})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		key := crashKey(i)
		if i%10 == 9 {
			if err := b.Delete(ctx, key); err != nil {
				return err
			}
			fmt.Println("deleted", key)
		} else {
			rev, err := b.Put(ctx, key, fmt.Append(nil, i))
			if err != nil {
				return err
			}
			fmt.Println("put", key, i, rev)
		}
		seq, err := log.Append(ctx, key, fmt.Append(nil, i))
		if err != nil {
			return err
		}
		fmt.Println("appended", key, i, seq)
	}
}

const crashKept = 10_000

func crashKey(i int) store.Key { return store.KeyOf("app", fmt.Sprint(i%37)) }

// acknowledged is what a process that was killed had been told.
type acknowledged struct {
	values map[store.Key]string // "" for deleted
	log    map[uint64]string
	last   uint64
}

// A process that is killed while it writes loses nothing that was acknowledged,
// and the next one is there within a second.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	ack := acknowledged{values: make(map[store.Key]string), log: make(map[uint64]string)}
	for round := range 20 {
		before := ack.last
		ack.killed(t, dir, 50+round*40)
		if ack.last <= before {
			t.Fatalf("round %d wrote nothing", round)
		}
		ack.check(t, dir, round)
		if t.Failed() {
			return
		}
	}
}

// killed runs a process that writes, and kills it after so many writes.
func (ack *acknowledged) killed(t *testing.T, dir string, writes int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("pipe: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start: %v", err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		line := lines.Text()
		if n == writes { // and take what it says until it is dead
			if err := cmd.Process.Kill(); err != nil {
				t.Fatalf("kill: %v", err)
			}
		}
		var key store.Key
		var i string
		var seq uint64
		switch what, _, _ := strings.Cut(line, " "); what {
		case "put":
			if n, _ := fmt.Sscanf(line, "put %s %s %d", &key, &i, &seq); n == 3 {
				ack.values[key] = i
			}
		case "deleted":
			if n, _ := fmt.Sscanf(line, "deleted %s", &key); n == 1 {
				ack.values[key] = ""
			}
		case "appended":
			if n, _ := fmt.Sscanf(line, "appended %s %s %d", &key, &i, &seq); n == 3 {
				ack.log[seq], ack.last = string(key)+" "+i, seq
			}
		default:
			t.Fatalf("the process says %q", line)
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the process was not killed: %v", err)
	}
}

// check opens the folder and compares. The write under way when the process was
// killed may be there or not.
func (ack *acknowledged) check(t *testing.T, dir string, round int) {
	t.Helper()
	began := time.Now()
	server, err := natsd.Open(t.Context(), natsd.Config{Dir: dir, Logger: logger(t)})
	if err != nil {
		t.Fatalf("round %d: open: %v", round, err)
	}
	took := time.Since(began)
	defer closeServer(t, server)
	if took > time.Second {
		t.Errorf("round %d: opening took %s", round, took)
	}
	if st := server.Status(); st.Aside != "" {
		t.Errorf("round %d: the contents were given up", round)
	}
	s := connect(t, server)
	b, err := s.Bucket(t.Context(), "memory")
	if err != nil {
		t.Fatalf("round %d: open bucket: %v", round, err)
	}
	got := make(map[store.Key]string)
	for e, err := range b.List(t.Context()) {
		if err != nil {
			t.Fatalf("round %d: list: %v", round, err)
		}
		got[e.Key] = string(e.Value)
	}
	different := 0
	for key, want := range ack.values {
		if got[key] != want {
			different++
			ack.values[key] = got[key] // the one under way
		}
	}
	if different > 1 {
		t.Errorf("round %d: %d values are not as acknowledged", round, different)
	}
	log, err := s.Stream(t.Context(), "journal", store.Retention{MaxRecords: crashKept})
	if err != nil {
		t.Fatalf("round %d: open stream: %v", round, err)
	}
	records := make(map[uint64]string)
	for r, err := range log.Read(t.Context(), store.Query{}) {
		if err != nil {
			t.Fatalf("round %d: read: %v", round, err)
		}
		records[r.Seq] = string(r.Key) + " " + string(r.Data)
	}
	for seq, want := range ack.log {
		if seq+crashKept > ack.last+1 && records[seq] != want {
			t.Errorf("round %d: record %d of %d: got %q, want %q", round, seq, ack.last, records[seq], want)
			return
		}
	}
}
