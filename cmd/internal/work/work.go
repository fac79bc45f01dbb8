// Package work runs jobs that are claimed over HTTP by a program, a process a job: what enqueue work does.
// It is a part of the program worker, which has all that runs programs, so that the client need not carry
// that. The contract with the program is that of functions of mode exec (docs/functions.md), without a
// sandbox.
package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"longshore/client"
	"longshore/internal/claimer"
	"longshore/internal/functions"
	mode "longshore/internal/functions/exec"
	"longshore/internal/isolate"
	"longshore/internal/printable"
	"longshore/job"
	"longshore/tasks"
)

// killGrace is what a program gets between SIGTERM and SIGKILL.
const killGrace = 2 * time.Second

// Main runs what enqueue work asks for in its argument, a claimer.Program as JSON, and returns the exit code.
// LONGSHORE_URL and LONGSHORE_TOKEN say where jobs come from.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	log := slog.New(slog.NewTextHandler(printable.NewWriter(os.Stderr), nil))
	if err := run(ctx, args, log); err != nil {
		printable.Fprintf(os.Stderr, "enqueue: %s\n", err.Error())
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, log *slog.Logger) (err error) {
	var p claimer.Program
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &p) != nil {
		return errors.New("this is for enqueue work")
	}
	said := ""
	c, err := client.New(client.Config{URL: os.Getenv("LONGSHORE_URL"), Token: os.Getenv("LONGSHORE_TOKEN"),
		RetryFor: time.Minute, OnRetry: func(err error, _ time.Duration) {
			if text := err.Error(); text != said { // once for each kind of trouble
				log.WarnContext(ctx, "no answer; trying on", "error", err)
				said = text
			}
		}})
	if err != nil {
		return err
	}
	folders, err := isolate.OpenFolders("")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folders.Close()) }()
	// A kill of this process ends what it has started, too.
	if guard, failed := isolate.Guard(folders.Path()); failed == nil {
		defer func() { err = errors.Join(err, guard.Close()) }()
	}
	h, err := newHost(p, folders, c, log)
	if err != nil {
		return err
	}
	draining := make(chan struct{})
	h.host.Draining = draining
	defer context.AfterFunc(ctx, func() { close(draining) })()
	log.InfoContext(ctx, "jobs are taken", "types", strings.Join(p.Types, ","), "slots", p.Slots, "program", p.Command[0])
	defer func() { log.InfoContext(ctx, "no more jobs are taken, and all have ended") }()
	return claimer.Run(ctx, claimer.Config{Client: c, Types: p.Types, Queues: p.Queues, Slots: p.Slots,
		Worker: p.Worker, Grace: time.Duration(p.GraceMS) * time.Millisecond, Do: h.do, Log: log})
}

// newHost finds the program.
func newHost(p claimer.Program, folders *isolate.Folders, c *client.Client, log *slog.Logger) (*host, error) {
	path, err := exec.LookPath(p.Command[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, fmt.Errorf("--exec: %w", err)
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	f := &functions.Function{Type: "claimed", Folder: here, Command: append([]string{path}, p.Command[1:]...),
		Manifest: functions.Manifest{Mode: functions.Exec, Payload: json.RawMessage(tasks.AnyPayload),
			Input: tasks.InputOptional, InputAs: functions.InputStdin,
			Output: functions.Output{As: functions.OutputAuto},
			Lane:   job.LaneCPU, Sandbox: functions.SandboxOff, Env: inherited(), Memory: p.Memory}}
	if p.InputFile {
		f.Manifest.InputAs = functions.InputFile
	}
	h := &host{client: c, log: log, folders: folders, slots: make(chan int, p.Slots),
		host: functions.Host{Slots: map[job.Lane]int{job.LaneCPU: p.Slots}, Memory: noLimit,
			MaxOutput: noLimit / 4, KillGrace: killGrace, Base: folders.Path(), Log: log, Getenv: os.Getenv}}
	for n := range p.Slots {
		h.slots <- n
	}
	h.executor, err = mode.Open(f, &h.host)
	return h, err
}

// noLimit is more than there is, in bytes.
const noLimit = 1 << 60

// inherited names what a program inherits: all but what lets it be us.
func inherited() (names []string) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); name != "LONGSHORE_TOKEN" && name != "LONGSHORE_TOKEN_FILE" {
			names = append(names, name)
		}
	}
	return names
}
