package submit_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"longshore/internal/connect"
	"longshore/internal/httpapi"
	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// submitter opens one on a Redis.
func submitter(t *testing.T, url string) (*submit.Submitter, *connect.System) {
	t.Helper()
	sys, err := connect.Open(t.Context(), connect.Config{RedisURL: url, Prefix: redistest.Prefix(t),
		BlobURL: "file://" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close() })
	builtIn, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tasks.NewCatalog(builtIn...)
	if err != nil {
		t.Fatal(err)
	}
	return submit.NewSubmitter(submit.Config{Store: sys.Store, Blobs: sys.Blobs, Catalog: catalog,
		Log: slog.New(slog.DiscardHandler)}), sys
}

func lines(n int, format string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, format+"\n", i)
	}
	return text.String()
}

// send sends lines through a submitter and returns the answers, which must be in order.
func send(t *testing.T, d *submit.Submitter, text string) (answers []httpapi.BatchAnswer) {
	t.Helper()
	in := httpapi.NewLines(strings.NewReader(text), httpapi.MaxBatchLine)
	err := d.SubmitBatch(t.Context(), func() ([]submit.Draft, error) {
		some, err := in.Next()
		var drafts []submit.Draft
		for _, l := range some {
			drafts = append(drafts, submit.Read(l))
		}
		return drafts, err
	}, func(some []httpapi.BatchAnswer) error {
		answers = append(answers, some...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if a.Line != int64(i)+1 {
			t.Fatalf("answer %d is for line %d", i+1, a.Line)
		}
	}
	return answers
}

func TestSubmitBatch(t *testing.T) {
	t.Parallel()
	d, sys := submitter(t, redistest.URL(t))
	const n = 3000
	text := lines(n, `{"type":"math.primes","payload":{"n":%d},"idempotency_key":"k%[1]d"}`)
	first := send(t, d, text)
	again := send(t, d, text)
	for i, a := range first {
		if a.Refused() != nil || !a.Created || again[i].ID != a.ID || again[i].Created {
			t.Fatalf("line %d: %+v, then %+v", i+1, a, again[i])
		}
	}
	queues, err := sys.Queue.Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var pending int64
	for _, q := range queues {
		pending += q.Pending
	}
	if snap, err := sys.Store.Get(t.Context(), first[n-1].ID); len(first) != n || pending != n ||
		err != nil || snap.State != job.Queued {
		t.Errorf("%d answers, %d tickets, the last job %v, %v", len(first), pending, snap.State, err)
	}
	// The key of another request.
	if a := send(t, d, `{"type":"math.primes","payload":{"n":99},"idempotency_key":"k1"}`); a[0].Code !=
		httpapi.IdempotencyMismatch {
		t.Errorf("another request under a key: %+v", a)
	}
	// An error of who takes the answers ends it.
	calls := 0
	err = d.SubmitBatch(t.Context(), func() ([]submit.Draft, error) {
		return []submit.Draft{submit.Read(httpapi.Line{Number: 1, Text: []byte(`{}`)})}, nil
	}, func([]httpapi.BatchAnswer) error { calls++; return io.ErrClosedPipe })
	if !errors.Is(err, io.ErrClosedPipe) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}

// A Redis that is full in the middle refuses line by line, and takes the rest
// once it has room.
func TestSubmitBatchFull(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		t.Skip("needs a redis-server")
	}
	server := redistest.NewWith(t, localredis.Options{})
	d, sys := submitter(t, server.URL())
	limit := func(bytes string) {
		t.Helper()
		if err := sys.Redis.ConfigSet(t.Context(), "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	text := lines(4000, `{"type":"math.primes","payload":{"n":%d},"idempotency_key":"k%[1]d"}`)
	limit("2800kb")
	taken := 0
	first := send(t, d, text)
	for i, a := range first {
		if a.Refused() == nil {
			taken++
		} else if a.Code != httpapi.StoreFull || a.Status != 503 {
			t.Fatalf("line %d: %+v", i+1, a)
		}
	}
	if taken == 0 || taken == len(first) {
		t.Fatalf("%d of %d were taken", taken, len(first))
	}
	limit("0")
	for i, a := range send(t, d, text) {
		if a.Refused() != nil || a.Created == (first[i].Refused() == nil) || first[i].ID != "" &&
			first[i].ID != a.ID {
			t.Fatalf("line %d: %+v, then %+v", i+1, first[i], a)
		}
	}
}
