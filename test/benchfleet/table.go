package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const unknown = "–"

// writeJSON prints the numbers for programs.
func writeJSON(w io.Writer, results []result) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(results)
}

// writeTable prints the numbers for people, a column for each run.
func writeTable(w io.Writer, results []result) error {
	if len(results) == 0 {
		return nil
	}
	var rows [][]string
	named := func(name string, cell func(result) string) {
		row := []string{name}
		for _, r := range results {
			row = append(row, cell(r))
		}
		rows = append(rows, row)
	}
	named("apps", func(r result) string { return grouped(r.Apps) })
	named("read and asked about", func(r result) string { return r.Variant })
	named("set-up of the platform", func(r result) string { return secs(&r.Setup) })
	named("ready after", func(r result) string { return secs(r.Ready) })
	named("requests of a quiet cycle", func(r result) string {
		if r.Requests == nil {
			return unknown
		}
		sum := 0.0
		for _, n := range r.Requests {
			sum += n
		}
		return decimal(sum)
	})
	for _, op := range operations(results) {
		named("  "+op, func(r result) string {
			if r.Requests == nil {
				return unknown
			}
			return decimal(r.Requests[op])
		})
	}
	named("CPU of a quiet cycle", func(r result) string { return secs(r.CPU) })
	named("peak of memory", func(r result) string {
		if r.PeakMemory == nil {
			return unknown
		}
		return grouped(int(*r.PeakMemory>>20)) + " MiB"
	})
	named("step: requests that change", func(r result) string { return grouped(r.Mutations) })
	named("step to first start", func(r result) string { return secs(r.First) })
	named("step to median start", func(r result) string { return secs(r.Median) })
	named("step to last start", func(r result) string { return secs(r.Last) })
	named("last start after interval", func(r result) string { return signed(r.Late) })
	named("answered 429, whole run", func(r result) string { return grouped(r.RateLimited) })
	named("all started", func(r result) string {
		if r.Error != "" {
			return "NO"
		}
		return "yes"
	})
	return align(w, rows)
}

// align prints rows with names to the left and numbers to the right.
func align(w io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&text, "%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			fmt.Fprintf(&text, "   %*s", widths[i+1], cell)
		}
		text.WriteByte('\n')
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// operations are those of all results, sorted.
func operations(results []result) []string {
	all := make(map[string]bool)
	for _, r := range results {
		for op := range r.Requests {
			all[op] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func secs(s *float64) string {
	if s == nil {
		return unknown
	}
	return strconv.FormatFloat(*s, 'f', 2, 64) + " s"
}

// signed shows on which side of a mark a time is.
func signed(s *float64) string {
	if s == nil {
		return unknown
	}
	return fmt.Sprintf("%+.2f s", *s)
}

// decimal shows a number with at most one place, and thousands apart.
func decimal(n float64) string {
	text := strconv.FormatFloat(n, 'f', 1, 64)
	whole, place, _ := strings.Cut(text, ".")
	i, err := strconv.Atoi(whole)
	if err != nil {
		return text
	}
	if place == "0" {
		return grouped(i)
	}
	return grouped(i) + "." + place
}

// grouped shows a number that is not negative with its thousands apart.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
