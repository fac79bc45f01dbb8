// Package host keeps the functions of a process: it loads them, opens what runs them,
// and follows their folders where that is wanted. It knows all modes.
package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"longshore/internal/functions"
	"longshore/internal/functions/program"
	"longshore/internal/sandbox"
	"longshore/tasks"
)

// Config of a Set.
type Config struct {
	Folder string // of functions; it need not be there
	Host   functions.Host
	// Taken reports whether Go code serves a type: then no folder does. nil = none is.
	Taken func(typ string) bool
	// Changed is called when other functions are served than before; nil = nobody cares.
	Changed func()
	// Deployed is a folder that deployed functions lie in; "" = there are none.
	Deployed string
	// Warm is how many processes of mode lambda are kept warm; 0 = as many as attempts may
	// run at once.
	Warm int
}

// A Set is the functions that are served. Its methods are safe for concurrent use.
type Set struct {
	config Config
	loader functions.Loader

	loading  sync.Mutex // held by who changes what is served; opening a function may take seconds
	found    []*functions.Function
	wrong    []functions.Fault
	deployed []*functions.Function
	holds    holds

	mu     sync.Mutex
	served map[string]*served
	faults []functions.Fault

	probes sync.Map // interpreters: path → bool

	modes   modes
	closing sync.WaitGroup // of versions that were replaced
}

// served is one version of a function, and how many run it.
type served struct {
	*functions.Function
	info     tasks.Info
	catalog  *tasks.Catalog // of the one type
	executor functions.Executor
	users    int
	replaced bool
}

func (s *Set) closeOne(one *served) error {
	return errors.Join(one.executor.Close(), s.holds.drop(one.Function))
}

// Open loads the functions in a folder, and logs what is wrong with those left out.
func Open(c Config) *Set {
	s := &Set{config: c, served: map[string]*served{}, modes: newModes(c)}
	s.loader = functions.Loader{Path: c.Host.Getenv("PATH"), Starts: s.starts}
	s.load()
	return s
}

// starts reports whether an interpreter starts in the sandbox. It is asked once.
func (s *Set) starts(path string) bool {
	if known, ok := s.probes.Load(path); ok {
		return known.(bool)
	}
	ok := program.Starts(path)
	s.probes.Store(path, ok)
	return ok
}

// load makes the set what the folders are now. It reports whether that is something else.
func (s *Set) load() (changed bool) {
	s.loading.Lock()
	defer s.loading.Unlock()
	s.found, s.wrong = nil, nil
	if _, err := os.Stat(s.config.Folder); s.config.Folder != "" && !errors.Is(err, os.ErrNotExist) {
		s.found, s.wrong = s.loader.Load(s.config.Folder)
	}
	return s.take()
}

// SetDeployed makes these the deployed functions that are served, beside those of folders.
// The Hold of each is closed once it is no more among them and nobody runs it; of one that
// can't be opened at once. One that a folder goes before is kept: the folder may go. It
// reports whether other functions are served than before.
func (s *Set) SetDeployed(all []*functions.Function) (changed bool) {
	s.loading.Lock()
	defer s.loading.Unlock()
	before := s.deployed
	s.deployed = slices.Clone(all)
	for _, f := range all {
		s.holds.take(f)
	}
	changed = s.take()
	s.dropAll(before)
	return changed
}

func (s *Set) dropAll(all []*functions.Function) {
	for _, f := range all {
		if err := s.holds.drop(f); err != nil {
			s.config.Host.Log.WarnContext(context.Background(), "copy of a function can't be closed", "type",
				f.Type, "error", err)
		}
	}
}

// Loader loads functions as the set does.
func (s *Set) Loader() *functions.Loader { return &s.loader }

// take opens what is new and puts all in place. The caller holds loading.
func (s *Set) take() (changed bool) {
	s.mu.Lock()
	before := s.served
	s.mu.Unlock()
	faults := slices.Clone(s.wrong)
	next := map[string]*served{}
	fault := func(f *functions.Function, err error) {
		faults = append(faults, functions.Fault{Folder: f.Folder, Err: err})
	}
	var failed []*functions.Function
	for _, f := range slices.Concat(s.found, s.deployed) {
		if first := next[f.Type]; first != nil {
			fault(f, fmt.Errorf("type %s is served by the folder %s, which goes before", f.Type,
				first.Folder))
			continue
		}
		if old := before[f.Type]; old != nil && (old.Function == f ||
			f.Hold == nil && old.Hold == nil && old.Digest == f.Digest && old.Folder == f.Folder) {
			next[f.Type] = old
			continue
		}
		one, err := s.open(f)
		if err != nil {
			fault(f, err)
			failed = append(failed, f)
			continue
		}
		s.holds.take(f)
		next[f.Type] = one
		changed = true
	}
	s.forget(failed)
	s.mu.Lock()
	defer s.mu.Unlock()
	for typ, old := range before {
		if next[typ] != old {
			changed = true
			old.replaced = true
			s.closeUnused(old)
		}
	}
	s.tell(faults, next)
	s.served, s.faults = next, faults
	return changed
}

// forget keeps those no more that can't be opened: who deploys them brings them again.
func (s *Set) forget(failed []*functions.Function) {
	is := func(f *functions.Function) bool { return slices.Contains(failed, f) }
	s.dropAll(slices.DeleteFunc(slices.Clone(s.deployed), func(f *functions.Function) bool { return !is(f) }))
	s.deployed = slices.DeleteFunc(s.deployed, is)
}

func (s *Set) open(f *functions.Function) (*served, error) {
	if s.config.Taken != nil && s.config.Taken(f.Type) {
		return nil, fmt.Errorf("type %s is served by Go code of this program, which goes before", f.Type)
	}
	if f.Manifest.Sandbox == functions.SandboxRequire {
		if lacks := sandbox.Missing(); lacks != "" {
			return nil, fmt.Errorf("sandbox: require, and this system lacks %s", lacks)
		}
	}
	if f.Version > 0 && f.Manifest.Mode != functions.WASM && !sandbox.Files() {
		return nil, errors.New("a deployed program needs Landlock (files), which this system lacks")
	}
	open, ok := s.modes.openers[f.Manifest.Mode]
	if !ok {
		return nil, fmt.Errorf("mode %q is not served here", f.Manifest.Mode)
	}
	info, err := f.Info()
	if err != nil {
		return nil, err
	}
	info.Sandbox, info.Version = SandboxOf(f), f.Version
	catalog, err := tasks.NewCatalog(info)
	if err != nil {
		return nil, err
	}
	host := s.config.Host
	e, err := open(f, &host)
	if err != nil {
		return nil, err
	}
	return &served{Function: f, info: info, catalog: catalog, executor: e}, nil
}

// tell logs what is new.
func (s *Set) tell(faults []functions.Fault, next map[string]*served) {
	ctx, log := context.Background(), s.config.Host.Log
	for _, f := range faults {
		same := func(old functions.Fault) bool { return old.Error() == f.Error() }
		if !slices.ContainsFunc(s.faults, same) {
			log.ErrorContext(ctx, "function is left out", "folder", f.Folder, "error", f)
		}
	}
	for typ, one := range next {
		if s.served[typ] != one {
			args := []any{"type", typ, "mode", one.Manifest.Mode, "command", one.Command, "sandbox",
				SandboxOf(one.Function)}
			if one.Version > 0 {
				args = append(args, "version", one.Version)
			}
			log.InfoContext(ctx, "function is served", args...)
		}
	}
	for typ := range s.served {
		if next[typ] == nil {
			log.InfoContext(ctx, "function is served no more", "type", typ)
		}
	}
}

// SandboxOf says how much of a sandbox a function has here: full, partial or none.
func SandboxOf(f *functions.Function) string {
	switch {
	case f.Manifest.Sandbox == functions.SandboxOff, sandbox.Nothing():
		return "none"
	case sandbox.Missing() != "":
		return "partial"
	default:
		return "full"
	}
}

// closeUnused closes a replaced version that nobody runs any more. The lock is held, so
// it is closed in the background: warm processes get a grace.
func (s *Set) closeUnused(one *served) {
	if one.replaced && one.users == 0 {
		s.closing.Go(func() {
			if err := s.closeOne(one); err != nil {
				s.config.Host.Log.WarnContext(context.Background(), "function can't be closed", "type",
					one.Type, "error", err)
			}
		})
	}
}

// Infos returns the definitions of the folders that are served, sorted by type. Those of
// deployed functions are the registry's to tell.
func (s *Set) Infos() []tasks.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	var infos []tasks.Info
	for _, one := range s.served {
		if one.Version == 0 {
			infos = append(infos, one.info)
		}
	}
	slices.SortFunc(infos, func(a, b tasks.Info) int { return strings.Compare(a.Type, b.Type) })
	return infos
}

// Types returns the names of all that is served.
func (s *Set) Types() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.served))
}

// Serves reports whether a version of a deployed function is served, or a folder in its place.
func (s *Set) Serves(typ string, version int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.served[typ]
	return one != nil && (one.Version == version || one.Version == 0)
}

// Faults returns what is wrong with the folders that are left out.
func (s *Set) Faults() []functions.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// A Use is a version of a function that somebody runs.
type Use struct {
	Function *functions.Function
	Info     tasks.Info
	set      *Set
	served   *served
}

// Use returns the version of a type that is served now, until End is called; nil if none
// is.
func (s *Set) Use(typ string) *Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.served[typ]
	if one == nil {
		return nil
	}
	one.users++
	return &Use{one.Function, one.info, s, one}
}

// End says that this use is over. Call it once.
func (u *Use) End() {
	u.set.mu.Lock()
	defer u.set.mu.Unlock()
	u.served.users--
	u.set.closeUnused(u.served)
}

// Check checks a payload by the function's schema.
func (u *Use) Check(payload []byte) error {
	_, err := u.served.catalog.Check(u.Function.Type, payload)
	return err
}

// Run does an attempt.
func (u *Use) Run(ctx context.Context, a *functions.Attempt) functions.Outcome {
	return u.served.executor.Run(ctx, a)
}

// watchEvery is how often folders are looked at.
const watchEvery = 500 * time.Millisecond

// Watch follows the folders until ctx ends.
func (s *Set) Watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	print := functions.Fingerprint(s.config.Folder)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := functions.Fingerprint(s.config.Folder)
		if now == print {
			continue
		}
		print = now
		if s.load() && s.config.Changed != nil {
			s.config.Changed()
		}
	}
}

// Close closes all. Nothing is run any more.
func (s *Set) Close() error {
	s.loading.Lock()
	s.dropAll(s.deployed)
	s.deployed = nil
	s.loading.Unlock()
	s.mu.Lock()
	served := s.served
	s.served = nil
	s.mu.Unlock()
	errs := make(chan error, len(served)) // at once, for each may take a grace
	for _, one := range served {
		s.closing.Go(func() { errs <- s.closeOne(one) })
	}
	s.closing.Wait()
	close(errs)
	err := s.modes.close()
	for one := range errs {
		err = errors.Join(err, one)
	}
	return err
}
