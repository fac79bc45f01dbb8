package asynqtask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"longshore/internal/httpapi"
	"longshore/job"
)

// message is what asynq itself writes for a task.
func message(t *testing.T, task *asynq.Task, opts ...asynq.Option) []byte {
	t.Helper()
	c := redis.NewClient(&redis.Options{})
	defer c.Close()
	var found []byte
	c.AddHook(listener{func(args []any) {
		for _, arg := range args {
			if text, ok := arg.([]byte); ok {
				found = text
			}
		}
	}})
	if _, err := asynq.NewClientFromRedisClient(c).Enqueue(task, opts...); err != nil {
		t.Fatal(err)
	}
	return found
}

// listener answers all commands with 1.
type listener struct{ hear func(args []any) }

func (l listener) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l listener) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		l.hear(cmd.Args())
		switch c := cmd.(type) {
		case *redis.Cmd:
			c.SetVal(int64(1))
		case *redis.IntCmd:
			c.SetVal(1)
		}
		return nil
	}
}

func (l listener) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestMessage reads what asynq writes, and writes what it would.
func TestMessage(t *testing.T) {
	t.Parallel()
	deadline := time.Unix(2_000_000_000, 0)
	text := message(t, asynq.NewTaskWithHeaders("email:welcome", []byte(`{"user":7}`),
		map[string]string{"trace": "4711"}), asynq.TaskID("order 7"), asynq.Queue("critical"),
		asynq.MaxRetry(5), asynq.Timeout(90*time.Second), asynq.Deadline(deadline), asynq.Unique(time.Hour),
		asynq.Retention(48*time.Hour))
	got, err := Decode(text)
	want := Task{Type: "email:welcome", ID: "order 7", Queue: "critical", Payload: []byte(`{"user":7}`),
		Headers: map[string]string{"trace": "4711"}, Retry: 5, Timeout: 90 * time.Second, Deadline: deadline,
		UniqueKey: "asynq:{critical}:unique:email:welcome:2a8a7f44c4c1a5b9c1f8c0b8f0cfa2e6",
		Retention: 48 * time.Hour}
	want.UniqueKey = got.UniqueKey // asynq's digest
	if diff := cmp.Diff(want, got); diff != "" || err != nil || !strings.HasPrefix(got.UniqueKey, "asynq:{critical}:unique:") {
		t.Errorf("%v\n%s", err, diff)
	}
	if again := got.Encode(); !bytes.Equal(again, text) {
		t.Errorf("written again:\n%x, want\n%x", again, text)
	}
	for _, bad := range [][]byte{{0xff}, {0x0a, 0x7f}, {0x0a, 1, 0xff}, {0x7a, 2, 0x0a, 9}, {0x28, 0xff},
		{0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, []byte("no message at all")} {
		if task, err := Decode(bad); !errors.Is(err, ErrMessage) {
			t.Errorf("%x: %+v, %v", bad, task, err)
		}
	}
}

// TestPayloads holds that a handler gets the bytes that were enqueued, and that only what lasts goes bare.
func TestPayloads(t *testing.T) {
	t.Parallel()
	bare := []string{`{}`, `{"a":1,"b":[true,null,"ü"]}`, `{"asynq2":{}}`, `{"a":{"asynq":{}}}`, `{"a":"\u003c"}`}
	wrapped := []string{"", " ", "null", "7", `[1]`, `"text"`, `{"a": 1}`, `{"a":"<"}`, `{"a":1e999}`,
		`{"a":1,"a":2}`, `{"asynq":{}}`, `{"asynq":{"base64":"YQ=="}}`, `{"asynq":1,"b":2}`, "{\"a\":\"\xff\"}",
		"\x00\x01\xfe", `{"a":1}x`, strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200),
		"{\"a\":\"\u2028\"}", `{"\u0061synq":{}}`}
	for i, text := range slices.Concat(bare, wrapped) {
		task := Task{Type: "a", ID: "4b0f5c1e-8c3a-4d35-9c53-8a0a4c2f1f10", Payload: []byte(text)}
		j, err := task.Job(time.Now(), time.Time{})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if is := string(j.Payload) == text; is != (i < len(bare)) {
			t.Errorf("%q goes as %q", text, j.Payload)
		}
		if again, err := json.Marshal(json.RawMessage(j.Payload)); err != nil ||
			!bytes.Equal(again, j.Payload) {
			t.Errorf("%q as %q does not stay: %q, %v", text, j.Payload, again, err)
		}
		back, err := Unwrap(j.Payload)
		if err != nil || string(back.Payload) != text {
			t.Errorf("%q comes back as %q, %v", text, back.Payload, err)
		}
	}
	for _, bad := range []string{`{"asynq":5}`, `{"asynq":{"base64":"%"}}`, `{"asynq":{"json":{},"base64":""}}`,
		`{"asynq":{"what":1}}`} {
		if task, err := Unwrap([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", bad, task)
		}
	}
}

// TestJob says what becomes of what a task has, and what can't be taken.
func TestJob(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 0)
	plain := Task{Type: "email:welcome", ID: "4b0f5c1e-8c3a-4d35-9c53-8a0a4c2f1f10", Queue: "default", Retry: 25,
		Payload: []byte(`{}`), Timeout: time.Minute}
	with := func(change func(*Task)) Task {
		task := plain
		change(&task)
		return task
	}
	for name, c := range map[string]struct {
		task  Task
		runAt time.Time
		want  func(*Job)
	}{
		"as it is":   {plain, time.Time{}, func(*Job) {}},
		"later":      {plain, now.Add(time.Hour), func(j *Job) { j.RunAt = now.Add(time.Hour) }},
		"overdue":    {plain, now.Add(-time.Hour), func(*Job) {}},
		"no timeout": {with(func(t *Task) { t.Timeout = 0 }), now, func(j *Job) { j.Timeout = 30 * time.Minute }},
		"deadline": {with(func(t *Task) { t.Deadline = now.Add(time.Hour) }), now, func(j *Job) {
			j.ExpiresIn, j.Payload = time.Hour, []byte(`{"asynq":{"json":{},"deadline":1900003600}}`)
		}},
		"deadline alone": {with(func(t *Task) { t.Timeout, t.Deadline = 0, now.Add(time.Hour) }), now, func(j *Job) {
			j.Timeout, j.ExpiresIn = time.Hour, time.Hour
			j.Payload = []byte(`{"asynq":{"json":{},"deadline":1900003600}}`)
		}},
		"deadline over": {with(func(t *Task) { t.Deadline = now }), now, func(j *Job) {
			j.ExpiresIn, j.Payload = time.Millisecond, []byte(`{"asynq":{"json":{},"deadline":1900000000}}`)
		}},
		"retried": {with(func(t *Task) { t.Retried = 3 }), now, func(j *Job) {
			j.MaxAttempts, j.Payload = 23, []byte(`{"asynq":{"json":{},"retried":3}}`)
		}},
		"retried too often": {with(func(t *Task) { t.Retried = 30 }), now, func(j *Job) {
			j.MaxAttempts, j.Payload = 1, []byte(`{"asynq":{"json":{},"retried":30}}`)
		}},
		"headers": {with(func(t *Task) { t.Headers = map[string]string{"a": "b"} }), now, func(j *Job) {
			j.Payload = []byte(`{"asynq":{"json":{},"headers":{"a":"b"}}}`)
		}},
		"retention": {with(func(t *Task) { t.Retention = time.Hour }), now, func(j *Job) {
			j.Retention, j.UniqueUntil = time.Hour, "removed"
		}},
	} {
		want := Job{Type: plain.Type, Payload: plain.Payload, Timeout: time.Minute, MaxAttempts: 26,
			UniqueUntil: "ended"}
		c.want(&want)
		got, err := c.task.Job(now, c.runAt)
		want.UniqueKey = got.UniqueKey
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for name, task := range map[string]Task{
		"type":      with(func(t *Task) { t.Type = "email welcome" }),
		"no type":   with(func(t *Task) { t.Type = "" }),
		"long type": with(func(t *Task) { t.Type = strings.Repeat("a", 65) }),
		"group":     with(func(t *Task) { t.Group = "g" }),
		"retries":   with(func(t *Task) { t.Retry = 100 }),
		"large":     with(func(t *Task) { t.Payload = make([]byte, MaxPayload+1) }),
		"headers":   with(func(t *Task) { t.Headers = map[string]string{"a": strings.Repeat("b", job.MaxDocument)} }),
		"timeout":   with(func(t *Task) { t.Timeout = 25 * time.Hour }),
		"negative":  with(func(t *Task) { t.Timeout = -time.Second }),
		"no id":     with(func(t *Task) { t.ID = "" }),
		"both":      with(func(t *Task) { t.ID, t.UniqueKey = "order 7", "asynq:{default}:unique:x" }),
	} {
		if j, err := task.Job(now, now); !errors.Is(err, ErrUnfit) {
			t.Errorf("%s: %+v, %v", name, j, err)
		}
	}
	early := with(func(t *Task) { t.Deadline = now.Add(time.Minute) })
	if _, err := early.Job(now, now.Add(time.Hour)); !errors.Is(err, ErrUnfit) {
		t.Errorf("a deadline before the start: %v", err)
	}
}

// TestUniqueKeys holds that ids are told apart by queue and id alone, whatever these hold.
func TestUniqueKeys(t *testing.T) {
	t.Parallel()
	tasks := []Task{{Queue: "a", ID: "b"}, {Queue: "a", ID: "b "}, {Queue: "a b", ID: ""}, {Queue: "", ID: "a b"},
		{Queue: "a", ID: "}{"}, {Queue: "a}", ID: "{"}, {Queue: "a", ID: "0123456789abcdef"},
		{Queue: "a", ID: strings.Repeat("b", 1<<20)}, {Queue: "a", ID: "b", UniqueKey: "c"}}
	keys := map[string]bool{}
	for _, task := range tasks {
		key := task.uniqueKey()
		if keys[key] || len(key) > httpapi.MaxUniqueKey || key != task.uniqueKey() {
			t.Errorf("%.40q has the key %q", task.ID, key)
		}
		keys[key] = true
	}
	if !Drawn("4b0f5c1e-8c3a-4d35-9c53-8a0a4c2f1f10") || Drawn("4b0f5c1e-8c3a-7d35-9c53-8a0a4c2f1f10") || Drawn("order 7") {
		t.Error("ids that asynq draws are told apart wrongly")
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	table := map[string]Target{"low": {Queue: "night"}, "E-Mails!": {Priority: job.High, Queue: "mails"}}
	for name, want := range map[string]Target{"critical": {Priority: job.High}, "default": {}, "low": {Queue: "night"},
		"E-Mails!": {Priority: job.High, Queue: "mails"}, "reports": {Queue: "reports"}} {
		if got, err := TargetOf(name, table); got != want || err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := TargetOf("low", nil); err != nil || got != (Target{Priority: job.Low}) {
		t.Errorf("low: %+v, %v", got, err)
	}
	for _, name := range []string{"", "Reports", "a b", "}{", strings.Repeat("a", 33)} {
		if got, err := TargetOf(name, table); !errors.Is(err, ErrUnfit) {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
}

// FuzzDecode reads messages of strangers: what is taken stays the same through a job and back.
func FuzzDecode(f *testing.F) {
	f.Add(Task{Type: "a:b", ID: "1", Queue: "default", Payload: []byte(`{"a":1}`), Retry: 3}.Encode())
	f.Add(Task{Type: "a:b", ID: "1", Payload: []byte("\xff"), Headers: map[string]string{"a": "b"}, Retried: 2,
		Deadline: time.Unix(2e9, 0), Timeout: time.Hour}.Encode())
	f.Add([]byte{0x7a, 4, 0x0a, 0, 0x12, 0})
	f.Fuzz(func(t *testing.T, message []byte) {
		task, err := Decode(message)
		if err != nil {
			return
		}
		again, err := Decode(task.Encode())
		if diff := cmp.Diff(task, again, cmp.Comparer(bytes.Equal)); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
		j, err := task.Job(time.Unix(19e8, 0), time.Time{})
		if err != nil {
			return
		}
		back, err := Unwrap(j.Payload)
		if err != nil || !bytes.Equal(back.Payload, task.Payload) ||
			!maps.Equal(back.Headers, task.Headers) || back.Retried != task.Retried ||
			!back.Deadline.Equal(task.Deadline) || len(j.Payload) > job.MaxDocument {
			t.Fatalf("%+v came back as %+v, %v", task, back, err)
		}
	})
}
