package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"longshore/internal/functions"
	"longshore/internal/isolate"
	"longshore/internal/sandbox"
	"longshore/job"
)

// A Pool has the children that run modules, for all functions of a host. The children are
// this program: its main must call isolate.Main with a handler that knows Serve.
type Pool struct {
	cache string
	read  []string

	mu       sync.Mutex
	children *isolate.Pool // opened by the first function
	policy   *sandbox.Policy
	users    map[string]int // executors, by the folder of what is compiled
}

// NewPool returns a pool. What is compiled is kept in the folder cache, "" = in none, as long as a
// function has it. Its children may read those folders, with all below, where functions are.
func NewPool(cache string, read ...string) *Pool { return &Pool{cache: cache, read: read} }

// Close ends the children.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.children == nil {
		return nil
	}
	err := p.children.Close()
	p.children = nil
	return err
}

// childFactor is what a child may use for each byte of a module's memory: what is
// compiled and the compiler need some too.
const childFactor = 3

func (p *Pool) open(h *functions.Host) (*isolate.Pool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.children != nil {
		return p.children, nil
	}
	if p.cache != "" {
		if err := os.MkdirAll(p.cache, 0o700); err != nil {
			return nil, err
		}
	}
	slots := 0
	for _, n := range h.Slots {
		slots += n
	}
	p.policy = p.newPolicy(h)
	var err error
	p.children, err = isolate.Open(isolate.Config{Slots: max(slots, 1), Lazy: true, Dir: h.Base, Log: h.Log})
	return p.children, err
}

// An executor runs the jobs of one module.
type executor struct {
	*Pool
	function *functions.Function
	host     *functions.Host
	children *isolate.Pool
	kind     isolate.Child
	key      string
	compiled string // folder; "" = none
}

// leastFile is how long a file a child may write at least: compiled modules are kept in files.
const leastFile = 256 << 20

// checkLimit bounds how long a module may take to compile, and to wait for a child that does it.
const checkLimit = 5 * time.Minute

// Open compiles the module in a child: what is wrong with it is the error. It is of type
// functions.Opener.
func (p *Pool) Open(f *functions.Function, h *functions.Host) (functions.Executor, error) {
	children, err := p.open(h)
	if err != nil {
		return nil, err
	}
	e := &executor{Pool: p, function: f, host: h, children: children, key: f.Digest + " " + f.Command[0]}
	e.compiled = p.keep(e.key)
	e.kind.Memory = childFactor * h.MemoryOf(f)
	if f.Manifest.Sandbox != functions.SandboxOff {
		e.kind.Policy = p.policy
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	var r reply
	_, err = e.order(ctx, work{Check: true}, "", &r)
	if err == nil && (r.Fault != "" || r.Host != "" || r.Trap != "") {
		err = fmt.Errorf("%s: %s", filepath.Base(f.Command[0]), r.Fault+r.Host+r.Trap)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// keep returns the folder for what is compiled of a module. Functions of one content share it.
func (p *Pool) keep(key string) string {
	if p.cache == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	folder := filepath.Join(p.cache, hex.EncodeToString(sum[:16]))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == nil {
		p.users = map[string]int{}
	}
	p.users[folder]++
	return folder
}

// newPolicy is what all children may do: each runs modules of many functions.
func (p *Pool) newPolicy(h *functions.Host) *sandbox.Policy {
	program, err := os.Executable()
	if err != nil {
		program = "/proc/self/exe"
	}
	write := []string{h.Base}
	if p.cache != "" {
		write = append(write, p.cache)
	}
	return &sandbox.Policy{Whole: true, Read: append(sandbox.System(program), p.read...), Write: write,
		TCPOnly: true, FileSize: max(2*uint64(h.MaxOutput), leastFile)}
}

// Close removes what is compiled, else each version that was ever served would leave some
// megabytes. What children have in memory they forget in time.
func (e *executor) Close() error {
	if e.compiled == "" {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.users[e.compiled]--; e.users[e.compiled] > 0 {
		return nil
	}
	delete(e.users, e.compiled)
	return os.RemoveAll(e.compiled)
}

// order has a child do a work.
func (e *executor) order(ctx context.Context, w work, folder string, r *reply) (isolate.Reply, error) {
	w.Module, w.Key, w.Cache, w.Memory = e.function.Command[0], e.key, e.compiled, e.host.MemoryOf(e.function)
	text, err := json.Marshal(w)
	if err != nil {
		return isolate.Reply{}, err
	}
	done, err := e.children.Run(ctx, isolate.Work{Body: append([]byte(mark), text...), Folder: folder,
		Child: &e.kind})
	if err == nil && json.Unmarshal(done.Body, r) != nil {
		err = &isolate.Death{How: "gave an answer that can't be read"}
	}
	if errors.Is(err, isolate.ErrStart) || errors.Is(err, isolate.ErrClosed) {
		err = fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	return done, err
}

func usage(r isolate.Reply) job.Usage {
	return job.Usage{CPUMS: r.Usage.CPU.Milliseconds(), PeakRSSBytes: r.Usage.PeakResident}
}
