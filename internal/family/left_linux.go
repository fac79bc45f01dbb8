package family

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// mayBeLeft reports whether something of a family whose head is reaped may be there.
// A look at all processes of the machine costs more than a short program, so first a
// look at what is near: its group, what was seen of it before, and our own children,
// to which its orphans belong.
func (f *Family) mayBeLeft() bool {
	if syscall.Kill(-f.head, 0) == nil {
		return true
	}
	if f.knowsLiving() {
		return true
	}
	children, ok := childrenOf(os.Getpid())
	if !ok {
		return true
	}
	for _, pid := range children {
		if _, head := heads.Load(pid); head {
			continue
		}
		// One that is older than the family is none of it: a guard, a Redis of dev's.
		if p, ok := lookUp(pid); !ok || p.began == 0 || p.began >= f.began {
			return true
		}
	}
	return false
}

// ticks is the time as the kernel tells when a process began: in hundredths of a second since the
// machine's start. What begins later has no smaller number. 0 = not known.
func ticks() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return int64(t.Sec)*100 + int64(t.Nsec)/10_000_000
}

// knowsLiving reports whether a descendant that was seen is still there.
func (f *Family) knowsLiving() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.known {
		if now, ok := lookUp(p.pid); ok && now.began == p.began {
			return true
		}
	}
	return false
}

// childrenOf lists the children of a process; ok is false where the kernel doesn't
// tell (CONFIG_PROC_CHILDREN).
func childrenOf(pid int) (children []int, ok bool) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/"
	tasks, err := os.Open(dir)
	if err != nil {
		return nil, false
	}
	defer tasks.Close()
	names, err := tasks.Readdirnames(-1)
	if err != nil {
		return nil, false
	}
	buf := make([]byte, 4<<10)
	for _, name := range names {
		n, known := readSmall(dir+name+"/children", buf)
		if n < 0 {
			if known { // the thread has ended
				continue
			}
			return nil, false
		}
		if n == len(buf) {
			return nil, false // more than we care to read
		}
		for _, word := range strings.Fields(string(buf[:n])) {
			if child, err := strconv.Atoi(word); err == nil {
				children = append(children, child)
			}
		}
	}
	return children, true
}

// readSmall reads a file of /proc without the detour of an os.File. n is -1 where it
// can't; known says that the process or thread is gone.
func readSmall(path string, buf []byte) (n int, known bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		_, missing := os.Stat(path[:strings.LastIndexByte(path, '/')])
		return -1, missing != nil
	}
	defer func() { _ = unix.Close(fd) }()
	n, err = unix.Read(fd, buf)
	if err != nil {
		return -1, true
	}
	return n, true
}

// A Tree is what a head and all below it have at a moment.
type Tree struct {
	Processes int
	Resident  int64 // bytes: the head's, and what the others have for themselves
	Peak      int64 // the same, with the head's peak
}

// Tree looks at the family from its head downwards, and at what it has orphaned, as
// far as that has stayed in its group or session. It costs as much as the family is
// large, and ends when it has counted more than most: those that start others without
// end would have it never end either.
func (f *Family) Tree(most int) (t Tree) {
	now, peak, ok := Resident(f.head)
	if !ok {
		return Tree{}
	}
	t = Tree{Processes: 1, Resident: now}
	defer func() { t.Peak = t.Resident + max(0, peak-now) }()
	seen := map[int]bool{f.head: true}
	next, ok := childrenOf(f.head)
	if !ok {
		return Tree{Processes: 1, Resident: now + f.Below()}
	}
	if orphans, ok := childrenOf(os.Getpid()); ok {
		for _, pid := range orphans {
			if _, head := heads.Load(pid); head {
				continue
			}
			if p, ok := lookUp(pid); ok && (p.group == f.head || p.session == f.head) {
				next = append(next, pid)
			}
		}
	}
	var found []process
	for len(next) > 0 && t.Processes <= most {
		pid := next[0]
		next = next[1:]
		if seen[pid] {
			continue
		}
		seen[pid] = true
		p, ok := lookUp(pid)
		if !ok {
			continue
		}
		found = append(found, p)
		t.Processes++
		t.Resident += ownMemory(p)
		below, _ := childrenOf(pid)
		next = append(next, below...)
	}
	f.note(found)
	return t
}
