//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"longshore/internal/chaos/check"
	"longshore/internal/chaos/history"
	"longshore/internal/chaos/load"
	"longshore/internal/chaos/machine"
	"longshore/internal/redisdb"
)

// A pass is one installation, struck by some kinds of faults for a part of a run's time.
type pass struct {
	name   string
	part   float64  // of the run's time
	faults []string // of nemesis.go
	fsync  string   // appendfsync
	power  bool     // Redis may lose its power: it needs a C compiler
	clock  bool     // Redis's clock may jump: likewise
	space  int64    // bytes of the disks, if they are to get full: it needs root
}

// passes are those of a whole run. What takes a machine of another kind, or spoils what other
// faults would show, has one of its own.
var passes = []pass{
	{name: "mixed", part: 0.68, fsync: "everysec", faults: []string{"worker.kill", "worker.stop", "web.kill",
		"web.stop", "rolling",
		"redis.kill", "redis.stop", "redis.clients", "redis.pubsub", "redis.scripts", "net.slow", "net.cut",
		"net.halfopen", "net.deaf", "worker.kill"}},
	{name: "power", part: 0.08, fsync: "always", power: true, faults: []string{"redis.power"}},
	{name: "power-everysec", part: 0.06, fsync: "everysec", power: true, faults: []string{"redis.power"}},
	{name: "disk", part: 0.08, fsync: "everysec", space: 96 << 20,
		faults: []string{"disk.blobs", "disk.redis", "redis.memory"}},
	{name: "clock", part: 0.06, fsync: "everysec", clock: true,
		faults: []string{"redis.clock", "worker.kill"}},
	{name: "empty", part: 0.04, fsync: "everysec", faults: []string{"redis.empty"}},
}

// options are what a run is asked for.
type options struct {
	seed     uint64
	duration time.Duration
	rate     float64
	dir      string        // for histories and logs
	programs string        // folder of the built programs
	settle   time.Duration // for jobs to end at all, and for callbacks, after the clients have gone
	said     io.Writer
}

// prepare makes the machine's Config: what a pass needs of this machine may not be there.
func (p pass) prepare(ctx context.Context, o options, dir string,
	log *history.Log) (c machine.Config, clock string, err error) {
	c = machine.Config{Dir: dir, Programs: o.programs, Worker: filepath.Join(o.programs, "chaos"),
		Args: []string{"worker"}, Webs: 2, Workers: 2, Seed: o.seed, Log: log, Fsync: p.fsync, Space: p.space}
	if !p.power && !p.clock {
		return c, "", nil
	}
	library, err := machine.Preload(ctx, dir)
	if err != nil {
		return c, "", err
	}
	c.Preload = library
	if p.power {
		c.Env = append(c.Env, "CHAOS_SYNCED="+dir)
	}
	if p.clock {
		clock = filepath.Join(dir, "clock")
		c.Env = append(c.Env, "CHAOS_CLOCK="+clock)
		if err := setClock(clock, 0); err != nil {
			return c, "", err
		}
	}
	return c, clock, nil
}

// setClock tells how far Redis's clock is off. The file is never seen half written.
func setClock(file string, off time.Duration) error {
	if err := os.WriteFile(file+".new", fmt.Appendln(nil, off.Milliseconds()), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// flowPatience is for clients to see the ends of their jobs, after the last fault.
const flowPatience = 45 * time.Second

// run strikes for its time, lets all settle, asks what became of it, and judges.
func (p pass) run(ctx context.Context, o options) (r check.Report, err error) {
	dir := filepath.Join(o.dir, p.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return r, err
	}
	log, err := history.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	log.Add(history.Event{Kind: history.Note, Way: "seed", Text: strconv.FormatUint(o.seed, 10)})
	c, clock, err := p.prepare(ctx, o, dir, log)
	if err != nil {
		return r, err
	}
	m, err := machine.Start(ctx, c)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.AwaitType(ctx, load.Nap); err != nil {
		return r, err
	}
	if err := p.strike(ctx, o, m, log, clock); err != nil {
		return r, err
	}
	if err := errors.Join(witnessed(log, m.Witness), ctx.Err()); err != nil {
		return r, err
	}
	for _, line := range m.Odd() {
		log.Add(history.Event{Kind: history.Note, Way: "odd", Text: line})
	}
	return check.Check(log.Events()), nil
}

// strike is a pass with its machine: load, faults, audit, and the end of all programs.
func (p pass) strike(ctx context.Context, o options, m *machine.Machine, log *history.Log,
	clock string) (err error) {
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
	n := &nemesis{machine: m, load: l, log: log, random: rand.New(rand.NewPCG(o.seed, 7)), admin: admin,
		clock: clock, fsync: p.fsync, short: o.duration < 3*time.Minute, said: o.said}

	patience, give := context.WithCancel(ctx)
	defer give()
	arrivals, stop := context.WithTimeout(ctx, o.duration)
	defer stop()
	clients := make(chan struct{})
	go func() {
		defer close(clients)
		l.Run(arrivals, patience)
	}()
	struck := n.run(arrivals, p.faults)
	stop()
	log.Add(history.Event{Kind: history.Settled})
	timer := time.AfterFunc(flowPatience, give)
	<-clients
	timer.Stop()
	if err := errors.Join(struck, ctx.Err()); err != nil {
		return err
	}
	p.audit(ctx, o, m, l, log)
	return p.end(m)
}

func (p pass) audit(ctx context.Context, o options, m *machine.Machine, l *load.Load, log *history.Log) {
	ctx, cancel := context.WithTimeout(ctx, o.settle+o.duration/4)
	defer cancel()
	n := len(l.Jobs())
	fmt.Fprintf(o.said, "%8.1f s  settled: %d jobs acknowledged, %d clients left out\n",
		float64(log.Now())/1e6, n, l.LeftOut())
	l.Replay(ctx, max(1, n/300))
	jobs := l.Jobs() // a repeat that finds its job no more makes another one
	a := &auditor{machine: m, log: log, programs: o.programs, http: &http.Client{Timeout: 10 * time.Second}}
	defer a.http.CloseIdleConnections()
	a.run(ctx, jobs)
}

// end ends all programs in good order, and looks at what they left.
func (p pass) end(m *machine.Machine) error {
	var err error
	for _, process := range slices.Concat(m.Webs, m.Workers) {
		err = errors.Join(err, process.Terminate(patience))
	}
	m.LeftBehind()
	return err
}

// kinds lists the faults there are.
func kinds() []string { return slices.Sorted(maps.Keys(faults)) }
