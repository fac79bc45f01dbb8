package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"longshore/job"
)

// pushOptions are those of `peers push`: many clients park a long-poll each
// while jobs finish at a rate, and the time from the call of finish to the
// client's whole response is taken. Clients, web and the finishing side are
// processes of their own, since each may hold 20,000 descriptors at most.
type pushOptions struct {
	waiters, jobs, rate, bullRate, rounds int
	curve                                 bool
	file                                  string
}

func push(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o pushOptions
	f := flag.NewFlagSet("peers push", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.waiters, "waiters", 10_000, "clients that wait at the same time")
	f.IntVar(&o.jobs, "jobs", 30_000, "jobs that finish in a round")
	f.IntVar(&o.rate, "rate", 5000, "finishes a second")
	f.IntVar(&o.bullRate, "bullmq", 1000,
		"finishes a second for BullMQ, and for Longshore beside it; 0 = leave it out")
	f.IntVar(&o.rounds, "rounds", 3, "rounds")
	f.BoolVar(&o.curve, "curve", false, "the lower rates too, in steps of 1,000")
	f.StringVar(&o.file, "write", "", "Markdown file whose section between the marks is replaced")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "push")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	redis, err := startRedis(ctx)
	if err != nil {
		return err
	}
	defer redis.close()
	p := &pushRig{o: o, dir: dir, redis: redis, stderr: stderr}
	if err := p.build(ctx); err != nil {
		return err
	}
	text, err := p.table(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, text)
	if o.file == "" {
		return nil
	}
	return replaceSection(o.file, "push", text)
}

type pushRig struct {
	o      pushOptions
	dir    string
	redis  *redisServer
	stderr io.Writer
}

func (p *pushRig) build(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(p.dir, "blobs"), 0o700); err != nil {
		return err
	}
	return buildWeb(ctx, filepath.Join(p.dir, "web"))
}

// pushRow is one line of the report: its rounds.
type pushRow struct {
	name          string
	waiters, rate int
	p50, p99, max []float64
	resident      []float64 // KiB of the server a parked waiter

	// µs of CPU a finish: the server, Redis, and the load (clients and finishing side)
	web, store, around []float64
}

func (p *pushRig) table(ctx context.Context) (string, error) {
	var rows []*pushRow
	for rate := p.o.rate; rate > 0; rate -= 1000 {
		rows = append(rows, &pushRow{name: "Longshore", waiters: p.o.waiters, rate: rate},
			&pushRow{name: "bare net/http + pub/sub", waiters: p.o.waiters, rate: rate})
		if !p.o.curve {
			break
		}
	}
	if err := installBullMQ(p.dir); p.o.bullRate > 0 && err != nil {
		fmt.Fprintf(p.stderr, "bullmq is left out: %v\n", err)
	} else if p.o.bullRate > 0 {
		rows = append(rows, &pushRow{name: "Longshore", waiters: p.o.waiters, rate: p.o.bullRate},
			&pushRow{name: "BullMQ waitUntilFinished", waiters: p.o.waiters, rate: p.o.bullRate})
	}
	for round := range p.o.rounds {
		for _, row := range rows {
			fmt.Fprintf(p.stderr, "round %d of %d: %s at %d/s\n", round+1, p.o.rounds, row.name, row.rate)
			measure := p.longPoll
			if strings.HasPrefix(row.name, "BullMQ") {
				measure = p.bull
			}
			if err := measure(ctx, row); err != nil {
				return "", fmt.Errorf("%s: %w", row.name, err)
			}
		}
	}
	text := fmt.Sprintf("%d rounds in turn; finish → whole response; medians.\n\n"+
		"| what | waiters | finishes/s | p50, ms | p99, ms | max, ms | CPU a finish, µs: server + Redis + load | KiB a waiter |\n|---|---|---|---|---|---|---|---|\n", p.o.rounds)
	for _, r := range rows {
		kib, cpu := "–", "–"
		if len(r.resident) > 0 {
			kib = fmt.Sprintf("%.1f", median(r.resident))
			cpu = fmt.Sprintf("%.0f + %.0f + %.0f", median(r.web), median(r.store), median(r.around))
		}
		text += fmt.Sprintf("| %s | %d | %d | %.2f | %.2f | %.1f | %s | %s |\n", r.name, r.waiters, r.rate,
			median(r.p50), median(r.p99), median(r.max), cpu, kib)
	}
	return text, nil
}

// add notes what the clients said after "late": a waited as JSON.
func (r *pushRow) add(late string) error {
	var w waited
	if err := json.Unmarshal([]byte(late), &w); err != nil {
		return err
	}
	r.p50, r.p99, r.max = append(r.p50, w.P50), append(r.p99, w.P99), append(r.max, w.Max)
	return nil
}

// longPoll measures Longshore's web, or the bare prototype.
func (p *pushRig) longPoll(ctx context.Context, row *pushRow) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.redis.clear(ctx); err != nil {
		return err
	}
	// Each client has at least one; what lasts a fixed time comes on top, so that
	// at every rate most finishes have a next long-poll after them.
	ids := filepath.Join(p.dir, "ids")
	n := p.o.waiters + p.o.jobs*row.rate/p.o.rate
	var list strings.Builder
	for range n {
		fmt.Fprintln(&list, job.NewID(time.Now()))
	}
	if err := os.WriteFile(ids, []byte(list.String()), 0o600); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	server, finisher := exec.Command(filepath.Join(p.dir, "web")), "finish"
	if strings.HasPrefix(row.name, "bare") {
		server, finisher = p.self("bare", strings.TrimPrefix(url, "http://")), "publish"
	}
	server.Env = []string{"REDIS_URL=" + p.redis.url(), "PORT=" + strconv.Itoa(port), "BLOB_URL=file://" +
		filepath.Join(p.dir, "blobs"),
		"LEASE=" + pushLease.String(), // else its first sweep would give the finisher's leases its own length
		"MAX_WAITERS=30000", "MAX_WAITERS_PER_ADDRESS=30000",
		"LOG_LEVEL=warn"} // the bare prototype has no log either
	web, err := start(server, p.redis.url())
	if err != nil {
		return err
	}
	defer web.stop()
	go web.discard()
	if err := retry(ctx, func() error { return answers(ctx, url) }); err != nil {
		return err
	}
	finishing, err := start(p.self(finisher, ids, strconv.Itoa(row.rate)), p.redis.url())
	if err != nil {
		return err
	}
	defer finishing.stop()
	if _, err := finishing.await(ctx, "ready"); err != nil {
		return err
	}
	before := treeUsage(web.cmd.Process.Pid).resident
	clients, err := start(p.self("wait", ids, strconv.Itoa(p.o.waiters)), url)
	if err != nil {
		return err
	}
	defer clients.stop()
	if _, err := clients.await(ctx, "parked"); err != nil {
		return err
	}
	<-time.After(time.Second) // the last requests arrive
	parked := treeUsage(web.cmd.Process.Pid).resident
	row.resident = append(row.resident, float64(parked-before)/1024/float64(p.o.waiters))
	used := func() [3]time.Duration {
		return [3]time.Duration{treeUsage(web.cmd.Process.Pid).cpu, p.redis.usage().cpu,
			treeUsage(clients.cmd.Process.Pid).cpu + treeUsage(finishing.cmd.Process.Pid).cpu}
	}
	idle := used()
	if _, err := fmt.Fprintln(finishing.stdin, "go"); err != nil {
		return err
	}
	text, err := clients.await(ctx, "late")
	if err != nil {
		return err
	}
	busy := used()
	if err := row.add(text); err != nil {
		return err
	}
	for i, list := range []*[]float64{&row.web, &row.store, &row.around} {
		*list = append(*list, float64((busy[i]-idle[i]).Microseconds())/float64(n))
	}
	return nil
}

// bull measures BullMQ: one process that waits for all, one that finishes.
func (p *pushRig) bull(ctx context.Context, row *pushRow) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.redis.clear(ctx); err != nil {
		return err
	}
	program := filepath.Join(p.dir, "bullmq.mjs")
	waiting, err := start(exec.Command("node", program, "wait", strconv.Itoa(row.waiters)), p.redis.url())
	if err != nil {
		return err
	}
	defer waiting.stop()
	if _, err := waiting.await(ctx, "parked"); err != nil {
		return err
	}
	finishing, err := start(exec.Command("node", program, "finish", strconv.Itoa(row.rate)), p.redis.url())
	if err != nil {
		return err
	}
	defer finishing.stop()
	go finishing.discard()
	text, err := waiting.await(ctx, "late")
	if err != nil {
		return err
	}
	return row.add(text)
}

func (p *pushRig) self(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err) // Linux always knows
	}
	cmd := exec.Command(self, append([]string{"pushrole"}, args...)...)
	cmd.Env = []string{"BLOBS=" + filepath.Join(p.dir, "blobs")}
	return cmd
}

// playPush runs one role of the measures of waiting.
func playPush(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	target := os.Getenv("TARGET")
	if len(args) == 2 && args[0] == "bare" {
		return serveBare(ctx, target, args[1])
	}
	if len(args) != 3 {
		return errors.New("a role of push needs a file and a number")
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	switch args[0] {
	case "finish":
		return finishAll(ctx, target, args[1], n)
	case "publish":
		return publishAll(ctx, target, args[1], n)
	case "wait":
		return waitAll(ctx, target, args[1], n)
	}
	return fmt.Errorf("role %q is not known", args[0])
}
