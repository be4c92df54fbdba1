// Package sim is a simulated Fly.io platform: organizations, apps, Machines,
// hosts, regions, releases, volumes, leases and the trouble that goes with
// them. A World is pure: it does no network or file I/O, reads no clock and
// starts no goroutine. Time passes only when Advance is called, and every
// random choice comes from one seed, so the same seed and the same calls in the
// same order give the same world, identifiers included.
//
// The life of a Machine, as the world plays it:
//
//	           create ──▶ created ──(image pulled)──▶ starting ──▶ started
//	                         │ skip_launch: stays       ▲  ▲          │
//	                         └────────── start ─────────┘  │          ├─ stop ────▶ stopping ───▶ stopped
//	                                    restarting ────────┘          ├─ suspend ─▶ suspending ─▶ suspended
//	any ── destroy ─▶ destroying ─▶ destroyed ─▶ (gone, 404)          └─ update ──▶ replacing ──▶ started
//
// Which call is legal in which state is the table in state.go; the texts of
// refusals are the platform's own, because official clients match on them.
//
// The package does not speak HTTP: package flysim puts the platform's wire
// formats, rate limits and connection faults on top of a World.
package sim
