package submit_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/access"
	"longshore/internal/blob/memory"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

// A bench is a submitter on a real store.
type bench struct {
	*submit.Submitter
	t *testing.T
}

func setup(t *testing.T, change ...func(*submit.Config)) *bench {
	t.Helper()
	builtIn, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := tasks.NewCatalog(builtIn...)
	if err != nil {
		t.Fatal(err)
	}
	store := jobstore.New(redistest.Client(t), jobstore.Config{Prefix: redistest.Prefix(t)})
	b := &bench{t: t}
	log := slog.New(slog.DiscardHandler)
	c := submit.Config{Store: store, Blobs: memory.New(), Catalog: catalog,
		Keeper: jobstore.NewKeeper(store, log), Log: log}
	for _, f := range change {
		f(&c)
	}
	b.Submitter = submit.NewSubmitter(c)
	return b
}

func (b *bench) submit(r submit.Request) job.Snapshot {
	b.t.Helper()
	snap, _, err := b.Submit(b.t.Context(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	return snap
}

// upload submits a job with a file.
func (b *bench) upload(typ string) job.Snapshot {
	b.t.Helper()
	return b.submit(submit.Request{Type: typ, Input: strings.NewReader("data"), InputSize: 4,
		Filename: "f.log"})
}

// start starts a job and returns what it is to do, and its fence.
func (b *bench) start(id job.ID) (jobstore.Started, string) {
	b.t.Helper()
	r, err := b.Store.Read(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	fence := jobstore.NewFence()
	st, err := b.Store.Start(b.t.Context(), job.Ticket{ID: id, Delivery: r.Delivery}, fence, false)
	if err != nil {
		b.t.Fatal(err)
	}
	return st, fence
}

// finish runs a job to its end.
func (b *bench) finish(id job.ID, outcome jobstore.Outcome, outputs ...string) {
	b.t.Helper()
	_, fence := b.start(id)
	end := jobstore.End{Outcome: outcome, Code: job.HandlerError}
	for _, name := range outputs {
		end.Outputs = append(end.Outputs, job.Output{Name: name, Blob: jobstore.Folder(id) + "/" + fence +
			"/" + name, Size: 7,
			ContentType: "text/plain", SHA256: "abc"})
	}
	if _, err := b.Store.Finish(b.t.Context(), id, fence, end); err != nil {
		b.t.Fatal(err)
	}
}

func from(typ string, id job.ID, output string) submit.Request {
	return submit.Request{Type: typ, From: &submit.Reference{Job: id, Output: output}}
}

// refused checks a refusal and where it points.
func (b *bench) refused(err error, code httpapi.Code, pointer string) {
	b.t.Helper()
	var e *httpapi.Error
	if !errors.As(err, &e) || e.Code != code {
		b.t.Fatalf("error %v, want %s", err, code)
	}
	if pointer == "" && e.Errors != nil || pointer != "" &&
		(len(e.Errors) != 1 || e.Errors[0].Pointer != pointer) {
		b.t.Errorf("points at %+v, want %q", e.Errors, pointer)
	}
}

// TestReference takes an output as input where it lies, and keeps its owner.
func TestReference(t *testing.T) {
	t.Parallel()
	b := setup(t)
	owner := b.upload("file.compress")
	b.finish(owner.ID, jobstore.Succeeded, "out.gz", "other")
	child := b.submit(from("log.analyze", owner.ID, "out.gz"))
	if child.State != job.Queued {
		t.Fatalf("child %+v", child)
	}
	var inUse *job.InUseError
	if err := b.Store.Remove(t.Context(), owner.ID); !errors.As(err, &inUse) || inUse.By != child.ID {
		t.Errorf("remove of the owner: %v", err)
	}
	record, err := b.Store.Read(t.Context(), owner.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := &jobstore.Input{Blob: record.Snapshot.Outputs[0].Blob, Size: 7, SHA256: "abc",
		ContentType: "text/plain", Filename: "out.gz"}
	st, fence := b.start(child.ID)
	if diff := cmp.Diff(want, st.Spec.Input); diff != "" {
		t.Errorf("the child's input (-want +got):\n%s", diff)
	}
	if _, err := b.Store.Finish(t.Context(), child.ID, fence,
		jobstore.End{Outcome: jobstore.Succeeded}); err != nil {
		t.Fatal(err)
	}
	if err := b.Store.Remove(t.Context(), owner.ID); err != nil {
		t.Errorf("remove after the child's end: %v", err)
	}
}

func TestReferenceRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open, failed, none, one, two := b.upload("file.compress"), b.upload("file.compress"),
		b.upload("log.analyze"), b.upload("file.compress"), b.upload("file.compress")
	b.finish(failed.ID, jobstore.Failed)
	b.finish(none.ID, jobstore.Succeeded)
	b.finish(one.ID, jobstore.Succeeded, "a")
	b.finish(two.ID, jobstore.Succeeded, "a", "b")
	both := from("log.analyze", one.ID, "")
	both.Input = strings.NewReader("x")
	primes := from("math.primes", one.ID, "")
	primes.Payload = []byte(`{"n":10}`)
	for _, c := range []struct {
		name    string
		request submit.Request
		code    httpapi.Code
		pointer string
	}{
		{"no such job", from("log.analyze", job.NewID(time.Now()), ""), httpapi.NotFound, "/input/job"},
		{"not ended", from("log.analyze", open.ID, ""), httpapi.Conflict, "/input/job"},
		{"failed", from("log.analyze", failed.ID, ""), httpapi.Conflict, "/input/job"},
		{"no outputs", from("log.analyze", none.ID, ""), httpapi.Invalid, "/input/job"},
		{"no such output", from("log.analyze", one.ID, "b"), httpapi.Invalid, "/input/output"},
		{"which output", from("log.analyze", two.ID, ""), httpapi.Invalid, "/input/output"},
		{"no id", from("log.analyze", "{7}", ""), httpapi.Invalid, "/input/job"},
		{"no file wanted", primes, httpapi.Invalid, "/input"},
		{"two inputs", both, httpapi.Invalid, "/input"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := b.Submit(t.Context(), c.request)
			b.refused(err, c.code, c.pointer)
		})
	}
	// None of them has left a user behind.
	for _, id := range []job.ID{failed.ID, none.ID, one.ID, two.ID} {
		if err := b.Store.Remove(t.Context(), id); err != nil {
			t.Errorf("remove of %s: %v", id, err)
		}
	}
}

// TestReferenceRepeated finds the first job again, also when the owner is gone.
func TestReferenceRepeated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	owner := b.upload("file.compress")
	b.finish(owner.ID, jobstore.Succeeded, "a")
	chosen, keyed := from("log.analyze", owner.ID, ""), from("log.analyze", owner.ID, "")
	chosen.ID, keyed.IdempotencyKey = job.NewID(time.Now()), "once"
	first := []job.Snapshot{b.submit(chosen), b.submit(keyed)}
	repeat := func() {
		t.Helper()
		for i, r := range []submit.Request{chosen, keyed} {
			if snap, created, err := b.Submit(t.Context(), r); err != nil || created ||
				snap.ID != first[i].ID {
				t.Errorf("repeat made %s, %v, %v; want %s", snap.ID, created, err, first[i].ID)
			}
		}
	}
	repeat()
	other := keyed
	other.From = &submit.Reference{Job: owner.ID, Output: "a"}
	_, _, err := b.Submit(t.Context(), other)
	b.refused(err, httpapi.IdempotencyMismatch, "")
	for _, snap := range first {
		b.finish(snap.ID, jobstore.Succeeded)
	}
	if err := b.Store.Remove(t.Context(), owner.ID); err != nil {
		t.Fatalf("repeats have left users behind: %v", err)
	}
	repeat()
}

// TestRetryRefers gives a retry, and a retry of that, the first job's file.
func TestRetryRefers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.upload("log.analyze")
	first, _ := b.Store.Read(t.Context(), old.ID)
	b.finish(old.ID, jobstore.Failed)
	again := old.ID
	for range 2 {
		snap, err := b.Retry(t.Context(), access.Everything, again, submit.Again{})
		if err != nil {
			t.Fatal(err)
		}
		if snap.RetryOf != again || snap.State != job.Queued {
			t.Errorf("retry %+v", snap)
		}
		record, err := b.Store.Read(t.Context(), snap.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first.Spec, record.Spec); diff != "" {
			t.Errorf("the retry's input (-first +retry):\n%s", diff)
		}
		if err := b.Store.Remove(t.Context(), old.ID); !errors.Is(err, job.ErrInUse) {
			t.Errorf("remove while a retry is open: %v", err)
		}
		b.finish(snap.ID, jobstore.Failed)
		again = snap.ID
	}
	if err := b.Store.Remove(t.Context(), old.ID); err != nil {
		t.Fatal(err)
	}
	_, err := b.Retry(t.Context(), access.Everything, again, submit.Again{})
	b.refused(err, httpapi.Conflict, "")
}
