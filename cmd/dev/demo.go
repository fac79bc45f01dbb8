package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"longshore/client"
	"longshore/internal/loggen"
	"longshore/internal/printable"
	"longshore/job"
)

// A piece is one file or job of the demo.
type piece struct {
	title  string
	typ    string
	fields url.Values
	open   func() (io.ReadCloser, int64, error) // nil: a job without a file
}

// bigLog is the size of the generated log: enough that progress is seen moving.
const bigLog = 512 << 20

// runDemo sends everything through the server at url, one after the other, and
// shows each change as the server tells it.
func runDemo(ctx context.Context, base string, paths []string, out io.Writer) error {
	c, err := client.New(client.Config{URL: base})
	if err != nil {
		return err
	}
	defer c.CloseIdleConnections()
	pieces := chosen(paths)
	if len(paths) == 0 {
		pieces = builtIn(ctx)
	}
	out = printable.NewWriter(out)
	fmt.Fprintf(out, "Longshore is at %s; %d jobs go through it.\n\n", base, len(pieces))
	var done []job.Snapshot
	failed := false
	for _, p := range pieces {
		snap, err := send(ctx, c, p, out)
		if err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
		failed = failed || snap.State != job.Succeeded
		done = append(done, snap)
	}
	table(out, pieces, done)
	if failed {
		return errors.New("not every job succeeded")
	}
	return nil
}

// builtIn are files that every machine with Go has, a log of our own invention,
// and a sum that keeps a core busy.
func builtIn(ctx context.Context) []piece {
	var pieces []piece
	if root := goroot(ctx); root != "" {
		for _, p := range []struct{ title, typ, file string }{
			{"a text of the Go distribution", "file.checksum", "src/net/http/server.go"},
			{"the same, compressed", "file.compress", "src/net/http/server.go"},
			{"a photo of the Go distribution", "file.checksum", "src/image/testdata/video-001.jpeg"},
			{"a gzip file of the Go distribution", "file.decompress",
				"src/crypto/ed25519/testdata/sign.input.gz"},
		} {
			if path := filepath.Join(root, p.file); exists(path) {
				pieces = append(pieces, piece{title: p.title, typ: p.typ, open: file(path)})
			}
		}
	}
	return append(pieces,
		piece{title: "an access log", typ: "log.analyze", fields: url.Values{"top": {"3"}},
			open: generated(1 << 20)},
		piece{title: fmt.Sprintf("an access log of %d MiB", bigLog>>20), typ: "log.analyze",
			fields: url.Values{"top": {"3"}}, open: generated(bigLog)},
		piece{title: "primes up to 100,000,000", typ: "math.primes", fields: url.Values{"n": {"100000000"}}})
}

func goroot(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// chosen makes a job of each path, by its name.
func chosen(paths []string) []piece {
	var pieces []piece
	for _, path := range paths {
		typ := "file.checksum"
		switch {
		case strings.Contains(filepath.Base(path), ".log"):
			typ = "log.analyze"
		case strings.HasSuffix(path, ".gz"), strings.HasSuffix(path, ".zst"):
			typ = "file.decompress"
		}
		pieces = append(pieces, piece{title: path, typ: typ, open: file(path)})
	}
	return pieces
}

func file(path string) func() (io.ReadCloser, int64, error) {
	return func() (io.ReadCloser, int64, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat()
		if err != nil {
			return nil, 0, errors.Join(err, f.Close())
		}
		return f, info.Size(), nil
	}
}

func generated(size int64) func() (io.ReadCloser, int64, error) {
	return func() (io.ReadCloser, int64, error) {
		// ends with a whole line, so: more, and cut
		log := loggen.New(loggen.Options{Seed: 1, Bytes: size + 64<<10})
		return io.NopCloser(io.LimitReader(log, size)), size, nil
	}
}

// send submits one piece and shows what the server tells until it has ended.
// The id is ours, so that the upload itself is watched from its first byte.
func send(ctx context.Context, c *client.Client, p piece, out io.Writer) (job.Snapshot, error) {
	printable.Fprintf(out, "%s (%s)\n", p.title, p.typ)
	s := client.Submission{Type: p.typ, Fields: p.fields, ID: job.NewID(time.Now())}
	if p.open == nil {
		if _, err := c.Submit(ctx, s); err != nil {
			return job.Snapshot{}, err
		}
		return follow(ctx, c, s.ID, out)
	}
	in, size, err := p.open()
	if err != nil {
		return job.Snapshot{}, err
	}
	defer in.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	uploaded := make(chan error, 1)
	begun := &beginning{Reader: in, first: make(chan struct{})}
	go func() {
		_, err := c.SubmitFile(ctx, s, begun, size)
		if err != nil {
			stop(err)
		}
		uploaded <- err
	}()
	select {
	case <-begun.first:
	case <-ctx.Done():
	}
	snap, err := follow(ctx, c, s.ID, out)
	return snap, errors.Join(err, <-uploaded)
}

// A beginning tells when the first byte is asked for.
type beginning struct {
	io.Reader
	first chan struct{}
	begun bool
}

func (b *beginning) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		close(b.first)
	}
	return b.Reader.Read(p)
}

// follow prints each change of a job until its end.
func follow(ctx context.Context, c *client.Client, id job.ID, out io.Writer) (job.Snapshot, error) {
	for attempt := 0; ; attempt++ {
		snap, err := changes(ctx, c, id, out)
		var refused *client.Error
		if errors.As(err, &refused) && refused.Status == 404 && attempt < 100 {
			// The server has not read the request's first byte yet.
			select {
			case <-ctx.Done():
				return snap, context.Cause(ctx)
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		return snap, err
	}
}

func changes(ctx context.Context, c *client.Client, id job.ID, out io.Writer) (job.Snapshot, error) {
	var last job.Snapshot
	for snap, err := range c.Follow(ctx, id) {
		if err != nil {
			return last, err
		}
		last = snap
		printable.Fprintf(out, "  %-10s rev %-3d %s\n", snap.State, snap.Rev, progress(snap))
	}
	fmt.Fprintln(out)
	return last, nil
}

func progress(snap job.Snapshot) string {
	p := snap.Progress
	if p == nil || snap.State == job.Queued {
		return ""
	}
	text := string(p.Phase)
	if p.Fraction != nil {
		text += fmt.Sprintf(" %3.0f %%", 100**p.Fraction)
	}
	if p.BytesDone > 0 {
		text += fmt.Sprintf("  %7.1f MiB", float64(p.BytesDone)/(1<<20))
	}
	if p.Records > 0 {
		text += fmt.Sprintf("  %d records", p.Records)
	}
	if p.Rate > 0 {
		text += fmt.Sprintf("  %.0f MiB/s", p.Rate/(1<<20))
	}
	if p.ETA != nil && !snap.Done {
		text += fmt.Sprintf("  %.1f s left", *p.ETA)
	}
	return text
}

func table(out io.Writer, pieces []piece, done []job.Snapshot) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tTYPE\tSTATE\tSECONDS\tRESULT")
	for i, snap := range done {
		seconds := ""
		if snap.Usage != nil {
			seconds = fmt.Sprintf("%.2f", float64(snap.Usage.WallMS)/1000)
		}
		printable.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", pieces[i].title, snap.Type, snap.State, seconds,
			brief(snap))
	}
	w.Flush()
}

// brief is the begin of what a job gave.
func brief(snap job.Snapshot) string {
	text := string(snap.Result)
	if snap.Error != nil {
		text = string(snap.Error.Code) + ": " + snap.Error.Message
	}
	const most = 100
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	for _, o := range snap.Outputs {
		text += fmt.Sprintf(" → %s (%d bytes)", o.Name, o.Size)
	}
	return text
}
