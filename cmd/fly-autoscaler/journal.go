package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/app"
)

func journalCommand() command {
	return command{
		name: "journal", summary: "show what was decided and done, and decide it again",
		arguments: true,
		help: `
Lists the passes on record: those that acted or failed, and now and then one that had
nothing to do. "show ID" tells all of one: what it saw, decided, planned and did.
"replay" decides the recorded passes again, each from what it saw then, and ends with
status 1 if something else comes out than did.

	fly-autoscaler journal -app 'worker-*' -since 24h -changes
	fly-autoscaler journal -follow
	fly-autoscaler journal show 1234
	fly-autoscaler journal replay -since 168h

It asks the autoscaler that serves at -address, or reads the folder of one that does not
run: -store-dir /data.`,
		setup: func(env environment, flags *flag.FlagSet) func(context.Context) error {
			j := &journalFlags{env: env, flags: flags}
			flags.StringVar(&j.address, "address", "", "`host:port` or URL at which the autoscaler serves (default that of FAS_LISTEN, else 127.0.0.1:9090)")
			flags.StringVar(&j.storeDir, "store-dir", "", "read this `folder` of an autoscaler that does not run")
			flags.StringVar(&j.filter.App, "app", "", "only of this `app`; '*' stands for any characters")
			flags.StringVar(&j.since, "since", "1h", "only from then on: how long ago, or a `time` such as 2026-11-22T15:04:05Z")
			flags.BoolVar(&j.filter.Changes, "changes", false, "only passes that acted")
			flags.BoolVar(&j.follow, "follow", false, "go on as passes are made, until interrupted")
			flags.BoolVar(&j.asJSON, "json", false, "print JSON, one entry a line, with all that went into it")
			return j.run
		},
	}
}

// journalFlags is what the command line says.
type journalFlags struct {
	env               environment
	flags             *flag.FlagSet
	address, storeDir string
	since             string
	filter            app.JournalFilter
	follow, asJSON    bool
}

func (j *journalFlags) run(ctx context.Context) (err error) {
	// Flags may also come after what is asked for.
	words := []string{}
	for rest := j.flags.Args(); len(rest) > 0; rest = j.flags.Args() {
		words = append(words, rest[0])
		if err := j.flags.Parse(rest[1:]); err != nil {
			return fmt.Errorf("%w: %w", err, errUsage)
		}
	}
	what, id, err := j.asked(words)
	if err != nil {
		return err
	}
	if j.filter.Since, err = sinceTime(j.since, time.Now()); err != nil {
		return err
	}
	reader, closeReader, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeReader(ctx)) }()
	var items iter.Seq2[app.JournalItem, error]
	switch {
	case id != 0:
		item, err := reader.Get(ctx, id)
		if err != nil {
			return err
		}
		items = func(yield func(app.JournalItem, error) bool) { yield(item, nil) }
	case j.follow:
		items = reader.Follow(ctx, j.filter)
	default:
		items = reader.Read(ctx, j.filter)
	}
	switch what {
	case "replay":
		return replay(j.env.stdout, items)
	case "show":
		return each(items, func(item app.JournalItem) error { return j.show(item) })
	}
	return each(items, func(item app.JournalItem) error {
		if j.asJSON {
			return json.NewEncoder(j.env.stdout).Encode(item)
		}
		_, err := fmt.Fprintln(j.env.stdout, journalLine(item))
		return err
	})
}

// asked reads the words of the command line: what is to be done, and of which entry.
func (j *journalFlags) asked(words []string) (what string, id uint64, err error) {
	usage := fmt.Errorf("want journal, journal show ID, or journal replay [ID], not %q: %w", strings.Join(words, " "), errUsage)
	switch {
	case len(words) == 0:
		return "list", 0, nil
	case words[0] != "list" && words[0] != "show" && words[0] != "replay",
		len(words) > 2, words[0] == "show" && len(words) < 2, words[0] == "list" && len(words) > 1:
		return "", 0, usage
	case len(words) == 2:
		if id, err = strconv.ParseUint(words[1], 10, 64); err != nil || id == 0 {
			return "", 0, usage
		}
	}
	return words[0], id, nil
}

// sinceTime reads a time, or how long ago it was.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("-since %q is neither how long ago, such as 1h, nor a time, such as 2026-11-22T15:04:05Z: %w", text, errUsage)
	}
	return at, nil
}

// open opens the journal that the flags mean.
func (j *journalFlags) open(ctx context.Context) (app.JournalReader, func(context.Context) error, error) {
	if j.storeDir != "" {
		if j.address != "" {
			return nil, nil, fmt.Errorf("-address and -store-dir exclude each other: %w", errUsage)
		}
		return app.OpenJournal(ctx, j.storeDir, newLogger(j.env.stderr, "text", slog.LevelWarn))
	}
	address := j.address
	if address == "" {
		address = servedAt(j.env.environ)
	}
	return app.RemoteJournal(address), func(context.Context) error { return nil }, nil
}

// servedAt is where an autoscaler with the same environment is reached.
func servedAt(environ []string) string {
	for _, variable := range environ {
		listen, ok := strings.CutPrefix(variable, "FAS_LISTEN=")
		host, port, err := net.SplitHostPort(strings.TrimSpace(listen))
		if !ok || err != nil {
			continue
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		return net.JoinHostPort(host, port)
	}
	return "127.0.0.1:9090"
}

// each calls f for every item until one is not had.
func each(items iter.Seq2[app.JournalItem, error], f func(app.JournalItem) error) error {
	for item, err := range items {
		if err != nil {
			return err
		}
		if err := f(item); err != nil {
			return err
		}
	}
	return nil
}

// journalLine tells an entry in one line.
func journalLine(item app.JournalItem) string {
	line := ""
	r, err := app.ReportOf(item)
	switch {
	case item.Err != nil:
		line = "cannot be read: " + item.Err.Error()
	case err != nil:
		line = "cannot be read: " + err.Error()
	default:
		if r.Decision != nil {
			line = r.Decision.Line()
		}
		if r.DryRun && item.Kind == app.JournalActed {
			line = "(dry run) " + line
		}
		if r.Err != nil {
			line = strings.TrimPrefix(line+" – failed: "+r.Err.Error(), " – ")
		}
	}
	at := item.At
	if at.IsZero() {
		at = item.Recorded
	}
	return fmt.Sprintf("%6d  %s  %s  %s", item.ID, at.UTC().Format(time.DateTime), targetName(r), line)
}

// show tells all of an entry.
func (j *journalFlags) show(item app.JournalItem) error {
	if item.Err != nil {
		return fmt.Errorf("entry %d cannot be read: %w", item.ID, item.Err)
	}
	if j.asJSON {
		enc := json.NewEncoder(j.env.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(item)
	}
	r, err := app.ReportOf(item)
	if err != nil {
		return err
	}
	w := j.env.stdout
	fmt.Fprintf(w, "entry %d: %s, %s, took %s\n", item.ID, item.Kind, item.At.UTC().Format(time.RFC3339Nano), item.Took.Round(time.Microsecond))
	if in := item.Inputs; in != nil {
		showInputs(w, item)
	}
	explainReport(w, r)
	return nil
}

// showInputs tells what a decision was made from.
func showInputs(w io.Writer, item app.JournalItem) {
	in := item.Inputs
	state := "complete"
	if !in.Snapshot.Complete {
		state = "not complete"
	}
	if in.Snapshot.Overview {
		state += ", of the organization's list"
	}
	fmt.Fprintf(w, "decided at %s, Machines as of %s (%s)\n", in.Now.UTC().Format(time.RFC3339Nano), in.Snapshot.TakenAt.UTC().Format(time.RFC3339Nano), state)
	if release := in.Snapshot.Release; release.Known {
		fmt.Fprintf(w, "newest release: %d, %s\n", release.Version, release.Status)
	}
	table(w, func(t io.Writer) {
		for _, m := range in.Snapshot.Machines {
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\tsince %s\n", m.ID, m.Group, m.State, m.Region, m.UpdatedAt.UTC().Format(time.RFC3339))
		}
	})
	fmt.Fprintf(w, "settings (%s): %s\nremembered: %s\n", in.Fingerprint(), brief(in.Policy), brief(in.Memory))
}

// brief leaves out of a JSON object all that is not set.
func brief(data json.RawMessage) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return data
	}
	v = set(v)
	if v == nil {
		return json.RawMessage("{}")
	}
	out, err := json.Marshal(v)
	if err != nil {
		return data
	}
	return out
}

// set returns what of a value is set, or nil.
func set(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, part := range v {
			if v[key] = set(part); v[key] == nil {
				delete(v, key)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
	case json.Number:
		if v == "0" {
			return nil
		}
	case string:
		if v == "" || v == "none" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return v
}

// replay decides the items again.
func replay(w io.Writer, items iter.Seq2[app.JournalItem, error]) error {
	same, different, undecided := 0, 0, 0
	err := each(items, func(item app.JournalItem) error {
		switch err := app.Replay(item); {
		case err == nil:
			same++
		case errors.Is(err, app.ErrNotDecided):
			undecided++
		default:
			different++
			fmt.Fprintf(w, "%s\n", journalLine(item))
			if d, ok := errors.AsType[*app.JournalDifference](err); ok {
				fmt.Fprintf(w, "  %s then: %s\n  %s now:  %s\n", d.What, d.Then, d.What, d.Now)
			} else {
				fmt.Fprintf(w, "  %v\n", err)
			}
		}
		return nil
	})
	fmt.Fprintf(w, "%d decided again: %d the same, %d not; %d came to no decision\n", same+different, same, different, undecided)
	if err == nil && different > 0 {
		return errQuiet
	}
	return err
}
