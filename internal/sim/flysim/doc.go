// Package flysim puts the wire formats of Fly.io on a simulated world (package
// sim): the Machines REST API under /v1, GraphQL at /graphql, the third surface
// under /api/v1 and managed metrics under /prometheus, all on one port. It
// promises that the platform's official clients cannot tell: same paths,
// statuses, error texts, rate limits, asynchrony and leases. Any token will do,
// as "Bearer" or "FlyV1", unless a set of valid ones is given.
//
// It does not simulate what an autoscaler never meets: deploys, builds,
// certificates, addresses, secrets and the network between Machines.
//
// # Time
//
// A Handler moves its world to the present with every request; a Server does so
// continually. Durations of faults are times of the world, which runs Speed
// times faster than real time; Latency is real time.
//
// # Operations
//
// Faults and statistics name operations: machine_list, machine_create,
// machine_get, machine_update, machine_destroy, machine_start, machine_stop,
// machine_suspend, machine_restart, machine_signal, machine_cordon,
// machine_uncordon, machine_wait, machine_events, machine_versions,
// machine_lease_get, machine_lease_acquire (also refresh),
// machine_lease_release, metadata_get, metadata_set, metadata_delete,
// org_machine_list, org_volume_list, app_list, app_create, app_get, app_delete,
// ip_list, secret_list, volume_list, volume_create, volume_get, volume_delete,
// volume_extend, volume_snapshot_list, region_list, placement, token_current,
// graphql, uiex_…, prometheus_query, and machine_boot for faults of kind stuck.
//
// # Administration
//
// Below /_sim/, JSON both ways, without authorization, rate limits or faults.
// Unknown keys are refused with 400. Calls without an answer give 204.
//
//	GET    /_sim/world?app=NAME   {now, seed, apps: [{org, app, status, release, machines: [{id, name, state,
//	                              region, group, host, host_status, cordoned, leased_by}]}]}; the truth
//	POST   /_sim/apps             make apps at once: {org, app, role, count, release: {version, status}, machines:
//	                              [{count, region, state, group, config, metadata, host_status, cordoned,
//	                              ignore_signals}]} or an array of those; answers [{app, machines: [id…]}]
//	GET    /_sim/faults           faults with how often they matched and struck
//	POST   /_sim/faults           order one fault, or an array: sim.Fault; answers them with their ids
//	DELETE /_sim/faults           end all faults
//	DELETE /_sim/faults/ID        end one
//	GET    /_sim/capacity         {limits: […], use: [{region, machines, running}]}
//	POST   /_sim/capacity         {region, max, status: 422|409, starts}; a negative max lifts the limit
//	POST   /_sim/hosts            {region, host, app, machine, status: ok|unknown|unreachable}; answers {machines: N}
//	POST   /_sim/release          {app, status, version, new, image_ref}: change the newest release, or add one
//	GET    /_sim/stats            {total, rate_limited, ops: {op: n}, statuses: {op: {status: n}}}
//	GET    /_sim/history          {entries: [{at, op, org, app, machine, region, request}], dropped}; every
//	                              mutation that took effect, by the fly-request-id that asked for it
//	POST   /_sim/reset            forget statistics and history
//	POST   /_sim/gauge            {org, app, metric, labels, value, delete}: set a series by hand; a null value
//	                              gives it back to the app's loads
//	GET    /_sim/metrics          what would be scraped now, in text form
//
// To lose the answer of every third create or so, and then one connection:
//
//	POST /_sim/faults {"kind": "error", "op": "machine_create", "status": 502, "applied": true, "probability": 0.3}
//	POST /_sim/faults {"kind": "cut", "op": "machine_create", "applied": true, "count": 1}
package flysim
