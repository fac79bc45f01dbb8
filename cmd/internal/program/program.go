// Package program is what Longshore's long-running programs share: how they
// start, log, listen for signals and end. It turns settings into what the
// packages below want.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"longshore/config"
	"longshore/internal/blob"
	"longshore/internal/collector"
	"longshore/internal/connect"
	"longshore/internal/redisdb"
	"longshore/internal/sandbox"
	"longshore/internal/version"
	"longshore/worker"
)

// Exit codes; 69, 75 and 78 are sysexits.h's EX_UNAVAILABLE, EX_TEMPFAIL and EX_CONFIG.
const (
	exitOther         = 1
	exitUsage         = 2
	exitUnavailable   = 69
	exitRestart       = 75 // EX_TEMPFAIL: start it again
	exitConfiguration = 78
	exitInterrupted   = 130
)

// A Func is a program without its process: it ends when ctx does.
type Func func(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error

// Main runs a program under the process's signals and exits with its code.
// SIGTERM and the first SIGINT ask it to end; more SIGTERMs change nothing, as
// Heroku sends several; a second SIGINT ends the process now. The process has
// secrets, so other processes of its user can't look into it. garbage is what may gather beyond what
// lives in its heap, in bytes (collector.Tune).
func Main(run Func, garbage int64) {
	sandbox.Hide()
	collector.Tune(os.Getenv, garbage)
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		interrupts := 0
		for s := range signals {
			if s == os.Interrupt {
				if interrupts++; interrupts == 2 {
					os.Exit(exitInterrupted)
				}
			}
			stop()
		}
	}()
	err := again(ctx, signals, run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
	os.Exit(Report(err, os.Stderr))
}

// Report says what went wrong and returns the exit code for it: the one place
// that knows codes.
func Report(err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(stderr, err)
	switch {
	case errors.Is(err, ErrUsage):
		return exitUsage
	case errors.Is(err, connect.ErrSettings):
		return exitConfiguration
	case errors.Is(err, worker.ErrLeftBehind), errors.Is(err, worker.ErrRecycle):
		return exitRestart
	case redisdb.Unavailable(err), errors.Is(err, blob.ErrUnavailable):
		return exitUnavailable
	default:
		return exitOther
	}
}

// ErrUsage marks a wrong command line.
var ErrUsage = errors.New("usage")

// Flags parses a command line that takes no arguments beside flags. done is
// true if that was all there is to do: --help or --version.
func Flags(fs *flag.FlagSet, args []string, stdout, stderr io.Writer) (done bool, err error) {
	fs.SetOutput(stderr)
	asked := fs.Bool("version", false, "print the version and exit")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return true, nil
		}
		return true, fmt.Errorf("%w: see %s --help", ErrUsage, fs.Name()) // flag has said what is wrong
	}
	if *asked {
		_, err := fmt.Fprintf(stdout, "longshore %s %s\n", fs.Name(), version.Build())
		return true, err
	}
	return false, nil
}

// NoArguments is the error of a program that was given any.
func NoArguments(fs *flag.FlagSet) error {
	if fs.NArg() > 0 {
		return fmt.Errorf("%w: %s takes no arguments, see %s --help", ErrUsage, fs.Name(), fs.Name())
	}
	return nil
}

// Settings marks an error of package config.
func Settings(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w:\n%w", connect.ErrSettings, err)
}

// Logger writes to w as the settings say.
func Logger(c config.Log, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	log := slog.New(slog.NewTextHandler(w, options))
	if c.Format == "json" {
		log = slog.New(slog.NewJSONHandler(w, options))
	}
	redisdb.LogTo(log)
	return log
}

// Trace says where spans go of what a program, by its name, does with an installation.
func Trace(where *connect.Config, t config.Traces, program string) {
	where.TracesURL, where.TraceRate, where.Program = t.URL, t.Rate, program
}

// Connection says where the installation of these settings is.
func Connection(r config.Redis, b config.Blobs, j config.Jobs, s config.Space,
	log *slog.Logger) connect.Config {
	return connect.Config{RedisURL: r.URL.Reveal(), RedisTLSInsecure: r.TLSInsecure,
		RedisReplicated: r.Ack == config.Replicated, MaxConnections: r.MaxConnections,
		Prefix: r.Prefix, BlobURL: b.URL, S3KeyID: b.KeyID.Reveal(), S3SecretKey: b.SecretKey.Reveal(),
		S3SessionToken: b.SessionToken.Reveal(), S3Region: b.Region, MinFreeSpace: int64(s.MinFree),
		Lease: j.Lease, CallbackSecrets: j.CallbackSecrets(), CallbackKeys: j.CallbackKeys(),
		CallbackAllow: j.CallbackAllow, CallbackPorts: j.CallbackPorts, AlertURLs: j.AlertURLs(),
		AlertAge: j.AlertAge, Log: log}
}
