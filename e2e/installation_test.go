//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	defer func() { os.RemoveAll(built) }() // "" if nothing was built
	// They wait for processes more than they compute: two at once for each core, unless -parallel says
	// otherwise.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := flag.Set(f.Name, strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	return redistest.Run(m)
}

// built is the folder of the programs.
var built string

// programs builds the programs once, as `make build` does.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "longshore-e2e-")
	if err != nil {
		return "", err
	}
	built = dir
	if _, err := lookAtSources(".."); err != nil {
		return "", err
	}
	if out, err := goBuild("..", dir+"/", "./cmd/...").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build programs: %w\n%s", err, out)
	}
	return dir, nil
})

// goBuild builds packages as `make build` does, and so of what that finds in the go command's cache, and leaves
// there for it.
func goBuild(folder, output, packages string) *exec.Cmd {
	build := exec.Command("go", "build", "-trimpath", "-o", output, packages)
	build.Dir = folder
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	return build
}

// An installation is a Redis, a folder and programs as processes.
type installation struct {
	redis *localredis.Server
	env   []string
	blobs string
}

// install makes an installation whose Redis keeps nothing on disk; env holds
// for all its programs.
func install(t *testing.T, env ...string) *installation {
	t.Helper()
	return installOn(t, localredis.Options{}, env...)
}

func installOn(t *testing.T, redis localredis.Options, env ...string) *installation {
	t.Helper()
	if !redistest.Real() {
		t.Skip("needs a redis-server: processes share it")
	}
	if _, err := programs(); err != nil {
		t.Fatal(err)
	}
	in := &installation{redis: redistest.NewWith(t, redis), blobs: t.TempDir()}
	in.env = append([]string{"REDIS_URL=" + in.redis.URL(), "BLOB_URL=file://" + in.blobs, "PORT=0",
		"LOG_FORMAT=json", "LOG_LEVEL=debug",
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	return in
}

// A process is one running program. Its log is kept.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced when a line comes
}

// start starts a program; what it writes is collected.
func (in *installation) start(t *testing.T, program string, env ...string) *process {
	t.Helper()
	return startProgram(t, "", slices.Concat(in.env, env), program)
}

// startProgram starts a program in a folder ("" = the test's).
func startProgram(t *testing.T, folder string, env []string, program string, args ...string) *process {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, program), args...)
	cmd.Dir = folder
	return startCommand(t, cmd, env)
}

// startCommand starts a command as the leader of a process group, which is
// killed at the end of the test.
func startCommand(t *testing.T, cmd *exec.Cmd, env []string) *process {
	t.Helper()
	return startAs(t, cmd, env, nil)
}

// startAs is startCommand as another user; nil is our own.
func startAs(t *testing.T, cmd *exec.Cmd, env []string, user *syscall.Credential) *process {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Credential: user}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.collect(out)
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), p.tail(40))
		}
	})
	return p
}

func (p *process) collect(out io.Reader) {
	scan := bufio.NewScanner(out)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scan.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
}

func (p *process) tail(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines[max(0, len(p.lines)-n):], "\n")
}

// said returns the lines that contain a text.
func (p *process) said(text string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	for _, line := range p.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// await returns the first line that contains a text.
func (p *process) await(t *testing.T, text string) string {
	t.Helper()
	patience := time.After(2 * time.Minute)
	for {
		p.mu.Lock()
		more := p.more
		p.mu.Unlock()
		if found := p.said(text); len(found) > 0 {
			return found[0]
		}
		select {
		case <-more:
		case <-p.done:
			if found := p.said(text); len(found) > 0 {
				return found[0]
			}
			t.Fatalf("program ended before it said %q:\n%s", text, p.tail(20))
		case <-patience:
			t.Fatalf("program did not say %q:\n%s", text, p.tail(20))
		}
	}
}

// signal sends a signal; end waits for the exit and returns its code.
func (p *process) signal(s os.Signal) { p.cmd.Process.Signal(s) }

func (p *process) end(t *testing.T, patience time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("program still runs after %v", patience)
		return -1
	}
}

// web starts a web process and returns it and its address.
func (in *installation) web(t *testing.T, env ...string) (*process, string) {
	t.Helper()
	p := in.start(t, "web", env...)
	return p, addressIn(t, p.await(t, `"msg":"web listens"`), `"address":"`)
}

// addressIn returns the address that follows some text in a line of a log.
func addressIn(t *testing.T, line, after string) string {
	t.Helper()
	_, address, ok := strings.Cut(line, after)
	if !ok {
		t.Fatalf("no address in %q", line)
	}
	if end := strings.IndexAny(address, "\" "); end >= 0 {
		address = address[:end]
	}
	return strings.Replace(address, "[::]", "127.0.0.1", 1)
}

func (in *installation) worker(t *testing.T, env ...string) *process {
	t.Helper()
	p := in.start(t, "worker", env...)
	p.await(t, `"msg":"worker takes jobs"`)
	return p
}

func clientOf(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: url, Token: webToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// call runs a program to its end.
func call(t *testing.T, stdin string, env []string, name string,
	args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return callAt(t, stdin, env, filepath.Join(dir, name), args...)
}

// callAt is call for a program at another place.
func callAt(t *testing.T, stdin string, env []string, path string,
	args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String(), msg.String()
}

func wait(t *testing.T, c *client.Client, id job.ID) job.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	snap, err := c.Wait(ctx, id)
	if err != nil {
		t.Fatalf("wait for %s: %v", id, err)
	}
	return snap
}
