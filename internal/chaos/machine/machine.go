//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"longshore/internal/chaos/history"
	"longshore/internal/localredis"
)

// Secrets that the programs are given, and that nobody may see again.
const (
	Token          = "chaos-7c1e5a9d3f8b2460-token" //nolint:gosec // of a run, on loopback
	callbackSecret = "whsec_Y2hhb3Mtc2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU="
	hidden         = "Y2hhb3Mtc2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU"
)

// Config of a Machine.
type Config struct {
	Dir      string   // for all that is kept: logs, blobs, the data of Redis
	Programs string   // folder of the built programs
	Worker   string   // the worker's binary
	Args     []string // … and its arguments
	Webs     int
	Workers  int
	Seed     uint64
	Log      *history.Log

	Fsync   string        // appendfsync: everysec, always, no; "" = nothing is kept on disk
	Preload string        // a library that redis-server is started with; "" = none
	Env     []string      // of redis-server
	Space   int64         // bytes of a disk of their own for blobs and for Redis; 0 = none
	Retain  time.Duration // RETENTION of the programs
}

// A Machine is an installation of which every part can be struck.
type Machine struct {
	Redis   *localredis.Server
	Proxy   *Proxy
	Webs    []*Process
	Workers []*Process
	Witness string // file in which runs that forbid overlap tell that they work

	config Config
	log    *history.Log
	mounts []string

	mu     sync.Mutex
	output *os.File
	odd    []string // lines of the programs' logs that tell of an error
}

// Folders of a Machine, below Config.Dir.
const (
	blobs = "blobs"
	data  = "redis"
	work  = "work"
)

// Start starts all of it, and returns once it serves. Close ends it.
func Start(ctx context.Context, c Config) (m *Machine, err error) {
	m = &Machine{config: c, log: c.Log, Witness: filepath.Join(c.Dir, "witness")}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	for _, dir := range []string{blobs, data, work, "home"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, dir), 0o700); err != nil {
			return m, err
		}
	}
	if m.output, err = os.Create(filepath.Join(c.Dir, "programs.log")); err != nil {
		return m, err
	}
	if err := m.mount(blobs, data); err != nil {
		return m, err
	}
	o := localredis.Options{Env: c.Env, Args: []string{"--enable-debug-command", "local"}}
	if c.Preload != "" {
		o.Env = append(o.Env, "LD_PRELOAD="+c.Preload)
	}
	if c.Fsync != "" {
		o.DataDir = filepath.Join(c.Dir, data)
		o.Args = append(o.Args, "--appendfsync", c.Fsync)
	}
	if m.Redis, err = localredis.Start(ctx, o); err != nil {
		return m, err
	}
	if m.Proxy, err = newProxy(m.Redis.URL(), c.Seed); err != nil {
		return m, err
	}
	return m, m.startPrograms()
}

func (m *Machine) startPrograms() error {
	for i := range m.config.Workers {
		m.Workers = append(m.Workers, m.process(fmt.Sprintf("worker%d", i+1), m.config.Worker,
			m.config.Args...))
	}
	for i := range m.config.Webs {
		m.Webs = append(m.Webs, m.process(fmt.Sprintf("web%d", i+1), filepath.Join(m.config.Programs, "web")))
	}
	all := slices.Concat(m.Workers, m.Webs)
	for _, p := range all {
		if err := p.Start(); err != nil {
			return err
		}
	}
	for _, p := range all {
		if err := p.AwaitReady(); err != nil {
			return err
		}
	}
	return nil
}

// AwaitType waits until each web process knows a type, as workers tell of their types.
func (m *Machine) AwaitType(ctx context.Context, typ string) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for _, p := range m.Webs {
		for {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL()+"/v1/types", nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+Token)
			resp, err := client.Do(req)
			if err == nil {
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil && strings.Contains(string(body), strconv.Quote(typ)) {
					break
				}
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s doesn't know type %s: %w", p.Name(), typ, ctx.Err())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// Environ is what programs are started with.
func (m *Machine) Environ() []string {
	path := func(name string) string { return filepath.Join(m.config.Dir, name) }
	env := []string{"REDIS_URL=" + m.Proxy.URL(), "BLOB_URL=file://" + path(blobs), "PORT=0",
		"LONGSHORE_TOKEN=" + Token, "LOG_FORMAT=json", "LOG_LEVEL=debug", "CALLBACK_SECRETS=" +
			callbackSecret, "CALLBACK_ALLOW=127.0.0.0/8",
		"TMPDIR=" + path(work), "HOME=" + path("home"), "PATH=" + os.Getenv("PATH"), "CHAOS_WITNESS=" +
			m.Witness,
		"MIN_FREE_SPACE=1MiB", "CPU_CONCURRENCY=4", "SHUTDOWN_GRACE=10s"}
	if m.config.Retain > 0 {
		env = append(env, "RETENTION="+m.config.Retain.String())
	}
	return env
}

func (m *Machine) process(base, program string, args ...string) *Process {
	return &Process{base: base, machine: m, command: func() *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Env = m.Environ()
		return cmd
	}}
}

// Serving names a web process that takes requests, and its address; false if there is none.
// avoid is one that has just failed.
func (m *Machine) Serving(random *rand.Rand, avoid string) (name, url string, ok bool) {
	for _, i := range random.Perm(len(m.Webs)) {
		p := m.Webs[i]
		p.mu.Lock()
		n, address, usable := p.name(), p.address, p.address != "" && !p.drained
		p.mu.Unlock()
		if !usable || n == avoid && ok {
			continue
		}
		name, url, ok = n, address, true
		if n != avoid {
			break
		}
	}
	return name, url, ok
}

// overheard keeps a line of a log, and looks for secrets in it.
func (m *Machine) overheard(name, line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintln(m.output, name, line)
	for _, secret := range []string{Token, hidden} {
		if strings.Contains(line, secret) {
			m.log.Add(history.Event{Kind: history.Secret, Proc: name, Text: "in the log: " + line})
		}
	}
}

// strange keeps what a program said that tells of an error.
func (m *Machine) strange(name, line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.odd = append(m.odd, name+" "+line)
}

// Odd returns the lines of the programs' logs that were no JSON, or errors.
func (m *Machine) Odd() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.odd)
}

// Runs counts the jobs that run now.
func (m *Machine) Runs() (n int) {
	for _, p := range m.Workers {
		n += len(p.Runs())
	}
	return n
}

// Close ends all that still runs. What was kept stays in the folder, but for disks of its own.
func (m *Machine) Close() error {
	for _, p := range slices.Concat(m.Webs, m.Workers) {
		p.end()
	}
	var err error
	if m.Proxy != nil {
		err = errors.Join(err, m.Proxy.Close())
	}
	if m.Redis != nil {
		err = errors.Join(err, m.Redis.Close())
	}
	if m.output != nil {
		err = errors.Join(err, m.output.Close())
	}
	return errors.Join(err, m.unmount())
}
