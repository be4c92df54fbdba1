package store

import (
	"fmt"
	"strings"
)

// Key is a path of parts, such as an app and its process group. Make it with
// KeyOf: parts may hold any bytes, and are encoded so that every store can take
// them. The empty Key has no parts; it stands for every key where a prefix is
// asked for, and is no key otherwise.
type Key string

// maxKey bounds the length of an encoded key. Names at Fly.io have 63 characters
// at most; three times as many when each has to be encoded.
const maxKey = 512

// KeyOf returns the key with the given parts.
func KeyOf(parts ...string) Key {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		if part == "" {
			b.WriteByte('=') // no encoded byte: those have two digits after it
		}
		for j := range len(part) {
			if c := part[j]; plain(c) {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "=%02X", c)
			}
		}
	}
	return Key(b.String())
}

// plain reports whether a byte stands for itself in an encoded part. All of them
// may be used in subjects and keys of NATS; a dot separates parts.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// Parts returns the parts that the key was made of, or ErrInvalid.
func (k Key) Parts() ([]string, error) {
	if k == "" {
		return nil, nil
	}
	encoded := strings.Split(string(k), ".")
	parts := make([]string, len(encoded))
	for i, e := range encoded {
		part, ok := decodePart(e)
		if !ok {
			return nil, fmt.Errorf("key %q: %w", string(k), ErrInvalid)
		}
		parts[i] = part
	}
	return parts, nil
}

// decodePart is strict: of two different encodings at most one is right.
func decodePart(e string) (string, bool) {
	if e == "=" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(e); i++ {
		if plain(e[i]) {
			b.WriteByte(e[i])
			continue
		}
		if e[i] != '=' || len(e) < i+3 {
			return "", false
		}
		hi, lo := strings.IndexByte(digits, e[i+1]), strings.IndexByte(digits, e[i+2])
		if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), b.Len() > 0
}

const digits = "0123456789ABCDEF"

// Within reports whether the key begins with the parts of prefix.
func (k Key) Within(prefix Key) bool {
	rest, ok := strings.CutPrefix(string(k), string(prefix))
	return ok && (prefix == "" || rest == "" || rest[0] == '.')
}

// Check returns ErrInvalid for what no store takes as a key.
func (k Key) Check() error {
	if k == "" {
		return fmt.Errorf("empty key: %w", ErrInvalid)
	}
	return k.CheckPrefix()
}

// CheckPrefix is Check for a prefix, which may be empty.
func (k Key) CheckPrefix() error {
	if len(k) > maxKey {
		return fmt.Errorf("key %.32q… of %d bytes, longer than %d: %w", string(k), len(k), maxKey, ErrInvalid)
	}
	_, err := k.Parts()
	return err
}

// CheckValue returns ErrInvalid for a value that is too large.
func CheckValue(value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("value of %d bytes, larger than %d: %w", len(value), MaxValue, ErrInvalid)
	}
	return nil
}
