// Command benchfleet measures what it costs the real program to govern many
// apps, and how soon it answers when all of them want more Machines at once.
// docs/performance.md says what each number means. The platform is a flysim of
// its own for each run, with latency and the documented rate limits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const help = `benchfleet measures fly-autoscaler on fleets of simulated apps.

Usage:
  make bench-fleet ARGS="[flags]"

Flags:
%s
Exit status: 0 when every run got all Machines started, 1 when one did not or
failed, 2 on bad usage.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// afterNews is how long the program goes on reading changes again, because the
// platform may tell of some that late: a minute, and the last such read. With the
// default interval the step then falls right after a pass, which is the worst that it
// can meet.
const afterNews = 75 * time.Second

// settings are the flags.
type settings struct {
	apps     []int
	compare  []int
	quiet    int
	settle   time.Duration
	interval time.Duration
	latency  time.Duration
	timeout  time.Duration
	bin      string
	json     bool
}

// parse reads the flags. Asked for help it writes that to out.
func parse(args []string, out io.Writer) (settings, error) {
	s := settings{apps: []int{100, 1000, 10000}, compare: []int{100, 1000}}
	flags := flag.NewFlagSet("benchfleet", flag.ContinueOnError)
	flags.Func("apps", "`numbers` of apps, one run each (default 100,1000,10000)", numbers(&s.apps))
	flags.Func("compare", "`numbers` of apps to measure also with every app asked about by itself; may be empty (default 100,1000)", numbers(&s.compare))
	flags.IntVar(&s.quiet, "quiet", 3, "`cycles` to measure while nothing changes")
	flags.DurationVar(&s.settle, "settle", afterNews, "time before the first of them; what was changed is read again for a minute")
	flags.DurationVar(&s.interval, "interval", 15*time.Second, "FAS_INTERVAL of the program")
	flags.DurationVar(&s.latency, "latency", 30*time.Millisecond, "of every answer of the platform")
	flags.DurationVar(&s.timeout, "timeout", 2*time.Minute, "the longest time to wait for readiness, and again for the Machines")
	flags.StringVar(&s.bin, "bin", "bin", "`folder` with fly-autoscaler and flysim")
	flags.BoolVar(&s.json, "json", false, "print the numbers as JSON")
	flags.SetOutput(io.Discard) // errors are returned, and printed once
	flags.Usage = func() {}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			var defaults strings.Builder
			flags.SetOutput(&defaults)
			flags.PrintDefaults()
			_, _ = fmt.Fprintf(out, help, defaults.String())
		}
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.quiet < 1:
		return s, fmt.Errorf("-quiet %d: must be at least 1", s.quiet)
	case s.interval <= 0 || s.timeout <= 0 || s.latency < 0 || s.settle < 0:
		return s, errors.New("-interval and -timeout must be more than 0, -latency and -settle not less")
	}
	return s, nil
}

// numbers reads "100,1000".
func numbers(into *[]int) func(string) error {
	return func(text string) error {
		*into = nil
		for word := range strings.SplitSeq(text, ",") {
			if word == "" {
				continue
			}
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is not a number of apps", word)
			}
			*into = append(*into, n)
		}
		return nil
	}
}

// run makes all runs, one after the other, and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "benchfleet:", err)
		return 2
	}
	var results []result
	failed := false
	measure := func(v variant, sizes []int) {
		for _, apps := range sizes {
			if ctx.Err() != nil {
				return
			}
			r, err := newBench(s, v, apps, stderr).run(ctx)
			if err != nil {
				failed = true
				r.Error = err.Error()
				_, _ = fmt.Fprintf(stderr, "benchfleet: %d apps, %s: %v\n", apps, v.name, err)
			}
			results = append(results, r)
		}
	}
	measure(together, s.apps)
	measure(separately, s.compare)
	write := writeTable
	if s.json {
		write = writeJSON
	}
	if err := write(stdout, results); err != nil {
		_, _ = fmt.Fprintln(stderr, "benchfleet: write the results:", err)
		failed = true
	}
	if failed || ctx.Err() != nil {
		return 1
	}
	return 0
}
