//go:build linux

package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
	"longshore/internal/tooltest"
	"longshore/job"
)

// told are the messages of alerts that a sink got, by their ids: a message that comes again counts once.
type told struct {
	mu   sync.Mutex
	byID map[string]string // id → "<state> <alert>"
	n    int               // with those that came again
}

// hears collects what a sink gets, and holds that it is signed.
func hears(t *testing.T, s *sink) *told {
	t.Helper()
	all := &told{byID: map[string]string{}}
	go func() {
		for {
			select {
			case <-t.Context().Done():
				return
			case d := <-s.got:
				all.take(t, d)
			}
		}
	}()
	return all
}

func (a *told) take(t *testing.T, d delivery) {
	var m client.AlertMessage
	if err := json.Unmarshal(d.body, &m); err != nil || m.Since.IsZero() || m.Summary == "" ||
		m.WhatToDo == "" {
		t.Errorf("message %s: %v", d.body, err)
	}
	id := d.header.Get("Webhook-Id")
	secret, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(newSecret, "whsec_"))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + d.header.Get("Webhook-Timestamp") + "." + string(d.body)))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); id == "" ||
		!strings.Contains(d.header.Get("Webhook-Signature"), want) {
		t.Errorf("signature %q of %s, want %s", d.header.Get("Webhook-Signature"), id, want)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	a.byID[id] = m.State + " " + m.Alert
}

// count is how many messages say something, and how many came in all.
func (a *told) count(what string) (n, all int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, is := range a.byID {
		if is == what {
			n++
		}
	}
	return n, a.n
}

// texts are the lines that a channel of Slack got.
type texts struct {
	mu  sync.Mutex
	all []string
}

func (s *texts) count(begin string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.all {
		if strings.HasPrefix(text, begin) {
			n++
		}
	}
	return n
}

func hearsSlack(t *testing.T, s *sink) *texts {
	t.Helper()
	all := &texts{}
	go func() {
		for {
			select {
			case <-t.Context().Done():
				return
			case d := <-s.got:
				var m map[string]string
				if err := json.Unmarshal(d.body, &m); err != nil || len(m) != 1 || m["text"] == "" ||
					d.header.Get("Webhook-Signature") != "" {
					t.Errorf("slack got %s, %v", d.body, d.header)
				}
				all.mu.Lock()
				all.all = append(all.all, m["text"])
				all.mu.Unlock()
			}
		}
	}()
	return all
}

// TestAlerts has a type that nobody serves, then a worker for it. Meanwhile all programs are killed,
// Redis too, and the first message is cut off while it is received: each receiver is told once that it
// fires and once that it is over, by ids that tell what comes again.
func TestAlerts(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{})
	hook := newSink(t, func(n int, _ http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			close(held)
			<-hold
		}
	})
	channel := newSink(t, taken)
	in := installOn(t, localredis.Options{DataDir: t.TempDir()}, signing, allowing, "ALERT_AGE=1s",
		"ALERT_URLS="+hook.URL+"/hook?token=hunter2, slack+"+channel.URL+"/services/hunter3")
	syncAlways(t, in)
	heard, lines := hears(t, hook), hearsSlack(t, channel)
	worker := in.worker(t)
	web, url := in.web(t)
	c := clientOf(t, url)
	served(t, url, "math.primes")
	worker.signal(syscall.SIGTERM)
	worker.end(t, time.Minute)
	id := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 1000}}).ID

	const name = "unserved:math.primes"
	<-held // the first message is on its way, and its end unknown
	web.signal(syscall.SIGKILL)
	close(hold)
	<-web.done
	if err := in.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := in.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	syncAlways(t, in)
	logs := []*process{worker, web}
	web, url = in.web(t)
	eventually(t, "all are told that nobody serves the type", func() bool {
		n, _ := heard.count("firing " + name)
		age, _ := heard.count("firing age:cpu-default")
		return n == 1 && age == 1 && lines.count("[firing] "+name) == 1
	})
	alertsShow(t, url, name)

	logs = append(logs, web)
	web.signal(syscall.SIGKILL)
	<-web.done
	web, url = in.web(t)
	c = clientOf(t, url)
	worker = in.worker(t)
	if snap := wait(t, c, id); snap.State != job.Succeeded {
		t.Fatalf("%+v", snap)
	}
	eventually(t, "all are told that it is over", func() bool {
		n, _ := heard.count("resolved " + name)
		age, _ := heard.count("resolved age:cpu-default")
		return n == 1 && age == 1 && lines.count("[resolved] "+name) == 1
	})
	alertsTested(t, in, url)
	for _, what := range []string{"firing " + name, "resolved " + name, "firing age:cpu-default",
		"resolved age:cpu-default", "test test"} {
		if n, all := heard.count(what); n != 1 || all < 6 {
			t.Errorf("%q was told %d times, %d messages in all: %v", what, n, all, heard.byID)
		}
	}
	for _, begin := range []string{"[firing] " + name, "[resolved] " + name, "[test]"} {
		if n := lines.count(begin); n != 1 {
			t.Errorf("%q was told %d times", begin, n)
		}
	}
	fields, err := redistest.ClientOf(t, in.redis.URL()).HGetAll(t.Context(), "longshore:alerts").Result()
	if err != nil || len(fields) == 0 {
		t.Fatal(fields, err)
	}
	kept, _ := json.Marshal(fields)
	holdsNoSecret(t, "redis", string(kept))
	for _, p := range append(logs, web, worker) {
		holdsNoSecret(t, "log", p.tail(1_000_000))
	}
}

// alertsShow asks in every way for what fires.
func alertsShow(t *testing.T, url, name string) {
	t.Helper()
	body := string(request(t, "GET", url+httpapi.PathAlerts, nil).body)
	_, listed, _ := call(t, "", []string{"LONGSHORE_URL=" + url}, "enqueue", "alerts", "ls")
	_, doctor, _ := call(t, "", []string{"LONGSHORE_URL=" + url}, "enqueue", "doctor")
	for from, text := range map[string]string{"GET": body, "ls": listed, "doctor": doctor} {
		if !strings.Contains(text, name) ||
			!strings.Contains(text, "start a worker that has type math.primes") {
			t.Errorf("%s tells %s", from, text)
		}
		holdsNoSecret(t, from, text)
	}
	var list client.AlertList
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Receivers) != 2 ||
		list.LookedAt == nil ||
		list.Receivers[0].Kind != "slack" || list.Receivers[1].LastStatus != http.StatusOK ||
		list.Receivers[1].Sent < 2 {
		t.Errorf("%v: %+v", err, list)
	}
}

// alertsTested sends a test, and sees what is over.
func alertsTested(t *testing.T, in *installation, url string) {
	t.Helper()
	env := []string{"LONGSHORE_URL=" + url}
	code, tested, stderr := call(t, "", env, "enqueue", "alerts", "test")
	if code != 0 || strings.Count(tested, "delivered") != 2 {
		t.Errorf("test exits with %d: %s%s", code, tested, stderr)
	}
	code, listed, stderr := call(t, "", env, "enqueue", "alerts", "ls")
	if code != 0 || !strings.Contains(listed, "resolved") {
		t.Errorf("ls exits with %d: %s%s", code, listed, stderr)
	}
	_, within, _ := call(t, "", in.env, "enqueue", "doctor")
	holdsNoSecret(t, "enqueue", tested+listed+stderr+within)
}

func holdsNoSecret(t *testing.T, where, text string) {
	t.Helper()
	if strings.Contains(text, "hunter") || strings.Contains(text, "whsec_") {
		t.Errorf("%s tells a secret: %s", where, text)
	}
}

// failsBadly is a function whose error is markup, and steers terminals.
const failsBadly = `printf '<img src=x onerror=alert(1)> & \033]0;owned\007 <!channel>\n' >&2
exit 1
`

// TestAlertKinds has jobs and a schedule fail, a worker die, and Redis fill up: an alert of each is told.
// What the jobs wrote is text everywhere.
func TestAlertKinds(t *testing.T) {
	t.Parallel()
	chromium := tooltest.Path(t, "chromium")
	hook, channel := newSink(t, taken), newSink(t, taken)
	heard, lines := hears(t, hook), hearsSlack(t, channel)
	in := install(t, signing, allowing, "ALERT_URLS="+hook.URL+",slack+"+channel.URL+"/services/hunter3")
	folder := t.TempDir()
	if code, _, stderr := call(t, "", []string{"FUNCTIONS_DIR=" + folder}, "enqueue", "functions", "init",
		"sh", "bad.job"); code != 0 {
		t.Fatal(code, stderr)
	}
	for name, text := range map[string]string{"main.sh": failsBadly, "function.json": `{"doc":"It fails.",
		"payload":{"type":"object"},"input":"none","max_attempts":1,"timeout":"90s"}`} {
		if err := os.WriteFile(filepath.Join(folder, "bad.job", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, url := in.web(t)
	worker := in.worker(t, "FUNCTIONS_DIR="+folder)
	served(t, url, "bad.job")
	c := clientOf(t, url)
	if _, err := c.PutSchedule(t.Context(), "nightly",
		client.ScheduleSpec{Every: "20s", Type: "bad.job"}); err != nil {
		t.Fatal(err)
	}
	failed := wait(t, c, submit(t, c, client.Submission{Type: "bad.job"}).ID)
	if failed.State != job.Failed || !strings.Contains(failed.Error.Message, "<img") {
		t.Fatalf("%+v", failed)
	}
	groups, err := c.Failures(t.Context(), client.JobFilter{})
	if err != nil || len(groups.Groups) != 1 {
		t.Fatal(groups, err)
	}
	name := "failures:" + groups.Groups[0].Group
	firing := func(name string) (m client.AlertMessage) {
		list, err := c.Alerts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.Firing {
			if m.Alert == name {
				return m
			}
		}
		return m
	}
	eventually(t, "failures are told, and counted", func() bool {
		n, _ := heard.count("firing " + name)
		return n == 1 && lines.count("[firing] "+name) == 1 && firing(name).Count >= 2
	})
	var end struct{ Trouble []string }
	script(t, tsFolder(t), nil, &end, "alerts.mjs", chromium, url, "<img src=x onerror=alert(")
	if len(end.Trouble) > 0 {
		t.Error(end.Trouble)
	}
	code, listed, _ := call(t, "", []string{"LONGSHORE_URL=" + url}, "enqueue", "alerts", "ls")
	if code != 0 || !strings.Contains(listed, "<img") || strings.ContainsAny(listed, "\x1b\x07") {
		t.Errorf("ls: %d %q", code, listed)
	}
	lines.mu.Lock()
	if text := strings.Join(lines.all, "\n"); !strings.Contains(text, "&lt;img") ||
		strings.ContainsAny(text, "<>\x1b\x07") {
		t.Errorf("slack got %q", text)
	}
	lines.mu.Unlock()

	eventually(t, "the schedule's last job failed", func() bool { // with no worker it would be open
		n, _ := heard.count("firing schedule:nightly")
		return n == 1
	})
	worker.signal(syscall.SIGKILL)
	eventually(t, "a worker is lost", func() bool {
		n, _ := heard.count("firing worker-lost")
		return n == 1
	})
	rdb := redistest.ClientOf(t, in.redis.URL())
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a full store is told", func() bool {
		n, _ := heard.count("firing store-full")
		return n == 1
	})
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store has room again", func() bool {
		n, _ := heard.count("resolved store-full")
		return n == 1
	})
}
