package jetstream_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// entry is as large as a gzipped journal entry of an app with a few Machines, and
// as hard to compress.
func entry() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1200)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

const (
	benchKeys    = 10_000
	benchRecords = 100_000
	valueSize    = 200
)

func benchKey(i int) store.Key { return store.KeyOf(fmt.Sprintf("app-%05d", i), "app") }

func openBench(b *testing.B, dir string) (store.Bucket, store.Stream) {
	b.Helper()
	s := connect(b, serve(b, dir))
	bucket, err := s.Bucket(b.Context(), "memory")
	if err != nil {
		b.Fatalf("open bucket: %v", err)
	}
	stream, err := s.Stream(b.Context(), "journal", store.Retention{MaxAge: 7 * 24 * time.Hour, MaxRecords: benchRecords, MaxBytes: 256 << 20})
	if err != nil {
		b.Fatalf("open stream: %v", err)
	}
	return bucket, stream
}

func BenchmarkPut(b *testing.B) {
	bucket, _ := openBench(b, b.TempDir())
	value, i := entry()[:valueSize], 0
	for b.Loop() {
		if _, err := bucket.Put(b.Context(), benchKey(i%benchKeys), value); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkAppend(b *testing.B) {
	_, stream := openBench(b, b.TempDir())
	data, i := entry(), 0
	for b.Loop() {
		if _, err := stream.Append(b.Context(), benchKey(i%benchKeys), data); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkOpen opens a folder with as much in it as it is meant to hold, until
// the first value is there.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir)
	b.ReportMetric(size(b, dir)/1e6, "MB-on-disk")
	for b.Loop() {
		server := serve(b, dir)
		bucket, err := connect(b, server).Bucket(b.Context(), "memory")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := bucket.Get(b.Context(), benchKey(0)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		closeServer(b, server)
		b.StartTimer()
	}
}

// fill writes 10,000 values three times, and 100,000 records.
func fill(b *testing.B, dir string) {
	b.Helper()
	server := serve(b, dir)
	s := connect(b, server)
	bucket, err := s.Bucket(b.Context(), "memory")
	if err != nil {
		b.Fatal(err)
	}
	stream, err := s.Stream(b.Context(), "journal", store.Retention{MaxRecords: benchRecords, MaxBytes: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	value, data := entry()[:valueSize], entry()
	for i := range 3 * benchKeys {
		if _, err := bucket.Put(b.Context(), benchKey(i%benchKeys), value); err != nil {
			b.Fatal(err)
		}
	}
	for i := range benchRecords {
		if _, err := stream.Append(b.Context(), benchKey(i%benchKeys), data); err != nil {
			b.Fatal(err)
		}
	}
	closeServer(b, server)
}

func size(b *testing.B, dir string) float64 {
	b.Helper()
	total := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		b.Fatal(err)
	}
	return float64(total)
}

// BenchmarkList loads all values, as at a start.
func BenchmarkList(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir)
	bucket, _ := openBench(b, dir)
	for b.Loop() {
		n := 0
		for _, err := range bucket.List(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != benchKeys {
			b.Fatalf("listed %d values", n)
		}
	}
}

// BenchmarkRead reads all records, and those of one app.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir)
	_, stream := openBench(b, dir)
	for name, want := range map[string]int{"": benchRecords, "app-00007": benchRecords / benchKeys} {
		q := store.Query{}
		if name != "" {
			q.Prefix = store.KeyOf(name)
		}
		b.Run(fmt.Sprintf("records=%d", want), func(b *testing.B) {
			for b.Loop() {
				n := 0
				for _, err := range stream.Read(b.Context(), q) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != want {
					b.Fatalf("read %d records", n)
				}
			}
		})
	}
}
