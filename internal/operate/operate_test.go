package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/queue"
	"longshore/job"
)

func TestMain(m *testing.M) {
	redistest.Main(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

// A bench is a desk on a prefix of its own.
type bench struct {
	*Desk
	testing.TB
	retries atomic.Int64
}

func setup(t testing.TB) *bench {
	t.Helper()
	rdb, prefix := redistest.Client(t), redistest.Prefix(t)
	store := jobstore.New(rdb, jobstore.Config{Prefix: prefix})
	q, err := queue.New(rdb, queue.Config{Prefix: prefix, Partitions: store.Parts()})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{TB: t}
	b.Desk = New(&Desk{Redis: rdb, Prefix: prefix, Store: store, Queue: q, Log: slog.New(slog.DiscardHandler),
		Retry: func(ctx context.Context, _ access.View, id job.ID, by string) error {
			b.retries.Add(1)
			n := b.newJob("test.job")
			n.ID, n.RetryOf, n.RetryBy = job.NewIDIn(time.Now(), id.Shard()), id, by
			_, err := store.Create(ctx, n)
			return err
		}})
	return b
}

func (b *bench) newJob(kind string) jobstore.NewJob {
	return jobstore.NewJob{ID: job.NewID(time.Now()), Type: kind, Lane: job.LaneIO, Priority: job.Default,
		Timeout: time.Minute, MaxAttempts: 1, Retention: time.Hour}
}

// fail makes jobs that failed, each with its message.
func (b *bench) fail(kind string, code job.Code, messages ...string) (ids []job.ID) {
	b.Helper()
	return b.failOf(access.Owner{}, kind, code, messages...)
}

// failOf makes jobs of an owner that failed.
func (b *bench) failOf(o access.Owner, kind string, code job.Code, messages ...string) (ids []job.ID) {
	b.Helper()
	var news []jobstore.NewJob
	for range messages {
		n := b.newJob(kind)
		n.Owner = o
		news = append(news, n)
	}
	if _, errs := b.Store.CreateMany(b.Context(), news); errors.Join(errs...) != nil {
		b.Fatal(errors.Join(errs...))
	}
	message := map[job.ID]string{}
	for i, n := range news {
		ids, message[n.ID] = append(ids, n.ID), messages[i]
	}
	claimer := b.Store.NewClaimer([]string{kind})
	for range len(messages) + 1 {
		claims, more, err := claimer.Claim(b.Context(),
			job.Place{Lane: job.LaneIO, Priority: job.Default}, 0, 100)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range claims {
			end := jobstore.End{Outcome: jobstore.Failed, Code: code, Message: message[c.Ticket.ID]}
			_, err := b.Store.Finish(b.Context(), c.Ticket.ID, c.Fence, end)
			if err != nil {
				b.Fatal(err)
			}
		}
		if !more {
			break
		}
	}
	return ids
}

// carryOn has a process carry operations on until the test ends.
func (b *bench) carryOn() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = b.Run(ctx) }()
	stop = func() { cancel(); <-ended }
	b.Cleanup(stop)
	return stop
}

// done waits for an operation's end.
func (b *bench) done(id job.ID) answer.Operation {
	b.Helper()
	for rev := int64(0); b.Context().Err() == nil; {
		o, err := b.WaitOperation(b.Context(), access.Everything, id, rev, 20*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		if o.Done {
			return o
		}
		rev = o.Rev
	}
	b.Fatal("it has no end")
	return answer.Operation{}
}

// TestFailuresAreGrouped holds that failures alike are one group, and that a group is a filter.
func TestFailuresAreGrouped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fail("a.job", job.HandlerError, `line 17: "x" is no number`, `line 4: "yy" is no number`,
		"disk is full")
	b.fail("b.job", job.Timeout, "the attempt ran longer than 3s")
	list, err := b.Failures(t.Context(), access.Everything, job.Filter{})
	if err != nil || len(list.Groups) != 3 || list.Total != 4 || list.Scanned != 4 || !list.Complete {
		t.Fatalf("%+v, %v", list, err)
	}
	if list.Groups[0].Type != "b.job" {
		t.Errorf("the newest group is not first: %+v", list.Groups)
	}
	i := slices.IndexFunc(list.Groups, func(g answer.FailureGroup) bool { return g.N == 2 })
	if i < 0 || list.Groups[i].Message != `line #: "…" is no number` || len(list.Groups[i].Samples) != 2 {
		t.Fatalf("groups %+v", list.Groups)
	}
	f, err := ParseFilter(answer.JobFilter{Group: list.Groups[i].Group}, "?")
	if err != nil {
		t.Fatal(err)
	}
	page, err := b.Store.List(t.Context(), f)
	if err != nil || len(page.Jobs) != 2 {
		t.Errorf("list of the group: %+v, %v", page, err)
	}
	f.Limit = 1
	if page, err = b.Store.List(t.Context(), f); err != nil || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	other := job.Filter{State: job.Failed, Code: job.Timeout, Cursor: page.Next}
	if _, err := b.Store.List(t.Context(), other); !errors.Is(err, jobstore.ErrBadCursor) {
		t.Errorf("another filter's cursor: %v", err)
	}
	if list, err = b.Failures(t.Context(), access.Everything,
		job.Filter{Type: "b.job", Code: job.Timeout}); err != nil ||
		len(list.Groups) != 1 || list.Total != 1 {
		t.Errorf("of one type: %+v, %v", list, err)
	}
}

// TestRetryOnce holds that a job is retried once, that lists and counts leave it out then, and that it counts
// again if it is asked for.
func TestRetryOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.fail("test.job", job.HandlerError, "one", "two")
	if err := b.Retry(t.Context(), access.Everything, ids[0], "root"); err != nil {
		t.Fatal(err)
	}
	var retried *jobstore.RetriedError
	if err := b.Retry(t.Context(), access.Everything, ids[0], "root"); !errors.As(err, &retried) || retried.By != "root" {
		t.Fatalf("twice: %v", err)
	}
	snap, err := b.Store.Get(t.Context(), ids[0])
	if err != nil || snap.State != job.Failed || snap.RetriedAs != retried.As || snap.Error.Message != "one" {
		t.Errorf("the old one: %+v, %v", snap, err)
	}
	newer, err := b.Store.Get(t.Context(), retried.As)
	if err != nil || newer.State != job.Queued || newer.RetryOf != ids[0] {
		t.Errorf("the new one: %+v, %v", newer, err)
	}
	counts, err := b.Counts(t.Context(), access.Everything, "")
	if err != nil || counts.Counts[job.Failed] != 1 || counts.Retried != 1 || counts.Ended[job.Failed] != 2 ||
		counts.Total != 3 {
		t.Errorf("counts %+v, %v", counts, err)
	}
	for how, want := range map[string][]job.ID{"": {ids[1]}, job.RetriedOnly: {ids[0]},
		job.RetriedAny: {ids[1], ids[0]}} {
		page, err := b.Store.List(t.Context(), job.Filter{State: job.Failed, Retried: how})
		var got []job.ID
		for _, snap := range page.Jobs {
			got = append(got, snap.ID)
		}
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("retried=%s: %v, %v", how, got, err)
		}
	}
	story, err := b.Timeline(t.Context(), access.Everything, ids[0])
	if err != nil || story.Entries[len(story.Entries)-1].What != "retried" ||
		story.Entries[len(story.Entries)-1].By != "root" ||
		story.Entries[len(story.Entries)-1].Other != retried.As {
		t.Errorf("timeline %+v, %v", story, err)
	}
	// What is removed takes its marks along.
	if err := b.Store.Remove(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if counts, err = b.Counts(t.Context(), access.Everything, ""); err != nil || counts.Retried != 0 ||
		counts.Ended[job.Failed] != 2 {
		t.Errorf("after its removal: %+v, %v", counts, err)
	}
	for _, key := range b.Redis.Keys(t.Context(), b.Prefix+":{0}:[xs]:"+ids[0].Raw()).Val() {
		t.Errorf("%q is left", key)
	}
}

// TestBulk holds that an operation does what its dry run told, once for each job, and no more.
func TestBulk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var messages []string
	for i := range 1200 {
		messages = append(messages, fmt.Sprint("number ", i))
	}
	b.fail("test.job", job.HandlerError, messages...)
	b.fail("other.job", job.Timeout, "slow")
	ask := answer.BulkRequest{Action: Retry, Filter: answer.JobFilter{State: "failed", Type: "test.job"}}
	dry, err := b.DryRun(t.Context(), access.Everything, ask)
	if err != nil || dry.N != 1200 || !dry.Exact || dry.ByType["test.job"] != 1200 || len(dry.Samples) != 10 {
		t.Fatalf("dry run %+v, %v", dry, err)
	}
	b.fail("test.job", job.HandlerError, "after the dry run")
	ask.Before, ask.Max = dry.Before.Format(time.RFC3339Nano), 1000
	o, err := b.Bulk(t.Context(), access.Everything, ask, "root")
	if err != nil || o.State != queued || o.N != 1200 {
		t.Fatalf("%+v, %v", o, err)
	}
	if _, err = b.Bulk(t.Context(), access.Everything, ask, "root"); refusalCode(err) != httpapi.Conflict {
		t.Errorf("the same beside it: %v", err)
	}
	begun := time.Now()
	b.carryOn()
	if o = b.done(o.ID); o.State != succeeded || o.Moved != 1000 || b.retries.Load() != 1000 {
		t.Errorf("%+v, %d retries", o, b.retries.Load())
	}
	t.Logf("%.0f jobs/s", 1000/time.Since(begun).Seconds())
	ask.Max = 0
	if o, err = b.Bulk(t.Context(), access.Everything, ask, "root"); err != nil {
		t.Fatal(err)
	}
	if o = b.done(o.ID); o.Moved != 200 {
		t.Errorf("the rest: %+v", o)
	}
	counts, err := b.Counts(t.Context(), access.Everything, "test.job")
	if err != nil || counts.Counts[job.Failed] != 1 || counts.Retried != 1200 ||
		counts.Counts[job.Queued] != 1200 {
		t.Errorf("counts %+v, %v", counts, err)
	}
	// Cancel what was made, delete what was retried.
	for _, one := range []answer.BulkRequest{
		{Action: Cancel, Filter: answer.JobFilter{State: "queued"}},
		{Action: Delete, Filter: answer.JobFilter{State: "failed", Retried: job.RetriedOnly}}} {
		if o, err = b.Bulk(t.Context(), access.Everything, one, "root"); err != nil {
			t.Fatal(err)
		}
		if o = b.done(o.ID); o.Moved != 1200 || o.State != succeeded {
			t.Errorf("%s: %+v", one.Action, o)
		}
	}
	if counts, err = b.Counts(t.Context(), access.Everything, ""); err != nil || counts.Retried != 0 ||
		counts.Counts[job.Canceled] != 1200 ||
		counts.Counts[job.Failed] != 2 {
		t.Errorf("at the end: %+v, %v", counts, err)
	}
}

func refusalCode(err error) httpapi.Code {
	var e *httpapi.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Code
}

// TestBulkIsKilled holds that an operation goes on elsewhere, counts no job twice and forgets none, wherever
// the one who carried it stopped.
func TestBulkIsKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.fail("test.job", job.HandlerError, strings.Split(strings.Repeat("x,", 30), ",")...)
	o, err := b.Bulk(t.Context(), access.Everything,
		answer.BulkRequest{Action: Retry, Filter: answer.JobFilter{State: "failed"}}, "root")
	if err != nil {
		t.Fatal(err)
	}
	// claimed it, moved some of its page, and died: its lease has to end
	dead := New(&Desk{Redis: b.Redis, Prefix: b.Prefix, Store: b.Store, Queue: b.Queue, Log: b.Desk.Log})
	dead.Retry = b.Desk.Retry
	c, err := dead.claim(t.Context(), o.ID)
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	ctx, die := context.WithCancel(t.Context())
	retry, moved := b.Desk.Retry, atomic.Int64{}
	dead.Retry = func(ctx context.Context, of access.View, id job.ID, by string) error {
		if moved.Add(1) > 7 {
			die()
			return context.Canceled
		}
		return retry(ctx, of, id, by)
	}
	if err := c.walk(ctx); err == nil {
		t.Fatal("it did not die")
	}
	if c, err := b.claim(t.Context(), o.ID); err != nil || c != nil {
		t.Fatalf("two at once: %v, %v", c, err)
	}
	b.Redis.HSet(t.Context(), b.opKey(o.ID), "lease", 1) // it is over
	b.carryOn()
	o = b.done(o.ID)
	counts, err := b.Counts(t.Context(), access.Everything, "")
	if err != nil || o.Moved != int64(len(ids)) || len(o.Skipped) > 0 ||
		counts.Counts[job.Queued] != int64(len(ids)) || counts.Counts[job.Failed] != 0 {
		t.Errorf("%+v, counts %+v, %v", o, counts, err)
	}
	// Who comes back late changes nothing.
	late := &carrying{Desk: dead, id: o.ID}
	if err := late.step(t.Context(), "", page{moved: 5}, ""); !errors.Is(err, errTaken) {
		t.Errorf("late: %v", err)
	}
}

// TestBulkIsCanceled holds that an operation ends within a second when it is asked to, and keeps what it did.
func TestBulkIsCanceled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fail("test.job", job.HandlerError, strings.Split(strings.Repeat("x,", 1500), ",")...)
	begun, hold := make(chan struct{}, 2000), make(chan struct{})
	retry := b.Desk.Retry
	b.Desk.Retry = func(ctx context.Context, of access.View, id job.ID, by string) error {
		begun <- struct{}{}
		<-hold
		return retry(ctx, of, id, by)
	}
	o, err := b.Bulk(t.Context(), access.Everything,
		answer.BulkRequest{Action: Retry, Filter: answer.JobFilter{State: "failed"}}, "root")
	if err != nil {
		t.Fatal(err)
	}
	b.carryOn()
	<-begun
	if o, err = b.CancelOperation(t.Context(), access.Everything, o.ID); err != nil || o.Done {
		t.Fatalf("%+v, %v", o, err)
	}
	close(hold)
	at := time.Now()
	if o = b.done(o.ID); o.State != canceled || o.Moved == 0 || o.Moved > 1000 ||
		time.Since(at) > 30*time.Second {
		t.Errorf("%+v after %v", o, time.Since(at))
	}
	// It is told as ended a step before it leaves the open ones.
	for patience := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		n := b.Redis.ZCard(t.Context(), b.openKey()).Val()
		if n == 0 {
			break
		}
		if time.Now().After(patience) {
			t.Fatalf("%d operations are open", n)
		}
	}
}

// TestTwoBulks holds that operations whose filters meet take each job once.
func TestTwoBulks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 700
	b.fail("test.job", job.HandlerError, strings.Split(strings.Repeat("x,", n-1)+"x", ",")...)
	one, err1 := b.Bulk(t.Context(), access.Everything,
		answer.BulkRequest{Action: Retry, Filter: answer.JobFilter{State: "failed"}}, "a")
	two, err2 := b.Bulk(t.Context(), access.Everything, answer.BulkRequest{Action: Retry,
		Filter: answer.JobFilter{State: "failed", Type: "test.job"}}, "b")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	b.carryOn()
	one, two = b.done(one.ID), b.done(two.ID)
	counts, err := b.Counts(t.Context(), access.Everything, "")
	if err != nil || one.Moved+two.Moved != n || counts.Counts[job.Queued] != n || counts.Retried != n {
		t.Errorf("moved %d and %d, counts %+v, %v", one.Moved, two.Moved, counts, err)
	}
}

// TestBulkRefuses holds what is no operation.
func TestBulkRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, text := range []string{
		`{"action":"retry","filter":{}}`, `{"action":"explode","filter":{"state":"failed"}}`,
		`{"action":"retry","filter":{"state":"running"}}`, `{"action":"cancel","filter":{"state":"failed"}}`,
		`{"action":"retry","filter":{"state":"nonsense"}}`,
		`{"action":"retry","filter":{"since":"yesterday"}}`,
		`{"action":"retry","filter":{"state":"failed"},"max":-1}`,
		`{"action":"retry","filter":{"group":"zz"}}`,
		`{"action":"retry","filter":{"state":"failed"},"before":"-5m"}`,
		`{"action":"cancel","filter":{"worker":"../../x"}}`, `{"action":"cancel","filter":{"id_prefix":"*"}}`,
		`{"action":"retry","filter":{"state":"failed"},"why":"` + strings.Repeat("x", 501) + `"}`,
	} {
		var ask answer.BulkRequest
		if err := json.Unmarshal([]byte(text), &ask); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Bulk(t.Context(), access.Everything, ask,
			"root"); refusalCode(err) != httpapi.Invalid {
			t.Errorf("%s: %v", text, err)
		}
	}
	if n := len(b.Redis.Keys(t.Context(), b.Prefix+":op*").Val()); n != 0 {
		t.Errorf("%d keys were left", n)
	}
}

// TestBulkOfMany holds that an operation on more jobs than are looked at tells how many they are about.
func TestBulkOfMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const all = dryRunScan + 500
	for range all / 500 {
		news := make([]jobstore.NewJob, 500)
		for i := range news {
			news[i] = b.newJob("test.job")
		}
		if _, errs := b.Store.CreateMany(t.Context(), news); errors.Join(errs...) != nil {
			t.Fatal(errors.Join(errs...))
		}
	}
	ask := answer.BulkRequest{Action: Cancel, Filter: answer.JobFilter{State: "queued"}}
	if dry, err := b.DryRun(t.Context(), access.Everything, ask); err != nil || dry.Exact {
		t.Errorf("%+v, %v", dry, err)
	}
	if o, err := b.Bulk(t.Context(), access.Everything, ask, "root"); err != nil || o.N != all {
		t.Errorf("%+v, %v", o, err)
	}
}
