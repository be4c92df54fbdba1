package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/natsd"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/jetstream"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/memory"
)

// opened is a store that is in use.
type opened struct {
	journal *journal.Journal
	keeper  *store.Keeper
	kept    store.Kept
	durable bool
	// problem returns why nothing can be written at the moment, or nil.
	problem func() error
	close   func(context.Context) error
}

const (
	// openTimeout is how long a start waits for the folder.
	openTimeout = 5 * time.Second
	// memoryBucket is the bucket of what is remembered of targets, and memoryVersion the
	// version of its documents: that of decide.Memory, to be raised when what is written
	// would be misread.
	memoryBucket  = "memory"
	memoryVersion = 1
)

// openFolder opens the store in the settings' folder.
func openFolder(ctx context.Context, dir string, r store.Retention, logger *slog.Logger) (_ *opened, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	server, err := natsd.Open(ctx, natsd.Config{Dir: dir, Logger: logger})
	if err != nil {
		return nil, err
	}
	conn, err := server.Connect("fly-autoscaler")
	if err != nil {
		_ = server.Close(ctx) // the first error tells more
		return nil, err
	}
	closeAll := func(ctx context.Context) error {
		conn.Close()
		return server.Close(ctx)
	}
	s, err := jetstream.New(conn)
	if err == nil {
		var o *opened
		if o, err = openIn(ctx, s, r); err == nil {
			o.durable, o.close = true, closeAll
			o.problem = func() error { return server.Status().Err }
			return o, nil
		}
	}
	_ = closeAll(ctx) // likewise
	return nil, err
}

// openVolatile opens a store that ends with the process.
func openVolatile(ctx context.Context) (*opened, error) {
	o, err := openIn(ctx, memory.New(), journal.VolatileRetention())
	if err != nil {
		return nil, err
	}
	o.problem = func() error { return nil }
	o.close = func(context.Context) error { return nil }
	return o, nil
}

func openIn(ctx context.Context, s store.Store, r store.Retention) (*opened, error) {
	j, err := journal.Open(ctx, s, r)
	if err != nil {
		return nil, err
	}
	bucket, err := s.Bucket(ctx, memoryBucket)
	if err != nil {
		return nil, err
	}
	keeper, kept, err := store.OpenKeeper(ctx, bucket, memoryVersion)
	if err != nil {
		return nil, err
	}
	return &opened{journal: j, keeper: keeper, kept: kept}, nil
}

// bytesPerEntry is the room that the journal has for each entry, on average.
const bytesPerEntry = 2684

// retentionOf is how much of the journal the settings keep in a folder.
func retentionOf(s *config.Settings) store.Retention {
	r := journal.DefaultRetention()
	r.MaxAge, r.MaxRecords = s.JournalRetention, s.JournalEntries
	r.MaxBytes = max(r.MaxBytes, int64(s.JournalEntries)*bytesPerEntry)
	return r
}
