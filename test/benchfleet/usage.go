package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of the times in /proc: Linux shows them in hundredths of
// a second on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// usage is what a process has used so far.
type usage struct {
	cpu  time.Duration
	peak int64 // bytes of memory at most
}

// used reads a process's use from /proc.
func used(pid int) (usage, error) {
	folder := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return usage{}, fmt.Errorf("read the processor time: %w", err)
	}
	status, err := os.ReadFile(folder + "/status")
	if err != nil {
		return usage{}, fmt.Errorf("read the peak of memory: %w", err)
	}
	return parseUsage(stat, status)
}

func parseUsage(stat, status []byte) (u usage, err error) {
	// The name, in parentheses, may hold anything; fields are counted from behind it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return u, fmt.Errorf("read the processor time: cannot read %q", stat)
	}
	for _, field := range fields[11:13] { // utime and stime
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return u, fmt.Errorf("read the processor time: %w", err)
		}
		u.cpu += time.Duration(ticks) * clockTick
	}
	_, after, _ := bytes.Cut(status, []byte("\nVmHWM:"))
	if _, err := fmt.Sscanf(string(after), "%d kB", &u.peak); err != nil {
		return u, fmt.Errorf("read the peak of memory: %w", err)
	}
	u.peak *= 1024
	return u, nil
}
