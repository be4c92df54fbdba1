package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
)

// environ reads variables from a list as os.Environ returns it.
func environ(list []string) map[string]string {
	m := make(map[string]string, len(list))
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok {
			m[name] = value
		}
	}
	return m
}

// decodeEnv reads the layer of the environment.
func decodeEnv(rep *reporter, vars map[string]string) raw {
	var out raw
	read := func(name string) text { return newText(FileEnvironment, name, vars[name]) }
	for _, s := range scalars {
		if s.env != "" {
			*s.field(&out) = read(s.env)
		}
	}
	for _, c := range countSettings {
		*c.field(&out.flat) = read(c.env)
	}
	out.flat.regions = splitRegions(read(envRegions))
	warnUnknown(rep, vars)
	return out
}

// envNames returns the FAS_* variables there are, sorted.
func envNames() []string {
	names := []string{envRegions, envConfig}
	for _, s := range scalars {
		if strings.HasPrefix(s.env, "FAS_") {
			names = append(names, s.env)
		}
	}
	for _, c := range countSettings {
		names = append(names, c.env)
	}
	slices.Sort(names)
	return names
}

// warnUnknown points out variables that look like ours. They are no problem:
// something else may use them.
func warnUnknown(rep *reporter, vars map[string]string) {
	known := envNames()
	for name := range vars {
		if !strings.HasPrefix(name, "FAS_") || slices.Contains(known, name) {
			continue
		}
		hint := ""
		if near := expr.Nearest(name, known); near != "" {
			hint = fmt.Sprintf("did you mean %s?", near)
		}
		rep.warn(origin{file: FileEnvironment, path: name}, "unknown variable", hint)
	}
}

// platformToken returns the token that the official clients would use.
func platformToken(vars map[string]string) text {
	for _, name := range []string{"FLY_ACCESS_TOKEN", "FLY_API_TOKEN"} {
		if t := newText(FileEnvironment, name, vars[name]); t.set() {
			return t
		}
	}
	return text{}
}
