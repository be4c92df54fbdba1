package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/httpapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/natsd"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// What commands know of the journal.
type (
	// JournalItem is an entry of the journal.
	JournalItem = journal.Item
	// JournalFilter selects entries.
	JournalFilter = journal.Filter
	// JournalDifference tells that an entry decided again gives something else.
	JournalDifference = journal.Difference
	// JournalReader reads a journal.
	JournalReader = httpapi.Journal
)

// ErrNotDecided is returned by Replay for a pass that came to no decision.
var ErrNotDecided = journal.ErrNoInputs

// The kinds of passes in a journal.
const (
	JournalActed  = journal.Acted
	JournalFailed = journal.Failed
)

// Replay makes the entry's decision again, and returns nil if the same comes out, to
// the byte; a *JournalDifference if not.
func Replay(item JournalItem) error {
	if item.Err != nil {
		return item.Err
	}
	return journal.Replay(item.Entry, func(in journal.Inputs) (decision, plan json.RawMessage, err error) {
		inputs := reconcile.Inputs{Snapshot: in.Snapshot, Samples: in.Samples, Policy: &policy.Policy{}, Now: in.Now}
		if err := json.Unmarshal(in.Policy, inputs.Policy); err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal(in.Memory, &inputs.Memory); err != nil {
			return nil, nil, fmt.Errorf("read the memory: %w", err)
		}
		d, p := inputs.Again()
		if decision, err = json.Marshal(d); err != nil {
			return nil, nil, err
		}
		plan, err = json.Marshal(p)
		return decision, plan, err
	})
}

// ReportOf returns the entry as the report of its pass, as far as it is told.
func ReportOf(item JournalItem) (Report, error) {
	r := Report{App: item.App, Group: item.Group, Began: item.At, Took: item.Took, DryRun: item.DryRun}
	if item.Error != "" {
		r.Err = errors.New(item.Error)
	}
	if item.Decision != nil {
		// Only what can be read back; the rest is in the inputs.
		var d struct {
			At         time.Time
			Counts     scale.Counts
			Have, Want scale.Count
			Steps      []scale.Step
		}
		if err := json.Unmarshal(item.Decision, &d); err != nil {
			return r, fmt.Errorf("read the decision of entry %d: %w", item.ID, err)
		}
		r.Decision = &scale.Decision{App: item.App, Group: item.Group, At: d.At, Counts: d.Counts, Have: d.Have, Want: d.Want, Steps: d.Steps}
		if item.Inputs != nil {
			r.Decision.Samples = item.Inputs.Samples
		}
	}
	for _, part := range []struct {
		data json.RawMessage
		to   any
	}{{item.Plan, &r.Plan}, {item.Outcomes, &r.Outcomes}} {
		if part.data == nil {
			continue
		}
		if err := json.Unmarshal(part.data, part.to); err != nil {
			return r, fmt.Errorf("read entry %d: %w", item.ID, err)
		}
	}
	return r, nil
}

// OpenJournal opens the journal in the folder of an autoscaler that does not run. The
// second function closes it.
func OpenJournal(ctx context.Context, dir string, logger *slog.Logger) (JournalReader, func(context.Context) error, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, nil, fmt.Errorf("read the journal: %w", err) // it is not made by who only looks
	}
	o, err := openFolder(ctx, dir, store.Retention{}, logger)
	if errors.Is(err, natsd.ErrLocked) {
		return nil, nil, fmt.Errorf("read the journal: an autoscaler runs that has the folder %q: ask it, without -store-dir", dir)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the journal: %w", err)
	}
	return o.journal, o.close, nil
}

// remoteJournal is the journal of an autoscaler that runs.
type remoteJournal struct {
	base   string
	client *http.Client
}

// RemoteJournal returns the journal of the autoscaler that serves at the address, which
// is a URL or host:port.
func RemoteJournal(address string) JournalReader {
	base := strings.TrimSuffix(address, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	return &remoteJournal{base: base, client: &http.Client{Transport: &http.Transport{
		ResponseHeaderTimeout: remoteTimeout, DisableKeepAlives: true,
	}}}
}

// remoteTimeout is how long an autoscaler may take to begin its answer.
const remoteTimeout = 10 * time.Second

func (r *remoteJournal) get(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, fmt.Errorf("ask the autoscaler at %s for its journal: %w (say where it serves with -address, or -store-dir for one that does not run)", r.base, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		const most = 1000
		body, err := io.ReadAll(io.LimitReader(resp.Body, most))
		if err != nil {
			return nil, fmt.Errorf("read the journal at %s: %s", r.base, resp.Status)
		}
		return nil, fmt.Errorf("read the journal at %s: %s: %s", r.base, resp.Status, bytes.TrimSpace(body))
	}
	return resp.Body, nil
}

// Get implements JournalReader.
func (r *remoteJournal) Get(ctx context.Context, id uint64) (JournalItem, error) {
	body, err := r.get(ctx, fmt.Sprintf("/api/v1/journal/%d", id))
	if err != nil {
		return JournalItem{}, err
	}
	defer body.Close()
	var item JournalItem
	if err := json.NewDecoder(body).Decode(&item); err != nil {
		return JournalItem{}, fmt.Errorf("read entry %d at %s: %w", id, r.base, err)
	}
	return item, nil
}

// Read implements JournalReader.
func (r *remoteJournal) Read(ctx context.Context, f JournalFilter) iter.Seq2[JournalItem, error] {
	return r.lines(ctx, f, false)
}

// Follow implements JournalReader.
func (r *remoteJournal) Follow(ctx context.Context, f JournalFilter) iter.Seq2[JournalItem, error] {
	return r.lines(ctx, f, true)
}

func (r *remoteJournal) lines(ctx context.Context, f JournalFilter, follow bool) iter.Seq2[JournalItem, error] {
	query := url.Values{"inputs": {""}}
	set := func(name, value string, is bool) {
		if is {
			query.Set(name, value)
		}
	}
	set("app", f.App, f.App != "")
	set("changes", "", f.Changes)
	set("follow", "", follow)
	set("after", strconv.FormatUint(f.After, 10), f.After > 0)
	set("since", f.Since.UTC().Format(time.RFC3339Nano), !f.Since.IsZero())
	set("until", f.Until.UTC().Format(time.RFC3339Nano), !f.Until.IsZero())
	return func(yield func(JournalItem, error) bool) {
		body, err := r.get(ctx, "/api/v1/journal?"+query.Encode())
		if err != nil {
			yield(JournalItem{}, err)
			return
		}
		defer body.Close()
		dec := json.NewDecoder(bufio.NewReader(body))
		for {
			var line struct {
				Error string `json:"error"`
				ID    uint64 `json:"id"`
			}
			var raw json.RawMessage
			err := dec.Decode(&raw)
			if errors.Is(err, io.EOF) && !follow || ctx.Err() != nil {
				return
			}
			if err == nil {
				err = json.Unmarshal(raw, &line)
			}
			var item JournalItem
			switch {
			case err != nil:
				err = fmt.Errorf("the journal at %s ended: %w", r.base, err)
			case line.ID == 0:
				err = errors.New(line.Error)
			default:
				err = json.Unmarshal(raw, &item)
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}
