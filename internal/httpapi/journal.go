package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// Journal is the passes on record.
type Journal interface {
	Get(ctx context.Context, id uint64) (journal.Item, error)
	Read(ctx context.Context, f journal.Filter) iter.Seq2[journal.Item, error]
	Follow(ctx context.Context, f journal.Filter) iter.Seq2[journal.Item, error]
}

const (
	// maxReaders bounds the readers of the journal at a time: each costs the store some.
	maxReaders = 16
	// readerPatience is how long a reader may take to accept an entry.
	readerPatience = 30 * time.Second
)

// handleJournal serves the journal.
//
//	/api/v1/journal?app=web-*&since=1h&until=TIME&after=ID&changes&inputs&follow
//
// answers one JSON object a line, oldest first; times are in RFC 3339 or how long
// ago. Inputs of decisions are left out unless asked for. With follow the answer goes
// on as passes are made. A line with nothing but "error" says why an answer is not
// complete.
func handleJournal(mux *http.ServeMux, j Journal, logger *slog.Logger) {
	readers := make(chan struct{}, maxReaders)
	mux.HandleFunc("GET /api/v1/journal", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		f, err := filterOf(query, time.Now())
		if err != nil {
			text(w, http.StatusBadRequest, err.Error())
			return
		}
		select {
		case readers <- struct{}{}:
			defer func() { <-readers }()
		default:
			text(w, http.StatusServiceUnavailable, fmt.Sprintf("%d others read the journal now: try again later", maxReaders))
			return
		}
		read := j.Read
		if query.Has("follow") {
			read = j.Follow
		}
		if err := stream(w, read(r.Context(), f), query.Has("inputs")); err != nil && r.Context().Err() == nil {
			logger.Debug("write the journal", "error", err)
		}
	})
	mux.HandleFunc("GET /api/v1/journal/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
		if err != nil {
			text(w, http.StatusBadRequest, "the number of an entry is a whole number")
			return
		}
		item, err := j.Get(r.Context(), id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			text(w, http.StatusNotFound, fmt.Sprintf("the journal has no entry %d", id))
			return
		case err != nil:
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(item); err != nil {
			logger.Debug("write an entry of the journal", "error", err)
		}
	})
}

// stream writes the items, one a line, each as soon as it is there.
func stream(w http.ResponseWriter, items iter.Seq2[journal.Item, error], inputs bool) error {
	// The time limits of short answers do not hold for this one.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := func() error {
		_ = control.SetWriteDeadline(time.Now().Add(readerPatience))
		return control.Flush()
	}
	if err := flush(); err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	for item, err := range items {
		var line any = item
		if err != nil {
			line = map[string]string{"error": err.Error()}
		} else if !inputs {
			item.Inputs = nil
			line = item
		}
		// A long line is written before it is flushed.
		_ = control.SetWriteDeadline(time.Now().Add(readerPatience))
		if err := enc.Encode(line); err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}

// filterOf reads the filter of a request.
func filterOf(query url.Values, now time.Time) (journal.Filter, error) {
	f := journal.Filter{App: query.Get("app"), Changes: query.Has("changes")}
	for _, t := range []struct {
		name string
		to   *time.Time
	}{{"since", &f.Since}, {"until", &f.Until}} {
		value := query.Get(t.name)
		if value == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, value)
		if ago, agoErr := time.ParseDuration(value); agoErr == nil && ago >= 0 {
			at, err = now.Add(-ago), nil
		}
		if err != nil {
			return f, fmt.Errorf("%s is neither a time such as 2026-11-22T15:04:05Z nor how long ago, such as 1h", t.name)
		}
		*t.to = at
	}
	if value := query.Get("after"); value != "" {
		id, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return f, errors.New("after is not the number of an entry")
		}
		f.After = id
	}
	return f, nil
}
