// Package collector has the garbage collector of a long-running program use the memory that the
// program has.
package collector

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// How much garbage may gather before a collection, beside what lives.
const (
	// heapFloor is the size of the heap, in bytes, below which nothing is collected where
	// there is room for it, and that much may gather. Longshore's programs hold little and throw much away:
	// with Go's own floor of 4 MiB a worker collects once every few hundred jobs.
	heapFloor = 32 << 20
	// heapGrowth is how many times as large as what lives the heap may become.
	heapGrowth = 5
	// heapShare is the part of the memory limit that the heap keeps to; beyond it Go's
	// usual 100 % hold. The rest is for stacks, children and buffers of the system.
	heapShare = 0.5
)

// Tune has Go's garbage collector use the memory that the process has: the fewer
// collections, the more jobs and waiters a core carries. The limit is GOMEMLIMIT, else that of
// the control group, else half of the machine's memory. Beyond what lives, garbage bytes may gather:
// a worker has room for a few jobs' worth, and web for what its waiters throw away while thousands of
// them live, as each collection marks them all. An operator's GOGC is left alone.
func Tune(getenv func(string) string, garbage int64) {
	if getenv("GOGC") != "" {
		return
	}
	limit := float64(memoryLimit(getenv))
	// Go reckons its percents from all that it scans: stacks and globals beside the heap.
	scanned := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"},
		{Name: "/gc/scan/globals:bytes"}}
	last := 0
	tune := func() {
		metrics.Read(scanned)
		live := 0.0
		for _, s := range scanned {
			live += float64(s.Value.Uint64())
		}
		percent := heapPercent(live, limit, float64(garbage))
		// A change stops the program for a moment, so small ones wait.
		if percent*10 < last*9 || percent*9 > last*10 {
			last = percent
			debug.SetGCPercent(percent)
		}
	}
	tune()
	afterEachCollection(tune)
}

// heapPercent is the GOGC for a heap of which live bytes are in use, stacks and globals counted. Go
// collects nothing below 4 MiB times GOGC/100, so the floor needs no more than its part of that, and
// more would raise it.
func heapPercent(live, limit, garbage float64) int {
	const least = 4 << 20
	live = max(live, 1<<20)
	room := limit * heapShare
	floor := min(heapFloor, garbage, room)
	target := max(live*2, min(live+garbage, live*heapGrowth, room))
	return int(max(target/live-1, min(floor/least, floor/live-1)) * 100)
}

// afterEachCollection calls do once the collector has been through: an object that nobody holds is
// found dead by each collection, and then a new one takes its place.
func afterEachCollection(do func()) {
	type sentinel struct{ _ *byte } // a pointer keeps it out of the allocator of tiny objects
	runtime.SetFinalizer(&sentinel{}, func(*sentinel) {
		do()
		afterEachCollection(do)
	})
}

// memoryLimit is how many bytes this process may use, as far as anybody says.
func memoryLimit(getenv func(string) string) int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 { // GOMEMLIMIT
		return limit
	}
	limit := machineMemory() / 2
	if group := groupLimit("/proc/self/cgroup", "/sys/fs/cgroup"); group > 0 {
		limit = min(limit, group)
	}
	return limit
}

// Limit is how many bytes this process may use by GOMEMLIMIT or its control group; 0 = nobody says.
func Limit() int64 {
	limit := groupLimit("/proc/self/cgroup", "/sys/fs/cgroup")
	if own := debug.SetMemoryLimit(-1); own < math.MaxInt64 && (limit == 0 || own < limit) {
		limit = own
	}
	return limit
}

// machineMemory is the machine's memory in bytes; 2 GiB where it can't be learned.
func machineMemory() int64 {
	const unknown = 2 << 30
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return unknown
	}
	_, after, _ := strings.Cut(string(text), "MemTotal:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return unknown
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || kib <= 0 {
		return unknown
	}
	return kib << 10
}

// groupLimit is the least memory limit of the control groups (v2, or v1's memory) that the process is
// in, 0 for none. In a container the files often show the group's own folder as the root.
func groupLimit(self, root string) int64 {
	text, err := os.ReadFile(self)
	if err != nil {
		return 0
	}
	least := int64(0)
	look := func(file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			return
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && n > 0 && n < 1<<60 && (least == 0 || n < least) { // v1 writes a huge number for none
			least = n
		}
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, file := root, "memory.max"
		if parts[1] == "memory" {
			base, file = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		} else if parts[1] != "" {
			continue
		}
		for dir := filepath.Clean("/" + parts[2]); ; dir = filepath.Dir(dir) {
			look(filepath.Join(base, dir, file))
			if dir == "/" {
				break
			}
		}
	}
	return least
}
