package sim_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// twins are two worlds with one seed that are told the same.
type twins struct {
	t      *rapid.T
	worlds [2]*sim.World
	ids    []string
	nonces map[string]string
	seen   map[string]string // machine to its newest event that was checked
	last   map[string]scale.State
}

func newTwins(t *rapid.T) *twins {
	tw := &twins{t: t, nonces: map[string]string{}, seen: map[string]string{}, last: map[string]scale.State{}}
	seed := rapid.Uint64().Draw(t, "seed")
	for i := range tw.worlds {
		tw.worlds[i] = sim.New(sim.Config{Seed: seed})
		if _, err := tw.worlds[i].CreateApp(sim.Call{}, sim.AppInput{Name: "web", Org: "acme"}); err == nil {
			t.Fatal("created an app in an org that does not exist")
		}
		if err := tw.worlds[i].AddOrg("acme", "Acme", false); err != nil {
			t.Fatal(err)
		}
		for _, app := range []string{"web", "api"} {
			if _, err := tw.worlds[i].CreateApp(sim.Call{}, sim.AppInput{Name: app, Org: "acme"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return tw
}

// both does the same to both worlds, and checks that they agree and that what
// is refused is refused in the platform's terms.
func (tw *twins) both(act func(*sim.World) (string, error)) string {
	tw.t.Helper()
	got, err := act(tw.worlds[0])
	again, errAgain := act(tw.worlds[1])
	if got != again || (err == nil) != (errAgain == nil) || (err != nil && err.Error() != errAgain.Error()) {
		tw.t.Fatalf("twins disagree: %q, %v and %q, %v", got, err, again, errAgain)
	}
	if err != nil {
		refusal, ok := errors.AsType[*sim.Error](err)
		if !ok || refusal.Status < 400 || refusal.Status > 499 || refusal.Text == "" {
			tw.t.Fatalf("refused with %#v, want a 4xx of the platform", err)
		}
	}
	return got
}

func (tw *twins) machine() string {
	if len(tw.ids) == 0 || rapid.IntRange(0, 20).Draw(tw.t, "unknown machine") == 0 {
		return rapid.SampledFrom([]string{"00000000000000", "xyz", ""}).Draw(tw.t, "wrong id")
	}
	return rapid.SampledFrom(tw.ids).Draw(tw.t, "machine")
}

func (tw *twins) call(id string) sim.Call {
	c := sim.Call{Request: "r", Owner: rapid.SampledFrom([]string{"a", "b"}).Draw(tw.t, "owner")}
	switch rapid.IntRange(0, 3).Draw(tw.t, "nonce") {
	case 0, 1:
		c.Nonce = tw.nonces[id]
	case 2:
		c.Nonce = "wrong"
	}
	return c
}

func drawInput(t *rapid.T) sim.MachineInput {
	return sim.MachineInput{
		Name:   rapid.SampledFrom([]string{"", "", "one", "two"}).Draw(t, "name"),
		Region: rapid.SampledFrom([]string{"", "fra", "fra,ams", "eu", "any", "xyz", "hkg"}).Draw(t, "region"),
		Config: json.RawMessage(rapid.SampledFrom([]string{
			`{"image":"a:1"}`, `{"image":"a:1","auto_destroy":true}`, `{"image":"a:1","restart":{"policy":"always"}}`,
			`{"image":"a:1","guest":{"memory_mb":4096}}`, `{"image":"a:1","mounts":[{"volume":"vol_none"}]}`, `{}`, `[]`, `null`, ``,
		}).Draw(t, "config")),
		SkipLaunch: rapid.Bool().Draw(t, "skip launch"),
		LeaseTTL:   rapid.SampledFrom([]int{0, 0, 5}).Draw(t, "lease ttl"),
	}
}

// check holds all Machines to the legal transitions, and the counts to the
// Machines.
func (tw *twins) check() {
	w := tw.worlds[0]
	count := map[string]int{}
	known := map[string]bool{}
	for _, app := range []string{"web", "api"} {
		machines, err := w.ListMachines(app, sim.ListFilter{IncludeDeleted: true})
		if err != nil {
			tw.t.Fatal(err)
		}
		for _, m := range machines {
			if known[m.ID] {
				tw.t.Fatalf("machine %s is listed twice", m.ID)
			}
			known[m.ID] = true
			if m.State != scale.StateDestroyed {
				count[m.Region]++
			}
			tw.checkEvents(m)
		}
	}
	for _, use := range w.RegionUses() {
		if use.Machines != count[use.Region] || use.Running < 0 || use.Running > use.Machines {
			tw.t.Fatalf("region %+v holds %d machines", use, count[use.Region])
		}
		delete(count, use.Region)
	}
	for region, n := range count {
		if n > 0 {
			tw.t.Fatalf("region %s holds %d machines and says none", region, n)
		}
	}
}

func (tw *twins) checkEvents(m sim.Machine) {
	start := len(m.Events) // newest first
	for i, e := range m.Events {
		if e.ID == tw.seen[m.ID] {
			start = i
			break
		}
	}
	for i := start - 1; i >= 0; i-- {
		to := scale.State(m.Events[i].Status)
		from, known := tw.last[m.ID]
		switch {
		case !known && to != scale.StateCreated:
			tw.t.Fatalf("machine %s began %s", m.ID, to)
		case known && !sim.LegalTransition(from, to):
			tw.t.Fatalf("machine %s went from %s to %s", m.ID, from, to)
		}
		tw.last[m.ID], tw.seen[m.ID] = to, m.Events[i].ID
	}
	if tw.last[m.ID] != m.State {
		tw.t.Fatalf("machine %s is %s, its events say %s", m.ID, m.State, tw.last[m.ID])
	}
}

// TestWorldProperties calls a world at random: nothing panics, identifiers are
// unique, states follow each other as documented, counts add up, and the same
// seed gives the same bytes.
func TestWorldProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tw := newTwins(t)
		onMachine := func(act func(w *sim.World, c sim.Call, app, id string) error) func(*rapid.T) {
			return func(*rapid.T) {
				id := tw.machine()
				c := tw.call(id)
				app := rapid.SampledFrom([]string{"web", "web", "web", "api", "none"}).Draw(t, "app")
				tw.both(func(w *sim.World) (string, error) { return "", act(w, c, app, id) })
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { tw.check() },
			"advance": func(t *rapid.T) {
				d := time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "d"))
				for _, w := range tw.worlds {
					w.Advance(w.Now().Add(d))
				}
			},
			"create": func(t *rapid.T) {
				in := drawInput(t)
				nonce := ""
				id := tw.both(func(w *sim.World) (string, error) {
					m, n, err := w.CreateMachine(sim.Call{Owner: "a"}, "web", in)
					nonce = n
					return m.ID, err
				})
				if id != "" {
					for _, other := range tw.ids {
						if other == id {
							t.Fatalf("machine id %s given twice", id)
						}
					}
					tw.ids = append(tw.ids, id)
					tw.nonces[id] = nonce
				}
			},
			"update": func(t *rapid.T) {
				id, in := tw.machine(), drawInput(t)
				in.Region, in.Name = "", ""
				c := tw.call(id)
				tw.both(func(w *sim.World) (string, error) {
					m, err := w.UpdateMachine(c, "web", id, in)
					return m.InstanceID, err
				})
			},
			"start": onMachine(func(w *sim.World, c sim.Call, app, id string) error {
				_, err := w.StartMachine(c, app, id)
				return err
			}),
			"stop": onMachine(func(w *sim.World, c sim.Call, app, id string) error {
				return w.StopMachine(c, app, id, sim.StopInput{})
			}),
			"suspend": onMachine(func(w *sim.World, c sim.Call, app, id string) error { return w.SuspendMachine(c, app, id) }),
			"restart": onMachine(func(w *sim.World, c sim.Call, app, id string) error { return w.RestartMachine(c, app, id) }),
			"kill":    onMachine(func(w *sim.World, c sim.Call, app, id string) error { return w.SignalMachine(c, app, id, "SIGKILL") }),
			"destroy": onMachine(func(w *sim.World, c sim.Call, app, id string) error { return w.DestroyMachine(c, app, id, false) }),
			"force destroy": onMachine(func(w *sim.World, c sim.Call, app, id string) error {
				return w.DestroyMachine(c, app, id, true)
			}),
			"cordon": onMachine(func(w *sim.World, c sim.Call, app, id string) error { return w.CordonMachine(c, app, id, true) }),
			"metadata": onMachine(func(w *sim.World, c sim.Call, app, id string) error {
				return w.EditMetadata(c, app, id, "", func(m map[string]string) { m["k"] = "v" })
			}),
			"release": onMachine(func(w *sim.World, c sim.Call, app, id string) error { return w.ReleaseLease(c, app, id) }),
			"acquire": func(t *rapid.T) {
				id := tw.machine()
				c := tw.call(id)
				nonce := tw.both(func(w *sim.World) (string, error) {
					l, err := w.AcquireLease(c, "web", id, "", 7*time.Second)
					return l.Nonce, err
				})
				if nonce != "" {
					tw.nonces[id] = nonce
				}
			},
			"capacity": func(t *rapid.T) {
				c := sim.Capacity{Region: "fra", Max: rapid.IntRange(-1, 3).Draw(t, "max"), Starts: rapid.Bool().Draw(t, "starts")}
				tw.both(func(w *sim.World) (string, error) { return "", w.SetCapacity(c) })
			},
			"host": func(t *rapid.T) {
				sel := sim.HostSelector{Region: rapid.SampledFrom([]string{"", "fra", "iad"}).Draw(t, "of region")}
				status := rapid.SampledFrom([]scale.HostStatus{scale.HostOK, scale.HostOK, scale.HostUnreachable}).Draw(t, "status")
				tw.both(func(w *sim.World) (string, error) {
					_, err := w.SetHostStatus(sel, status)
					return "", err
				})
			},
			"fault": func(t *rapid.T) {
				f := sim.Fault{
					Kind:  rapid.SampledFrom([]sim.FaultKind{sim.FaultStuck, sim.FaultCapacity}).Draw(t, "kind"),
					Count: 2, Probability: 0.5, For: sim.Duration(30 * time.Second), Duration: sim.Duration(time.Second),
				}
				tw.both(func(w *sim.World) (string, error) {
					kept, err := w.OrderFault(f)
					return kept.ID, err
				})
			},
		})
		if diff := cmp.Diff(dump(t, tw.worlds[0]), dump(t, tw.worlds[1])); diff != "" {
			t.Fatalf("the same seed and calls gave other worlds:\n%s", diff)
		}
	})
}

// dump is all that can be read of a world.
func dump(t *rapid.T, w *sim.World) string {
	var all []any
	history, _ := w.History()
	all = append(all, w.Now(), history, w.Summary(""), w.Faults(), w.RegionUses())
	for _, app := range []string{"web", "api"} {
		machines, err := w.ListMachines(app, sim.ListFilter{IncludeDeleted: true})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, machines)
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
