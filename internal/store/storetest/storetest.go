// Package storetest is the suite of tests that every store has to pass. It tells
// the contract of package store by example and looks at nothing but results.
package storetest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

// Run runs the suite; open returns a store of its own for each test, that is
// empty and ends with the test.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

// RunInBubbles runs the suite in virtual time, for stores that can.
func RunInBubbles(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { c.run(t, open(t)) })
		})
	}
}

type testCase struct {
	name string
	run  func(t *testing.T, s store.Store)
}

func cases() []testCase {
	return []testCase{
		{"values", values},
		{"compare and set", compareAndSet},
		{"one of many wins", oneOfManyWins},
		{"a list of values", listOfValues},
		{"any key", anyKey},
		{"bad keys and values", badKeysAndValues},
		{"buckets are apart", bucketsAreApart},
		{"copies", copies},
		{"append and read", appendAndRead},
		{"read by key", readByKey},
		{"read from", readFrom},
		{"read what was there", readWhatWasThere},
		{"one record", oneRecord},
		{"retention by count", retentionByCount},
		{"retention by bytes", retentionByBytes},
		{"retention by age", retentionByAge},
		{"retention of a stream that is there", retentionChanges},
		{"follow", follow},
		{"many writers", manyWriters},
		{"no time left", noTimeLeft},
	}
}

// patience bounds what the suite waits for.
const patience = 20 * time.Second

// limited returns a context that ends a test that hangs.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		<-time.After(10 * time.Millisecond)
	}
}
