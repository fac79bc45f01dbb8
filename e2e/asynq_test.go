//go:build linux

package e2e

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"longshore/answer"
	"longshore/asynqjobs"
	"longshore/client"
	"longshore/job"
)

// asynqApp starts a web, and the worker of somebody who comes from asynq.
func asynqApp(t *testing.T) (c *client.Client, producer *asynq.Client, url string) {
	t.Helper()
	in := install(t)
	_, url = in.web(t)
	program := filepath.Join(t.TempDir(), "asynqapp")
	if out, err := goBuild("", program, "./asynqapp").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// beside a stock worker, which puts their tickets aside
	in.start(t, "worker").await(t, `"msg":"worker takes jobs"`)
	startCommand(t, exec.Command(program), in.env).await(t, `"msg":"worker takes jobs"`)
	c = clientOf(t, url)
	eventually(t, "its types are known", func() bool {
		types, err := c.Types(t.Context())
		return err == nil && slices.ContainsFunc(types, func(i client.TypeInfo) bool { return i.Type == "report:deaf" })
	})
	return c, asynq.NewClientFromRedisClient(asynqjobs.Redis(c, asynqjobs.Config{})), url
}

// TestAsynq runs what was written for asynq: a client, a scheduler and handlers, of which only the lines
// changed that made asynq's client and its server.
func TestAsynq(t *testing.T) {
	t.Parallel()
	c, producer, _ := asynqApp(t)
	enqueue := func(task *asynq.Task, opts ...asynq.Option) job.ID {
		t.Helper()
		ctx, receipt := asynqjobs.WithReceipt(t.Context())
		if info, err := producer.EnqueueContext(ctx, task, opts...); err != nil || info.Type != task.Type() {
			t.Fatalf("enqueue %s: %+v, %v", task.Type(), info, err)
		}
		return receipt.Job
	}
	user := func() *asynq.Task { return asynq.NewTask("email:welcome", []byte(`{"user_id":42}`)) }

	snap := wait(t, c, enqueue(user(), asynq.Queue("critical"), asynq.MaxRetry(3), asynq.Timeout(time.Minute)))
	if snap.State != job.Succeeded || snap.Priority != job.High || snap.MaxAttempts != 4 ||
		string(snap.Result) != `{"queue":"critical","task":"`+string(snap.ID)+`","user":42}` {
		t.Errorf("%s %s %+v", snap.State, snap.Result, snap)
	}
	for _, payload := range []string{"", `{"a": "<>"}`, "a\nb", `{"asynq":{}}`, "\x00\xfe"} {
		snap := wait(t, c, enqueue(asynq.NewTask("email:echo", []byte(payload))))
		want := map[string]string{"": `"got:"`, `{"a": "<>"}`: `"got:{\"a\": \"\u003c\u003e\"}"`, "a\nb": `"got:a\nb"`,
			`{"asynq":{}}`: `"got:{\"asynq\":{}}"`, "\x00\xfe": `{"base64":"Z290OgD+"}`}[payload]
		if string(snap.Result) != want {
			t.Errorf("%q: %s", payload, snap.Result)
		}
	}
	if snap := wait(t, c, enqueue(asynq.NewTask("email:reminder", nil))); snap.State != job.Succeeded || snap.Attempt != 2 {
		t.Errorf("retried: %s after %d", snap.State, snap.Attempt)
	}
	for typ, text := range map[string]string{"email:panic": "no such template", "email:welcome": "unexpected end"} {
		snap := wait(t, c, enqueue(asynq.NewTask(typ, nil), asynq.MaxRetry(1)))
		if snap.State != job.Failed || snap.Error == nil || !strings.Contains(snap.Error.Message, text) ||
			snap.Attempt != map[string]int{"email:panic": 2, "email:welcome": 1}[typ] {
			t.Errorf("%s: %s after %d, %+v", typ, snap.State, snap.Attempt, snap.Error)
		}
	}
	if snap := wait(t, c, enqueue(asynq.NewTask("email:gone", nil))); snap.State != job.Canceled {
		t.Errorf("revoked: %s", snap.State)
	}
	later := enqueue(user(), asynq.ProcessIn(3*time.Second))
	if snap, err := c.Get(t.Context(), later); err != nil || snap.State != job.Scheduled {
		t.Errorf("scheduled: %s, %v", snap.State, err)
	}
	if snap := wait(t, c, later); snap.State != job.Succeeded {
		t.Errorf("scheduled: %s", snap.State)
	}
	if _, err := producer.Enqueue(user(), asynq.Group("g")); err == nil || !strings.Contains(err.Error(), "group") {
		t.Errorf("a group: %v", err)
	}
	if _, err := producer.Enqueue(asynq.NewTask("no:such", nil)); err == nil || !strings.Contains(err.Error(), "unknown type") {
		t.Errorf("a type that nobody serves: %v", err)
	}
}

// TestAsynqConflicts holds that asynq's errors for a TaskID and a unique lock that are taken stay true, and
// only as long as they are.
func TestAsynqConflicts(t *testing.T) {
	t.Parallel()
	c, producer, _ := asynqApp(t)
	task := asynq.NewTask("email:welcome", []byte(`{"user_id":42}`))
	hour := asynq.ProcessIn(time.Hour)
	for _, id := range []string{"order 7", "}{", " a ", "0123456789abcdef", strings.Repeat("x", 5000),
		"4b0f5c1e-8c3a-4d35-9c53-8a0a4c2f1f10"} {
		ctx, first := asynqjobs.WithReceipt(t.Context())
		if _, err := producer.EnqueueContext(ctx, task, asynq.TaskID(id), hour); err != nil {
			t.Fatalf("%.20q: %v", id, err)
		}
		ctx, second := asynqjobs.WithReceipt(t.Context())
		_, err := producer.EnqueueContext(ctx, task, asynq.TaskID(id))
		if !errors.Is(err, asynq.ErrTaskIDConflict) || second.Job != first.Job || second.Err == nil {
			t.Errorf("%.20q again: %v, %+v", id, err, second)
		}
		if _, err := producer.Enqueue(task, asynq.TaskID(id), asynq.Queue("low"), hour); err != nil {
			t.Errorf("%.20q in another queue: %v", id, err)
		}
		if _, err := c.Cancel(t.Context(), first.Job); err != nil {
			t.Error(err)
		}
		if _, err := producer.Enqueue(task, asynq.TaskID(id), hour); err != nil {
			t.Errorf("%.20q when the first has ended: %v", id, err)
		}
	}
	ctx, kept := asynqjobs.WithReceipt(t.Context())
	if _, err := producer.EnqueueContext(ctx, task, asynq.TaskID("daily"), asynq.Retention(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if snap := wait(t, c, kept.Job); string(snap.Result) != `{"queue":"default","task":"daily","user":42}` {
		t.Errorf("its handler is told %s", snap.Result)
	}
	if _, err := producer.Enqueue(task, asynq.TaskID("daily")); !errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("a TaskID of one that is kept: %v", err)
	}

	ctx, first := asynqjobs.WithReceipt(t.Context())
	if _, err := producer.EnqueueContext(ctx, task, asynq.Unique(24*time.Hour), hour); err != nil {
		t.Fatal(err)
	}
	if _, err := producer.Enqueue(task, asynq.Unique(time.Minute)); !errors.Is(err, asynq.ErrDuplicateTask) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := producer.Enqueue(asynq.NewTask("email:welcome", []byte(`{"user_id":43}`)), asynq.Unique(time.Minute)); err != nil {
		t.Errorf("one with another payload: %v", err)
	}
	if _, err := c.Cancel(t.Context(), first.Job); err != nil {
		t.Error(err)
	}
	if _, err := producer.Enqueue(task, asynq.Unique(time.Minute)); err != nil {
		t.Errorf("when the first has ended: %v", err)
	}
}

// TestAsynqPeriodic has asynq's scheduler and its manager of periodic tasks make jobs.
func TestAsynqPeriodic(t *testing.T) {
	t.Parallel()
	c, _, _ := asynqApp(t)
	redis := asynqjobs.Redis(c, asynqjobs.Config{})
	made := make(chan error, 100)
	opts := &asynq.SchedulerOpts{LogLevel: asynq.ErrorLevel,
		PostEnqueueFunc: func(_ *asynq.TaskInfo, err error) { made <- err }}
	s := asynq.NewSchedulerFromRedisClient(redis, opts)
	if _, err := s.Register("@every 1s", asynq.NewTask("email:echo", []byte("tick"))); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	m, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{RedisUniversalClient: redis,
		SchedulerOpts: opts, SyncInterval: time.Second, PeriodicTaskConfigProvider: periodic{}})
	if err == nil {
		err = m.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := <-made; err != nil {
			t.Error(err)
		}
	}
	m.Shutdown()
	s.Shutdown()
	eventually(t, "both have made jobs", func() bool {
		found := map[string]bool{}
		for snap, err := range c.List(t.Context(), client.Filter{Type: "email:echo"}) {
			if err != nil {
				return false
			}
			full, err := c.Get(t.Context(), snap.ID)
			found[string(full.Result)] = err == nil
		}
		return found[`"got:tick"`] && found[`"got:tock"`]
	})
}

type periodic struct{}

func (periodic) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) {
	return []*asynq.PeriodicTaskConfig{{Cronspec: "@every 1s", Task: asynq.NewTask("email:echo", []byte("tock"))}}, nil
}

// TestAsynqDeaf cancels a handler in lane cpu that looks at no context.
func TestAsynqDeaf(t *testing.T) {
	t.Parallel()
	c, producer, _ := asynqApp(t)
	ctx, receipt := asynqjobs.WithReceipt(context.Background())
	if _, err := producer.EnqueueContext(ctx, asynq.NewTask("report:deaf", nil)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool {
		snap, err := c.Get(t.Context(), receipt.Job)
		return err == nil && snap.State == job.Running
	})
	if _, err := c.Cancel(t.Context(), receipt.Job); err != nil {
		t.Fatal(err)
	}
	if snap := wait(t, c, receipt.Job); snap.State != job.Canceled {
		t.Errorf("it is %s", snap.State)
	}
	ctx, again := asynqjobs.WithReceipt(context.Background())
	if _, err := producer.EnqueueContext(ctx, asynq.NewTask("report:weekly", nil)); err != nil {
		t.Fatal(err)
	}
	if snap := wait(t, c, again.Job); snap.State != job.Canceled || snap.Attempt != 2 {
		t.Errorf("one that fails and is revoked then is %s after %d, %+v", snap.State, snap.Attempt, snap.Error)
	}
	ctx, timed := asynqjobs.WithReceipt(context.Background())
	if _, err := producer.EnqueueContext(ctx, asynq.NewTask("report:deaf", nil), asynq.Timeout(time.Second),
		asynq.MaxRetry(0)); err != nil {
		t.Fatal(err)
	}
	if snap := wait(t, c, timed.Job); snap.State != job.Failed || snap.Error.Code != job.Timeout {
		t.Errorf("it is %s, %+v", snap.State, snap.Error)
	}
}

// TestAsynqLostAnswer loses the answer to a submission that was taken: asynq's client must not take its own
// task for a conflict.
func TestAsynqLostAnswer(t *testing.T) {
	t.Parallel()
	c, _, at := asynqApp(t)
	behind, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	var lost atomic.Int32
	lossy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(behind) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodPost && lost.Add(1)%2 == 1 {
				return errors.New("cut")
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	defer lossy.Close()
	producer := asynq.NewClientFromRedisClient(asynqjobs.Redis(clientOf(t, lossy.URL), asynqjobs.Config{}))
	for _, opts := range [][]asynq.Option{{}, {asynq.TaskID("order 7")}, {asynq.Unique(time.Hour)}} {
		ctx, receipt := asynqjobs.WithReceipt(t.Context())
		_, err := producer.EnqueueContext(ctx, asynq.NewTask("email:reminder", nil), append(opts, asynq.MaxRetry(3))...)
		if err != nil {
			t.Errorf("%v: %v", opts, err)
			continue
		}
		if snap := wait(t, c, receipt.Job); snap.State != job.Succeeded {
			t.Errorf("%v: %s", opts, snap.State)
		}
	}
	if lost.Load() != 6 {
		t.Errorf("%d answers, half of them lost", lost.Load())
	}
	n := 0
	for _, err := range c.List(t.Context(), client.Filter{Type: "email:reminder"}) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 3 {
		t.Errorf("%d jobs of 3 tasks", n)
	}
}

// TestClaimedNames has a program claim jobs of types that are called as other systems call theirs.
func TestClaimedNames(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	c := &claimer{t: t, url: url, name: "host:1:names"}
	for _, typ := range []string{"Mailer::WelcomeJob", "email:welcome", "a"} {
		claimed(t, url, typ, "")
		made := posted(t, url, `{"type":"`+typ+`","payload":{}}`).ID
		if got := c.one(typ); got.ID != made || got.Type != typ {
			t.Errorf("%s: claimed %+v, want %s", typ, got, made)
		} else if end := c.finish(answer.FinishJob{ID: got.ID, Claim: got.Claim, Result: []byte(`{}`)}); end.State != job.Succeeded {
			t.Errorf("%s: %+v", typ, end)
		}
	}
	made := posted(t, url, `{"type":"Mailer::WelcomeJob","payload":{}}`).ID
	if got := c.one("Mailer::*"); got.ID != made {
		t.Errorf("by a glob: %+v", got)
	}
}
