package submit_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/blob/disk"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/submit"
)

// A door lets as many jobs in as it has room for.
type door struct {
	mu    sync.Mutex
	room  int
	asked chan struct{} // a token each time that somebody is refused
}

// Classify names no limits of jobs at once.
func (*door) Classify(*jobstore.NewJob) {}

func (*door) Any(context.Context) bool { return true }

func (d *door) Admit(_ context.Context, jobs []jobstore.NewJob) ([]error, func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	errs, refused := make([]error, len(jobs)), false
	for i := range jobs {
		if d.room > 0 {
			d.room--
			continue
		}
		refused = true
		errs[i] = httpapi.NewError(httpapi.QueueFull, "no more").WithRetryAfter(1500 * time.Millisecond)
	}
	if !refused {
		return nil, func() {}
	}
	select {
	case d.asked <- struct{}{}:
	default:
	}
	return errs, func() {}
}

func (d *door) open(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = n
}

// TestQueueFull holds each way in to a limit: 429, and 503 where a file is to come. Retries by hand, and
// repeats of what is there, come in however much waits.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	blobs, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	d := &door{room: 3}
	b := setup(t, func(c *submit.Config) {
		c.Blobs, c.Limits, c.Patience = blobs, d, time.Millisecond
	})
	old := b.upload("file.checksum")
	b.finish(old.ID, jobstore.Succeeded, "out")
	keyed := primes(func(r *submit.Request) { r.IdempotencyKey = "k1" })
	first := b.submit(keyed)
	file := submit.Request{Type: "file.checksum", InputSize: 4}
	line := `{"type":"math.primes","payload":{"n":10},"idempotency_key":"l1"}`
	if a := send(t, b.Submitter, line); a[0].Refused() != nil {
		t.Fatalf("%+v", a)
	}
	for name, way := range map[string]struct {
		status int
		come   func() error
	}{
		"without a file": {429, func() error {
			_, _, err := b.Submit(t.Context(), primes(func(*submit.Request) {}))
			return err
		}},
		"by reference": {429, func() error {
			_, _, err := b.Submit(t.Context(), submit.Request{Type: "file.checksum",
				From: &submit.Reference{Job: old.ID, Output: "out"}})
			return err
		}},
		"with a file": {503, func() error {
			r := file
			r.Input = strings.NewReader("data")
			_, _, err := b.Submit(t.Context(), r)
			return err
		}},
		"in pieces": {503, func() error { _, _, err := b.Begin(t.Context(), file, ""); return err }},
		"in a line": {429, func() error {
			return send(t, b.Submitter, `{"type":"math.primes","payload":{"n":10}}`)[0].Refused()
		}},
		"in a line, by reference": {429, func() error {
			return send(t, b.Submitter, `{"type":"file.checksum","input":{"job":"`+string(old.ID)+
				`","output":"out"}}`)[0].Refused()
		}},
	} {
		var e *httpapi.Error
		if err := way.come(); !errors.As(err, &e) || e == nil || e.Code != httpapi.QueueFull ||
			e.Status != way.status || e.RetryAfter < time.Second {
			t.Errorf("%s: %v (%+v), want %d", name, err, e, way.status)
		}
	}
	if again, created, err := b.Submit(t.Context(), keyed); err != nil || created || again.ID != first.ID {
		t.Errorf("a repeat: %+v, %v, %v", again, created, err)
	}
	if a := send(t, b.Submitter, line); a[0].Refused() != nil || a[0].Created {
		t.Errorf("a repeated line: %+v", a)
	}
	other := keyed
	other.Payload = []byte(`{"n":77}`)
	var e *httpapi.Error
	if _, _, err := b.Submit(t.Context(), other); !errors.As(err, &e) ||
		e.Code != httpapi.IdempotencyMismatch {
		t.Errorf("another request with the key: %v", err)
	}
	if _, err := b.Retry(t.Context(), access.Everything, old.ID, submit.Again{}); err != nil {
		t.Errorf("a retry by hand: %v", err)
	}
}

// TestLinesWaitForRoom: lines that a limit holds back come in once it lets them; a process that ends waits
// no more.
func TestLinesWaitForRoom(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	d := &door{room: 2, asked: make(chan struct{}, 1)}
	b := setup(t, func(c *submit.Config) { c.Limits, c.Patience, c.Stopping = d, time.Hour, stopping })
	text := strings.Repeat(`{"type":"math.primes","payload":{"n":10}}`+"\n", 5)
	answers := make(chan []httpapi.BatchAnswer)
	go func() { answers <- send(t, b.Submitter, text) }()
	<-d.asked
	<-d.asked // it asks again
	d.open(3)
	for i, a := range <-answers {
		if a.Refused() != nil || !a.Created || a.Line != int64(i+1) {
			t.Errorf("%+v", a)
		}
	}
	go func() { answers <- send(t, b.Submitter, text) }()
	<-d.asked
	close(stopping)
	for _, a := range <-answers {
		if e := a.Refused(); e == nil || e.Code != httpapi.QueueFull || a.RetryAfter != 2 {
			t.Errorf("%+v", a)
		}
	}
}
