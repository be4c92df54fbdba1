package flyapi

import (
	"errors"
	"slices"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// credential is a parsed API token: macaroons, and tokens of any other kind.
type credential struct {
	macaroons []string
	others    []string
}

// parseToken splits a token as users paste it. Scheme words may stand before
// the whole or before each part, several times and in any case, because both
// "fly tokens create" and the documents print them.
func parseToken(token scale.Secret) (credential, error) {
	var c credential
	for part := range strings.SplitSeq(string(token), ",") {
		words := strings.Fields(part)
		for len(words) > 0 && isScheme(words[0]) {
			words = words[1:]
		}
		switch len(words) {
		case 0:
			continue
		case 1:
		default:
			return credential{}, errors.New("white space inside")
		}
		word := words[0]
		if !isPrintable(word) {
			return credential{}, errors.New("has a character that is not printable ASCII")
		}
		if isMacaroon(word) {
			c.macaroons = append(c.macaroons, word)
		} else {
			c.others = append(c.others, word)
		}
	}
	if len(c.macaroons)+len(c.others) == 0 {
		return credential{}, errors.New("missing")
	}
	return c, nil
}

// isPrintable reports whether text may stand in a header as one word.
func isPrintable(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

func isScheme(word string) bool {
	return strings.EqualFold(word, "FlyV1") || strings.EqualFold(word, "Bearer")
}

func isMacaroon(token string) bool {
	return strings.HasPrefix(token, "fm1r_") || strings.HasPrefix(token, "fm1a_") || strings.HasPrefix(token, "fm2_")
}

// machines returns the Authorization header for the Machines API, which wants
// macaroons alone where there are any.
func (c credential) machines() string {
	if len(c.macaroons) > 0 {
		return "FlyV1 " + strings.Join(c.macaroons, ",")
	}
	return "Bearer " + strings.Join(c.others, ",")
}

// graphql returns the Authorization header for the GraphQL API, which takes all
// kinds together.
func (c credential) graphql() string {
	if len(c.macaroons) > 0 {
		return "FlyV1 " + strings.Join(slices.Concat(c.macaroons, c.others), ",")
	}
	return "Bearer " + strings.Join(c.others, ",")
}

// shortestSecret keeps redaction from shredding ordinary words when a test
// server is used with a token such as "x".
const shortestSecret = 6

// redact replaces what must not be shown in text that came from outside.
func (c credential) redact(text string, more ...scale.Secret) string {
	for _, t := range slices.Concat(c.macaroons, c.others) {
		text = cut(text, t)
	}
	for _, s := range more {
		text = cut(text, string(s))
	}
	return text
}

func cut(text, secret string) string {
	if len(secret) < shortestSecret {
		return text
	}
	return strings.ReplaceAll(text, secret, "[redacted]")
}
