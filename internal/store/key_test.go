package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
)

func TestKeyOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		parts []string
		want  store.Key
	}{
		{nil, ""},
		{[]string{"web", "app"}, "web.app"},
		{[]string{"my-app_2", "Worker"}, "my-app_2.Worker"},
		{[]string{"a.b", "c d*>"}, "a=2Eb.c=20d=2A=3E"},
		{[]string{"", "="}, "=.=3D"},
		{[]string{"é\x00"}, "=C3=A9=00"},
	} {
		if got := store.KeyOf(tt.parts...); got != tt.want {
			t.Errorf("KeyOf(%q): got %q, want %q", tt.parts, got, tt.want)
		}
	}
}

// Whatever the parts are, the key can be taken apart again, is of the alphabet
// that NATS takes for keys, and is within exactly its own prefixes.
func TestKeyRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z=.]{0,4}`)), 1, 4).Draw(t, "parts")
		key := store.KeyOf(parts...)
		got, err := key.Parts()
		if err != nil {
			t.Fatalf("take %q apart: %v", key, err)
		}
		if diff := cmp.Diff(parts, got); diff != "" {
			t.Fatalf("parts differ (-want +got):\n%s", diff)
		}
		if i := strings.IndexFunc(string(key), func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.", r)
		}); i >= 0 {
			t.Fatalf("key %q has a character that a store may not take, at %d", key, i)
		}
		n := rapid.IntRange(0, len(parts)).Draw(t, "n")
		if !key.Within(store.KeyOf(parts[:n]...)) {
			t.Fatalf("%q is not within its first %d parts", key, n)
		}
		if other := store.KeyOf(append(parts[:n:n], "other"+strings.Join(parts, ""))...); key.Within(other) {
			t.Fatalf("%q is within %q", key, other)
		}
	})
}

// There is one encoding of a key, so that no two keys mean the same.
func TestKeyCheck(t *testing.T) {
	t.Parallel()
	for _, bad := range []store.Key{"", ".", "a.", ".a", "a..b", "a b", "a=", "=2", "=2e", "=61", "a=.b", "a/b", "*", ">", store.Key(strings.Repeat("a", 513))} {
		if err := bad.Check(); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Check of %q: got %v, want %v", bad, err, store.ErrInvalid)
		}
	}
	for _, good := range []store.Key{"a", "a.b", "=", "=.a", "=2E", store.Key(strings.Repeat("a", 512))} {
		if err := good.Check(); err != nil {
			t.Errorf("Check of %q: %v", good, err)
		}
	}
	if store.KeyOf("web").Within(store.KeyOf("we")) {
		t.Error("web is within we")
	}
}
