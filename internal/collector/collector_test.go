package collector

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"
)

// TestHeapPercent holds how far the heap may grow: to the floor, by the growth, within the share of the
// limit, and never below Go's own 100 %.
func TestHeapPercent(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct{ live, limit, garbage, target float64 }{
		{0, 8192 * mib, 256 * mib, 32 * mib},
		{2 * mib, 8192 * mib, 256 * mib, 32 * mib},
		{6.3 * mib, 8192 * mib, 32 * mib, 32 * mib},
		{2 * mib, 40 * mib, 256 * mib, 20 * mib}, // half of a small limit
		{20 * mib, 8192 * mib, 256 * mib, 100 * mib},
		{20 * mib, 8192 * mib, 32 * mib, 52 * mib},
		{100 * mib, 8192 * mib, 256 * mib, 356 * mib},
		{100 * mib, 8192 * mib, 32 * mib, 200 * mib},
		{100 * mib, 512 * mib, 256 * mib, 256 * mib},
		{400 * mib, 1024 * mib, 256 * mib, 800 * mib},
	} {
		percent := float64(heapPercent(c.live, c.limit, c.garbage)) / 100
		got := max(c.live*(1+percent), 4*mib*percent) // as Go reckons
		if got < c.target*0.98 || got > c.target*1.02 {
			t.Errorf("%.0f MiB of %.0f: next at %.1f MiB, want %.1f", c.live/mib, c.limit/mib, got/mib,
				c.target/mib)
		}
	}
}

// TestGroupLimit reads control groups of both kinds.
func TestGroupLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		self  string
		files map[string]string
		want  int64
	}{
		"v2": {"0::/app/web\n", map[string]string{"app/memory.max": "1000\n",
			"app/web/memory.max": "max\n"}, 1000},
		"v2, the least": {"0::/app/web\n", map[string]string{"app/memory.max": "1000\n",
			"app/web/memory.max": "900\n"}, 900},
		"v2 in a container":     {"0::/\n", map[string]string{"memory.max": "700\n"}, 700},
		"v2, of another's path": {"0::/../x\n", map[string]string{"memory.max": "700\n"}, 700},
		"v1": {"5:cpu:/a\n4:memory:/a\n", map[string]string{
			"memory/a/memory.limit_in_bytes": "500\n",
			"memory/memory.limit_in_bytes":   "9223372036854771712\n"}, 500},
		"none":      {"0::/a\n", map[string]string{"a/memory.max": "max\n"}, 0},
		"nonsense":  {"what\n\n", nil, 0},
		"no number": {"0::/\n", map[string]string{"memory.max": "-3x\n"}, 0},
	} {
		root := t.TempDir()
		self := filepath.Join(root, "self")
		write(t, self, c.self)
		for file, text := range c.files {
			write(t, filepath.Join(root, file), text)
		}
		if got := groupLimit(self, root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if groupLimit("/nowhere", "/nowhere") != 0 {
		t.Error("a limit out of nothing")
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTune: GOGC is the operator's word; without it the collector follows what lives. It can't run beside
// others, as the collector is the process's.
func TestTune(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	Tune(func(name string) string { return map[string]string{"GOGC": "50"}[name] }, 64<<20)
	if percent := debug.SetGCPercent(100); percent != 100 {
		t.Errorf("with GOGC set: %d", percent)
	}
	Tune(func(string) string { return "" }, 64<<20)
	small := debug.SetGCPercent(100)
	if small <= 100 {
		t.Fatalf("at the start: %d %%", small)
	}
	debug.SetGCPercent(small)
	ballast := make([]byte, 300<<20)
	grown := small
	for range 1000 { // the finalizer runs some time after the collection
		runtime.GC()
		runtime.Gosched()
		grown = debug.SetGCPercent(small)
		debug.SetGCPercent(grown)
		if grown < small {
			break
		}
	}
	runtime.KeepAlive(ballast)
	if grown >= small {
		t.Errorf("300 MiB live: %d %%, as with nothing: %d %%", grown, small)
	}
}

// TestGoal asks Go itself where the next collection is due, with little alive, and with much
// on stacks: both stay within what the floor and the growth say.
func TestGoal(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	const garbage = 64 << 20
	Tune(func(string) string { return "" }, garbage)
	samples := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	within := func(what string, most func(live float64) float64) {
		t.Helper()
		var goal, live float64
		for range 100 { // the finalizer runs some time after the collection
			runtime.GC()
			runtime.Gosched()
			metrics.Read(samples)
			goal, live = float64(samples[0].Value.Uint64()), 0
			for _, s := range samples[1:] {
				live += float64(s.Value.Uint64())
			}
			if goal <= most(live)*1.15 { // small changes wait
				return
			}
		}
		t.Errorf("%s: next at %.1f MiB with %.1f MiB scanned", what, goal/(1<<20), live/(1<<20))
	}
	within("little", func(live float64) float64 { return max(heapFloor, live*heapGrowth) })
	stop := make(chan struct{})
	defer close(stop)
	var running sync.WaitGroup
	for range 4000 {
		running.Add(1)
		go onStack(20, func() { running.Done(); <-stop })
	}
	running.Wait()
	within("stacks", func(live float64) float64 { return live + garbage })
	if stacks := samples[2].Value.Uint64(); stacks < 30<<20 {
		t.Fatalf("only %d bytes of stacks", stacks)
	}
}

// onStack calls do with 500 bytes of stack for each of n.
func onStack(n int, do func()) byte {
	var room [500]byte
	if n == 0 {
		do()
		return room[0]
	}
	room[n] = 1
	return onStack(n-1, do) + room[n]
}
