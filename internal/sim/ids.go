package sim

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// crockford is the alphabet of ULIDs.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ulid returns a 26-character identifier that sorts by time.
func ulid(rng *rand.Rand, at time.Time) string {
	var b [26]byte
	ms := uint64(at.UnixMilli())
	for i := 9; i >= 0; i-- {
		b[i] = crockford[ms&31]
		ms >>= 5
	}
	for i := 10; i < 26; i++ {
		b[i] = crockford[rng.IntN(32)]
	}
	return string(b[:])
}

// newMachineID returns an unused identifier of 14 hexadecimal digits.
func (w *World) newMachineID() string {
	for {
		id := fmt.Sprintf("%014x", w.ids.Uint64()>>8)
		if _, taken := w.machines[id]; !taken {
			return id
		}
	}
}

func validMachineID(id string) bool {
	return len(id) == 14 && strings.Trim(id, "0123456789abcdef") == ""
}

const idAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

// opaque returns a random lower-case identifier of n characters.
func (w *World) opaque(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = idAlphabet[w.ids.IntN(len(idAlphabet))]
	}
	return string(b)
}

// newPrivateIP returns an address in the app's private network.
func (w *World) newPrivateIP(a *app) string {
	return fmt.Sprintf("fdaa:%x:%x:a7b:%x:%x:%x:2", a.org.numericID, a.numericID,
		w.ids.IntN(0xffff)+1, w.ids.IntN(0x10000), w.ids.IntN(0x10000))
}

// newName returns a name that no Machine of the app has.
func (w *World) newName(a *app) string {
	adjectives := [...]string{"ancient", "bold", "bright", "calm", "crimson", "dark", "empty", "frosty", "green", "hidden", "icy", "late", "little", "lively", "misty", "old", "proud", "quiet", "red", "silent", "small", "still", "sunny", "wild"}
	nouns := [...]string{"bird", "breeze", "brook", "cloud", "dawn", "dew", "field", "fire", "forest", "hill", "lake", "leaf", "meadow", "moon", "paper", "pine", "rain", "river", "sea", "shadow", "snow", "sound", "star", "wave"}
	for {
		name := fmt.Sprintf("%s-%s-%d", adjectives[w.ids.IntN(len(adjectives))], nouns[w.ids.IntN(len(nouns))], w.ids.IntN(9000)+1000)
		if a.byName[name] == nil {
			return name
		}
	}
}

// digestOf stands for what the registry would answer for a tag: the same
// reference always has the same digest.
func digestOf(ref string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(ref))) }
