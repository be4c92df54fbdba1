//go:build !linux

package main

import "syscall"

// childAttributes leaves a child in the terminal's group: when the demo dies
// without a chance to end it, the terminal's signal still does.
func childAttributes() *syscall.SysProcAttr { return nil }
