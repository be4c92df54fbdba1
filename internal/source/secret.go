package source

import (
	"net/url"
	"slices"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Redactor removes credentials from text that came from outside. Servers and
// proxies do repeat what they were sent, above all when they refuse it. The
// zero value removes nothing.
type Redactor struct {
	secrets []string // longest first
}

// minSecret is the shortest text worth removing. Anything shorter would punch
// holes into ordinary words and is no credential.
const minSecret = 4

// NewRedactor returns a Redactor for the given credentials. Of a credential of
// several parts ("scheme token,token") each part is removed as well, and every
// one also in the form it has inside a URL.
func NewRedactor(secrets ...scale.Secret) Redactor {
	var r Redactor
	for _, secret := range secrets {
		text := strings.TrimSpace(string(secret))
		parts := strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == ',' })
		// A leading word of a credential with several is a scheme, such as
		// "FlyV1", which is no secret.
		if strings.Contains(text, " ") && len(parts) > 1 {
			parts = parts[1:]
		}
		for _, part := range append(parts, text) {
			if len(part) >= minSecret {
				r.secrets = append(r.secrets, part, url.QueryEscape(part), url.PathEscape(part))
			}
		}
	}
	slices.SortFunc(r.secrets, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	r.secrets = slices.Compact(r.secrets)
	return r
}

// Text returns s without the credentials.
func (r Redactor) Text(s string) string {
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, "[redacted]")
	}
	return s
}
