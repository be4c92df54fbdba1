package sim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Region is a region of the platform.
type Region struct {
	Code       string
	Name       string
	Latitude   float64
	Longitude  float64
	Geo        string // continent, as the platform names it
	Gateway    bool
	Postgres   bool // managed Postgres is offered
	Deprecated bool // known, but no Machine can be placed there
}

// Nearest is the region that this platform's API answers from.
const Nearest = "iad"

// hostsPerRegion is how many hosts Machines of a region spread over.
const hostsPerRegion = 8

// Regions returns the regions of the platform by code.
func Regions() []Region {
	const eu, na, sa, apac, africa = "europe", "north_america", "south_america", "asia_pacific", "africa"
	return []Region{
		{"ams", "Amsterdam, Netherlands", 52.374344, 4.895439, eu, true, true, false},
		{"arn", "Stockholm, Sweden", 59.6512, 17.9178, eu, true, false, false},
		{"atl", "Atlanta, Georgia (US)", 33.6407, -84.4277, na, false, false, true},
		{"bom", "Mumbai, India", 19.097403, 72.874245, apac, true, false, false},
		{"cdg", "Paris, France", 48.86, 2.35, eu, true, false, false},
		{"dfw", "Dallas, Texas (US)", 32.78, -96.80, na, true, true, false},
		{"ewr", "Secaucus, NJ (US)", 40.79, -74.06, na, true, false, false},
		{"fra", "Frankfurt, Germany", 50.12, 8.68, eu, true, true, false},
		{"gru", "Sao Paulo, Brazil", -23.549664, -46.65435, sa, false, true, false},
		{"hkg", "Hong Kong, Hong Kong", 22.25097, 114.203224, apac, false, false, true},
		{"iad", "Ashburn, Virginia (US)", 39.02214, -77.462555, na, true, true, false},
		{"jnb", "Johannesburg, South Africa", -26.20, 28.05, africa, false, false, false},
		{"lax", "Los Angeles, California (US)", 33.9416, -118.4085, na, true, true, false},
		{"lhr", "London, United Kingdom", 51.516434, -0.125656, eu, true, true, false},
		{"nrt", "Tokyo, Japan", 35.62161, 139.74185, apac, true, true, false},
		{"ord", "Chicago, Illinois (US)", 41.88, -87.63, na, true, true, false},
		{"otp", "Bucharest, Romania", 44.4325, 26.1039, eu, false, false, true},
		{"sin", "Singapore, Singapore", 1.3, 103.8, apac, true, true, false},
		{"sjc", "San Jose, California (US)", 37.34, -121.89, na, true, true, false},
		{"syd", "Sydney, Australia", -33.87, 151.21, apac, true, true, false},
		{"waw", "Warsaw, Poland", 52.1657, 20.9671, eu, false, false, true},
		{"yyz", "Toronto, Canada", 43.65, -79.38, na, true, true, false},
	}
}

// region is a region with what it holds.
type region struct {
	Region
	hosts    []string
	capacity *Capacity
	machines int // that exist
	running  int // that hold, or are about to hold, memory
}

// newRegions makes the regions with their hosts.
func (w *World) newRegions() map[string]*region {
	regions := make(map[string]*region)
	for _, r := range Regions() {
		held := &region{Region: r}
		for range hostsPerRegion {
			held.hosts = append(held.hosts, fmt.Sprintf("%04x", w.ids.IntN(0x10000)))
		}
		regions[r.Code] = held
	}
	return regions
}

// pickHost returns a host of the region for a new Machine.
func (w *World) pickHost(code string) string {
	hosts := w.regions[code].hosts
	return hosts[w.ids.IntN(len(hosts))]
}

// expandRegions turns a region expression, a comma-separated list of codes and
// aliases in order of preference, into codes.
func (w *World) expandRegions(expr string) ([]string, error) {
	if expr == "" {
		expr = Nearest
	}
	var out []string
	for part := range strings.SplitSeq(expr, ",") {
		part = strings.TrimSpace(part)
		codes, err := w.expandRegion(part)
		if err != nil {
			return nil, err
		}
		for _, code := range codes {
			if !slices.Contains(out, code) {
				out = append(out, code)
			}
		}
	}
	return out, nil
}

func (w *World) expandRegion(part string) ([]string, error) {
	if r, ok := w.regions[part]; ok && !r.Deprecated {
		return []string{part}, nil
	}
	geo, isAlias := map[string]string{
		"any": "", "eu": "europe", "na": "north_america", "us": "north_america", "usa": "north_america",
		"sa": "south_america", "apac": "asia_pacific",
	}[part]
	if !isAlias {
		return nil, refuse(http.StatusUnprocessableEntity, "invalid_argument: target region %s not found", part)
	}
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(w.regions)) {
		r := w.regions[code]
		if !r.Deprecated && (geo == "" || r.Geo == geo) {
			codes = append(codes, code)
		}
	}
	// The platform answers aliases with what is near first.
	if i := slices.Index(codes, Nearest); i > 0 {
		codes = slices.Insert(slices.Delete(codes, i, i+1), 0, Nearest)
	}
	return codes, nil
}

// HostSelector says which Machines a change of host status concerns: those
// that match every field that is set. A host or region alone also concerns
// nothing but the Machines that exist now.
type HostSelector struct {
	Region  string `json:"region"`
	Host    string `json:"host"`
	App     string `json:"app"`
	Machine string `json:"machine"`
}

// SetHostStatus changes whether the platform can reach the hosts of the
// selected Machines, and returns how many Machines that concerns. While a host
// is not ok its Machines keep their last state, their configuration cannot be
// read, and calls that change them are answered with 408.
func (w *World) SetHostStatus(sel HostSelector, status scale.HostStatus) (int, error) {
	switch status {
	case scale.HostOK, scale.HostUnknown, scale.HostUnreachable:
	default:
		return 0, invalid("unknown host status %q: want ok, unknown or unreachable", status)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := 0
	w.eachApp(func(a *app) {
		if sel.App != "" && sel.App != a.name {
			return
		}
		for _, m := range slices.Clone(a.machines) {
			if (sel.Region != "" && sel.Region != m.region) || (sel.Host != "" && sel.Host != m.host) ||
				(sel.Machine != "" && sel.Machine != m.id) || gone(m) {
				continue
			}
			changed++
			w.setHost(m, status)
		}
	})
	return changed, nil
}

func (w *World) setHost(m *machine, status scale.HostStatus) {
	m.hostStatus = status
	w.tell(m)
	m.wake()
	if next := m.postponed; status == scale.HostOK && next != nil {
		m.postponed = nil
		next()
	}
}
