package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A hierarchy is one in which groups are made: one with version 2, one a controller with 1.
type hierarchy struct {
	v2     bool
	folder string // groups are made in it
	own    string // the group that this process is in
	limits []limit
	killed string // file that counts whom the kernel killed for want of memory; "" = no such
}

// A limit is a file of a group and what is written there.
type limit struct {
	file  string
	value func(Limits) int64
	extra bool // not every kernel has it
}

func memory(l Limits) int64    { return l.Memory }
func processes(l Limits) int64 { return int64(l.Processes) }
func none(Limits) int64        { return 0 }
func one(Limits) int64         { return 1 }

const namePrefix = "longshore-"

// sets counts those of this process.
var sets atomic.Int64

// Open finds out where groups can be made, and removes those that a killed process left there. The
// error wraps ErrNone.
func Open() (*Set, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	in, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	hierarchies, err := find(string(mounts), string(in))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return open(hierarchies)
}

func open(hierarchies []hierarchy) (*Set, error) {
	s := &Set{hierarchies: hierarchies, groups: map[int]*Group{},
		prefix: fmt.Sprintf("%s%d-%d-", namePrefix, os.Getpid(), sets.Add(1))}
	for _, h := range hierarchies {
		sweep(h.folder)
		if !h.v2 {
			continue
		}
		if err := write(filepath.Join(h.folder, "cgroup.subtree_control"), "+memory +pids"); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNone, err)
		}
	}
	// Whether it can be done one finds out by doing it.
	if _, err := s.Get(0, Limits{Memory: 1 << 30, Processes: 1000}); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNone, err), s.Close())
	}
	return s, nil
}

// find finds the hierarchies in the kernel's lists of mounts and of this process's groups.
func find(mounts, in string) ([]hierarchy, error) {
	at := map[string][2]string{} // controller, "" = version 2 → mount point and what is mounted there
	for line := range strings.Lines(mounts) {
		left, right, _ := strings.Cut(strings.TrimSpace(line), " - ")
		f, kind := strings.Fields(left), strings.Fields(right)
		switch {
		case len(f) < 5 || len(kind) < 3:
		case kind[0] == "cgroup2":
			at[""] = [2]string{f[4], f[3]}
		case kind[0] == "cgroup":
			for controller := range strings.SplitSeq(kind[2], ",") {
				at[controller] = [2]string{f[4], f[3]}
			}
		}
	}
	own := map[string]string{} // controller → folder of this process's group
	for line := range strings.Lines(in) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(f[1], ",") {
			if mount, ok := at[controller]; ok {
				own[controller] = filepath.Join(mount[0], "/"+strings.TrimPrefix(f[2], strings.TrimSuffix(mount[1], "/")))
			}
		}
	}
	if own["memory"] != "" && own["pids"] != "" {
		return []hierarchy{
			{folder: own["memory"], own: own["memory"], killed: "memory.oom_control", limits: []limit{
				{file: "memory.limit_in_bytes", value: memory},
				{file: "memory.memsw.limit_in_bytes", value: memory, extra: true}}},
			{folder: own["pids"], own: own["pids"], limits: []limit{{file: "pids.max", value: processes}}},
		}, nil
	}
	return findV2(own[""])
}

func findV2(own string) ([]hierarchy, error) {
	if own == "" {
		return nil, errors.New("neither version 1 with memory and pids, nor version 2, is mounted")
	}
	if filepath.Base(own) != "longshore" {
		return nil, errors.New("with version 2 it takes a group called longshore in one that was delegated: " +
			"systemd's Delegate=memory pids and DelegateSubgroup=longshore")
	}
	folder := filepath.Dir(own)
	has, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return nil, err
	}
	if all := strings.Fields(string(has)); !slices.Contains(all, "memory") || !slices.Contains(all, "pids") {
		return nil, fmt.Errorf("%s was not given the controllers memory and pids", folder)
	}
	return []hierarchy{{v2: true, folder: folder, own: own, killed: "memory.events", limits: []limit{
		{file: "memory.max", value: memory},
		{file: "memory.swap.max", value: none, extra: true},
		{file: "memory.oom.group", value: one, extra: true},
		{file: "pids.max", value: processes}}}}, nil
}

// sweep removes groups of processes that are gone. One that somebody is in stays: the kernel says so.
func sweep(folder string) {
	left, _ := filepath.Glob(filepath.Join(folder, namePrefix+"*-*"))
	for _, group := range left {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(group), namePrefix), "-")
		if pid, err := strconv.Atoi(text); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.Remove(group)
		}
	}
}

// A Group is one in all hierarchies.
type Group struct {
	set     *Set
	name    string
	made    bool
	said    Limits
	enter   []*os.File // version 1: its lists of threads, and those of our own group
	leave   []*os.File
	process []string // version 2: its list of processes
}

func (s *Set) newGroup(number int) *Group {
	return &Group{set: s, name: s.prefix + strconv.Itoa(number)}
}

// gone reports whether one of the group's folders isn't there any more.
func (g *Group) gone() bool {
	return slices.ContainsFunc(g.set.hierarchies, func(h hierarchy) bool {
		_, err := os.Stat(filepath.Join(h.folder, g.name))
		return errors.Is(err, fs.ErrNotExist)
	})
}

func (g *Group) limit(l Limits) error {
	if g.made && g.gone() { // another worker, in another namespace of processes, has swept it
		_ = g.close()
	}
	if g.made && g.said == l {
		return nil
	}
	if !g.made {
		if err := g.make(); err != nil {
			return errors.Join(err, g.close())
		}
	}
	for _, h := range g.set.hierarchies {
		for _, one := range h.limits {
			err := write(filepath.Join(h.folder, g.name, one.file), strconv.FormatInt(one.value(l), 10))
			// Of two limits of which one may not be below the other, the order depends on what was there.
			if err != nil && one.file == "memory.limit_in_bytes" {
				_ = write(filepath.Join(h.folder, g.name, "memory.memsw.limit_in_bytes"), strconv.FormatInt(l.Memory, 10))
				err = write(filepath.Join(h.folder, g.name, one.file), strconv.FormatInt(one.value(l), 10))
			}
			if err != nil && !one.extra {
				return err
			}
		}
	}
	g.said = l
	return nil
}

// make makes its folders, and opens what a thread in a sandbox can't open any more.
func (g *Group) make() error {
	for _, h := range g.set.hierarchies {
		folder := filepath.Join(h.folder, g.name)
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if h.v2 {
			g.process = append(g.process, filepath.Join(folder, "cgroup.procs"))
			continue
		}
		for path, to := range map[string]*[]*os.File{folder: &g.enter, h.own: &g.leave} {
			f, err := os.OpenFile(filepath.Join(path, "tasks"), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			*to = append(*to, f)
		}
	}
	g.made = true
	return nil
}

// Start has start start a process in the group: start returns its number. It is to be called on a
// thread that is locked to its goroutine; what the process starts is in the group too.
func (g *Group) Start(start func() (pid int, err error)) (pid int, err error) {
	defer func() {
		for _, f := range g.leave {
			_, _ = f.WriteString("0") // the thread ends with the program, at the latest
		}
	}()
	for _, f := range g.enter {
		if _, err := f.WriteString("0"); err != nil { // the calling thread
			return 0, fmt.Errorf("control group: %w", err)
		}
	}
	pid, err = start()
	if err != nil {
		return pid, err
	}
	// With version 2 a process is moved once it is there: a child that it has forked by then is not in
	// the group. The watch over the family sees it all the same.
	for _, path := range g.process {
		if err := write(path, strconv.Itoa(pid)); err != nil && !errors.Is(err, syscall.ESRCH) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // who hears that it wasn't started starts another one
			return pid, fmt.Errorf("control group: %w", err)
		}
	}
	return pid, nil
}

// Killed is how many processes of the group the kernel has killed for want of memory, since it was made.
func (g *Group) Killed() (n int64) {
	for _, h := range g.set.hierarchies {
		if h.killed == "" {
			continue
		}
		text, _ := os.ReadFile(filepath.Join(h.folder, g.name, h.killed))
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
				n, _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			}
		}
	}
	return n
}

// closePatience is for threads of ours that leave a group while they end, and for the many
// processes of a fork bomb, which the kernel takes out one by one.
const closePatience = 10 * time.Second

func (g *Group) close() error {
	for _, f := range slices.Concat(g.enter, g.leave) {
		_ = f.Close() // it was only written to, without a buffer
	}
	g.enter, g.leave, g.process, g.made = nil, nil, nil, false
	var errs []error
	for _, h := range g.set.hierarchies {
		folder := filepath.Join(h.folder, g.name)
		err := os.Remove(folder)
		for end := time.Now().Add(closePatience); errors.Is(err, syscall.EBUSY) && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
			err = os.Remove(folder)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func write(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }
