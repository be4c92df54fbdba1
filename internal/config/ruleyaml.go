package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// rules reads the sections of rules among the entries of a target.
func (d *decoder) rules(entries map[string]entry, path string) rawRules {
	out := rawRules{}
	for _, key := range ruleSections {
		e, ok := entries[key]
		if !ok || isNull(follow(e.value)) {
			continue
		}
		s := &rawSection{values: map[string]text{}, origins: map[string]origin{}, rates: map[string][]rawRate{}}
		out[key] = s
		if key == keySchedules {
			s.schedules = d.schedules(e.value, join(path, key))
		} else {
			d.section(e.value, path, key, s)
		}
	}
	return out
}

// section reads one mapping of rules, and those in it. The key is its path in the
// target, and the target's path comes before it.
func (d *decoder) section(n *yaml.Node, target, key string, out *rawSection) {
	path := join(target, key)
	out.origins[key] = d.at(n, path)
	known := below(key)
	entries := d.mapping(n, path, known)
	for _, name := range known {
		e, ok := entries[name]
		full := key + "." + name
		switch {
		case !ok:
		case full == keyUpPolicies, full == keyDownPolicies:
			if !isNull(follow(e.value)) {
				out.rates[full] = d.rates(e.value, join(target, full))
			}
		case isValue(full):
			out.values[full] = d.scalar(e.value, join(target, full), name)
		case !isNull(follow(e.value)):
			d.section(e.value, target, full, out)
		}
	}
}

func (d *decoder) rates(n *yaml.Node, path string) []rawRate {
	known := make([]string, len(rateKeys))
	for i, k := range rateKeys {
		known[i] = k.yaml
	}
	out := []rawRate{}
	for i, element := range d.sequence(n, path) {
		if d.spent() {
			break
		}
		elementPath := fmt.Sprintf("%s[%d]", path, i)
		rate := rawRate{origin: d.at(element, elementPath)}
		entries := d.mapping(element, elementPath, known)
		for _, k := range rateKeys {
			if e, ok := entries[k.yaml]; ok {
				*k.field(&rate) = d.scalar(e.value, join(elementPath, k.yaml), k.yaml)
			}
		}
		out = append(out, rate)
	}
	return out
}

func (d *decoder) schedules(n *yaml.Node, path string) []rawSchedule {
	known := make([]string, len(scheduleKeys))
	for i, k := range scheduleKeys {
		known[i] = k.yaml
	}
	out := []rawSchedule{}
	for i, element := range d.sequence(n, path) {
		if d.spent() {
			break
		}
		elementPath := fmt.Sprintf("%s[%d]", path, i)
		s := rawSchedule{origin: d.at(element, elementPath)}
		entries := d.mapping(element, elementPath, known)
		for _, k := range scheduleKeys {
			if e, ok := entries[k.yaml]; ok {
				*k.field(&s) = d.scalar(e.value, join(elementPath, k.yaml), k.yaml)
			}
		}
		out = append(out, s)
	}
	return out
}
