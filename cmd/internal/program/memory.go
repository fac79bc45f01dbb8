package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"longshore/answer"
	"longshore/config"
	"longshore/internal/collector"
	"longshore/internal/connect"
	"longshore/internal/family"
	"longshore/internal/memory"
	"longshore/internal/web"
	"longshore/worker"
)

// memoryAlarm is the resident memory over which there is an alarm; 0 = none.
func memoryAlarm(m config.Memory) int64 {
	if m.Alarm > 0 {
		return int64(m.Alarm)
	}
	return collector.Limit() / 10 * 8
}

// watchMemory watches the memory of a web process.
func watchMemory(sys *connect.System, m config.Memory, server *web.Server) *memory.Watch {
	return memory.New(memory.Config{Limit: memoryAlarm(m),
		Load: func() int64 { return int64(server.Waiters()) + int64(server.Connections()) },
		Raise: func(ctx context.Context, a memory.Alarm, p memory.Profile) {
			host, _ := os.Hostname() // "" says as much
			sys.Desk.Alarmed(ctx, answer.Profile{Program: "web", Host: host, PID: os.Getpid()}, a, p)
		}})
}

// again starts this program anew in this process, if that is what its end was for: whoever supervises it
// sees the same process, and where nobody does it works on too. It returns where that can't be.
func again(ctx context.Context, signals chan os.Signal, err error) error {
	if !errors.Is(err, worker.ErrRecycle) {
		return err
	}
	signal.Stop(signals) // from here on one ends the process
	if ctx.Err() != nil || len(signals) > 0 {
		return nil // it was told to end meanwhile
	}
	self, failed := family.Program()
	if failed == nil {
		failed = syscall.Exec(self, os.Args, os.Environ())
	}
	return fmt.Errorf("%w: %w", err, failed)
}
