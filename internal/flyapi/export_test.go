package flyapi

import (
	"net/http"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// What fuzz targets and the benchmark call without a connection in between.
var (
	DecodeMachine  = decodeMachine
	DecodeMachines = decodeMachines
	DecodeOrgPage  = decodeOrgPage
)

// ErrorFromBody classifies one answer to a create.
func (c *Client) ErrorFromBody(status int, body []byte) *Error {
	cl := c.appCall(opCreateMachine, http.MethodPost, "web", "/machines", once)
	return c.fromAnswer(cl, &http.Response{StatusCode: status, Header: http.Header{}}, body, time.Unix(1_790_000_000, 0))
}

// Buckets returns how many rate-limit buckets are held.
func (c *Client) Buckets() int {
	c.limits.mu.Lock()
	defer c.limits.mu.Unlock()
	return len(c.limits.buckets)
}

// Affinities returns how many affinity cookies are held.
func (c *Client) Affinities() int {
	jar := c.http.Jar.(*affinity)
	jar.mu.Lock()
	defer jar.mu.Unlock()
	return len(jar.byApp)
}

// NewMachine is a minimal list entry for the tests of other files.
func NewMachine(id scale.MachineID, config string) scale.Machine {
	return scale.Machine{ID: id, Host: scale.HostOK, Config: []byte(config)}
}
