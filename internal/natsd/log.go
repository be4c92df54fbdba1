package natsd

import (
	"fmt"
	"log/slog"
	"sync"
)

// serverLog takes what the server logs. It implements server.Logger.
type serverLog struct {
	logger *slog.Logger

	mu    sync.Mutex
	first error // guarded by mu; the first fatal problem
}

// Noticef is for what the server tells in good times: nobody asked.
func (l *serverLog) Noticef(format string, v ...any) {
	l.logger.Debug("nats server", "detail", fmt.Sprintf(format, v...))
}

// Warnf is for what the server gets along with by itself, such as notes that a killed
// process did not finish.
func (l *serverLog) Warnf(format string, v ...any) {
	l.logger.Debug("nats server", "detail", fmt.Sprintf(format, v...))
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.logger.Warn("nats server", "detail", fmt.Sprintf(format, v...))
}

// Fatalf is called by a server that cannot start. It is expected to end the
// process, which is not the server's to decide here.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = fmt.Errorf(format, v...)
	}
}

// Debugf and Tracef are switched off.
func (l *serverLog) Debugf(string, ...any) {}

func (l *serverLog) Tracef(string, ...any) {}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}
