//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/chaos/check"
	"longshore/internal/chaos/history"
	"longshore/internal/chaos/load"
	"longshore/internal/chaos/machine"
	"longshore/internal/redisdb"
)

const (
	soakRetention = 20 * time.Second // of jobs, so that what is there reaches its height soon
	soakWarm      = 4 * time.Minute  // at most, until then; a third of the time at the least
	soakLeast     = 5 * time.Minute  // of samples, before a slope tells anything
	soakEvery     = 2 * time.Second  // between samples
)

// soak is the command: a steady load without faults, and what grows.
func soak(ctx context.Context, args []string, out io.Writer) (err error) {
	o := options{said: out}
	fs := flags("soak", &o, 20*time.Minute, 20)
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUse, err)
	}
	end, err := o.begin(ctx, "")
	defer func() { err = end(err) }()
	if err != nil {
		return err
	}
	log, err := history.Create(filepath.Join(o.dir, "history.jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	c, _, err := pass{fsync: "everysec"}.prepare(ctx, o, o.dir, log)
	if err != nil {
		return err
	}
	c.Retain = soakRetention
	m, err := machine.Start(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.AwaitType(ctx, load.Nap); err != nil {
		return err
	}
	l, err := load.New(load.Config{Servers: m, Token: machine.Token, Log: log, Seed: o.seed, Rate: o.rate,
		Most: 3000})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	admin, err := redisdb.Open(redisdb.Config{URL: m.Redis.URL(), MaxConnections: 2})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	if err := steady(ctx, o, m, l, log, admin); err != nil {
		return err
	}
	left := leftAfter(ctx, m, admin, filepath.Join(o.dir, "blobs"))
	return grown(out, log.Events(), o, len(l.Jobs()), left)
}

// steady lets the load come and samples all the while.
func steady(ctx context.Context, o options, m *machine.Machine, l *load.Load, log *history.Log,
	admin redis.UniversalClient) error {
	arrivals, stop := context.WithTimeout(ctx, o.duration)
	defer stop()
	patience, give := context.WithTimeout(ctx, o.duration+flowPatience)
	defer give()
	clients := make(chan struct{})
	go func() {
		defer close(clients)
		l.Run(arrivals, patience)
	}()
	every := time.NewTicker(soakEvery)
	defer every.Stop()
	for arrivals.Err() == nil {
		select {
		case <-arrivals.Done():
		case <-every.C:
			m.Sample()
			keys, err := admin.DBSize(ctx).Result()
			if err != nil {
				<-clients
				return err
			}
			log.Add(history.Event{Kind: history.Gauge, Proc: "redis", Way: "keys", N: keys})
		}
	}
	<-clients
	return ctx.Err()
}

// leftAfter waits until retention is over, and tells what is there still: keys and files.
func leftAfter(ctx context.Context, m *machine.Machine, admin redis.UniversalClient,
	blobs string) (left []string) {
	for began := time.Now(); time.Since(began) < 2*soakRetention+10*time.Second && ctx.Err() == nil; {
		left = nil
		keys, err := admin.Keys(ctx, "*:j:*").Result()
		if err != nil {
			return []string{err.Error()}
		}
		if len(keys) > 0 {
			left = append(left, fmt.Sprintf("%d records of jobs", len(keys)))
		}
		_ = filepath.WalkDir(blobs, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && d.Name() != "store-id" &&
				!strings.HasSuffix(path, "/installation/life") {
				left = append(left, "file "+path)
			}
			return nil // what goes meanwhile is not left
		})
		if left == nil {
			break
		}
		<-time.After(time.Second)
	}
	for _, p := range slices.Concat(m.Webs, m.Workers) {
		if err := p.Terminate(patience); err != nil {
			left = append(left, err.Error())
		}
	}
	m.LeftBehind()
	return left
}

// mayGrow is what may be more at the end than after warming up, an hour: of the fitted line.
var mayGrow = map[string]float64{"rss": 24 << 20, "fds": 20, "threads": 10, "keys": 100}

// grown prints the slopes, and is red where something grows, or is left.
func grown(out io.Writer, events []history.Event, o options, jobs int, left []string) error {
	warm := min(soakWarm, o.duration/3).Microseconds()
	fmt.Fprintf(out, "soak: seed %d, %v, %v jobs a second: %d jobs\n", o.seed, o.duration, o.rate, jobs)
	fmt.Fprintf(out, "%-10s %-8s %12s %12s %14s\n", "program", "what", "first", "last", "slope an hour")
	var bad []string
	for _, s := range check.Slopes(events, warm) {
		fmt.Fprintf(out, "%-10s %-8s %12d %12d %14.0f\n", s.Proc, s.Way, s.First, s.Last, s.Hour)
		hours := float64(s.Span) / 3.6e9
		if most := mayGrow[s.Way]; s.Span >= soakLeast.Microseconds() && s.Hour > most &&
			s.Hour*hours > most/10 {
			bad = append(bad, fmt.Sprintf("%s of %s grows", s.Way, s.Proc))
		}
	}
	for _, e := range events {
		if e.Kind == history.Left {
			left = append(left, e.Way+": "+e.Text)
		}
	}
	bad = append(bad, left...)
	if len(bad) > 0 {
		return fmt.Errorf("%w: %s", errRed, strings.Join(bad, "; "))
	}
	if o.duration-soakWarm < soakLeast {
		fmt.Fprintln(out, "nothing is left; the time was too short to judge what grows")
		return nil
	}
	fmt.Fprintln(out, "nothing grows, and nothing is left")
	return nil
}
