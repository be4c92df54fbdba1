package e2e_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// kills is how often TestKilledAtRandomMoments kills the program.
var kills = flag.Int("kills", 10, "how often to kill the program at a random moment")

// recorded is a line of "journal -json".
type recorded struct {
	ID         uint64          `json:"id"`
	Kind       string          `json:"kind"`
	Unreadable string          `json:"unreadable"`
	Decision   json.RawMessage `json:"decision"`
	Inputs     struct {
		Memory json.RawMessage `json:"memory"`
	} `json:"inputs"`
}

// journal returns what the command prints, which must end well.
func journal(t *testing.T, args ...string) []recorded {
	t.Helper()
	r := run(t, nil, append([]string{"journal", "-json", "-since", "24h"}, args...)...)
	if r.code != 0 {
		t.Fatalf("journal %q ends with status %d: %s", args, r.code, r.stderr)
	}
	var out []recorded
	for line := range strings.Lines(r.stdout) {
		var item recorded
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			t.Fatalf("line %q of the journal: %v", line, err)
		}
		if item.Unreadable != "" {
			t.Errorf("entry %d: %s", item.ID, item.Unreadable)
		}
		out = append(out, item)
	}
	return out
}

var openedWith = regexp.MustCompile(`msg="store open".* memories=(\d+)`)

// However often the process is killed, whatever it is about: no Machine is made
// twice, what was remembered is there at the next start, within a second, and the
// journal is whole, but for the pass that was under way.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	const most = 6
	p := newPlatform(t, workers(7, 1))
	p.depth(t, 3)
	dir := t.TempDir()
	env := p.governed(fmt.Sprint("FAS_MIN_CREATED_MACHINE_COUNT=", most), "FAS_STARTED_MACHINE_COUNT=queue_depth", "FAS_INTERVAL=100ms", "FAS_STORE_DIR="+dir)
	acted := regexp.MustCompile(`msg=scale .*dry_run=false`)
	remembered := false
	scaled, unremembered := 0, 0
	var starts []time.Duration
	for life := range *kills {
		p.depth(t, 1+rand.IntN(most))
		began := time.Now()
		s := serve(t, env)
		starts = append(starts, time.Since(began))
		if match := openedWith.FindStringSubmatch(s.log.String()); match == nil {
			t.Fatalf("life %d: the store was not opened:\n%s", life, s.log)
		} else if remembered && match[1] != "1" {
			unremembered++
		}
		pause(t, time.Duration(rand.IntN(3000))*time.Millisecond)
		remembered = remembered || s.metric(t, `fas_memory_write_count{status="ok"}`) > 0
		s.kill()
		// Somebody takes a Machine away, so that the next life has one to make.
		if there := p.machines(t, "worker"); len(there) > most/2 {
			_ = p.world.DestroyMachine(sim.Call{}, "worker", there[rand.IntN(len(there))].ID, true) // one that is leased stays
		}
		scaled += len(acted.FindAllString(s.log.String(), -1))
	}
	slices.Sort(starts)
	t.Logf("%d starts, from exec to serving: median %s, longest %s", *kills, starts[len(starts)/2], starts[len(starts)-1])
	if !remembered {
		t.Error("nothing was ever kept: the test shows nothing")
	}
	if unremembered > 0 {
		t.Errorf("after %d of %d kills nothing was remembered", unremembered, *kills)
	}
	items := journal(t, "-store-dir", dir, "-changes")
	for i := 1; i < len(items); i++ {
		if items[i].ID <= items[i-1].ID {
			t.Errorf("entry %d comes after %d", items[i].ID, items[i-1].ID)
		}
	}
	if len(items) < scaled-*kills {
		t.Errorf("%d of %d passes that acted are on record: a kill may lose the one under way and no more", len(items), scaled)
	}
	if r := run(t, nil, "journal", "replay", "-since", "24h", "-store-dir", dir); r.code != 0 {
		t.Errorf("replay ends with status %d: %s%s", r.code, r.stdout, r.stderr)
	} else {
		t.Log(strings.TrimSpace(r.stdout))
	}

	p.depth(t, most)
	s := serve(t, env)
	eventually(t, 30*time.Second, "the count is reached", func() bool { return p.count(t, "worker", "app") == most })
	s.morePasses(t, 3)
	if n := p.count(t, "worker", "app"); n != most {
		t.Errorf("%d Machines, want %d", n, most)
	}
	if creates := len(p.did("worker", "machine_create")); creates < *kills/2 {
		t.Errorf("%d Machines were made in %d lives: the test shows nothing", creates, *kills)
	}
	if _, highest := p.existed("worker", 1); highest > most {
		t.Errorf("%d Machines existed at a time, and never more than %d were wanted", highest, most)
	}
	t.Logf("%d passes acted, %d are on record; %d creates", scaled, len(items), len(p.did("worker", "machine_create")))
}

// The journal of a process that runs is read over HTTP, and tells and replays what it
// did; the folder is that process's alone.
func TestJournalOfARunningProcess(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(8, 1))
	p.depth(t, 3)
	dir := t.TempDir()
	s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_STORE_DIR="+dir))
	eventually(t, 20*time.Second, "three Machines", func() bool { return p.count(t, "worker", "app", scale.StateStarted) == 3 })
	var items []recorded
	eventually(t, 10*time.Second, "the journal tells", func() bool {
		items = journal(t, "-address", s.address, "-changes")
		return len(items) > 0
	})
	list := run(t, []string{"FAS_LISTEN=" + strings.TrimPrefix(s.address, "http://")}, "journal", "-app", "work*")
	if !strings.Contains(list.stdout, "worker  created 1 → 3") {
		t.Errorf("the list does not tell of the creates:\n%s%s", list.stdout, list.stderr)
	}
	one := run(t, nil, "journal", "show", fmt.Sprint(items[0].ID), "-address", s.address)
	for _, want := range []string{"acted", "queue_depth  3", "targets", "create  iad", "done", "settings (", "remembered: "} {
		if !strings.Contains(one.stdout, want) {
			t.Errorf("the entry does not say %q:\n%s%s", want, one.stdout, one.stderr)
		}
	}
	if strings.Contains(one.stdout, "token") {
		t.Errorf("the entry holds a secret:\n%s", one.stdout)
	}
	if r := run(t, nil, "journal", "replay", "-address", s.address); r.code != 0 || strings.HasPrefix(r.stdout, "0 ") {
		t.Errorf("replay ends with status %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := run(t, nil, "journal", "-store-dir", dir); r.code != 1 || !strings.Contains(r.stderr, "an autoscaler runs") {
		t.Errorf("the folder of a running process: status %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := run(t, nil, "journal", "-store-dir", filepath.Join(dir, "none")); r.code != 1 {
		t.Errorf("a folder that is not there: status %d: %s%s", r.code, r.stdout, r.stderr)
	}
	s.stop(t)
	if after := journal(t, "-store-dir", dir, "-changes"); len(after) < len(items) {
		t.Errorf("%d changes are on record after the end, and %d were before", len(after), len(items))
	}
}

// governs shows that the process scales, and says at readyz what is wrong with its
// store; nothing when want is empty.
func (p *platform) governs(t *testing.T, s *process, want string) {
	t.Helper()
	s.ready(t)
	n := 2 + p.count(t, "worker", "app")%3
	p.depth(t, n)
	eventually(t, 20*time.Second, fmt.Sprintf("%d Machines", n), func() bool { return p.count(t, "worker", "app") == n })
	ok := 1.0
	if want != "" {
		ok = 0
	}
	how := ""
	eventually(t, 20*time.Second, "readyz tells of the store", func() bool {
		how = get(t, s.address+"/readyz?verbose")
		return (want == "") != strings.Contains(how, "nothing is kept") && strings.Contains(how, want) && s.metric(t, "fas_store_ok") == ok
	})
	if want != "" && !strings.Contains(s.log.String(), want) {
		t.Errorf("the log does not say %q", want)
	}
	eventually(t, 10*time.Second, "the journal tells", func() bool { return len(journal(t, "-address", s.address, "-changes")) > 0 })
}

// A folder that cannot be used is told of, and scaling goes on; once it can be, it
// is.
func TestFolderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(9, 1))
	p.depth(t, 1)
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(dir, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_STORE_DIR="+dir))
	p.governs(t, s, "a file is where a folder should be")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	p.governs(t, s, "")
	s.stop(t)
	if items := journal(t, "-store-dir", dir, "-changes"); len(items) == 0 {
		t.Error("nothing is on record in the folder")
	}
}

// Contents that are damaged are put aside, and nothing else is the worse for it.
func TestDamagedFolder(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, workers(10, 1))
	p.depth(t, 1)
	dir := t.TempDir()
	env := p.governed("FAS_CREATED_MACHINE_COUNT=queue_depth", "FAS_STORE_DIR="+dir)
	s := serve(t, env)
	p.governs(t, s, "")
	s.stop(t)
	damaged := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".inf") && !strings.HasSuffix(path, ".blk") {
			return err
		}
		damaged++
		return os.WriteFile(path, []byte("not what it was"), 0o600)
	})
	if err != nil || damaged == 0 {
		t.Fatalf("damaged %d files: %v", damaged, err)
	}
	s = serve(t, env)
	p.governs(t, s, "")
	if !strings.Contains(s.log.String(), "could not be read") {
		t.Error("the log does not say that the store could not be read")
	}
}
