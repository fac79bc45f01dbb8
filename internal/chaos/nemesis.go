//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/chaos/history"
	"longshore/internal/chaos/load"
	"longshore/internal/chaos/machine"
)

// A nemesis strikes a machine, one fault after the other, as its seed says.
type nemesis struct {
	machine *machine.Machine
	load    *load.Load
	log     *history.Log
	random  *rand.Rand
	admin   redis.UniversalClient // straight to Redis, past the proxy
	clock   string                // the file that says how far Redis's clock is off; "" = it can't be
	fsync   string                // as Redis has it
	short   bool                  // of time: faults are no longer than they must be
	said    io.Writer
	n       int
}

// patience is for Redis to load its data and for programs to end.
const patience = time.Minute

// faults are all kinds: what is struck, and how. Each strikes, waits, and mends.
var faults = map[string]func(context.Context, *nemesis) error{
	"worker.kill":   killWorker,
	"worker.stop":   stopWorker,
	"web.kill":      killWeb,
	"web.stop":      stopWeb,
	"rolling":       roll,
	"redis.kill":    killRedis,
	"redis.stop":    stopRedis,
	"redis.clients": command("redis.clients", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
	"redis.pubsub":  command("redis.pubsub", "CLIENT", "KILL", "TYPE", "pubsub"),
	"redis.scripts": command("redis.scripts", "SCRIPT", "FLUSH", "SYNC"),
	"redis.memory":  fillMemory,
	"redis.clock":   jumpClock,
	"redis.power":   losePower,
	"redis.empty":   emptyRedis,
	"net.slow":      slow,
	"net.cut":       cutReplies,
	"net.halfopen":  halfOpen,
	"net.deaf":      deafen,
	"disk.blobs": func(ctx context.Context, n *nemesis) error {
		return fillDisk(ctx, n, "disk.blobs", n.machine.FillBlobs)
	},
	"disk.redis": func(ctx context.Context, n *nemesis) error {
		return fillDisk(ctx, n, "disk.redis", n.machine.FillData)
	},
}

// run strikes with the kinds in the order of a shuffled deck until ctx ends, with calm between.
// A fault that was begun is mended.
func (n *nemesis) run(ctx context.Context, kinds []string) error {
	for ctx.Err() == nil {
		for _, i := range n.random.Perm(len(kinds)) {
			if !n.calm(ctx, time.Second) {
				return nil
			}
			if err := faults[kinds[i]](context.WithoutCancel(ctx), n); err != nil {
				return fmt.Errorf("%s: %w", kinds[i], err)
			}
			if !n.calm(ctx, n.between(1500, 4000)) {
				return nil
			}
		}
	}
	return nil
}

// calm waits; it says whether there is time for more.
func (n *nemesis) calm(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// between draws a time, in milliseconds.
func (n *nemesis) between(least, most int) time.Duration {
	return time.Duration(least+n.random.IntN(most-least)) * time.Millisecond
}

// long is between, or its least where time is short.
func (n *nemesis) long(least, most int) time.Duration {
	d := n.between(least, most)
	if n.short {
		return time.Duration(least) * time.Millisecond
	}
	return d
}

// strike notes a fault, and returns what notes its end.
func (n *nemesis) strike(way, proc string, hits int, code, text string) (heal func()) {
	n.n++
	key := fmt.Sprintf("fault-%d", n.n)
	n.log.Add(history.Event{Kind: history.Fault, Key: key, Way: way, Proc: proc, N: int64(hits), Code: code,
		Text: text})
	fmt.Fprintf(n.said, "%8.1f s  %-14s %s hits %d  %s\n", float64(n.log.Now())/1e6, way, proc, hits, text)
	return sync.OnceFunc(func() {
		n.log.Add(history.Event{Kind: history.Heal, Key: key, Way: way, Proc: proc})
	})
}

// hits is what a fault of Redis or of the network hits: jobs that run, and clients under way.
func (n *nemesis) hits() int {
	if runs := n.machine.Runs(); runs > 0 {
		return runs + n.load.Under()
	}
	return 0
}

// busiest waits some seconds for a worker that runs something, and returns it.
func (n *nemesis) busiest() *machine.Process {
	var best *machine.Process
	for range 50 {
		most := -1
		for _, p := range n.machine.Workers {
			if runs := len(p.Runs()); runs > most {
				best, most = p, runs
			}
		}
		if most > 0 {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	return best
}

func (n *nemesis) anyWeb() *machine.Process {
	return n.machine.Webs[n.random.IntN(len(n.machine.Webs))]
}

func again(p *machine.Process) error {
	if err := p.Start(); err != nil {
		return err
	}
	return p.AwaitReady()
}

func killWorker(_ context.Context, n *nemesis) error { return n.kill("worker.kill", n.busiest(), true) }
func killWeb(_ context.Context, n *nemesis) error    { return n.kill("web.kill", n.anyWeb(), false) }

func (n *nemesis) kill(way string, p *machine.Process, worker bool) error {
	hits := n.load.Under()
	if worker {
		hits = len(p.Runs())
	}
	heal := n.strike(way, p.Name(), hits, "", "kill -9")
	if err := p.Kill(); err != nil {
		return err
	}
	<-time.After(n.between(100, 1500))
	err := again(p)
	heal()
	return err
}

func stopWorker(_ context.Context, n *nemesis) error {
	p, d := n.busiest(), n.long(12_000, 25_000)
	return n.stop("worker.stop", p, len(p.Runs()), d)
}

func stopWeb(_ context.Context, n *nemesis) error {
	return n.stop("web.stop", n.anyWeb(), n.load.Under(), n.long(3000, 9000))
}

func (n *nemesis) stop(way string, p *machine.Process, hits int, d time.Duration) error {
	heal := n.strike(way, p.Name(), hits, "", "SIGSTOP for "+d.String())
	if err := p.Stop(); err != nil {
		return err
	}
	<-time.After(d)
	err := p.Continue()
	heal()
	return err
}

// roll restarts all programs, one at a time, as a platform does that drains before.
func roll(_ context.Context, n *nemesis) error {
	heal := n.strike("rolling", "", n.hits(), "", "SIGTERM, one after the other")
	defer heal()
	for _, p := range append(append([]*machine.Process(nil), n.machine.Webs...), n.machine.Workers...) {
		p.Drain()
		<-time.After(300 * time.Millisecond)
		if err := p.Terminate(patience); err != nil {
			return err
		}
		if err := again(p); err != nil {
			return err
		}
	}
	return nil
}

func killRedis(ctx context.Context, n *nemesis) error {
	heal := n.strike("redis.kill", "", n.hits(), "", "kill -9")
	defer heal()
	if err := n.machine.Redis.Kill(); err != nil {
		return err
	}
	<-time.After(n.between(200, 2000))
	return n.machine.Redis.Restart(ctx)
}

func stopRedis(_ context.Context, n *nemesis) error {
	d := n.long(3000, 15_000)
	heal := n.strike("redis.stop", "", n.hits(), "", "SIGSTOP for "+d.String())
	defer heal()
	if err := n.machine.Redis.Pause(); err != nil {
		return err
	}
	<-time.After(d)
	return n.machine.Redis.Resume()
}

// command is a fault that is one command of Redis.
func command(way string, args ...any) func(context.Context, *nemesis) error {
	return func(ctx context.Context, n *nemesis) error {
		heal := n.strike(way, "", n.hits(), "", strings.TrimSpace(fmt.Sprintln(args...)))
		defer heal()
		return n.admin.Do(ctx, args...).Err()
	}
}

func fillMemory(ctx context.Context, n *nemesis) error {
	used, err := n.admin.Do(ctx, "MEMORY", "STATS").Slice()
	if err != nil {
		return err
	}
	total := int64(0)
	for i := 0; i+1 < len(used); i += 2 {
		if used[i] == "total.allocated" {
			total, _ = used[i+1].(int64)
		}
	}
	heal := n.strike("redis.memory", "", n.hits(), "", fmt.Sprintf("maxmemory at %d bytes, which are used",
		total))
	defer heal()
	if err := n.admin.ConfigSet(ctx, "maxmemory", fmt.Sprint(total)).Err(); err != nil {
		return err
	}
	<-time.After(n.long(4000, 8000))
	return n.admin.ConfigSet(ctx, "maxmemory", "0").Err()
}

func losePower(ctx context.Context, n *nemesis) error {
	heal := n.strike("redis.power", "", n.hits(), n.fsync, "appendfsync "+n.fsync)
	defer heal()
	lost, err := n.machine.LosePower()
	if err != nil {
		return err
	}
	fmt.Fprintf(n.said, "            %d bytes were not on disk\n", lost)
	return n.machine.Redis.Restart(ctx)
}

func emptyRedis(ctx context.Context, n *nemesis) error {
	heal := n.strike("redis.empty", "", n.hits(), "", "restarted without its data")
	defer heal()
	if err := n.machine.EmptyRedis(); err != nil {
		return err
	}
	if err := n.machine.Redis.Restart(ctx); err != nil {
		return err
	}
	heal()
	<-time.After(10 * time.Second) // until the workers have told again what they can do, and jobs run
	return n.machine.AcceptLoss(ctx)
}

func slow(_ context.Context, n *nemesis) error {
	d := []time.Duration{5, 50, 250}[n.random.IntN(3)] * time.Millisecond
	heal := n.strike("net.slow", "", n.hits(), "", d.String()+" each way")
	defer heal()
	n.machine.Proxy.Slow(d)
	<-time.After(n.long(4000, 8000))
	n.machine.Proxy.Slow(0)
	return nil
}

func cutReplies(_ context.Context, n *nemesis) error {
	heal := n.strike("net.cut", "", n.hits(), "", "replies are cut within 20,000 bytes")
	defer heal()
	n.machine.Proxy.Cut(true)
	<-time.After(n.long(4000, 8000))
	fmt.Fprintf(n.said, "            %d connections were cut\n", n.machine.Proxy.Cut(false))
	return nil
}

func halfOpen(_ context.Context, n *nemesis) error {
	heal := n.strike("net.halfopen", "", n.hits(), "", "all connections fall silent")
	defer heal()
	fmt.Fprintf(n.said, "            %d connections\n", n.machine.Proxy.HalfOpen())
	<-time.After(5 * time.Second) // until the last of them was given up
	return nil
}

func deafen(_ context.Context, n *nemesis) error {
	heal := n.strike("net.deaf", "", n.hits(), "", "no message of pub/sub comes")
	defer heal()
	n.machine.Proxy.Deafen(true)
	<-time.After(n.long(6000, 12_000))
	fmt.Fprintf(n.said, "            %d messages were lost\n", n.machine.Proxy.Deafen(false))
	return nil
}

func fillDisk(_ context.Context, n *nemesis, way string, fill func() (func() error, error)) error {
	heal := n.strike(way, "", n.hits(), "", "no byte is free")
	defer heal()
	empty, err := fill()
	if err != nil {
		return err
	}
	<-time.After(n.long(4000, 8000))
	return empty()
}

// jumpClock lets Redis's clock jump, and later back.
func jumpClock(_ context.Context, n *nemesis) error {
	if n.clock == "" {
		return errors.New("this pass can't let the clock jump")
	}
	by := []time.Duration{-300, -30, 30, 300}[n.random.IntN(4)] * time.Second
	heal := n.strike("redis.clock", "", n.hits(), "", "by "+by.String()+", and back")
	defer heal()
	if err := setClock(n.clock, by); err != nil {
		return err
	}
	<-time.After(n.between(3000, 9000))
	return setClock(n.clock, 0)
}
