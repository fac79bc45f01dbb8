package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// An httpLoad is what submission over HTTP came to.
type httpLoad struct {
	rate                float64       // jobs accepted a second
	web, redis, clients time.Duration // CPU time a job
}

// httpRate lets some clients, each on a connection of its own, submit jobs one
// by one to a real web process, whose log of requests goes to the null device.
func httpRate(ctx context.Context, r *rig, clients int, d time.Duration) (l httpLoad, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := r.server.clear(ctx); err != nil {
		return l, err
	}
	known, err := r.workers(ctx, 1) // tells web of the type
	defer func() { stopAll(known) }()
	if err != nil {
		return l, err
	}
	program := filepath.Join(r.dir, "web")
	if err := buildWeb(ctx, program); err != nil {
		return l, err
	}
	port, err := freePort()
	if err != nil {
		return l, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return l, err
	}
	defer null.Close()
	cmd := exec.Command(program)
	cmd.Stdout = null
	cmd.Env = []string{"REDIS_URL=" + r.server.url(), "PORT=" + strconv.Itoa(port),
		"BLOB_URL=file://" + filepath.Join(r.dir, "blobs")}
	web, err := start(cmd, r.server.url())
	if err != nil {
		return l, err
	}
	defer web.stop()
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	if err := retry(ctx, func() error { return answers(ctx, url) }); err != nil {
		return l, err
	}
	host := strings.TrimPrefix(url, "http://")
	// until it knows the type
	if err := retry(ctx, func() error { _, err := submitFor(host, 1, 0); return err }); err != nil {
		return l, err
	}
	stopAll(known) // its jobs stay where they are
	known = nil
	pid := web.cmd.Process.Pid
	before, redisBefore, selfBefore := treeUsage(pid).cpu, r.server.usage().cpu, ownCPU()
	begun := time.Now()
	n, err := submitFor(host, clients, d)
	if err != nil {
		return l, err
	}
	l.rate = float64(n) / time.Since(begun).Seconds()
	l.web = (treeUsage(pid).cpu - before) / time.Duration(n)
	l.redis = (r.server.usage().cpu - redisBefore) / time.Duration(n)
	l.clients = (ownCPU() - selfBefore) / time.Duration(n)
	return l, nil
}

// ownCPU is the CPU time that this process has used itself.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // can't fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// buildWeb builds Longshore's web. The working directory is this module's.
func buildWeb(ctx context.Context, program string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/web")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build web: %w: %s", err, out)
	}
	return nil
}

// answers tells whether web is up.
func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url+"/healthz", nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// submitFor is the load: clients that each write the same bytes to a connection
// of their own, read the answer, and go on, for some time but at least once.
// It returns how many jobs were accepted. An http.Client would take more CPU
// time than web does.
func submitFor(host string, clients int, d time.Duration) (int, error) {
	const body = `{"type":"bench.noop","payload":{"t":0}}`
	request := fmt.Appendf(nil,
		"POST /v1/jobs HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body)
	var accepted atomic.Int64
	errs := make(chan error, clients)
	var wg sync.WaitGroup
	begun := time.Now()
	for range clients {
		wg.Go(func() {
			n, err := submitOn(host, request, begun.Add(d))
			accepted.Add(int64(n))
			if err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	return int(accepted.Load()), <-errs
}

// submitOn is one client.
func submitOn(host string, request []byte, until time.Time) (accepted int, err error) {
	conn, err := net.DialTimeout("tcp", host, time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until.Add(10 * time.Second)); err != nil {
		return 0, err
	}
	in := bufio.NewReaderSize(conn, 4096)
	for {
		if _, err := conn.Write(request); err != nil {
			return accepted, err
		}
		if err := readAccepted(in); err != nil {
			return accepted, err
		}
		if accepted++; !time.Now().Before(until) {
			return accepted, nil
		}
	}
}

// readAccepted reads one answer of known length and looks at its status only.
func readAccepted(in *bufio.Reader) error {
	status, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	length := -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= len("\r\n") {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if !strings.HasPrefix(status, "HTTP/1.1 202 ") || length < 0 {
		text, _ := in.Peek(min(in.Buffered(), 200))
		return fmt.Errorf("answered %q: %s", strings.TrimSpace(status), text)
	}
	_, err = in.Discard(length)
	return err
}
