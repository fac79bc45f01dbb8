//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"longshore/handlers"
	"longshore/installation"
	"longshore/internal/chaos/history"
	"longshore/internal/chaos/load"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

// witnessFile is the variable that names the file in which runs tell that they work.
const witnessFile = "CHAOS_WITNESS"

// tick is how often a run of load.Alone tells that it works.
const tick = 50 * time.Millisecond

// registry has the built-in types, and two whose runs do nothing but take their time.
func registry() *handlers.Registry {
	r := handlers.BuiltIn()
	handlers.Add(r, tasks.Definition[load.NapPayload]{Type: load.Nap, Doc: "Waits.", Lane: job.LaneIO}, nap)
	handlers.Add(r, tasks.Definition[load.NapPayload]{Type: load.Alone,
		Doc:  "Waits, and never twice at a time.",
		Lane: job.LaneCPU, ForbidOverlap: true}, alone)
	return r
}

func nap(ctx context.Context, _ *handlers.Run, p load.NapPayload) (any, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(time.Duration(p.MS) * time.Millisecond):
		return map[string]string{"word": p.Word}, nil
	}
}

func alone(ctx context.Context, run *handlers.Run, p load.NapPayload) (any, error) {
	out, err := os.OpenFile(os.Getenv(witnessFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	end := time.After(time.Duration(p.MS) * time.Millisecond)
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for {
		if _, err := fmt.Fprintf(out, "%s %d %d\n", run.ID, os.Getpid(), history.Clock()); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-end:
			return map[string]string{"word": p.Word}, nil
		case <-beat.C:
		}
	}
}

// witnessed adds what runs told to the history.
func witnessed(log *history.Log, path string) error {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var id, pid string
		var clock int64
		if n, err := fmt.Sscan(lines.Text(), &id, &pid, &clock); n == 3 && err == nil {
			log.Add(history.Event{T: log.At(clock), Kind: history.Tick, Job: id, Proc: pid})
		}
	}
	return lines.Err()
}

// work is the worker of chaos runs: that of docs/handlers.md, with the types above.
func work(ctx context.Context) error {
	log := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return worker.Run(ctx, worker.Config{
		Connection: installation.Config{RedisURL: os.Getenv("REDIS_URL"), BlobURL: os.Getenv("BLOB_URL"),
			Log: log, CallbackSecrets: []string{os.Getenv("CALLBACK_SECRETS")},
			CallbackAllow: []string{os.Getenv("CALLBACK_ALLOW")}},
		CPUConcurrency: 4, ShutdownGrace: 10 * time.Second, ChildEnv: []string{witnessFile},
	}, registry())
}
