package source

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// MaxReason bounds the length of a sample's Reason in bytes. It is long enough
// for a server's own error message and short enough for one line of a log.
const MaxReason = 400

// CheckValue returns an error when v is not a finite number. A NaN that reached
// an expression would pass through min and max as if it were a bound.
func CheckValue(v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("value is %v, not a finite number", v)
	}
	return nil
}

// NewSample makes the sample of one reading. A nil err and a finite value give
// a fresh sample read at the given time. Otherwise the value is dropped and the
// sample is Empty if err wraps ErrEmpty, else Error, with the error's text as
// the reason. Callers must have removed credentials from the error's text.
func NewSample(metric string, value float64, at time.Time, err error) scale.Sample {
	if err == nil {
		err = CheckValue(value)
	}
	if err == nil {
		return scale.Sample{Metric: metric, Value: value, At: at, Quality: scale.Fresh}
	}
	quality := scale.Error
	if errors.Is(err, ErrEmpty) {
		quality = scale.Empty
	}
	return scale.Sample{Metric: metric, At: at, Quality: quality, Reason: Printable(err.Error(), MaxReason)}
}

// Printable returns s as one line of at most limit bytes: runs of white space
// and of characters that cannot be printed become one space, and what is cut
// off is marked by an ellipsis.
func Printable(s string, limit int) string {
	const ellipsis = "…"
	var b strings.Builder
	gap := false
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r) {
			gap = b.Len() > 0
			continue
		}
		need := utf8.RuneLen(r)
		if gap {
			need++
		}
		if b.Len()+need > limit {
			return cut(b.String(), limit-len(ellipsis)) + ellipsis
		}
		if gap {
			b.WriteByte(' ')
			gap = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// cut shortens s to at most n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
