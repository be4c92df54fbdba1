package place_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/place"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

func member(id string, class scale.Class, state scale.State, region scale.Region) scale.Member {
	return scale.Member{Class: class, Machine: &scale.Machine{ID: scale.MachineID(id), State: state, Region: region, Host: scale.HostOK, Config: []byte("{}")}}
}

func ids(members []scale.Member) string {
	var out []scale.MachineID
	for _, m := range members {
		out = append(out, m.ID)
	}
	return fmt.Sprint(out)
}

func TestOrders(t *testing.T) {
	t.Parallel()
	members := []scale.Member{
		member("ready2", scale.Ready, scale.StateStarted, "iad"),
		member("ready1", scale.Ready, scale.StateStarted, "iad"),
		member("boots", scale.Booting, scale.StateStarting, "iad"),
		member("updates", scale.Booting, scale.StateUpdating, "iad"),
		member("stopped", scale.Standby, scale.StateStopped, "iad"),
		member("suspended", scale.Standby, scale.StateSuspended, "iad"),
		member("created", scale.Standby, scale.StateCreated, "iad"),
		member("stops", scale.Draining, scale.StateStopping, "iad"),
		member("failed", scale.Broken, scale.StateFailed, "iad"),
		member("stuck", scale.Broken, scale.StateUpdating, "iad"),
		member("cordoned", scale.Reserved, scale.StateStarted, "iad"),
		member("lost", scale.Lost, scale.StateStarted, "iad"),
	}
	volume := member("volume", scale.Standby, scale.StateStopped, "iad")
	volume.HasMounts = true
	members = append(members, volume)
	for _, tt := range []struct {
		name      string
		got, want string
	}{
		{"start", ids(place.StartOrder(members)), "[suspended stopped volume created failed]"},
		{"stop", ids(place.Removal{}.StopOrder(members)), "[boots ready1 ready2]"},
		{"destroy", ids(place.Removal{}.DestroyOrder(members)), "[failed stops created stopped suspended boots ready1 ready2]"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

// The template is of the newest release, by number and not by text, before it is
// one that runs; and never one that cannot be cloned.
func TestTemplate(t *testing.T) {
	t.Parallel()
	at := func(m scale.Member, release string) scale.Member {
		m.Metadata = map[string]string{scale.MetaReleaseVersion: release}
		return m
	}
	old, young := at(member("a", scale.Ready, scale.StateStarted, "iad"), "9"), at(member("b", scale.Standby, scale.StateStopped, "iad"), "10")
	bare, volume := at(member("c", scale.Lost, scale.StateStarted, "iad"), "11"), at(member("d", scale.Ready, scale.StateStarted, "iad"), "11")
	bare.Config, bare.Host = nil, scale.HostUnreachable
	volume.HasMounts = true
	if got, ok := place.Template([]scale.Member{old, young, bare, volume}, false); !ok || got.ID != "b" {
		t.Errorf("got %v, %v, want b", got.ID, ok)
	}
	if got, ok := place.Template([]scale.Member{member("y", scale.Standby, scale.StateStopped, "iad"), member("z", scale.Ready, scale.StateStarted, "iad")}, false); !ok || got.ID != "z" {
		t.Errorf("got %v, %v, want z, which runs", got.ID, ok)
	}
	broken := at(member("e", scale.Broken, scale.StateFailed, "iad"), "12")
	if got, ok := place.Template([]scale.Member{broken, old}, false); !ok || got.ID != "a" {
		t.Errorf("got %v, %v, want a: a release whose Machines fail is not cloned while there is another", got.ID, ok)
	}
	if _, ok := place.Template([]scale.Member{bare, volume}, false); ok {
		t.Error("found a template where none can be cloned")
	}
}

// Whatever is there, the next Machines level the regions out: afterwards no region
// that got one has two more than another.
func TestSpreadLevels(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		regions := []scale.Region{"iad", "ord", "lhr", "nrt"}[:rapid.IntRange(1, 4).Draw(t, "regions")]
		count := map[scale.Region]int{}
		var members []scale.Member
		for i := range rapid.IntRange(0, 15).Draw(t, "members") {
			r := rapid.SampledFrom([]scale.Region{"iad", "ord", "lhr", "nrt", "syd"}).Draw(t, "region")
			count[r]++
			members = append(members, member(fmt.Sprint(i), scale.Ready, scale.StateStarted, r))
		}
		n := rapid.IntRange(0, 12).Draw(t, "n")
		got := place.Spread(n, regions, members)
		if len(got) != n {
			t.Fatalf("got %d regions, want %d", len(got), n)
		}
		for _, r := range got {
			if !slices.Contains(regions, r) {
				t.Fatalf("%s is not among %v", r, regions)
			}
			for _, other := range regions {
				if count[r] > count[other] {
					t.Fatalf("%s gets one with %d there, although %s has %d", r, count[r], other, count[other])
				}
			}
			count[r]++
		}
	})
}

func TestFallbacks(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(place.Fallbacks("ord", []scale.Region{"iad", "ord", "lhr"})); got != "[lhr iad]" {
		t.Errorf("got %s, want [lhr iad]", got)
	}
	if got := place.Fallbacks("iad", []scale.Region{"iad"}); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
}
