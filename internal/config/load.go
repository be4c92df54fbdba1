package config

import (
	"cmp"
	"fmt"
	"strings"
)

// Input is everything that Load looks at.
type Input struct {
	// Path is the name of the file in messages.
	Path string
	// File is the content of the YAML file; nil when there is none.
	File []byte
	// Environ is the environment, as os.Environ returns it.
	Environ []string
	// Flags are those that RegisterFlags noted; nil for none.
	Flags *Flags
}

// Load merges and checks the layers. The error is of type Problems, and then
// there are no Settings. Warnings are returned in either case.
func Load(in Input) (*Settings, []Warning, error) {
	rep := &reporter{}
	vars := environ(in.Environ)
	lookup := func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
	in.Path = cmp.Or(in.Path, "configuration")
	var file raw
	if in.File != nil {
		file = decodeYAML(rep, in.Path, in.File, lookup)
	}
	env, flags := decodeEnv(rep, vars), decodeFlags(in.Flags)
	for _, layer := range []raw{file, env, flags} {
		checkExclusive(rep, layer.flat)
	}
	for _, t := range file.targets {
		checkExclusive(rep, t)
	}

	merged := merge(merge(file, env), flags)
	if !merged.flat.apiToken.set() {
		merged.flat.apiToken = platformToken(vars)
	}
	addPrometheus(rep, &merged)

	r := &resolver{reporter: rep, settings: Defaults()}
	r.globals(merged)
	r.targets(merged, in)
	problems, warnings := rep.sorted()
	if len(problems) > 0 {
		return nil, warnings, problems
	}
	r.settings.Sources = sources(in, env, flags)
	return &r.settings, warnings, nil
}

// sources names the layers that set something.
func sources(in Input, env, flags raw) []string {
	var out []string
	if in.File != nil {
		out = append(out, in.Path)
	}
	if env.any() {
		out = append(out, FileEnvironment)
	}
	if flags.any() {
		out = append(out, FileFlags)
	}
	return out
}

// any reports whether a layer sets something.
func (r raw) any() bool {
	for _, s := range scalars {
		if s.field(&r).set() {
			return true
		}
	}
	return r.flat.created.set() || r.flat.started.set() || len(r.flat.regions) > 0
}

// checkExclusive refuses an exact count beside a bound, within one layer.
func checkExclusive(rep *reporter, t rawTarget) {
	for _, g := range []rawGroup{t.created, t.started} {
		for _, bound := range []text{g.lowest, g.highest} {
			if g.exact.set() && bound.set() {
				rep.problem(bound.origin, fmt.Sprintf("cannot be combined with %s", lastKey(g.exact.origin.path)),
					"which is both minimum and maximum: keep one of them")
			}
		}
	}
}

func lastKey(path string) string {
	return path[strings.LastIndexByte(path, '.')+1:]
}

// addPrometheus puts the collector of the environment and flags in its place.
func addPrometheus(rep *reporter, m *raw) {
	p := m.prometheus
	if !p.address.set() {
		for _, t := range []text{p.metricName, p.query} {
			if t.set() {
				rep.warn(t.origin, "has no effect", fmt.Sprintf("because %s is not set", shellName(t.origin.file, "address")))
			}
		}
		return
	}
	p.origin = p.address.origin
	p.kind = text{value: "prometheus", origin: p.origin}
	// The list may be that of the file's layer, so it is copied.
	collectors := append([]rawCollector(nil), m.flat.collectors...)
	for i, c := range collectors {
		if c.metricName.value == p.metricName.value && p.metricName.set() {
			collectors[i] = p
			m.flat.collectors = collectors
			return
		}
	}
	m.flat.collectors = append(collectors, p)
}

// shellName is the name of a collector's key in the environment or the flags.
func shellName(file, key string) string {
	if file == FileFlags {
		return "-prometheus." + key
	}
	return "FAS_PROMETHEUS_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}
