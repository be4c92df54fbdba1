package flyapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// The names of the calls, as in Request.Op and Error.Op.
const (
	opListMachines    = "list_machines"
	opListOrgMachines = "list_org_machines"
	opGetMachine      = "get_machine"
	opCreateMachine   = "create_machine"
	opStartMachine    = "start_machine"
	opStopMachine     = "stop_machine"
	opSuspendMachine  = "suspend_machine"
	opDestroyMachine  = "destroy_machine"
	opCordonMachine   = "cordon_machine"
	opUncordonMachine = "uncordon_machine"
	opSetMetadata     = "set_metadata"
	opDeleteMetadata  = "delete_metadata"
	opGetLease        = "get_lease"
	opAcquireLease    = "acquire_lease"
	opRefreshLease    = "refresh_lease"
	opReleaseLease    = "release_lease"
	opOrganization    = "get_organization"
	opApps            = "list_apps"
	opRelease         = "get_current_release"
	opReleases        = "get_current_releases"

	// opGraphQL names the bucket that all GraphQL calls share.
	opGraphQL = "graphql"
)

// ListMachines returns the Machines of an app with their leases, sorted by ID.
// Those being destroyed are in it, those destroyed are not. Leases that have
// ended may still be reported; compare their ends.
func (c *Client) ListMachines(ctx context.Context, app scale.App) ([]scale.Machine, error) {
	cl := c.appCall(opListMachines, http.MethodGet, app, "/machines", read)
	cl.query = url.Values{"include_leases": {"true"}}
	var machines []scale.Machine
	cl.decode = func(body []byte) (err error) {
		machines, err = decodeMachines(body)
		return err
	}
	if err := c.run(ctx, cl); err != nil {
		return nil, err
	}
	return machines, nil
}

// GetMachine returns one Machine with its lease. A Machine destroyed a short
// while ago may be returned in state destroyed.
func (c *Client) GetMachine(ctx context.Context, app scale.App, id scale.MachineID) (scale.Machine, error) {
	cl := c.machineCall(opGetMachine, http.MethodGet, app, id, "", read)
	cl.query = url.Values{"include_leases": {"true"}}
	var machine scale.Machine
	cl.decode = func(body []byte) (err error) {
		machine, err = decodeMachine(body)
		return err
	}
	if err := c.run(ctx, cl); err != nil {
		return scale.Machine{}, err
	}
	return machine, nil
}

// CreateRequest describes a Machine to create.
type CreateRequest struct {
	// Name must be unique within the app. Empty lets the platform choose one.
	Name string
	// Region is where to create it. Empty lets the platform choose.
	Region scale.Region
	// Config is the Machine's whole configuration, a JSON object that is sent as
	// it is; see CloneConfig.
	Config json.RawMessage
	// SkipLaunch leaves the Machine in state created until it is started.
	SkipLaunch bool
}

// CreateMachine creates a Machine. When the error is of KindUnknown there may
// be one now, or soon: look for it by what its configuration's metadata says.
func (c *Client) CreateMachine(ctx context.Context, app scale.App, request CreateRequest) (scale.Machine, error) {
	cl := c.appCall(opCreateMachine, http.MethodPost, app, "/machines", once)
	if !isObject(request.Config) {
		return scale.Machine{}, c.newError(cl, KindInvalid, "the configuration is not a JSON object")
	}
	body, err := marshal(struct {
		Name       string          `json:"name,omitempty"`
		Region     scale.Region    `json:"region,omitempty"`
		Config     json.RawMessage `json:"config"`
		SkipLaunch bool            `json:"skip_launch,omitempty"`
	}(request))
	if err != nil {
		return scale.Machine{}, c.newError(cl, KindInvalid, "encode the request: "+err.Error())
	}
	cl.body = body
	var machine scale.Machine
	cl.decode = func(body []byte) (err error) {
		machine, err = decodeMachine(body)
		return err
	}
	if err := c.run(ctx, cl); err != nil {
		return scale.Machine{}, err
	}
	return machine, nil
}

// StartMachine starts a created or stopped Machine or resumes a suspended one.
// Success means that the platform accepted it, not that the Machine runs. The
// nonce proves the lease, and may be empty for a Machine that has none.
func (c *Client) StartMachine(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret) error {
	cl := c.machineCall(opStartMachine, http.MethodPost, app, id, "/start", repeatable)
	cl.nonce = nonce
	cl.decode = func(body []byte) error {
		var answer struct {
			Status  text `json:"status"`
			Message text `json:"message"`
			Error   text `json:"error"`
		}
		if json.Unmarshal(body, &answer) == nil && answer.Status == "error" {
			p := problem{message: string(answer.Message)}
			if p.message == "" {
				p.message = string(answer.Error)
			}
			return &refusal{kind: classify(http.StatusConflict, p, repeatable), message: p.message}
		}
		return nil // a 200 with any other body, or none, is a success
	}
	return c.run(ctx, cl)
}

// StopMachine stops a Machine, with the signal and the grace period of the
// Machine's own configuration. Success means that the platform accepted it.
// With an empty nonce, the platform holds a stop of a leased Machine back until
// the lease ends.
func (c *Client) StopMachine(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret) error {
	cl := c.machineCall(opStopMachine, http.MethodPost, app, id, "/stop", repeatable)
	cl.nonce = nonce
	cl.body = []byte("{}")
	return c.run(ctx, cl)
}

// SuspendMachine suspends a started Machine. Success means that the platform
// accepted it.
func (c *Client) SuspendMachine(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret) error {
	cl := c.machineCall(opSuspendMachine, http.MethodPost, app, id, "/suspend", repeatable)
	cl.nonce = nonce
	return c.run(ctx, cl)
}

// DestroyMachine destroys a Machine for good; one that is gone already is a
// success. Without force the platform refuses unless the Machine is stopped,
// suspended, failed or created.
func (c *Client) DestroyMachine(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret, force bool) error {
	cl := c.machineCall(opDestroyMachine, http.MethodDelete, app, id, "", repeatable)
	cl.nonce = nonce
	cl.goneIsDone = true
	if force {
		cl.query = url.Values{"force": {"true"}}
	}
	return c.run(ctx, cl)
}

// CordonMachine takes a Machine out of routing: it runs on, and the proxy sends it
// nothing new.
func (c *Client) CordonMachine(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret) error {
	cl := c.machineCall(opCordonMachine, http.MethodPost, app, id, "/cordon", repeatable)
	cl.nonce = nonce
	return c.run(ctx, cl)
}

// UncordonMachine puts a Machine back into routing.
func (c *Client) UncordonMachine(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret) error {
	cl := c.machineCall(opUncordonMachine, http.MethodPost, app, id, "/uncordon", repeatable)
	cl.nonce = nonce
	return c.run(ctx, cl)
}

// SetMetadata sets one key of a Machine's metadata, without another version of its
// configuration and without a restart. The key is of letters, digits, hyphens and
// underscores.
func (c *Client) SetMetadata(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret, key, value string) error {
	cl := c.metadataCall(opSetMetadata, http.MethodPost, app, id, nonce, key)
	body, err := marshal(struct {
		Value string `json:"value"`
	}{value})
	if err != nil {
		return c.newError(cl, KindInvalid, "encode the request: "+err.Error())
	}
	cl.body = body
	return c.runKeyed(ctx, cl, key)
}

// DeleteMetadata takes one key out of a Machine's metadata; one that is gone already
// is a success.
func (c *Client) DeleteMetadata(ctx context.Context, app scale.App, id scale.MachineID, nonce scale.Secret, key string) error {
	cl := c.metadataCall(opDeleteMetadata, http.MethodDelete, app, id, nonce, key)
	cl.goneIsDone = true
	return c.runKeyed(ctx, cl, key)
}

func (c *Client) metadataCall(op, method string, app scale.App, id scale.MachineID, nonce scale.Secret, key string) call {
	cl := c.machineCall(op, method, app, id, "/metadata/"+url.PathEscape(key), repeatable)
	cl.nonce = nonce
	return cl
}

// runKeyed carries out a call whose path ends in a key. An empty one would name all
// of the metadata.
func (c *Client) runKeyed(ctx context.Context, cl call, key string) error {
	if !isName(key) {
		return c.newError(cl, KindInvalid, fmt.Sprintf("%q is not a key of metadata", key))
	}
	return c.run(ctx, cl)
}

// appCall prepares a call that is limited per app.
func (c *Client) appCall(op, method string, app scale.App, path string, effect effect) call {
	return call{
		op: op, app: app, at: c.machines, method: method, effect: effect,
		path:  "/v1/apps/" + url.PathEscape(string(app)) + path,
		limit: bucket{op: op, id: string(app)},
	}
}

// machineCall prepares a call that is limited per Machine.
func (c *Client) machineCall(op, method string, app scale.App, id scale.MachineID, path string, effect effect) call {
	cl := c.appCall(op, method, app, "/machines/"+url.PathEscape(string(id))+path, effect)
	cl.machine = id
	cl.limit.id = string(id)
	return cl
}

// run carries out a call of the Machines API after looking at what goes into
// its path and headers. An empty name, or one with slashes or dots, would name
// something else.
func (c *Client) run(ctx context.Context, cl call) error {
	if !isName(string(cl.app)) {
		return c.newError(cl, KindInvalid, fmt.Sprintf("%q is not the name of an app", string(cl.app)))
	}
	if !isName(cl.limit.id) {
		return c.newError(cl, KindInvalid, fmt.Sprintf("%q is not the ID of a machine", string(cl.machine)))
	}
	if !isPrintable(string(cl.nonce)) {
		return c.newError(cl, KindInvalid, "the nonce has a character that is not printable ASCII")
	}
	return c.do(ctx, cl)
}

func isName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return name != "" && strings.Trim(name, letters) == ""
}

// marshal encodes without turning <, > and & into escapes, so that raw
// configuration stays readable on the wire.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		// The type's name would only confuse.
		if wrapped, ok := errors.AsType[*json.MarshalerError](err); ok {
			err = wrapped.Err
		}
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
