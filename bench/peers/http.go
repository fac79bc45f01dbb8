package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// httpRate lets some clients, each on a connection of its own, submit jobs one
// by one to a real web process, and returns the jobs accepted a second.
func httpRate(ctx context.Context, r *rig, clients int, d time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := r.server.clear(ctx); err != nil {
		return 0, err
	}
	known, err := r.workers(ctx, 1) // tells web of the type
	defer func() { stopAll(known) }()
	if err != nil {
		return 0, err
	}
	program := filepath.Join(r.dir, "web")
	if err := buildWeb(ctx, program); err != nil {
		return 0, err
	}
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(program)
	cmd.Env = []string{"REDIS_URL=" + r.server.url(), "PORT=" + strconv.Itoa(port),
		"BLOB_URL=file://" + filepath.Join(r.dir, "blobs")}
	web, err := start(cmd, r.server.url())
	if err != nil {
		return 0, err
	}
	defer web.stop()
	go web.discard()
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	if err := retry(ctx, func() error { return post(ctx, http.DefaultClient, url) }); err != nil {
		return 0, err
	}
	stopAll(known) // its jobs stay where they are
	known = nil
	return submitFor(ctx, url, clients, d)
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

func submitFor(ctx context.Context, url string, clients int, d time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, d+10*time.Second)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var accepted atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	began := time.Now()
	for range clients {
		wg.Go(func() {
			for time.Since(began) < d {
				if err := post(ctx, client, url); err != nil {
					errs <- err
					return
				}
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	close(errs)
	return float64(accepted.Load()) / took.Seconds(), <-errs
}

func post(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/jobs",
		strings.NewReader(`{"type":"bench.noop","payload":{"t":0}}`))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("answered %s: %.200s", resp.Status, text)
	}
	return err
}
