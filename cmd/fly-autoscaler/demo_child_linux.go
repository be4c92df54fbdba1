package main

import "syscall"

// childAttributes puts a child out of reach of the terminal's Ctrl-C, so that the
// demo ends its children in order, and has the system kill it when the demo dies
// without a chance to do so.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
