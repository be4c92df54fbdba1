package scale

// Secret is text that must not be shown: every way of printing, logging or
// encoding it gives "[redacted]" (or "" when empty). Convert to string where
// it goes onto the wire, and nowhere else.
type Secret string

const redacted = "[redacted]"

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler, which covers JSON, YAML and
// slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
