package flyapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// problem is what an error answer says, before it is tied to a call.
type problem struct {
	code    string
	message string
}

// parseProblem reads an error body. The documented form has "error", "message"
// and "status", all strings; older and intermediate servers send other shapes,
// HTML or nothing, which are taken as plain text.
func parseProblem(body []byte) problem {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || fields == nil {
		var plain string
		if json.Unmarshal(body, &plain) == nil {
			return problem{message: plain}
		}
		return problem{message: string(bytes.TrimSpace(body))}
	}
	p := problem{code: jsonString(fields["status"]), message: jsonString(fields["message"])}
	if p.message == "" {
		p.message = jsonString(fields["error"])
	}
	if p.message == "" {
		var nested struct {
			Message text `json:"message"`
		}
		if json.Unmarshal(fields["error"], &nested) == nil {
			p.message = string(nested.Message)
		}
	}
	if p.message == "" {
		// GraphQL's form, which comes with other statuses than 200 as well.
		var list []struct {
			Message text `json:"message"`
		}
		if json.Unmarshal(fields["errors"], &list) == nil && len(list) > 0 {
			p.message = string(list[0].Message)
		}
	}
	if p.message == "" && p.code == "" {
		p.message = string(bytes.TrimSpace(body))
	}
	// These say nothing beyond the HTTP status.
	if p.code == "unknown" || p.code == "error" {
		p.code = ""
	}
	return p
}

func jsonString(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// Codes of the "status" field.
const (
	codeCapacity       = "insufficient_capacity"
	codeVolumeCapacity = "volume_placement_capacity"
	codeNameTaken      = "name_taken"
)

var (
	nameConflict  = regexp.MustCompile(`machine ID ([0-9A-Za-z]+) already exists with name`)
	leaseConflict = regexp.MustCompile(`expires at ([0-9TZ:.+-]+)`)
)

// classify turns an HTTP status and what the body says into a kind. The order
// of the tests matters: capacity is reported under seven statuses, one of which
// also means "no permission" and another "outcome unknown".
func classify(status int, p problem, effect effect) Kind {
	lower := strings.ToLower(p.message)
	switch {
	case p.code == codeCapacity || p.code == codeVolumeCapacity:
		return KindCapacity
	case status == http.StatusUnauthorized:
		return KindUnauthorized
	case status == http.StatusForbidden:
		// An organization's quota of memory in a region also comes as 403.
		if strings.Contains(lower, "quota") {
			return KindCapacity
		}
		return KindUnauthorized
	case status == http.StatusNotFound:
		return KindNotFound
	case status == http.StatusTooManyRequests:
		return KindRateLimited
	case status == http.StatusRequestTimeout:
		// The platform gave up on a slow or dead host; the host may still act.
		return unanswered(effect)
	case strings.Contains(lower, "to this host are temporarily disabled"), strings.Contains(lower, "governor policy blocked start"):
		// Refused for this host, under changing statuses.
		return KindCapacity
	case status >= 500:
		return unanswered(effect)
	case status < 400:
		return KindProtocol
	}

	// What is left is 400, 409, 412, 422 and their like, where one status stands
	// for several things and the text decides.
	switch {
	case p.code == codeNameTaken, strings.Contains(lower, "unique machine name violation"), nameConflict.MatchString(p.message):
		return KindNameTaken
	case strings.Contains(lower, "rate limit exceeded"):
		return KindRateLimited
	case strings.Contains(lower, "lease currently held by"):
		return KindLeased
	case saysCapacity(lower):
		return KindCapacity
	case status == http.StatusConflict, status == http.StatusPreconditionFailed, status == http.StatusLocked:
		return KindPrecondition
	}
	return KindInvalid
}

func unanswered(effect effect) Kind {
	if effect == read {
		return KindUnavailable
	}
	return KindUnknown
}

// saysCapacity finds the ways in which the platform says that there is no room.
// "insufficient" alone is not enough: "insufficient permissions" is no matter
// of room.
func saysCapacity(lower string) bool {
	for _, phrase := range []string{
		"insufficient resources", "insufficient memory", "insufficient cpu", "insufficient capacity", "insufficient_capacity",
		"insufficient gpu", "insufficient disk", "insufficient storage", "insufficient volume",
		"could not reserve resource", "no capacity", "not enough capacity", "out of capacity",
		"over the allowed quota", "memory quota",
	} {
		if strings.Contains(lower, phrase) {
			return true
		}
	}
	return false
}

// fromAnswer makes the error of an answer that is not a success.
func (c *Client) fromAnswer(cl call, resp *http.Response, body []byte, now time.Time) *Error {
	p := parseProblem(body)
	e := c.newError(cl, classify(resp.StatusCode, p, cl.effect), p.message)
	e.Status = resp.StatusCode
	e.Code = oneLine(c.credential.redact(p.code, cl.nonce))
	e.RequestID = requestID(resp)
	e.RetryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), now)
	switch e.Kind {
	case KindLeased:
		if m := leaseConflict.FindStringSubmatch(p.message); m != nil && e.RetryAfter == 0 {
			if expires, err := time.Parse(time.RFC3339Nano, strings.TrimRight(m[1], ".")); err == nil {
				e.RetryAfter = max(0, expires.Sub(now))
			}
		}
	case KindNameTaken:
		if m := nameConflict.FindStringSubmatch(p.message); m != nil {
			e.ConflictID = scale.MachineID(m[1])
		}
	default: // nothing more to tell
	}
	return e
}

func (c *Client) newError(cl call, kind Kind, message string) *Error {
	return &Error{
		Op: cl.op, App: cl.app, MachineID: cl.machine, Method: cl.method, Path: cl.path,
		Kind: kind, Message: oneLine(c.credential.redact(message, cl.nonce)),
	}
}

func requestID(resp *http.Response) string {
	id := resp.Header.Get("Fly-Request-Id")
	if len(id) > 64 {
		id = id[:64]
	}
	return oneLine(id)
}

// longestRetryAfter keeps an absurd header from overflowing a duration.
const longestRetryAfter = 24 * time.Hour

// parseRetryAfter reads seconds or an HTTP date; 0 when there is neither.
func parseRetryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		if !(seconds > 0) {
			return 0
		}
		return time.Duration(min(seconds, longestRetryAfter.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(0, at.Sub(now)), longestRetryAfter)
	}
	return 0
}
