package limits_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/limits"
	"longshore/internal/localredis/redistest"
	"longshore/internal/queue"
	"longshore/job"
)

func TestMain(m *testing.M) {
	redistest.Main(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

// A bench is an installation with some processes.
type bench struct {
	testing.TB
	store *jobstore.Store
	rooms []*limits.Room
	notes []string
}

func setup(t testing.TB, processes int) *bench {
	t.Helper()
	rdb, prefix := redistest.Client(t), redistest.Prefix(t)
	log := slog.New(slog.DiscardHandler)
	b := &bench{TB: t, store: jobstore.New(rdb, jobstore.Config{Prefix: prefix})}
	tickets, err := queue.New(rdb, queue.Config{Prefix: prefix, Partitions: b.store.Parts(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	for range processes {
		b.rooms = append(b.rooms, limits.New(limits.Config{Redis: rdb, Prefix: prefix, Store: b.store,
			Queue: tickets, Log: log, Note: b.note}))
	}
	return b
}

func (b *bench) put(by limits.Asker, name, text string) {
	b.Helper()
	if _, _, err := b.rooms[0].Put(b.Context(), by, name, []byte(text)); err != nil {
		b.Fatalf("put %s: %v", name, err)
	}
	for _, r := range b.rooms {
		if err := r.Reload(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func ofTenant(tenant string) limits.Asker {
	return limits.Asker{Actor: store.Actor{Who: access.Root}, View: access.View{Tenant: tenant}}
}

var operator = ofTenant(access.Installation)

func newJob(kind, tenant string) jobstore.NewJob {
	return jobstore.NewJob{ID: job.NewID(time.Now()), Type: kind, Lane: job.LaneIO, Priority: job.Default,
		MaxAttempts: 3, Timeout: time.Minute, Retention: time.Hour, Owner: access.Owner{Tenant: tenant}}
}

// come has a job come in at a process, if it may.
func (b *bench) come(process int, n jobstore.NewJob) error {
	errs, done := b.rooms[process].Admit(b.Context(), []jobstore.NewJob{n})
	defer done()
	if errs != nil && errs[0] != nil {
		return errs[0]
	}
	_, err := b.store.Create(b.Context(), n)
	return err
}

func (b *bench) full(err error, limit string) *httpapi.Error {
	b.Helper()
	var e *httpapi.Error
	if !errors.As(err, &e) || e.Code != httpapi.QueueFull || e.Status != 429 || e.RetryAfter < time.Second ||
		e.RetryAfter > time.Minute || !strings.Contains(e.Detail, limit) {
		b.Fatalf("%v (%+v), want queue_full by %s", err, e, limit)
	}
	return e
}

func (b *bench) taken(err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("refused: %v", err)
	}
}

// TestDepth: by turns at three processes as many come in as one limit says, whatever they are and how many
// have ended; canceled ones count no more.
func TestDepth(t *testing.T) {
	t.Parallel()
	for name, match := range map[string]string{"all": `{}`, "type": `{"type":"a.*"}`,
		"queue": `{"queue":"io-*"}`, "both": `{"type":"a.*","queue":"io-default"}`, "tenant": `{"tenant":"def*"}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 3)
			var ids []job.ID
			for range 20 { // ended ones, which are there still
				n := newJob("a.b", "")
				b.taken(b.come(0, n))
				if _, err := b.store.Cancel(t.Context(), n.ID); err != nil {
					t.Fatal(err)
				}
			}
			b.put(operator, "few", `{"match":`+match+`,"depth":10}`)
			for i := range 10 {
				n := newJob([]string{"a.b", "a.c"}[i%2], "")
				b.taken(b.come(i%3, n))
				ids = append(ids, n.ID)
			}
			for process := range 3 {
				b.full(b.come(process, newJob("a.b", "")), "few")
			}
			retry := newJob("a.b", "")
			retry.RetryOf = ids[0]
			if errs, done := b.rooms[0].Admit(t.Context(), []jobstore.NewJob{retry}); errs != nil {
				t.Errorf("a retry by hand: %v", errs)
			} else {
				done()
			}
			for _, id := range ids[:3] {
				if _, err := b.store.Cancel(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			for process := range 3 {
				b.taken(b.come(process, newJob("a.c", "")))
			}
			b.full(b.come(0, newJob("a.b", "")), "few")
			b.put(operator, "few", `{"match":`+match+`,"depth":11}`)
			b.taken(b.come(1, newJob("a.b", "")))
			b.full(b.come(1, newJob("a.b", "")), "few")
			if err := b.rooms[0].Delete(t.Context(), operator, "few"); err != nil {
				t.Fatal(err)
			}
			b.taken(b.come(0, newJob("a.b", "")))
		})
	}
}

// TestDepthPer gives each type of each tenant its own room; whoever isn't meant has all.
func TestDepthPer(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.put(operator, "each", `{"match":{"type":"a.*"},"per":["tenant","type"],"depth":2}`)
	b.put(ofTenant("acme"), "own", `{"depth":3}`)
	for range 2 {
		b.taken(b.come(0, newJob("a.b", "")))
		b.taken(b.come(0, newJob("a.b", "acme")))
	}
	b.taken(b.come(0, newJob("a.c", "acme")))
	b.full(b.come(0, newJob("a.b", "")), "each")
	b.full(b.come(0, newJob("x.y", "acme")), "own")
	b.taken(b.come(0, newJob("x.y", "")))
	list, err := b.rooms[0].List(t.Context(), operator)
	if err != nil || len(list) != 2 || *list[0].Waiting != 2 || *list[1].Waiting != 3 ||
		list[1].Tenant != "acme" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = b.rooms[0].List(t.Context(), ofTenant("acme")); err != nil || len(list) != 1 ||
		list[0].Name != "own" {
		t.Errorf("a tenant sees %+v, %v", list, err)
	}
	_, err = b.rooms[0].Get(t.Context(), ofTenant("acme"), "each")
	if httpapi.AsError(err).Code != httpapi.NotFound {
		t.Errorf("a tenant sees the installation's: %v", err)
	}
}

// TestDepthAtOnce: of many that come at once exactly as many come in as may.
func TestDepthAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.put(operator, "few", `{"depth":25}`)
	var group sync.WaitGroup
	errs := make([]error, 100)
	for i := range errs {
		group.Go(func() {
			for range 3 {
				if errs[i] = b.come(0, newJob("a.b", "")); errs[i] == nil {
					return
				}
			}
		})
	}
	group.Wait()
	taken := 0
	for _, err := range errs {
		if err == nil {
			taken++
		} else {
			b.full(err, "few")
		}
	}
	if n, err := b.store.Count(t.Context()); taken != 25 || n != 25 || err != nil {
		t.Errorf("%d were taken, %d are there, %v", taken, n, err)
	}
	// A batch fills what there is.
	b.put(operator, "few", `{"depth":30}`)
	jobs := make([]jobstore.NewJob, 9)
	for i := range jobs {
		jobs[i] = newJob("a.b", "")
	}
	refused, done := b.rooms[0].Admit(t.Context(), jobs)
	done()
	for i, err := range refused {
		if (err == nil) != (i < 5) {
			t.Errorf("line %d: %v", i, err)
		}
	}
}

// TestAge refuses what would stand behind a job that is too old, in its queue alone.
func TestAge(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.put(operator, "old", `{"match":{"type":"a.*"},"age":1}`)
	first := newJob("x.y", "")
	b.taken(b.come(0, first))
	for until := time.Now().Add(2 * time.Minute); ; {
		errs, done := b.rooms[0].Admit(t.Context(), []jobstore.NewJob{newJob("a.b", "")})
		if done(); errs != nil {
			b.full(errs[0], "old")
			break
		}
		if time.Now().After(until) {
			t.Fatal("never refused")
		}
	}
	b.taken(b.come(0, newJob("x.y", "")))
	high := newJob("a.b", "")
	high.Priority = job.High
	b.taken(b.come(0, high))
	l, err := b.rooms[0].Get(t.Context(), operator, "old")
	if err != nil || *l.OldestMS < 1000 || l.Waiting != nil || l.Age != "1s" {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestWrong: each wrong place is told.
func TestWrong(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	long := strings.Repeat("k", 10<<10)
	for text, want := range map[string]string{
		`{}`:                                "/depth expected depth, age, concurrency or rate",
		`{"depth":0}`:                       "/depth expected a whole number from 1",
		`{"depth":-1}`:                      "/depth",
		`{"depth":1.5}`:                     "/depth",
		`{"depth":"many"}`:                  "/depth",
		`{"depth":99999999999999999999}`:    "/depth",
		`{"age":"0s"}`:                      "/age expected a duration from 1s",
		`{"age":true}`:                      "/age",
		`{"age":"` + long + `"}`:            "/age",
		`{"depth":1,"` + long + `":1}`:      "unknown field",
		`{"depth":1,"match":{"type":"[a"}}`: "/match/type expected a type",
		`{"depth":1,"match":{"type":"` + long + `"}}`:         "/match/type",
		`{"depth":1,"match":{"type":""}}`:                     "/match/type",
		`{"depth":1,"match":{"type":7}}`:                      "/match/type",
		`{"depth":1,"match":{"queue":"io-[dh]*"}}`:            "/match/queue is none of the queues",
		`{"depth":1,"match":{"queue":"gpu-*"}}`:               "/match/queue",
		`{"depth":1,"match":{"tenant":"a\\b"}}`:               "/match/tenant expected a tenant",
		`{"depth":1,"match":{"key":"a"}}`:                     "/match/key is for concurrency and rate alone",
		`{"depth":1,"match":[]}`:                              "/match expected an object",
		`{"depth":1,"per":"type"}`:                            "/per expected a list",
		`{"depth":1,"per":["type","type"]}`:                   "/per/1 stands there twice",
		`{"depth":1,"per":["key"]}`:                           "/per key is for concurrency and rate alone",
		`{"rate":{"n":0,"per":"1m"}}`:                         "/rate/n expected a whole number",
		`{"rate":{"n":1.5,"per":"1m"}}`:                       "/rate/n expected a whole number",
		`{"rate":{"n":1,"per":"1m","burst":0}}`:               "/rate/burst expected a whole number",
		`{"rate":{"n":1,"per":"1m","burst":1000001}}`:         "/rate/burst expected a whole number",
		`{"rate":{"n":1000001,"per":"1m"}}`:                   "/rate/n expected a whole number",
		`{"rate":{"n":1,"per":"25h"}}`:                        "/rate/per expected a duration from 1s to 24h",
		`{"rate":{"n":1,"per":"999ms"}}`:                      "/rate/per expected a duration from 1s to 24h",
		`{"rate":{"n":1,"per":null}}`:                         "/rate/per is missing",
		`{"rate":{"per":"1s"}}`:                               "/rate/n is missing",
		`{"rate":"100/1m"}`:                                   "/rate expected an object",
		`{"rate":{"n":1,"per":"1s","every":1}}`:               "/rate/every unknown field",
		`{"rate":{"n":1,"per":"1s"},"keep":"end"}`:            "/keep is for concurrency",
		`{"rate":{"n":1,"per":"1s"},"depth":1,"per":["key"]}`: "/per key is for concurrency and rate alone",
		`{"concurrency":1,"keep":"ever"}`:                     "/keep expected run or end",
		`{"concurrency":1000001}`:                             "/concurrency expected a whole number",
		`{"depth":1,"keep":"end"}`:                            "/keep is for concurrency",
		`{"concurrency":1,"match":{"key":"` + long + `"}}`:    "/match/key expected a key",
		`{"age":"5m","per":["type"]}`:                         "/per is for depth",
		`{"depth":0,"age":"x","match":{"type":"?"}}`:          "/match/type",
		`{"depth":1,"depth":2}`:                               "",
		`[]`:                                                  "",
		`{"depth":1}{}`:                                       "",
	} {
		_, _, err := b.rooms[0].Put(t.Context(), operator, "x", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 2000 {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`{"depth":1,"match":{"tenant":"other"}}`: "/match/tenant a tenant's limit",
		`{"depth":1,"per":["tenant"]}`:           "/per a tenant's limit",
	} {
		if _, _, err := b.rooms[0].Put(t.Context(), ofTenant("acme"), "x", []byte(text)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s of a tenant: %v, want %s", text, err, want)
		}
	}
	for _, name := range []string{"", "..", "a/b", long, "a b"} {
		if _, _, err := b.rooms[0].Put(t.Context(), operator, name, []byte(`{"depth":1}`)); err == nil {
			t.Errorf("name %.20q is taken", name)
		}
	}
	someone := ofTenant("acme")
	someone.View.Subject = "ada"
	if _, _, err := b.rooms[0].Put(t.Context(), someone, "x", []byte(`{"depth":1}`)); httpapi.AsError(err).Code !=
		httpapi.Forbidden {
		t.Errorf("of a subject: %v", err)
	}
	if list, err := b.rooms[0].List(t.Context(), operator); err != nil || len(list) != 0 {
		t.Errorf("made: %+v, %v", list, err)
	}
}

// TestRevisions: the same again changes nothing, and no revision comes twice; what was done is noted.
func TestRevisions(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	put := func(text string, wantNew bool) int64 {
		t.Helper()
		l, isNew, err := b.rooms[0].Put(t.Context(), operator, "a", []byte(text))
		if err != nil || isNew != wantNew {
			t.Fatalf("%+v, %v, %v", l, isNew, err)
		}
		return l.Rev
	}
	first := put(`{"depth":5,"match":{"type":"a.*"}}`, true)
	if again := put(`{ "match":{"type":"a.*","queue":null}, "depth":5, "per":[] }`, false); again != first {
		t.Errorf("the same again: %d after %d", again, first)
	}
	second := put(`{"depth":6}`, false)
	if err := b.rooms[0].Delete(t.Context(), operator, "a"); err != nil {
		t.Fatal(err)
	}
	if err := b.rooms[0].Delete(t.Context(), operator, "a"); httpapi.AsError(err).Code != httpapi.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	if third := put(`{"depth":5}`, true); second <= first || third <= second {
		t.Errorf("revisions %d, %d, %d", first, second, third)
	}
	want := []string{"limits.put limit:a", "limits.put limit:a", "limits.remove limit:a", "limits.put limit:a"}
	if !slices.Equal(b.notes, want) {
		t.Errorf("noted %v", b.notes)
	}
	for i := range 99 {
		b.put(operator, fmt.Sprintf("n%d", i), `{"depth":5}`)
	}
	if _, _, err := b.rooms[0].Put(t.Context(), operator, "one-more", []byte(`{"depth":5}`)); httpapi.AsError(err).
		Code != httpapi.Conflict {
		t.Errorf("the 101st: %v", err)
	}
	b.put(ofTenant("acme"), "another", `{"depth":5}`)
}

func (b *bench) note(_ context.Context, _ store.Actor, action, target string) error {
	b.notes = append(b.notes, action+" "+target)
	return nil
}
