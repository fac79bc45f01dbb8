// Command dev is all of Longshore in one process, for a look at it and for
// development: web, workers, a data folder, and a Redis of its own. It listens
// on loopback only.
//
// With --demo it also sends real files through it over HTTP, shows what a
// client sees of them, and exits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"longshore/cmd/internal/program"
	"longshore/config"
	"longshore/handlers"
	"longshore/internal/connect"
	"longshore/internal/localredis"
	"longshore/internal/printable"
	"longshore/worker"
)

func main() {
	worker.Main(handlers.BuiltIn()) // in a child process it serves jobs and does not return
	program.Main(run, 256<<20)
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("dev", flag.ContinueOnError)
	demo := fs.Bool("demo", false,
		"send real files through and exit; arguments are the files, default: some of Go's own and a generated log")
	if done, err := program.Flags(fs, args, stdout, stderr); done {
		return err
	}
	if !*demo {
		if err := program.NoArguments(fs); err != nil {
			return err
		}
	}
	c, err := config.LoadDev(getenv)
	if err != nil {
		return program.Settings(err)
	}
	if *demo {
		// A demo leaves nothing behind and collides with nobody.
		folder, err := os.MkdirTemp("", "longshore-demo-")
		if err != nil {
			return fmt.Errorf("make demo folder: %w", err)
		}
		defer os.RemoveAll(folder)
		c.DataDir, c.HTTP.Port, c.HTTP.Token, c.Work.Functions.Dir = folder, 0, config.Secret{}, ""
		c.Log.Level = max(c.Log.Level, slog.LevelWarn)
	}
	d := &dev{config: c, stdout: stdout, log: program.Logger(c.Log, stdout)}
	if *demo {
		d.then = func(ctx context.Context, url string) error {
			return runDemo(ctx, url, fs.Args(), stdout)
		}
	}
	return d.run(ctx)
}

// A dev is the whole of Longshore in one process.
type dev struct {
	config config.Dev
	stdout io.Writer
	log    *slog.Logger
	// then runs beside it and ends it; nil = it runs until its context ends.
	then func(ctx context.Context, url string) error
}

func (d *dev) run(ctx context.Context) (err error) {
	redis, err := d.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.Close()) }()
	l, err := d.listen()
	if err != nil {
		return err
	}
	if d.then == nil { // before what the parts log
		printable.Fprintf(d.stdout, "Dashboard: http://%s/ui/\n", l.Addr())
	}
	folder, err := filepath.Abs(filepath.Join(d.config.DataDir, "blobs"))
	if err != nil {
		return err
	}
	where := connect.Config{RedisURL: redis.URL(), MaxConnections: 16, BlobURL: "file://" + folder,
		MinFreeSpace: int64(d.config.Space.MinFree), MaxJobs: d.config.HTTP.Ceilings.Jobs,
		Lease: d.config.Jobs.Lease, CallbackSecrets: d.config.Jobs.CallbackSecrets(),
		AccessSecrets: d.config.HTTP.Access.Secrets(),
		CallbackKeys:  d.config.Jobs.CallbackKeys(), CallbackAllow: d.config.Jobs.CallbackAllow,
		CallbackPorts: d.config.Jobs.CallbackPorts, AlertURLs: d.config.Jobs.AlertURLs(),
		AlertAge: d.config.Jobs.AlertAge, RedisForgets: redis.Memory(), Log: d.log}
	program.Trace(&where, d.config.Traces, "dev")
	sys, err := connect.Open(ctx, where)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	url := "http://" + l.Addr().String()
	ready := make(chan struct{})
	published := make(chan struct{}, 1)
	signs := program.Signs{Ready: func() { close(ready) }, FollowFunctions: true, Published: func() {
		select {
		case published <- struct{}{}:
		default:
		}
	}}
	err = program.Together(ctx,
		func(ctx context.Context) error {
			return program.Web(ctx, sys, d.config.HTTP, d.config.Jobs, d.config.Deployed, d.config.Stop,
				l, nil, published)
		},
		func(ctx context.Context) error {
			return program.Worker(ctx, where, d.config.Work, d.config.HTTP.Memory, config.Recycle{},
				d.config.Deployed, d.config.Stop, signs)
		},
		func(ctx context.Context) error {
			select {
			case <-ready:
			case <-ctx.Done():
				return nil
			}
			if d.then != nil {
				return d.then(ctx, url)
			}
			d.greet(url, redis)
			<-ctx.Done()
			return nil
		})
	return errors.Join(err, sys.Close())
}

// startRedis starts a redis-server with its data in the data folder, or the
// in-memory stand-in where none is installed.
func (d *dev) startRedis(ctx context.Context) (*localredis.Server, error) {
	folder := filepath.Join(d.config.DataDir, "redis")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("%w: DATA_DIR: %w", connect.ErrSettings, err)
	}
	redis, err := localredis.Start(ctx, localredis.Options{DataDir: folder})
	switch {
	case errors.Is(err, localredis.ErrNoBinary):
		fmt.Fprintln(d.stdout,
			"NOTE: there is no redis-server on PATH. An in-memory stand-in serves: slower, and")
		fmt.Fprintln(d.stdout,
			"      all jobs are gone when this process ends. apt-get install redis-server mends that.")
		return localredis.StartMemory(ctx)
	case err != nil:
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	return redis, nil
}

// listen binds loopback, whatever token is set: this is no place to serve others from.
func (d *dev) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", d.config.HTTP.Port))
	if err != nil {
		return nil, fmt.Errorf("%w: PORT: %w (PORT=0 takes a free one)", connect.ErrSettings, err)
	}
	return l, nil
}

func (d *dev) greet(url string, redis *localredis.Server) {
	kept := "redis-server, data in " + filepath.Join(d.config.DataDir, "redis")
	if redis.Memory() {
		kept = "in memory, nothing is kept"
	}
	curl, token := "curl", ""
	if d.config.HTTP.Token.Reveal() != "" { // which is in the environment of whoever set it
		curl, token = `curl -H "Authorization: Bearer $LONGSHORE_TOKEN"`,
			", with the LONGSHORE_TOKEN that is set here"
	}
	printable.Fprintf(d.stdout, "Longshore is at %s (Redis: %s)\n", url, kept)
	fmt.Fprintf(d.stdout, `Open %[1]s/ui/ to see what runs, and to send a first job.
Try, in another terminal%[3]s:
  %[2]s -i --data-binary @go.mod %[1]s/v1/jobs/file.checksum
  %[2]s -H 'Prefer: wait=20' -d '{"type":"math.primes","payload":{"n":100000000}}' -H 'Content-Type: application/json' %[1]s/v1/jobs
  %[2]s '%[1]s/v1/jobs?limit=5'
  go run ./cmd/enqueue functions init python hello.world, and then
  %[2]s -H 'Prefer: wait=20' --json '{"name":"Ada"}' %[1]s/v1/jobs/hello.world
  LONGSHORE_URL=%[1]s go run ./cmd/enqueue submit log.analyze testdata/access.log --set top=5 --wait
Ctrl-C ends it.
`, url, curl, token)
}
