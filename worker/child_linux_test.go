package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/localredis/redistest"
	"longshore/internal/sandbox"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/worker"
)

// Deeds of handlers that would rather not be stopped. N marks the processes
// that they start: "sleep N".
func init() {
	sleep := func(m misdeed) string { return fmt.Sprintf("sleep %d", m.N) }
	start := func(m misdeed, script string) error {
		cmd := exec.Command("setsid", "-f", "sh", "-c", strings.ReplaceAll(script, "SLEEP", sleep(m)))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // no mark of ours
		return cmd.Run()
	}
	forever := func() {
		for n := 0; ; n++ {
			_ = n
		}
	}
	deeds["deaf"] = func(context.Context, *handlers.Run, misdeed) (any, error) {
		signal.Ignore()
		forever()
		return nil, nil
	}
	deeds["close"] = func(context.Context, *handlers.Run, misdeed) (any, error) {
		for fd := range 100 {
			syscall.Close(fd)
		}
		select {}
	}
	deeds["close, then return"] = func(context.Context, *handlers.Run, misdeed) (any, error) {
		for fd := range 100 {
			syscall.Close(fd)
		}
		return "done", nil
	}
	deeds["flood"] = func(context.Context, *handlers.Run, misdeed) (any, error) {
		go func() {
			for {
				os.Stdout.Write(make([]byte, 1<<20))
			}
		}()
		for {
			os.Stderr.Write(make([]byte, 1<<20))
		}
	}
	const bomb = `b() { if [ $1 -gt 0 ]; then b $(($1-1)) & b $(($1-1)) & fi; exec SLEEP; }; b 7`
	deeds["fork bomb"] = func(_ context.Context, _ *handlers.Run, m misdeed) (any, error) {
		err := exec.Command("sh", "-c", strings.ReplaceAll(bomb, "SLEEP", sleep(m))).Run()
		return nil, err
	}
	deeds["fork bomb in a session of its own"] = func(_ context.Context, _ *handlers.Run, m misdeed) (any,
		error) {
		if err := start(m, bomb); err != nil {
			return nil, err
		}
		forever()
		return nil, nil
	}
	const daemon = `(setsid SLEEP &) ; SLEEP & exec SLEEP`
	deeds["daemon, then loop"] = func(_ context.Context, _ *handlers.Run, m misdeed) (any, error) {
		if err := start(m, daemon); err != nil {
			return nil, err
		}
		forever()
		return nil, nil
	}
	deeds["daemon, then return"] = func(_ context.Context, _ *handlers.Run, m misdeed) (any, error) {
		return "done", start(m, daemon)
	}
	deeds["daemon, then exit"] = func(_ context.Context, _ *handlers.Run, m misdeed) (any, error) {
		// With our mark: nobody saw the daemon while its starter lived.
		cmd := exec.Command("setsid", "-f", "sh", "-c", strings.ReplaceAll(daemon, "SLEEP", sleep(m)))
		if err := cmd.Run(); err != nil {
			return nil, err
		}
		os.Exit(1)
		return nil, nil
	}
	deeds["grow"] = func(_ context.Context, _ *handlers.Run, m misdeed) (any, error) {
		// Shared memory is not data: only the look at the resident size sees it.
		b, err := syscall.Mmap(-1, 0, int(m.N)<<20, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_SHARED|syscall.MAP_ANON)
		if err != nil {
			return nil, err
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		forever()
		return nil, nil
	}
	deeds["litter"] = func(_ context.Context, _ *handlers.Run, m misdeed) (any, error) {
		if err := os.MkdirAll("closed/deep", 0o700); err != nil {
			return nil, err
		}
		for _, name := range []string{"closed/deep/file", "here"} {
			if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
				return nil, err
			}
		}
		if _, err := os.CreateTemp("", "litter"); err != nil {
			return nil, err
		}
		return "done", os.Chmod("closed", 0)
	}
	deeds["hear SIGTERM"] = func(context.Context, *handlers.Run, misdeed) (any, error) {
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGTERM, syscall.SIGTSTP,
			syscall.SIGHUP} {
			if err := syscall.Kill(os.Getpid(), s); err != nil {
				return nil, err
			}
		}
		return "still here", nil
	}
}

// running returns the processes whose command line contains a text, but zombies.
func running(t *testing.T, text string) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		if line, err := os.ReadFile(name); err == nil &&
			strings.Contains(string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))), text) {
			found = append(found, filepath.Base(filepath.Dir(name)))
		}
	}
	return found
}

// childrenOf returns the processes whose parent is a process. Zombies are left out: one that died after
// its family's last sweep is reaped within seconds (family.ReapOrphans, which has a test of its own).
func childrenOf(t *testing.T, parent int) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(text), fmt.Sprintf("\nPPid:\t%d\n", parent)) {
			state, _, _ := strings.Cut(string(text), "\nTgid")
			if strings.Contains(state, "(zombie)") {
				continue
			}
			found = append(found, strings.ReplaceAll(state, "\n", " ")+" pid "+
				filepath.Base(filepath.Dir(name)))
		}
	}
	return found
}

// litter returns what is in work folders.
func litter(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "longshore-work-*", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestNasty holds that whatever a handler does, it is over in time, nothing of
// it is left, and the next job runs at once. It runs alone: it looks at all
// processes and temporary files there are.
func TestNasty(t *testing.T) {
	sandbox.Hide() // as a worker does; its children it can still look into
	const (
		timeout = time.Second
		grace   = 300 * time.Millisecond
		slots   = 2
	)
	redistest.URL(t) // starts the server, whose folder is to stay
	t.Setenv("TMPDIR", t.TempDir())
	b := setup(t, worker.Config{CPUConcurrency: slots, KillGrace: grace, ChildMemory: 256 << 20},
		childHandlers())
	mark := int64(os.Getpid())*1000 + 1_000_000_000
	for i, c := range []struct {
		do      string
		n       int64    // 0 = a mark
		code    job.Code // "" = succeeds
		message string
	}{
		{"loop", 0, job.Timeout, ""},
		{"deaf", 0, job.Timeout, ""},
		{"close", 0, job.Crashed, ""}, // Go's runtime can't do without
		{"close, then return", 0, job.Crashed, ""},
		{"flood", 0, job.Timeout, ""},
		{"fork bomb", 0, job.Timeout, ""},
		{"fork bomb in a session of its own", 0, job.Timeout, ""},
		{"daemon, then loop", 0, job.Timeout, ""},
		{"daemon, then return", 0, "", ""},
		{"daemon, then exit", 0, job.Crashed, "exit code 1"},
		{"exit", 7, job.Crashed, "exit code 7"},
		{"signal", int64(syscall.SIGKILL), job.Crashed, "SIGKILL"},
		{"allocate", 10 << 10, job.OutOfMemory, ""},
		{"grow", 600, job.OutOfMemory, "resident"},
		{"litter", 0, "", ""},
		{"hear SIGTERM", 0, "", ""},
	} {
		if c.n == 0 {
			c.n = mark + int64(i)
		}
		before := residentSize(t)
		began := time.Now()
		timeout := timeout
		if c.code != job.Timeout {
			timeout *= 10 // it ends by itself, on a busy machine later
		}
		snap := b.run(t, misdeed{Do: c.do, N: c.n}, timeout)
		took := time.Since(began)
		left, children, files := running(t, strconv.FormatInt(c.n, 10)), childrenOf(t, os.Getpid()), litter(t)
		grown := residentSize(t) - before
		t.Logf("%s: %v, worker's memory %+d KiB, usage %+v, error %+v", c.do, took, grown>>10, *snap.Usage,
			snap.Error)
		switch {
		case c.code == "" && snap.State != job.Succeeded:
			t.Errorf("%s ended as %s: %+v", c.do, snap.State, snap.Error)
		case c.code != "" && (snap.Error == nil || snap.Error.Code != c.code ||
			!strings.Contains(snap.Error.Message, c.message)):
			t.Errorf("%s ended as %s: %+v, want %s", c.do, snap.State, snap.Error, c.code)
		}
		if most := timeout + 20*time.Second; took > most {
			t.Errorf("%s took %v, more than %v", c.do, took, most)
		}
		for c.n > 1<<20 && len(left) > 0 { // the kernel takes many out one by one
			if time.Since(began) > timeout+time.Minute {
				t.Errorf("%s: left running: %v", c.do, left)
				break
			}
			runtime.Gosched()
			left = running(t, strconv.FormatInt(c.n, 10))
		}
		if len(children) > slots+1 { // and Redis
			t.Errorf("%s: children of the worker: %q", c.do, children)
		}
		if len(files) > 0 {
			t.Errorf("%s: files left: %v", c.do, files)
		}
		if grown > 32<<20 {
			t.Errorf("%s: the worker has grown by %d KiB", c.do, grown>>10)
		}
		next := time.Now()
		if snap := b.run(t, misdeed{Do: "pid"}, 0); snap.State != job.Succeeded ||
			time.Since(next) > 20*time.Second {
			t.Errorf("the job after %s took %v: %+v", c.do, time.Since(next), snap)
		}
	}
}

// TestNastyUnprivileged is TestNasty without root's rights.
func TestNastyUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: TestNasty has shown it")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "longshore-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestNasty$", "-test.v",
		"-test.timeout=60s")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
		Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func residentSize(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// TestDrainReleases holds that a worker told to end gives back what runs
// longer than its grace, with no attempt consumed.
func TestDrainReleases(t *testing.T) {
	t.Parallel()
	const jobs, grace = 10, 3 * time.Second
	c := worker.Config{CPUConcurrency: jobs, KillGrace: 200 * time.Millisecond, ShutdownGrace: grace}
	b := setup(t, c, childHandlers())
	var ids []job.ID
	for i := range jobs {
		do := []string{"obey", "deaf"}[i%2]
		snap := b.submit(t, submit.Request{Type: misdeeds.Type, Payload: fmt.Appendf(nil, `{"do":%q}`, do),
			Timeout: time.Minute})
		ids = append(ids, snap.ID)
	}
	for _, id := range ids {
		b.await(t, id, func(s job.Snapshot) bool { return s.State == job.Running })
	}
	began := time.Now()
	b.stop()
	if took := time.Since(began); took > grace+20*time.Second {
		t.Errorf("worker took %v to end", took)
	}
	for _, id := range ids {
		snap, err := b.sys.Store.Get(t.Context(), id)
		if err != nil || snap.State != job.Queued || snap.Attempt != 0 || len(snap.Errors) > 0 {
			t.Errorf("after the drain: %+v, %v", snap, err)
		}
	}
	c.Connection = b.where
	serve(t, c, childHandlers())
	for _, id := range ids {
		snap := b.await(t, id, func(s job.Snapshot) bool { return s.State == job.Running })
		if snap.Attempt != 1 {
			t.Errorf("runs again as attempt %d", snap.Attempt)
		}
		if err := b.sys.Store.RequestCancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		if snap := b.await(t, id, ended); snap.State != job.Canceled {
			t.Errorf("canceled job ended as %+v", snap)
		}
	}
}
