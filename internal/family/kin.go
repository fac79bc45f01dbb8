package family

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A process is a line of the system's table of processes.
type process struct {
	pid, parent, group, session int
	began                       int64 // tells two processes of one number apart; 0 = not known
	zombie                      bool
	stopped                     bool  // by a signal: it starts nothing
	resident                    int64 //nolint:unused // bytes; known only where there is no /proc
}

// below returns the descendants of a process.
func below(all []process, pid int) []process {
	children := map[int][]process{}
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p)
	}
	var found []process
	next := []int{pid}
	seen := map[int]bool{pid: true}
	for len(next) > 0 {
		for _, p := range children[next[0]] {
			if !seen[p.pid] {
				seen[p.pid] = true
				found = append(found, p)
				next = append(next, p.pid)
			}
		}
		next = next[1:]
	}
	return found
}

// note remembers descendants, and returns how many are new.
func (f *Family) note(found []process) (fresh int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range found {
		if old, ok := f.known[p.pid]; !ok || old.began != p.began {
			f.known[p.pid] = p
			fresh++
		}
	}
	return fresh
}

// stopPatience bounds the wait for processes to stop: one that waits for a disk
// may take long, and dies when it is back. stopRounds bounds the race with
// processes that start others.
const (
	stopPatience = 500 * time.Millisecond
	stopRounds   = 1000
)

// kill ends the head, while it is there, and all that descends from it. They
// are stopped first and counted until no new ones turn up: what is stopped
// starts nothing, and no parent's end hides a grandchild meanwhile, where the
// head adopts the orphans below it.
func (f *Family) kill() {
	_ = syscall.Kill(-f.head, syscall.SIGSTOP)
	still := false // all were at the round before this one; a signal takes a while to arrive
	for round, began := 0, time.Now(); round < stopRounds; round++ {
		all := processes()
		found := below(all, f.head)
		for _, p := range found {
			_ = syscall.Kill(p.pid, syscall.SIGSTOP)
		}
		fresh := f.note(found)
		if fresh == 0 && (still || time.Since(began) > stopPatience) {
			break
		}
		still = fresh == 0 && f.still(all, found)
	}
	_ = syscall.Kill(-f.head, syscall.SIGKILL)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.known {
		if now, ok := lookUp(p.pid); ok && now.began == p.began {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// still reports whether the child and these descendants start nothing more.
func (f *Family) still(all, found []process) bool {
	for _, p := range all {
		if p.pid == f.head {
			found = append(found, p)
		}
	}
	return !slices.ContainsFunc(found, func(p process) bool { return !p.stopped && !p.zombie })
}

// sweepPatience bounds the wait for the kernel to end what was killed.
const sweepPatience = 2 * time.Second

// sweep kills and reaps what is left of the family of a child that has ended.
// What a child leaves behind becomes ours, wherever it has gone: AdoptOrphans.
func (f *Family) sweep() {
	for began, pause := time.Now(), time.Millisecond; time.Since(began) < sweepPatience; pause = min(2*pause,
		50*time.Millisecond) {
		left := f.left(processes())
		if len(left) == 0 {
			break
		}
		f.note(left) // as zombies they bear no mark
		for _, p := range left {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
			if p.parent == os.Getpid() {
				reap(p.pid)
			}
		}
		time.Sleep(pause)
	}
}

// left finds members of the family, by what marks them, and what descends from
// those. A zombie counts only if it is ours to reap.
func (f *Family) left(all []process) []process {
	f.mu.Lock()
	defer f.mu.Unlock()
	us := os.Getpid()
	members := map[int]bool{}
	for _, p := range below(all, us) {
		// Parents come before their children.
		if members[p.parent] || f.member(p) {
			members[p.pid] = true
		}
	}
	var left []process
	for _, p := range all {
		if members[p.pid] && (!p.zombie || p.parent == us) || !members[p.pid] && f.escaped(p) {
			left = append(left, p)
		}
	}
	return left
}

func (f *Family) member(p process) bool {
	if p.group == f.head || p.session == f.head {
		return true
	}
	if k, ok := f.known[p.pid]; ok && k.began == p.began {
		return true
	}
	return !p.zombie && carries(p.pid, f.token)
}

// escaped finds those that the kernel gave to init, where we can't adopt.
func (f *Family) escaped(p process) bool {
	if p.zombie || p.parent != 1 {
		return false
	}
	k, ok := f.known[p.pid]
	return ok && k.began == p.began && p.pid != os.Getpid()
}

// Alive reports whether there is a process of that number that has not ended.
func Alive(pid int) bool {
	p, ok := lookUp(pid)
	return ok && !p.zombie
}

// KillMarked kills all processes of the families with a mark that a program has left
// which could not end them itself.
func KillMarked(mark string) { killLeft([]string{filepath.Base(mark)}) }

// KillBelow kills all that descends from a process.
func KillBelow(pid int) {
	for _, p := range below(processes(), pid) {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
}
