package flyapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Lease is a lease on a Machine as its holder sees it.
type Lease struct {
	// Nonce proves the lease. It is empty for a lease of somebody else.
	Nonce scale.Secret
	// InstanceID is the Machine's configuration version at the time of the answer.
	InstanceID  string
	Owner       string
	Description string
	ExpiresAt   time.Time
}

// wireLease is the "data" of the lease envelope, and also the shape of the
// lease within a Machine.
type wireLease struct {
	Nonce       text  `json:"nonce"`
	Version     text  `json:"version"`
	Owner       text  `json:"owner"`
	Description text  `json:"description"`
	ExpiresAt   stamp `json:"expires_at"`
}

// AcquireLease takes the lease of a Machine for ttl, rounded up to whole
// seconds. When another holds it the error is of KindLeased; when it is of
// KindUnknown the lease may be ours without our knowing its nonce, and ends by
// itself after ttl.
func (c *Client) AcquireLease(ctx context.Context, app scale.App, id scale.MachineID, ttl time.Duration, description string) (Lease, error) {
	cl := c.machineCall(opAcquireLease, http.MethodPost, app, id, "/lease", once)
	return c.takeLease(ctx, cl, ttl, description)
}

// RefreshLease makes a lease that we hold end ttl from now.
func (c *Client) RefreshLease(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret, ttl time.Duration) (Lease, error) {
	cl := c.machineCall(opRefreshLease, http.MethodPost, app, id, "/lease", repeatable)
	if nonce == "" {
		// Without one this would be a second acquire.
		return Lease{}, c.newError(cl, KindInvalid, "no nonce")
	}
	cl.nonce = nonce
	return c.takeLease(ctx, cl, ttl, "")
}

func (c *Client) takeLease(ctx context.Context, cl call, ttl time.Duration, description string) (Lease, error) {
	if ttl <= 0 {
		return Lease{}, c.newError(cl, KindInvalid, fmt.Sprintf("a lease cannot last %s", ttl))
	}
	seconds := int64((ttl + time.Second - 1) / time.Second)
	// The documents have the time in the body, the official client sends it in
	// the query. Either alone may be overlooked by some version of the platform.
	cl.query = url.Values{"ttl": {strconv.FormatInt(seconds, 10)}}
	body, err := marshal(struct {
		TTL         int64  `json:"ttl"`
		Description string `json:"description,omitempty"`
	}{seconds, description})
	if err != nil {
		return Lease{}, c.newError(cl, KindInvalid, "encode the request: "+err.Error())
	}
	cl.body = body
	var lease Lease
	cl.decode = func(body []byte) (err error) {
		lease, err = decodeLease(body)
		if err == nil && lease.Nonce == "" {
			err = errors.New("a lease without a nonce")
		}
		return err
	}
	if err := c.run(ctx, cl); err != nil {
		return Lease{}, err
	}
	return lease, nil
}

// GetLease returns the lease of a Machine; the error is of KindNotFound when
// there is none.
func (c *Client) GetLease(ctx context.Context, app scale.App, id scale.MachineID) (Lease, error) {
	cl := c.machineCall(opGetLease, http.MethodGet, app, id, "/lease", read)
	var lease Lease
	cl.decode = func(body []byte) (err error) {
		lease, err = decodeLease(body)
		return err
	}
	if err := c.run(ctx, cl); err != nil {
		return Lease{}, err
	}
	return lease, nil
}

// ReleaseLease gives a lease back. One that is gone already is a success.
func (c *Client) ReleaseLease(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret) error {
	cl := c.machineCall(opReleaseLease, http.MethodDelete, app, id, "/lease", repeatable)
	if nonce == "" {
		return c.newError(cl, KindInvalid, "no nonce")
	}
	cl.nonce = nonce
	cl.goneIsDone = true
	return c.run(ctx, cl)
}

// decodeLease reads a lease in its envelope, or bare as the published schema
// has it.
func decodeLease(body []byte) (Lease, error) {
	var envelope struct {
		Status  text            `json:"status"`
		Message text            `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return Lease{}, fmt.Errorf("decode lease: %w", err)
	}
	if envelope.Status == "error" {
		p := problem{message: string(envelope.Message)}
		return Lease{}, &refusal{kind: classify(http.StatusConflict, p, once), message: p.message}
	}
	raw := json.RawMessage(body)
	if isObject(envelope.Data) {
		raw = envelope.Data
	}
	var w wireLease
	if err := json.Unmarshal(raw, &w); err != nil {
		return Lease{}, fmt.Errorf("decode lease: %w", err)
	}
	if w.ExpiresAt.IsZero() {
		return Lease{}, errors.New("decode lease: no time of expiry")
	}
	return Lease{
		Nonce:       scale.Secret(w.Nonce),
		InstanceID:  string(w.Version),
		Owner:       string(w.Owner),
		Description: string(w.Description),
		ExpiresAt:   w.ExpiresAt.Time,
	}, nil
}
