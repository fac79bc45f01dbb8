package memory

import (
	"longshore/internal/family"
	"os"
	"runtime/metrics"
)

// numbers are what the runtime and the system say.
type numbers struct {
	live    int64  // bytes of Go that lived at the last collection, and stacks
	cycles  uint64 // collections
	allocs  uint64 // bytes that were ever allocated
	goBytes int64  // that Go has of the system
	rss     int64  // resident, all of it; 0: the system doesn't say
	private int64  // of rss, not of files
}

var runtimeNames = []string{"/gc/heap/live:bytes", "/memory/classes/heap/stacks:bytes",
	"/gc/cycles/total:gc-cycles", "/gc/heap/allocs:bytes", "/memory/classes/total:bytes",
	"/memory/classes/heap/released:bytes"}

// read asks for the numbers.
func read() numbers {
	samples := make([]metrics.Sample, len(runtimeNames))
	for i, name := range runtimeNames {
		samples[i].Name = name
	}
	metrics.Read(samples)
	v := func(i int) uint64 { return samples[i].Value.Uint64() }
	n := numbers{live: int64(v(0) + v(1)), cycles: v(2), allocs: v(3), goBytes: int64(v(4) - v(5))}
	n.rss, n.private = resident()
	return n
}

// resident is how much memory this process has, and how much of it is no file's; 0 where the system doesn't
// say.
func resident() (rss, private int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	rss, _ = family.StatusField(text, "VmRSS:")
	private, _ = family.StatusField(text, "RssAnon:")
	return rss, private
}

// Resident is how much memory this process has, in bytes; 0 where the system doesn't say.
func Resident() int64 {
	rss, _ := resident()
	return rss
}
