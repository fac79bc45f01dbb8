// Command cluster runs the processes of a Procfile on one machine: it starts them,
// restarts those that end, replaces them one by one after a deploy without a failed
// request, and leaves none behind. docs/cluster.md tells how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"longshore/cmd/internal/program"
	"longshore/config"
	"longshore/internal/cluster"
	"longshore/internal/connect"
	"longshore/internal/family"
)

func main() {
	if code, done := cluster.Mode(os.Args[1:], os.Stdin, os.Stderr); done {
		os.Exit(code)
	}
	program.Main(run, 4<<20)
}

const usage = `usage: cluster [flags] [name=number …]     run the processes of the Procfile
       cluster [flags] status                show them
       cluster [flags] scale name=number …   run more or fewer
       cluster [flags] restart [name]        replace them one by one; SIGHUP does that too

worker=1..8 runs as many as /v1/scale wants; web must run here too.
Without numbers one process of each type runs, but none of type release.

`

// options are the flags and what follows from them.
type options struct {
	procfile, envFile string
	ownPorts          bool
	config            config.Cluster
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	o := options{}
	fs := flag.NewFlagSet("cluster", flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprint(stderr, usage)
		fs.PrintDefaults()
	}
	fs.StringVar(&o.procfile, "procfile", "Procfile",
		"the file that says what processes there are; they work in its folder")
	fs.StringVar(&o.envFile, "env", "",
		"file of variables for them, which override none (default .env, beside the Procfile)")
	fs.BoolVar(&o.ownPorts, "own-ports", false,
		"each process opens a port of its own: for programs of type web that don't know LISTEN_FDS")
	if done, err := program.Flags(fs, args, stdout, stderr); done {
		return err
	}
	if err := o.complete(getenv); err != nil {
		return err
	}
	rest := fs.Args()
	switch fs.Arg(0) {
	case "status", "scale", "restart":
		return ask(o.config.Dir, rest, stdout)
	}
	counts, err := parseCounts(rest)
	if err != nil {
		return err
	}
	return o.start(ctx, counts, stdout)
}

// parseCounts reads name=number, each name once.
func parseCounts(args []string) ([]cluster.Count, error) {
	var counts []cluster.Count
	seen := map[string]bool{}
	for _, arg := range args {
		count, err := cluster.ParseCount(arg)
		if err != nil {
			return nil, fmt.Errorf("%w: %w; see cluster --help", program.ErrUsage, err)
		}
		if seen[count.Type] {
			return nil, fmt.Errorf("%w: %s stands there twice", program.ErrUsage, count.Type)
		}
		seen[count.Type] = true
		counts = append(counts, count)
	}
	return counts, nil
}

// complete makes paths absolute and reads the settings, of which .env may hold some.
func (o *options) complete(getenv func(string) string) (err error) {
	if o.procfile, err = filepath.Abs(o.procfile); err != nil {
		return err
	}
	if o.envFile == "" {
		o.envFile = filepath.Join(filepath.Dir(o.procfile), ".env")
	}
	if o.envFile, err = filepath.Abs(o.envFile); err != nil {
		return err
	}
	env, err := cluster.LoadEnv(o.envFile)
	if err != nil {
		return err
	}
	o.config, err = config.LoadCluster(func(name string) string {
		if value := getenv(name); value != "" {
			return value
		}
		return env[name]
	})
	if err != nil {
		return program.Settings(err)
	}
	if o.config.Dir == "" {
		o.config.Dir = filepath.Join(filepath.Dir(o.procfile), ".cluster")
	}
	o.config.Dir, err = filepath.Abs(o.config.Dir)
	return err
}

// start runs a cluster until ctx ends.
func (o *options) start(ctx context.Context, counts []cluster.Count, stdout io.Writer) error {
	self, err := family.Program()
	if err != nil {
		return err
	}
	above, end := program.Supervised(o.config.Above, nil)
	defer end()
	c := cluster.Config{Procfile: o.procfile, EnvFile: o.envFile, Environ: os.Environ(), State: o.config.Dir,
		Formation: counts, Port: o.config.Port, Grace: o.config.Stop.Grace, Self: self, Out: stdout,
		Above: above, Level: o.config.Log.Level, JSON: o.config.Log.Format == "json"}
	if !o.ownPorts {
		l, err := o.listen()
		if err != nil {
			return err
		}
		defer l.Close()
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			c.Port = tcp.Port
		}
		if c.Socket, err = descriptor(l); err != nil {
			return err
		}
		defer c.Socket.Close()
	}
	if o.serves(counts) {
		c.Wanted = o.wanted(c.Port)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return cluster.Run(ctx, c, hangup)
}

// serves reports whether a process of type web is among those that are to run.
func (o *options) serves(counts []cluster.Count) bool {
	for _, c := range counts {
		if c.Type == "web" && c.N > 0 {
			return true
		}
	}
	return len(counts) == 0
}

// listen opens the port as web would, or takes systemd's.
func (o *options) listen() (net.Listener, error) {
	l, err := program.Inherited(o.config.Sockets)
	if err != nil || l != nil {
		return l, err
	}
	return program.OpenPort(o.config.Port, o.config.Closed())
}

// descriptor is a listener's socket for processes to inherit. Whether it blocks is a
// property of the socket, not of a descriptor: a File of package net makes it block each
// time it is handed on, and then a web that looks for a connection which another one has
// taken waits for the next, deaf to its end. One made of a descriptor that doesn't block
// leaves it so.
func descriptor(l net.Listener) (*os.File, error) {
	s, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("%w: LISTEN_FDS: a socket of this kind can't be shared", connect.ErrSettings)
	}
	file, err := s.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, syscall.Close(fd))
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// errRefused is what the cluster that runs says no with.
var errRefused = errors.New("the cluster refuses")
