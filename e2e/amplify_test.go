//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/redisdb"
	"longshore/job"
)

// cpuOf is the CPU time of a process and all below it, in clock ticks.
func cpuOf(t *testing.T, pid int) (ticks int) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0 // gone meanwhile
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, i := range []int{11, 12} { // utime and stime, behind the name
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				ticks += cpuOf(t, n)
			}
		}
	}
	return ticks
}

// TestAmplifiers sends small jobs that stand for gigabytes: each fails at once,
// and the worker hardly notices.
func TestAmplifiers(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	line := gzipped(t, bytes.NewReader(bytes.Repeat([]byte("a"), 4<<20)))
	before := residentMiB(t, worker)
	for name, replace := range map[string]map[string]string{
		"long":     {"old": "a", "with": strings.Repeat("B", 12_000)},
		"short":    {"old": "a", "with": strings.Repeat("B", 1000)},
		"captures": {"pattern": "a+", "with": strings.Repeat("$0", 2000)},
	} {
		began := time.Now()
		snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "text.transform",
			Payload: map[string]any{"stages": []any{
				map[string]any{"gunzip": map[string]int{"max_ratio": 5000}},
				map[string]any{"lines": struct{}{}}, map[string]any{"replace": replace}}}},
			bytes.NewReader(line), -1)
		if err != nil {
			t.Fatal(err)
		}
		if snap = wait(t, c, snap.ID); snap.State != job.Failed || snap.Error.Code != job.RecordTooLong ||
			snap.Attempt != 1 {
			t.Errorf("%s: %+v", name, snap)
		}
		t.Logf("%s: %v", name, time.Since(began))
	}
	if more := residentMiB(t, worker) - before; more > 64 {
		t.Errorf("the worker has %d MiB more resident", more)
	}
}

// TestStopPattern holds that a pattern which would take hours takes nothing once
// its job is canceled.
func TestStopPattern(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "text.transform",
		Payload: map[string]any{"stages": []any{
			map[string]any{"lines": struct{}{}},
			map[string]any{"replace": map[string]string{"pattern": "(?:(?:a?){10}){90}b"}}}}},
		bytes.NewReader(bytes.Repeat([]byte("a"), 4<<20)), -1)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { return cpuOf(t, worker.cmd.Process.Pid) > 20 })
	if _, err := c.Cancel(t.Context(), snap.ID); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if snap = wait(t, c, snap.ID); snap.State != job.Canceled {
		t.Errorf("ended as %+v", snap)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("ended %v after its cancel", took)
	}
	used := cpuOf(t, worker.cmd.Process.Pid)
	if _, err := c.Submit(t.Context(), client.Submission{Type: "math.primes",
		Payload: map[string]int{"n": 10}}); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second)
	if more := cpuOf(t, worker.cmd.Process.Pid) - used; more > 30 {
		t.Errorf("%d ticks of CPU in the second after it", more)
	}
}

// TestFloor holds that no output uses what MIN_FREE_SPACE keeps free, nor more
// than MAX_OUTPUT.
func TestFloor(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a small file system")
	}
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=100m"); err != nil {
		t.Skip("can't mount a small file system: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	in := install(t, "BLOB_URL=file://"+folder, "MIN_FREE_SPACE=4MiB")
	_, url := in.web(t)
	in.worker(t, "MAX_OUTPUT=1GiB")
	c := clientOf(t, url)
	ctx, stop := context.WithCancel(t.Context())
	least := make(chan int64, 1)
	go func() {
		free := int64(1 << 40)
		for tick := time.Tick(time.Millisecond); ctx.Err() == nil; <-tick {
			var st syscall.Statfs_t
			if syscall.Statfs(folder, &st) == nil {
				free = min(free, int64(st.Bavail)*int64(st.Bsize))
			}
		}
		least <- free
	}()
	bomb := gzipped(t, io.LimitReader(zeros{}, 400<<20))
	snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.decompress", MaxAttempts: 1,
		Payload: map[string]int{"max_ratio": 5000}},
		bytes.NewReader(bomb), -1)
	if err != nil {
		t.Fatal(err)
	}
	if snap = wait(t, c, snap.ID); snap.State != job.Failed || snap.Error.Code != job.StorageError ||
		!strings.Contains(snap.Error.Message, "no space") {
		t.Errorf("ended as %+v", snap)
	}
	other, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress"},
		io.LimitReader(zeros{}, 8<<20), -1)
	if err != nil {
		t.Fatal("another's upload: ", err)
	}
	if other = wait(t, c, other.ID); other.State != job.Succeeded {
		t.Errorf("another's job: %+v", other)
	}
	stop()
	if free := <-least; free < 4<<20 {
		t.Errorf("only %d bytes were free", free)
	} else {
		t.Logf("%d bytes were free at least", free)
	}

	// The operator's limit holds, whatever the client allows.
	in.worker(t, "MAX_OUTPUT=1MiB", "PREFIX=other")
	_, url = in.web(t, "PREFIX=other")
	c = clientOf(t, url)
	for _, typ := range []string{"file.decompress", "text.transform"} {
		payload := map[string]any{"max_bytes": 1 << 40}
		if typ == "text.transform" { // in a child
			payload["stages"] = []any{map[string]any{"gunzip": map[string]int{"max_ratio": 5000}},
				map[string]any{"lines": struct{}{}},
				map[string]any{"map": `"x" * 10000`}}
		} else {
			payload["max_ratio"] = 5000
		}
		snap, err := c.SubmitFile(t.Context(), client.Submission{Type: typ, Payload: payload},
			bytes.NewReader(gzipped(t, strings.NewReader(strings.Repeat("x\n", 1<<20)))), -1)
		if err != nil {
			t.Fatal(err)
		}
		if snap = wait(t, c, snap.ID); snap.State != job.Failed || snap.Error.Code != job.OutputLimit ||
			snap.Attempt != 1 {
			t.Errorf("%s: ended as %+v", typ, snap)
		}
	}
	request(t, "POST", url+httpapi.SubmitPath("file.decompress")+"?max_bytes=4611686018427387904",
		strings.NewReader("x")).problem(t, 422, httpapi.Invalid)
}

// TestHostileTypes holds that no definition in Redis stops a program.
func TestHostileTypes(t *testing.T) {
	t.Parallel()
	in := install(t)
	rdb, err := redisdb.Open(redisdb.Config{URL: in.redis.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	for name, schema := range map[string]string{
		"bad.pattern": `{"type":"object","properties":{"a":{"type":"string","pattern":"("}}}`,
		"bad.null":    `{"type":"object","properties":{"a":null}}`,
		"bad.one":     `{"type":"object","oneOf":[null]}`,
		"good.type":   `{"type":"object"}`,
	} {
		body := fmt.Sprintf(
			`{"type":%q,"lane":"io","timeout_ms":1000,"max_attempts":1,"input":"none","schema":%s}`, name,
			schema)
		if err := rdb.HSet(t.Context(), "longshore:types", name, body).Err(); err != nil {
			t.Fatal(err)
		}
	}
	_, url := in.web(t)
	in.worker(t)
	list := request(t, "GET", url+httpapi.PathTypes, nil)
	for _, want := range []string{`"type":"bad.pattern","reason":"`, `"type":"bad.null","reason":"`,
		`"type":"bad.one","reason":"`, `"type":"good.type"`} {
		if list.StatusCode != 200 || !strings.Contains(string(list.body), want) {
			t.Errorf("types: %d, without %s: %s", list.StatusCode, want, list.body)
		}
	}
	env := []string{"REDIS_URL=" + in.redis.URL(), "BLOB_URL=file://" + in.blobs}
	if code, out, msg := call(t, "", env, "enqueue", "submit", "math.primes", "--set", "n=10"); code != 0 {
		t.Errorf("enqueue: %d %s%s", code, out, msg)
	}
	if _, out, _ := call(t, "", env, "enqueue", "doctor"); !strings.Contains(out, "bad.pattern") {
		t.Errorf("doctor doesn't name a refused type: %s", out)
	}
}
