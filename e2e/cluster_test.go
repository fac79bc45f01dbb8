//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/family"
	"longshore/internal/httpapi"
	"longshore/internal/sdnotify"
	"longshore/job"
)

// A cluster is a cluster program in a folder of its own.
type clusterProcess struct {
	*process
	folder string
	env    []string
}

// cluster starts a cluster of a Procfile, in which $BIN is the folder of the programs.
func (in *installation) cluster(t *testing.T, procfile string, env []string, args ...string) *clusterProcess {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	c := &clusterProcess{folder: t.TempDir(), env: append(append([]string{"BIN=" + dir}, in.env...), env...)}
	c.write(t, "Procfile", procfile)
	c.process = startProgram(t, c.folder, c.env, "cluster", args...)
	return c
}

func (c *clusterProcess) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.folder, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// ask runs another cluster program that talks to this one.
func (c *clusterProcess) ask(t *testing.T, args ...string) (code int, out, msg string) {
	t.Helper()
	return call(t, "", c.env, "cluster", append([]string{"-procfile", filepath.Join(c.folder, "Procfile")},
		args...)...)
}

func (c *clusterProcess) ready(t *testing.T) {
	t.Helper()
	c.await(t, `"msg":"all processes are ready"`)
}

// address is where its web processes listen.
func (c *clusterProcess) address(t *testing.T) string {
	t.Helper()
	return addressIn(t, c.await(t, `"msg":"web listens"`), `"address":"`)
}

// pids are the processes that status shows of a name.
func (c *clusterProcess) pids(t *testing.T, name string) []int {
	t.Helper()
	_, out, msg := c.ask(t, "status")
	var pids []int
	for _, m := range regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+` +([0-9]+) `).
		FindAllStringSubmatch(out, -1) {
		pid, _ := strconv.Atoi(m[1])
		pids = append(pids, pid)
	}
	if len(pids) == 0 {
		t.Fatalf("status shows no %s: %s%s", name, out, msg)
	}
	return pids
}

const wholeProcfile = "web: $BIN/web\nworker: $BIN/worker\n"

// TestClusterRolls replaces all processes of a cluster under load: by command and by
// SIGHUP. No request fails, and no job loses an attempt.
func TestClusterRolls(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := in.cluster(t, wholeProcfile, nil, "web=2", "worker=2")
	c.ready(t)
	url := c.address(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var asked, failed atomic.Int64
	var load sync.WaitGroup
	for i := range 4 {
		load.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for ctx.Err() == nil {
				asked.Add(1)
				if err := oneJob(ctx, &http.Client{Transport: transport}, url, i); err != nil &&
					ctx.Err() == nil {
					failed.Add(1)
					t.Error(err)
				}
			}
		})
	}
	api := clientOf(t, url)
	var long []job.ID
	for range 4 {
		long = append(long,
			submit(t, api, client.Submission{Type: "math.primes",
				Payload: map[string]int64{"n": 300_000_000}}).ID)
	}
	before := append(c.pids(t, "web.1"), c.pids(t, "worker.2")...)
	if code, out, msg := c.ask(t, "restart"); code != 0 ||
		!strings.Contains(out, "worker.2 was replaced, 4 of 4") {
		t.Errorf("restart: exit %d, %s%s", code, out, msg)
	}
	after := append(c.pids(t, "web.1"), c.pids(t, "worker.2")...)
	c.signal(syscall.SIGHUP)
	eventually(t, "all were replaced again", func() bool {
		return len(c.said(`"msg":"all were replaced"`)) == 2
	})
	stop()
	load.Wait()
	for i := range before {
		if before[i] == after[i] {
			t.Errorf("process %d was not replaced", before[i])
		}
	}
	for _, id := range long {
		if snap := wait(t, api, id); snap.State != job.Succeeded || snap.Attempt != 1 {
			t.Errorf("a long job ended as %+v", snap)
		}
	}
	t.Logf("%d requests, %d failed", asked.Load(), failed.Load())
	if asked.Load() < 100 {
		t.Errorf("only %d requests were made: this shows nothing", asked.Load())
	}
	c.signal(syscall.SIGTERM)
	if code := c.end(t, 30*time.Second); code != 0 {
		t.Errorf("cluster exits with %d", code)
	}
	if alive := living(append(before, after...)); len(alive) > 0 {
		t.Errorf("%v live on", alive)
	}
}

// oneJob submits a job and waits for its end.
func oneJob(ctx context.Context, c *http.Client, url string, n int) error {
	req, err := http.NewRequestWithContext(ctx, "POST", url+httpapi.PathJobs,
		strings.NewReader(fmt.Sprintf(`{"type":"math.primes","payload":{"n":%d}}`, n)))
	if err != nil {
		return err
	}
	// A request with a body that was lost on the way is not sent again by net/http: so
	// each cut shows.
	req.GetBody = nil
	req.Header.Set("Prefer", "wait=1")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s, %w", resp.Status, text.String(), err)
	}
	return nil
}

// living returns the processes that are alive, after they had time to go.
func living(pids []int) (alive []int) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().
		Before(deadline); <-time.After(10 * time.Millisecond) {
		alive = nil
		for _, pid := range pids {
			if family.Alive(pid) {
				alive = append(alive, pid)
			}
		}
		if len(alive) == 0 {
			break
		}
	}
	return alive
}

// TestClusterBrokenRoll replaces a program by one that doesn't work: the restart stops
// there and says so, and the old processes go on.
func TestClusterBrokenRoll(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := in.cluster(t, "web: ./start\nworker: $BIN/worker\n", nil, "web=0", "worker=0")
	c.write(t, "start", "#!/bin/sh\nexec $BIN/web\n")
	c.ready(t)
	if code, _, msg := c.ask(t, "scale", "web=2", "worker=1"); code != 0 {
		t.Fatalf("scale: exit %d, %s", code, msg)
	}
	url := c.address(t)
	eventually(t, "all are ready", func() bool { return len(c.said(`"msg":"ready"`)) == 3 })
	before := append(c.pids(t, "web.1"), c.pids(t, "web.2")...)
	for name, broken := range map[string]string{
		"exit":   "#!/bin/sh\necho no such option\nexit 78\n",
		"text":   "what is this",
		"absent": "",
	} {
		// A file that runs can't be written to; a deploy renames, too.
		os.Remove(filepath.Join(c.folder, "start"))
		if broken != "" {
			c.write(t, "start", broken)
		}
		code, out, msg := c.ask(t, "restart")
		if code != 1 || !strings.Contains(msg, "0 of 3 were replaced") {
			t.Errorf("%s: exit %d, %s%s", name, code, out, msg)
		}
		if r := request(t, "GET", url+httpapi.PathReady, nil); r.StatusCode != http.StatusOK {
			t.Errorf("%s: afterwards %s", name, r.Status)
		}
	}
	if after := append(c.pids(t, "web.1"), c.pids(t, "web.2")...); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("the old processes were %v, now %v", before, after)
	}
	c.write(t, "Procfile", "web: ./start | cat\n")
	if code, _, msg := c.ask(t, "restart"); code != 1 ||
		!strings.Contains(msg, "Procfile:1: | means something to a shell") {
		t.Errorf("a bad Procfile: exit %d, %s", code, msg)
	}
	c.write(t, "Procfile", "web: ./start\nworker: $BIN/worker\n")
	c.write(t, "start", "#!/bin/sh\nsleep 3\nexec $BIN/web\n") // ready when it says so, not after 2 s
	if code, out, msg := c.ask(t, "restart", "web"); code != 0 ||
		!strings.Contains(out, "web.2 was replaced, 2 of 2") {
		t.Errorf("a mended one: exit %d, %s%s", code, out, msg)
	}
	slowly := regexp.MustCompile(`"after":([3-9]|\d\d)`)
	if said := c.said(`"msg":"ready","process":"web.1"`); !slices.ContainsFunc(said, slowly.MatchString) {
		t.Errorf("a web that starts slowly was not awaited: %s", said)
	}
}

// TestClusterRefuses holds what ends with exit code 78, and with which words.
func TestClusterRefuses(t *testing.T) {
	t.Parallel()
	in := install(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel tests
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	for name, r := range map[string]struct {
		procfile string
		env      []string
		args     []string
		says     string
	}{
		"shell": {"web: $BIN/web\nworker: a && b\n", nil, nil,
			"Procfile:2: & means something to a shell, and there is none: use sh -c"},
		"twice":      {"web: a\nweb: b\n", nil, nil, "Procfile:2: web stands in line 1 already"},
		"no program": {"web: ./none\n", nil, nil, "Procfile:1: there is no program ./none"},
		"no type":    {wholeProcfile, nil, []string{"wrker=1"}, "has no wrker, but web, worker"},
		"port":       {wholeProcfile, []string{"PORT=" + port}, nil, "PORT: listen tcp 127.0.0.1:" + port},
		"settings": {"worker: $BIN/worker\n", []string{"LEASE=never"}, nil,
			"worker.1 ended with exit code 78"},
		"folder": {wholeProcfile, []string{"CLUSTER_DIR=/"}, nil,
			"CLUSTER_DIR: / is to be a folder of this user"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := in.cluster(t, r.procfile, r.env, r.args...)
			if code := c.end(t, 20*time.Second); code != 78 || len(c.said(r.says)) == 0 {
				t.Errorf("exit %d, not with %q", code, r.says)
			}
		})
	}
	t.Run("usage", func(t *testing.T) {
		t.Parallel()
		for _, args := range []string{"web", "web=-1", "web=100", "web=1 web=2", "-nope", "scale", "status x",
			"restart a b"} {
			if c := in.cluster(t, wholeProcfile, nil, strings.Fields(args)...); c.end(t,
				20*time.Second) != 2 {
				t.Errorf("%s: exit %d, want 2", args, c.cmd.ProcessState.ExitCode())
			}
		}
	})
	t.Run("second", func(t *testing.T) {
		t.Parallel()
		c := in.cluster(t, "a: sleep 1000\n", nil)
		c.ready(t)
		second := startProgram(t, c.folder, c.env, "cluster")
		if code := second.end(t, 20*time.Second); code != 78 ||
			len(second.said("another cluster runs")) == 0 {
			t.Errorf("exit %d: %s", code, second.tail(3))
		}
	})
}

// TestClusterChildren has children that behave badly.
func TestClusterChildren(t *testing.T) {
	t.Parallel()
	in := install(t, "SHUTDOWN_GRACE=1s")
	t.Run("ignores SIGTERM", func(t *testing.T) {
		t.Parallel()
		c := in.cluster(t, `deaf: sh -c 'trap "" TERM; while :; do sleep 1; done'`+"\n", nil)
		c.ready(t)
		pids := c.pids(t, "deaf.1")
		asked := time.Now()
		c.signal(syscall.SIGTERM)
		if code := c.end(t, 30*time.Second); code != 0 || time.Since(asked) < 6*time.Second {
			t.Errorf("exit %d after %v, want 0 after 6 s: the grace and 5", code, time.Since(asked))
		}
		if alive := living(pids); len(alive) > 0 {
			t.Errorf("%v live on", alive)
		}
	})
	t.Run("dies at once", func(t *testing.T) {
		t.Parallel()
		c := in.cluster(t, "good: sleep 1000\nbad: sh -c 'echo tried; exit 1'\n", nil)
		began := time.Now()
		eventually(t, "it was tried four times", func() bool { return len(c.said("bad.1   | tried")) == 4 })
		if took := time.Since(began); took < 6*time.Second { // 1, 2 and 4 s
			t.Errorf("four tries within %v", took)
		}
		c.await(t, `"again_in":8000000000`)
	})
	t.Run("is done for now", func(t *testing.T) {
		t.Parallel()
		c := in.cluster(t, "again: sh -c 'sleep 2.5; exit 75'\n", nil)
		eventually(t, "it was started twice", func() bool {
			return len(c.said(`"msg":"started","process":"again.1"`)) == 2
		})
		if said := c.said(`"again_in"`); len(said) > 0 {
			t.Errorf("it rested: %s", said[0])
		}
	})
	t.Run("leaves a child", func(t *testing.T) {
		t.Parallel()
		c := in.cluster(t, `shell: sh -c '$BIN/worker & wait'`+"\n", []string{"SHUTDOWN_GRACE=5s"})
		c.await(t, `"msg":"worker takes jobs"`)
		c.signal(syscall.SIGTERM)
		if code := c.end(t, 20*time.Second); code != 0 || len(c.said(`"msg":"worker has stopped"`)) != 1 {
			t.Errorf("exit %d, and the worker behind the shell was not let end", code)
		}
	})
}

// TestClusterKilled kills a cluster: nothing of it is left, not even what is behind a
// shell or has fled into a session of its own.
func TestClusterKilled(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := in.cluster(t, wholeProcfile+
		"shell: sh -c 'sleep 1001 & echo pid $!; setsid sleep 1002 & echo pid $!; wait'\n", nil)
	c.ready(t)
	pids := append(c.pids(t, "web.1"), c.pids(t, "worker.1")...)
	for _, line := range c.said("| pid ") {
		pid, err := strconv.Atoi(line[strings.LastIndex(line, " ")+1:])
		if err != nil {
			t.Fatal(line)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 4 || len(living(nil)) > 0 {
		t.Fatalf("processes %v", pids)
	}
	c.signal(syscall.SIGKILL)
	c.end(t, 5*time.Second)
	if alive := living(pids); len(alive) > 0 {
		t.Errorf("%v live on", alive)
	}
	again := startProgram(t, c.folder, c.env, "cluster") // what is left of its folder is in nobody's way
	again.await(t, `"msg":"all processes are ready"`)
	again.signal(os.Interrupt)
	again.await(t, `"msg":"all are told to end"`)
	again.signal(os.Interrupt)
	if code := again.end(t, 5*time.Second); code != 130 && code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestClusterInterrupted interrupts a cluster twice: it ends at once, whatever runs.
func TestClusterInterrupted(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := in.cluster(t, `deaf: sh -c 'trap "" TERM; sleep 1003 & echo pid $!; while :; do wait; done'`+"\n", nil)
	c.ready(t)
	pids := c.pids(t, "deaf.1")
	line := c.await(t, "| pid ")
	pid, err := strconv.Atoi(line[strings.LastIndex(line, " ")+1:])
	if err != nil {
		t.Fatal(line)
	}
	c.signal(os.Interrupt)
	c.await(t, `"msg":"all are told to end"`)
	c.signal(os.Interrupt)
	if code := c.end(t, 5*time.Second); code != 130 {
		t.Errorf("exit %d, want 130", code)
	}
	if alive := living(append(pids, pid)); len(alive) > 0 {
		t.Errorf("%v live on", alive)
	}
}

// TestClusterSilent stops a worker's clock: it is killed and replaced within 20 s, its
// last words are in a file, and its job runs on.
func TestClusterSilent(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := in.cluster(t, "worker: $BIN/worker\n", nil, "worker=2")
	c.ready(t)
	pid := c.pids(t, "worker.1")[0]
	eventually(t, "it has said that it lives", func() bool {
		_, out, _ := c.ask(t, "status")
		return regexp.MustCompile(`(?m)^worker\.1 .* 0$`).MatchString(out)
	})
	stopped := time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var now int
	eventually(t, "it was replaced", func() bool {
		_, out, _ := c.ask(t, "status")
		m := regexp.MustCompile(`(?m)^worker\.1 +([0-9]+) +ready `).FindStringSubmatch(out)
		if m != nil {
			now, _ = strconv.Atoi(m[1])
		}
		return m != nil && now != pid
	})
	if took := time.Since(stopped); took > time.Minute {
		t.Errorf("it was replaced after %v", took)
	}
	files, err := filepath.Glob(filepath.Join(c.folder, ".cluster", "silent-*-worker.1.txt"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	if text, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(text), "SIGQUIT: quit") {
		t.Errorf("its last words: %.200s, %v", text, err)
	}
	if said := c.said("silent: it is killed"); len(said) != 1 || !strings.Contains(said[0], "worker.1") {
		t.Errorf("silent: %v", said)
	}
}

// TestClusterTells has a supervisor above the cluster: it hears of the cluster alone.
func TestClusterTells(t *testing.T) {
	t.Parallel()
	in := install(t)
	path := filepath.Join(t.TempDir(), "above")
	r, err := sdnotify.Receive(path)
	if err != nil {
		t.Fatal(err)
	}
	heard, done := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(done)
		r.Words(func(word string) { heard <- word })
	}()
	c := in.cluster(t, wholeProcfile, []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=900000"})
	c.ready(t)
	if code, _, msg := c.ask(t, "restart"); code != 0 {
		t.Errorf("restart: exit %d, %s", code, msg)
	}
	c.signal(syscall.SIGTERM)
	if code := c.end(t, 30*time.Second); code != 0 {
		t.Errorf("exit %d", code)
	}
	r.Close()
	<-done
	close(heard)
	count := map[string]int{}
	for word := range heard {
		count[word]++
	}
	if count[sdnotify.Ready] != 1 || count[sdnotify.Stopping] != 1 || count[sdnotify.Watchdog] < 3 ||
		count["X_BUSY=0"] != 0 {
		t.Errorf("heard %v", count)
	}
}
