package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
)

const (
	// MaxFile is the largest configuration file in bytes.
	MaxFile = 1 << 20
	// maxVisits bounds the work that aliases can ask for.
	maxVisits = 200_000
	// maxMerges bounds the depth of << in <<, which may go in circles.
	maxMerges = 10
)

// decoder reads one YAML file into a layer. It goes on after a problem.
type decoder struct {
	*reporter
	file   string
	source *source
	lookup func(string) (string, bool)
	visits int
}

// decodeYAML reads content. What is wrong goes to rep; what is left is usable.
func decodeYAML(rep *reporter, file string, content []byte, lookup func(string) (string, bool)) raw {
	d := &decoder{reporter: rep, file: file, lookup: lookup}
	whole := origin{file: file}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if len(content) > MaxFile {
		rep.problem(whole, fmt.Sprintf("the file is larger than %d bytes", MaxFile), "")
		return raw{}
	}
	if !utf8.Valid(content) {
		rep.problem(whole, "the file is not UTF-8 text", "")
		return raw{}
	}
	var documents []yaml.Node
	err := yaml.Load(content, &documents, yaml.WithAllDocuments(), yaml.WithUniqueKeys(false))
	if err != nil {
		d.syntax(err)
		return raw{}
	}
	if len(documents) == 0 || len(documents[0].Content) == 0 {
		return raw{}
	}
	if len(documents) > 1 {
		at := whole
		at.line, at.column = documents[1].Line, documents[1].Column
		rep.problem(at, "a second YAML document", "keep one, and list several apps under targets")
		return raw{}
	}
	d.source = newSource(content)
	return d.top(documents[0].Content[0])
}

// syntax reports that the text is not YAML. Messages of the later stages quote
// what was written, which may be a secret.
func (d *decoder) syntax(err error) {
	at := origin{file: d.file}
	message := "the file is not valid YAML"
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		at.line, at.column = e.Mark.Line, e.Mark.Column
		switch e.Stage {
		case yaml.ScannerStage, yaml.ParserStage:
			message += ": " + e.Message
		case yaml.ComposerStage:
			message += ": *name without the &name it refers to before it"
		}
	}
	d.problem(at, message, "")
}

func (d *decoder) at(n *yaml.Node, path string) origin {
	return origin{file: d.file, path: path, line: n.Line, column: n.Column, source: d.source, node: n}
}

// visit counts one node, and follows an alias to what it stands for. It returns
// nil when the budget is spent.
func (d *decoder) visit(n *yaml.Node) *yaml.Node {
	d.visits++
	if d.spent() {
		if d.visits == maxVisits+1 {
			d.problem(origin{file: d.file}, "the aliases stand for too much", "")
		}
		return nil
	}
	return follow(n)
}

// spent reports whether the file asked for too much.
func (d *decoder) spent() bool { return d.visits > maxVisits }

// follow returns what an alias stands for, or n itself.
func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// entry is one key of a mapping and its value, both with aliases followed.
type entry struct {
	key, value *yaml.Node
}

// mapping returns the entries of n, whose keys are unique and among known.
func (d *decoder) mapping(n *yaml.Node, path string, known []string) map[string]entry {
	entries := map[string]entry{}
	d.collect(n, path, known, entries, 0)
	return entries
}

// collect adds the entries of n that are not there yet: after those of n itself
// come those that << brings in.
func (d *decoder) collect(n *yaml.Node, path string, known []string, entries map[string]entry, depth int) {
	at := d.at(n, path)
	if n = d.visit(n); n == nil || isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.problem(at, "want keys with values, got "+describe(n), "")
		return
	}
	own := map[string]*yaml.Node{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := d.visit(n.Content[i]), n.Content[i+1]
		if key == nil {
			return
		}
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.problem(d.at(n.Content[i], path), "want a key, got "+describe(key), "")
			continue
		}
		keyAt := d.at(n.Content[i], join(path, shorten(key.Value)))
		if !slices.Contains(known, key.Value) {
			d.problem(keyAt, "unknown key", keyHint(key.Value, known))
			continue
		}
		if first, ok := own[key.Value]; ok {
			d.problem(keyAt, fmt.Sprintf("the key is there twice, first in line %d", first.Line), "")
			continue
		}
		own[key.Value] = key
		if _, ok := entries[key.Value]; !ok {
			entries[key.Value] = entry{key, value}
		}
	}
	for _, m := range merged {
		if depth == maxMerges {
			d.problem(d.at(m, path), "<< goes too deep", "")
			return
		}
		target := d.visit(m)
		if target == nil {
			return
		}
		if target.Kind != yaml.SequenceNode {
			d.collect(m, path, known, entries, depth+1)
			continue
		}
		for _, element := range target.Content {
			d.collect(element, path, known, entries, depth+1)
		}
	}
}

func keyHint(key string, known []string) string {
	if near := expr.Nearest(key, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known here: " + strings.Join(known, ", ")
}

// sequence returns the elements of a list. A missing value is an empty list.
func (d *decoder) sequence(n *yaml.Node, path string) []*yaml.Node {
	at := d.at(n, path)
	if n = d.visit(n); n == nil || isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		d.problem(at, "want a list, got "+describe(n), `start each element with "- "`)
		return nil
	}
	return n.Content
}

// scalar returns one value, with variables expanded.
func (d *decoder) scalar(n *yaml.Node, path, key string) text {
	at := d.at(n, path)
	if n = d.visit(n); n == nil || isNull(n) {
		return text{}
	}
	if n.Kind != yaml.ScalarNode {
		d.problem(at, "want one value, got "+describe(n), "")
		return text{}
	}
	if n.Style&yaml.TaggedStyle != 0 && !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool"}, n.ShortTag()) {
		d.problem(at, "a tag has no meaning here", "remove the word that starts with !")
		return text{}
	}
	at.node = n // where an alias stands for the text, the text is what counts
	e := expander{reporter: d.reporter, lookup: d.lookup, bare: bareVariables[key], query: key == "query"}
	value, expanded := e.expand(n.Value, at)
	trimmed := strings.TrimSpace(value)
	at.lead = strings.Index(value, trimmed)
	return text{value: trimmed, expanded: expanded, origin: at}
}

func (d *decoder) top(n *yaml.Node) raw {
	known := append([]string{keyRegions, keyCollectors, keyTargets}, ruleSections...)
	for _, s := range scalars {
		if s.yaml != "" {
			known = append(known, s.yaml)
		}
	}
	for _, c := range countSettings {
		known = append(known, c.yaml)
	}
	slices.Sort(known)
	entries := d.mapping(n, "", known)
	var out raw
	for _, s := range scalars {
		if e, ok := entries[s.yaml]; ok {
			*s.field(&out) = d.scalar(e.value, s.yaml, s.yaml)
		}
	}
	out.flat.origin = origin{file: d.file, line: 1, column: 1}
	d.lists(&out.flat, entries, "")
	if e, ok := entries[keyTargets]; ok {
		for i, element := range d.sequence(e.value, keyTargets) {
			if d.spent() {
				break
			}
			out.targets = append(out.targets, d.target(element, fmt.Sprintf("%s[%d]", keyTargets, i)))
		}
	}
	return out
}

func (d *decoder) target(n *yaml.Node, path string) rawTarget {
	known := append([]string{keyRegions, keyCollectors}, ruleSections...)
	for _, k := range targetKeys {
		known = append(known, k.yaml)
	}
	for _, c := range countSettings {
		known = append(known, c.yaml)
	}
	slices.Sort(known)
	out := rawTarget{origin: d.at(n, path)}
	entries := d.mapping(n, path, known)
	for _, k := range targetKeys {
		if e, ok := entries[k.yaml]; ok {
			*k.field(&out) = d.scalar(e.value, join(path, k.yaml), k.yaml)
		}
	}
	d.lists(&out, entries, path)
	return out
}

// lists reads what the top level and the elements of targets have in common:
// counts, regions, collectors and rules.
func (d *decoder) lists(out *rawTarget, entries map[string]entry, path string) {
	for _, c := range countSettings {
		if e, ok := entries[c.yaml]; ok {
			*c.field(out) = d.scalar(e.value, join(path, c.yaml), c.yaml)
		}
	}
	if e, ok := entries[keyRegions]; ok {
		out.regions = d.regions(e.value, join(path, keyRegions))
	}
	if e, ok := entries[keyCollectors]; ok {
		for i, element := range d.sequence(e.value, join(path, keyCollectors)) {
			if d.spent() {
				break
			}
			out.collectors = append(out.collectors, d.collector(element, fmt.Sprintf("%s[%d]", join(path, keyCollectors), i)))
		}
	}
	out.rules = d.rules(entries, path)
}

// regions is a list, or one value with commas as in the environment.
func (d *decoder) regions(n *yaml.Node, path string) []text {
	if follow(n).Kind == yaml.ScalarNode {
		return splitRegions(d.scalar(n, path, keyRegions))
	}
	var out []text
	for i, element := range d.sequence(n, path) {
		elementPath := fmt.Sprintf("%s[%d]", path, i)
		t := d.scalar(element, elementPath, keyRegions)
		if !t.set() {
			if follow(element).Kind == yaml.ScalarNode {
				d.problem(d.at(element, elementPath), "the region is empty", "")
			}
			continue
		}
		out = append(out, t)
	}
	return out
}

func (d *decoder) collector(n *yaml.Node, path string) rawCollector {
	known := make([]string, len(collectorKeys))
	for i, k := range collectorKeys {
		known[i] = k.yaml
	}
	out := rawCollector{origin: d.at(n, path)}
	entries := d.mapping(n, path, known)
	for _, k := range collectorKeys {
		if e, ok := entries[k.yaml]; ok {
			*k.field(&out) = d.scalar(e.value, join(path, k.yaml), k.yaml)
		}
	}
	return out
}

// splitRegions splits a value at its commas.
func splitRegions(t text) []text {
	if !t.set() {
		return nil
	}
	var out []text
	offset := 0
	for part := range strings.SplitSeq(t.value, ",") {
		if region := strings.TrimSpace(part); region != "" {
			one := t
			one.value = region
			one.origin.lead += offset + strings.Index(part, region)
			if !t.expanded {
				one.origin.line, one.origin.column = one.origin.at(0)
			}
			out = append(out, one)
		}
		offset += len(part) + 1
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	return "one value"
}
