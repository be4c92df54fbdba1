package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/app"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// explainReport tells a pass in full: metrics, stages, actions.
func explainReport(w io.Writer, r app.Report) {
	fmt.Fprintf(w, "\n%s\n", targetName(r))
	if r.Err != nil {
		fmt.Fprintf(w, "  error: %v\n", r.Err)
	}
	if r.Decision == nil {
		return
	}
	table(w, func(t io.Writer) {
		for _, s := range r.Decision.Samples {
			if s.Known() {
				fmt.Fprintf(t, "  metric\t%s\t%g\tat %s\n", s.Metric, s.Value, s.At.UTC().Format(time.TimeOnly))
			} else {
				fmt.Fprintf(t, "  metric\t%s\tunknown\t%s: %s\n", s.Metric, s.Quality, s.Reason)
			}
		}
	})
	table(w, func(t io.Writer) {
		for _, s := range r.Decision.Steps {
			fmt.Fprintf(t, "  %s\tcreated %s\tstarted %s\t%s\n", s.Stage, arrow(s.In.Created, s.Out.Created), arrow(s.In.Started, s.Out.Started), s.Reason)
		}
	})
	printActions(w, r)
}

// explainMetrics tells which metrics of a pattern are asked for once for all apps,
// and why others are not.
func explainMetrics(w io.Writer, metrics []app.Metric) {
	for _, m := range metrics {
		how := "asked once for all apps"
		if !m.Grouped {
			how = "asked app by app: " + m.Reason
		}
		fmt.Fprintf(w, "\nmetric %s of %s: %s\n", m.Name, m.Target, how)
	}
}

// printActions lists the actions of a plan, or says that there are none.
func printActions(w io.Writer, r app.Report) {
	if r.Plan.Empty() {
		fmt.Fprintln(w, "  nothing to do")
		return
	}
	outcome := make(map[string]scale.Outcome)
	for _, o := range r.Outcomes {
		outcome[o.Action.String()] = o
	}
	table(w, func(t io.Writer) {
		for _, a := range r.Plan.Actions {
			what := string(a.Machine)
			if a.Verb == scale.Create {
				what = fmt.Sprintf("%s, a clone of %s", a.Name, a.Template)
				if !a.Launch {
					what += ", not launched"
				}
			}
			o, done := outcome[a.String()]
			result := ""
			if done {
				result = string(o.Result)
				if o.Reason != "" {
					result += ": " + o.Reason
				}
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", a.Verb, a.Region, what, result)
		}
	})
}

func arrow(from, to int) string {
	if from == to {
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d → %d", from, to)
}

// table aligns the columns that rows separates by tabs.
func table(w io.Writer, rows func(io.Writer)) {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	rows(t)
	_ = t.Flush() // writing to a strings.Builder does not fail
	for line := range strings.Lines(text.String()) {
		// What cannot be written to the terminal cannot be reported there either.
		_, _ = fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}
