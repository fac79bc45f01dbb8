package within

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/cmd/internal/cli"
	"longshore/internal/httpapi"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// A place is a Redis and a folder, and a web server on them if asked for.
type place struct {
	*testing.T
	env map[string]string
}

func places(t *testing.T, test func(p place)) {
	for _, way := range []string{"direct", "http"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := place{t, map[string]string{"REDIS_URL": redistest.URL(t), "PREFIX": redistest.Prefix(t),
				"BLOB_URL": "file://" + t.TempDir()}}
			if way == "http" {
				p.env["LONGSHORE_URL"] = serveWeb(t, p.env)
			}
			test(p)
		})
	}
}

// enqueue runs the program; in is its stdin.
func (p place) enqueue(ctx context.Context, code int, in io.Reader, args ...string) (stdout, stderr string) {
	p.Helper()
	var out, msg bytes.Buffer
	err := cli.Run(ctx, args, func(name string) string { return p.env[name] }, in, &out, &msg, New())
	if got := cli.Report(err, &msg); got != code {
		p.Fatalf("enqueue %s: exit code %d, want %d\nstdout %s\nstderr %s", strings.Join(args, " "), got,
			code, &out, &msg)
	}
	return out.String(), msg.String()
}

// file writes lines of n jobs.
func (p place) file(n int) string {
	p.Helper()
	name := filepath.Join(p.TempDir(), "jobs.ndjson")
	if err := os.WriteFile(name, []byte(lines(1, n)), 0o600); err != nil {
		p.Fatal(err)
	}
	return name
}

func lines(from, to int) string {
	var text strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&text, `{"type":"math.primes","payload":{"n":%d}}`+"\n", i)
	}
	return text.String()
}

func TestBatchResumes(t *testing.T) {
	t.Parallel()
	places(t, func(p place) {
		const n = 3000
		name := p.file(n)
		ctx := p.Context()
		first, _ := p.enqueue(ctx, cli.ExitOK, nil, "batch", name)
		list := strings.Fields(first)
		if len(list) != n || len(slices.Compact(slices.Sorted(slices.Values(list)))) != n {
			t.Fatalf("%d ids", len(list))
		}
		if again, stderr := p.enqueue(ctx, cli.ExitOK, nil, "batch", name); again != first ||
			!strings.Contains(stderr, "submitted before") {
			t.Errorf("a second run: %d bytes of ids, %s", len(again), stderr)
		}
		// What a kill leaves: a journal that is cut, and jobs that it doesn't know.
		journal, err := os.ReadFile(name + ".journal")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name+".journal", journal[:len(journal)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if whole, stderr := p.enqueue(ctx, cli.ExitOK, nil, "batch", name); whole != first ||
			!strings.Contains(stderr, "known already") {
			t.Errorf("after a cut: %d ids, %s", len(strings.Fields(whole)), stderr)
		}
		// The file grows, and its journal with it.
		grown, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(grown, lines(n+1, n+5))
		grown.Close()
		if more, _ := p.enqueue(ctx, cli.ExitOK, nil, "batch", name); !strings.HasPrefix(more, first) ||
			len(strings.Fields(more)) != n+5 {
			t.Errorf("of a longer file %d ids", len(strings.Fields(more)))
		}
		// Another file under that name is not taken for it.
		if err := os.WriteFile(name, []byte(lines(2, n)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, stderr := p.enqueue(ctx, cli.ExitOther, nil, "batch", name); !strings.Contains(stderr,
			"remove the journal") || !strings.Contains(stderr, "0 submitted") {
			t.Errorf("another file: %s", stderr)
		}
		if out, _ := p.enqueue(ctx, cli.ExitOK, nil, "batch", name, "--no-journal"); len(strings.Fields(out)) != n-1 {
			t.Errorf("without a journal: %d ids", len(strings.Fields(out)))
		}
	})
}

func TestBatchBadLines(t *testing.T) {
	t.Parallel()
	places(t, func(p place) {
		bad := "\n{\n" + `{"type":"no.such"}` + "\n" + strings.Repeat("x", httpapi.MaxBatchLine+9) + "\n" +
			`{"type":"math.primes","payload":{"n":-1}}` + "\n"
		in := lines(1, 2) + bad + lines(3, 4)
		journal := filepath.Join(p.TempDir(), "journal")
		out, stderr := p.enqueue(p.Context(), cli.ExitOther, strings.NewReader(in), "batch", "-", "--format",
			"jsonl", "--journal", journal)
		got := map[int64]httpapi.BatchAnswer{}
		for line := range strings.Lines(out) {
			var a httpapi.BatchAnswer
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				t.Fatal(err)
			}
			got[a.Line] = a
		}
		for n, want := range map[int64]httpapi.Code{1: "", 2: "", 4: httpapi.Invalid, 5: httpapi.Invalid,
			6: httpapi.TooLarge, 7: httpapi.Invalid, 8: "", 9: ""} {
			if a, ok := got[n]; !ok || a.Code != want || (want == "") != (a.ID != "") {
				t.Errorf("line %d: %+v", n, a)
			}
		}
		if len(got) != 8 || !strings.Contains(stderr, "line 5: invalid") ||
			!strings.Contains(stderr, "4 of 8 jobs were refused") {
			t.Errorf("%d answers, stderr %s", len(got), stderr)
		}
		// The second run tries the bad ones again, and only them; it tells of all.
		out, stderr = p.enqueue(p.Context(), cli.ExitOther, strings.NewReader(in), "batch", "-", "--journal",
			journal)
		if len(strings.Fields(out)) != 4 || !strings.Contains(stderr, "0 submitted") {
			t.Errorf("a second run: %s, %s", out, stderr)
		}
		out, _ = p.enqueue(p.Context(), cli.ExitOther, strings.NewReader(in), "batch", "-", "--journal", journal,
			"--format", "jsonl")
		if strings.Count(out, "\n") != 8 || !strings.Contains(out, `{"line":9,"id":"`+string(got[9].ID)+
			`"}`) {
			t.Errorf("a third run: %s", out)
		}
	})
}

// Lines with keys or ids of their own keep them, and one key is one job.
func TestBatchOwnKeys(t *testing.T) {
	t.Parallel()
	places(t, func(p place) {
		id := job.NewID(time.Now())
		in := `{"type":"math.primes","payload":{"n":1},"idempotency_key":"mine"}` + "\n" +
			`{"idempotency_key":"mine","type":"math.primes","payload":{"n":1}}` + "\n" +
			`{"type":"math.primes","payload":{"n":1},"id":"` + string(id) + `"}` + "\n"
		out, stderr := p.enqueue(p.Context(), cli.ExitOK, strings.NewReader(in), "batch", "-")
		if list := strings.Fields(out); len(list) != 3 || list[0] != list[1] || list[2] != string(id) ||
			!strings.Contains(stderr, "1 of them known already") {
			t.Errorf("%s %s", out, stderr)
		}
	})
}

func TestBatchFiles(t *testing.T) {
	t.Parallel()
	places(t, func(p place) {
		folder := p.TempDir()
		var names []string
		for i := range 9 {
			name := filepath.Join(folder, fmt.Sprintf("%d.txt", i))
			if err := os.WriteFile(name, []byte(strings.Repeat("x", i)), 0o600); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		journal := filepath.Join(folder, "journal")
		args := append([]string{"batch", "--type", "file.checksum", "--set", "algorithms=md5", "--journal",
			journal}, names...)
		out, stderr := p.enqueue(p.Context(), cli.ExitOther, nil,
			append(args, filepath.Join(folder, "missing"))...)
		if len(strings.Fields(out)) != 9 || !strings.Contains(stderr, "missing") {
			t.Errorf("%s %s", out, stderr)
		}
		if err := os.WriteFile(names[3], []byte("changed"), 0o600); err != nil {
			t.Fatal(err)
		}
		again, stderr := p.enqueue(p.Context(), cli.ExitOK, nil, args...)
		if len(strings.Fields(again)) != 9 ||
			!strings.Contains(stderr, "1 submitted") {
			t.Errorf("a second run, one file changed: %s, %s", again, stderr)
		}
	})
}

// An interrupt while stdin is silent ends the program, with what came before noted.
func TestBatchInterrupted(t *testing.T) {
	t.Parallel()
	places(t, func(p place) {
		r, w := io.Pipe()
		defer w.Close()
		go io.WriteString(w, lines(1, 10))
		ctx, stop := context.WithCancel(p.Context())
		defer stop()
		journal := filepath.Join(p.TempDir(), "journal")
		out := &watcher{word: `"line":10`, found: stop}
		msg := &bytes.Buffer{}
		err := cli.Run(ctx, []string{"batch", "-", "--format", "jsonl", "--journal", journal},
			func(name string) string { return p.env[name] }, r, out, msg, New())
		if code := cli.Report(err, msg); code != cli.ExitInterrupted ||
			!strings.Contains(msg.String(), "the same command submits the rest") {
			t.Errorf("exit code %d, %s", code, msg)
		}
		more, _ := p.enqueue(p.Context(), cli.ExitOK, strings.NewReader(lines(1, 12)), "batch", "-", "--journal",
			journal)
		if len(strings.Fields(more)) != 12 {
			t.Errorf("the rest: %s", more)
		}
	})
}

func TestBatchUsage(t *testing.T) {
	t.Parallel()
	p := place{t, map[string]string{"LONGSHORE_URL": "http://127.0.0.1:1"}}
	name := p.file(1)
	for _, args := range [][]string{{}, {name, name}, {name, "--set", "a=b"}, {name, "--priority", "low"},
		{name, "--for", "1s"}, {name, "--journal", "a", "--no-journal"}, {"--type", "a.b"},
		{"--type", "a.b", name, "--priority", "urgent"}, {name, "--nope"}} {
		p.enqueue(t.Context(), cli.ExitUsage, nil, append([]string{"batch"}, args...)...)
	}
	p.enqueue(t.Context(), cli.ExitOther, nil, "batch", name+".missing")
	if _, err := os.Stat(name + ".missing.journal"); err == nil {
		t.Error("a missing file has a journal")
	}
	p.env = map[string]string{"REDIS_URL": "redis://127.0.0.1:1"}
	p.enqueue(t.Context(), cli.ExitUnavailable, nil, "batch", name)
}

// A watcher calls found once a word was written to it.
type watcher struct {
	bytes.Buffer
	word  string
	found func()
}

func (w *watcher) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(w.String(), w.word) {
		w.found()
	}
	return n, err
}
