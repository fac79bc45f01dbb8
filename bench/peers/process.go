package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is one role of a peer that runs.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Writer
	lines  chan string // closed at the end of its output
	stderr *tail
}

// start runs the command with the server's address. Its output is read line by
// line, unless it goes elsewhere already.
func start(cmd *exec.Cmd, target string) (*process, error) {
	cmd.Env = append(os.Environ(), append(cmd.Env, "TARGET="+target)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var out io.Reader = strings.NewReader("")
	if cmd.Stdout == nil {
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		out = pipe
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: in, lines: make(chan string, 1024), stderr: &tail{}}
	cmd.Stderr = p.stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p, nil
}

// discard throws away what the process says until it ends.
func (p *process) discard() {
	for range p.lines {
	}
}

// stop asks the process to end, and ends it after ten seconds.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	defer kill.Stop()
	p.discard()
	p.cmd.Wait()
}

// await returns the rest of the first line that begins with the word.
func (p *process) await(ctx context.Context, word string) (string, error) {
	for {
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no %q from %s: %w", word, filepath.Base(p.cmd.Path), context.Cause(ctx))
		case line, ok := <-p.lines:
			if !ok {
				p.cmd.Wait()
				return "", fmt.Errorf("%s ended without %q: %s", p.cmd, word, p.stderr)
			}
			if rest, found := strings.CutPrefix(line, word); found {
				return strings.TrimSpace(rest), nil
			}
		}
	}
}

// A tail keeps the end of what a process complained about.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-2000):]
	return len(p), nil
}

func (t *tail) String() string { return string(t.text) }

var _ io.Writer = (*tail)(nil)

// tick is the unit of CPU times in /proc: 100 a second on every Linux there is.
const tick = 10 * time.Millisecond

// usage is what a process and its children have used so far.
type usage struct {
	cpu      time.Duration
	resident int64 // bytes, now
}

// treeUsage reads a process tree from /proc. Children that have ended count
// through their parent.
func treeUsage(root int) usage {
	children := map[int][]int{}
	stats := map[int][]string{}
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range entries {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // gone meanwhile
		}
		end := strings.LastIndexByte(string(text), ')')
		fields := strings.Fields(string(text[end+1:])) // from the third field of proc(5) on
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
		stats[pid] = fields
	}
	var u usage
	var add func(pid int)
	add = func(pid int) {
		f, ok := stats[pid]
		if !ok {
			return
		}
		for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
			n, _ := strconv.ParseInt(f[i], 10, 64)
			u.cpu += time.Duration(n) * tick
		}
		pages, _ := strconv.ParseInt(f[21], 10, 64)
		u.resident += pages * int64(os.Getpagesize())
		for _, c := range children[pid] {
			add(c)
		}
	}
	add(root)
	return u
}
