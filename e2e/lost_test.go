//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// digested submits a file and waits until its job has ended.
func digested(t *testing.T, c *client.Client, text string) job.ID {
	t.Helper()
	snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.checksum"}, strings.NewReader(text),
		int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	if snap = wait(t, c, snap.ID); snap.State != job.Succeeded {
		t.Fatalf("job ended as %+v", snap)
	}
	return snap.ID
}

// wantReset holds that a job is answered store_reset on every way, and by no way 404.
func wantReset(t *testing.T, in *installation, url string, id job.ID) {
	t.Helper()
	path := url + httpapi.JobPath(id)
	for _, ask := range [][2]string{{"GET", path}, {"GET", path + "?wait=20s"}, {"GET", path + "/events"},
		{"GET", path + "/result"}, {"GET", path + "/logs"}, {"GET", path + "/timeline"}, {"DELETE", path},
		{"POST", path + "/cancel"}, {"POST", path + "/retry"}} {
		r := request(t, ask[0], ask[1], nil)
		r.problem(t, 503, httpapi.StoreReset)
		if s, err := strconv.Atoi(r.Header.Get("Retry-After")); err != nil || s < 60 || s > 75 {
			t.Errorf("%s: Retry-After %q", ask[1], r.Header.Get("Retry-After"))
		}
	}
	many := request(t, "GET", url+httpapi.PathJobs+"?id="+string(id)+".0&wait=20s", nil)
	var list httpapi.JobList
	if err := json.Unmarshal(many.body, &list); err != nil ||
		!slices.Equal(list.Missing, []job.ID{id}) || !slices.Equal(list.StoreReset, []job.ID{id}) {
		t.Errorf("a long-poll for many: %s %s", many.Status, many.body)
	}
	if events := request(t, "GET", url+"/v1/events?id="+string(id)+".0", nil); !strings.Contains(string(events.body),
		"event: missing") || !strings.Contains(string(events.body), `"code":"store_reset"`) {
		t.Errorf("events of many: %s", events.body)
	}
	if m := firstMessage(t, url, id); !strings.Contains(m, `"code":"store_reset"`) {
		t.Errorf("a socket says %s", m)
	}
	for _, args := range [][]string{{"get", string(id)}, {"wait", string(id)}, {"watch", string(id)}} {
		for name, env := range map[string][]string{"by web": {"LONGSHORE_URL=" + url}, "by redis": in.env} {
			code, _, said := call(t, "", env, "enqueue", args...)
			if code != 69 || !strings.Contains(said, "store_reset") {
				t.Errorf("enqueue %v %s: exit code %d, %s", args, name, code, said)
			}
		}
	}
	if ready := request(t, "GET", url+httpapi.PathReady, nil); ready.StatusCode != 200 ||
		!strings.Contains(string(ready.body), `"store_reset"`) {
		t.Errorf("readyz: %s %s", ready.Status, ready.body)
	}
}

// firstMessage is what a socket that subscribes to a job is told.
func firstMessage(t *testing.T, url string, id job.ID) string {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url+httpapi.PathSocket, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	ask := `{"type":"subscribe","jobs":[{"id":"` + string(id) + `","after":0}]}`
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(ask)); err != nil {
		t.Fatal(err)
	}
	_, m, err := conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(m)
}

// wantDoctor holds what the doctor says of the data, with the server alone and from within.
func wantDoctor(t *testing.T, in *installation, url string, lost bool) {
	t.Helper()
	for name, env := range map[string][]string{"by web": {"LONGSHORE_URL=" + url}, "by redis": in.env} {
		_, said, _ := call(t, "", env, "enqueue", "doctor")
		if strings.Contains(said, "--accept-loss") != lost {
			t.Errorf("doctor %s, with a loss %v: %s", name, lost, said)
		}
	}
}

// lives waits until the blob that outlives Redis is there.
func (in *installation) lives(t *testing.T) string {
	t.Helper()
	name := filepath.Join(in.blobs, "jobs", "other", "installation", "life")
	var text []byte
	eventually(t, "the installation is kept among the blobs", func() bool {
		text, _ = os.ReadFile(name)
		return len(text) > 0
	})
	return string(text)
}

// accept says that a loss is accepted, and holds that the job is then not there.
func (in *installation) accept(t *testing.T, url string, id job.ID) {
	t.Helper()
	if code, out, said := call(t, "", in.env, "enqueue", "doctor", "--accept-loss"); code != 0 ||
		!strings.Contains(out+said, "accepted") {
		t.Fatalf("accept: exit code %d, %s%s", code, out, said)
	}
	request(t, "GET", url+httpapi.JobPath(id), nil).problem(t, 404, httpapi.NotFound)
	if ready := request(t, "GET", url+httpapi.PathReady, nil); !strings.Contains(string(ready.body), `"ok"`) {
		t.Errorf("readyz: %s", ready.body)
	}
	wantDoctor(t, in, url, false)
}

// TestRedisLost empties Redis: what was acknowledged is store_reset and never 404, for processes that were
// there and for those that come, until the loss is accepted. New jobs work meanwhile.
func TestRedisLost(t *testing.T) {
	t.Parallel()
	in := install(t)
	web, url := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	lost := digested(t, c, "some text")
	kept := in.lives(t)
	wantDoctor(t, in, url, false)
	running := submit(t, c, burner)
	poll(t, c, running.ID, "runs", runs)
	told := make(chan error, 1)
	go func() { // a waiter ends with it, and says so
		_, err := c.Wait(t.Context(), running.ID)
		told <- err
	}()
	if err := in.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server is ready again", func() bool {
		r := request(t, "GET", url+httpapi.JobPath(lost), nil)
		if r.StatusCode == 404 {
			t.Fatal("an acknowledged job is 404")
		}
		return request(t, "GET", url+httpapi.PathReady, nil).StatusCode == 200
	})
	for _, p := range []*process{web, worker} {
		eventually(t, "the loss is noticed", func() bool { return len(p.said(lostData)) == 1 })
	}
	if err := <-told; err == nil || !strings.Contains(err.Error(), "store_reset") {
		t.Errorf("a waiter was told %v", err)
	}
	wantReset(t, in, url, lost)
	wantDoctor(t, in, url, true)
	late, lateURL := in.web(t) // knows only what is kept
	eventually(t, "the loss is noticed", func() bool { return len(late.said(lostData)) == 1 })
	wantReset(t, in, lateURL, lost)
	fresh := digested(t, c, "some other text")
	if files := in.files(t); len(files) != 4 { // two inputs, and what is partly there of none
		t.Logf("files: %v", files)
	}
	if now := in.lives(t); !strings.Contains(now, epochOf(t, kept)) {
		t.Errorf("the evidence was overwritten: %s, was %s", now, kept)
	}
	request(t, "GET", url+httpapi.JobPath(job.ID("01890a5d-ac96-774b-bcce-b302099a8057")), nil).
		problem(t, 503, httpapi.StoreReset) // nobody can know

	in.accept(t, url, lost)
	if now := in.lives(t); strings.Contains(now, epochOf(t, kept)) {
		t.Errorf("the old epoch is kept: %s", now)
	}
	if snap, err := c.Get(t.Context(), fresh); err != nil || !snap.Done {
		t.Errorf("a job from after the loss: %+v, %v", snap, err)
	}
	eventually(t, "its end is told", func() bool { return len(web.said("whole again")) == 1 })
	if code, _, said := call(t, "", in.env, "enqueue", "doctor", "--accept-loss"); code != 0 ||
		!strings.Contains(said, "nothing to accept") {
		t.Errorf("once more: %d, %s", code, said)
	}
}

func epochOf(t *testing.T, life string) string {
	t.Helper()
	var kept struct{ Epoch string }
	if err := json.Unmarshal([]byte(life), &kept); err != nil || kept.Epoch == "" {
		t.Fatalf("%q is kept: %v", life, err)
	}
	return kept.Epoch
}

// TestRedisOlder gives Redis the data of a while ago: what is lost by that is store_reset, what is there is
// there, and with the right data all is as it was.
func TestRedisOlder(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	in := installOn(t, localredis.Options{DataDir: data})
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	syncAlways(t, in)
	before := digested(t, c, "before")
	older, right := t.TempDir(), t.TempDir()
	if err := in.redis.Pause(); err != nil {
		t.Fatal(err)
	}
	copyData(t, data, older)
	if err := in.redis.Resume(); err != nil {
		t.Fatal(err)
	}
	after := digested(t, c, "after")
	mark := func() int {
		n, _ := redistest.ClientOf(t, in.redis.URL()).HGet(context.Background(), "longshore:meta", "mark").Int()
		return n
	}
	begun := mark()
	eventually(t, "the mark rises twice", func() bool { return mark() >= begun+3 })
	swap := func(from, save string) {
		t.Helper()
		if err := in.redis.Kill(); err != nil {
			t.Fatal(err)
		}
		if save != "" {
			copyData(t, data, save)
		}
		if err := os.RemoveAll(filepath.Join(data, "appendonlydir")); err != nil {
			t.Fatal(err)
		}
		copyData(t, from, data)
		if err := in.redis.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the server is ready again", func() bool {
			return request(t, "GET", url+httpapi.PathReady, nil).StatusCode == 200
		})
	}
	swap(older, right)
	wantReset(t, in, url, after)
	wantDoctor(t, in, url, true)
	if snap, err := c.Get(t.Context(), before); err != nil || !snap.Done {
		t.Errorf("what is in the older data: %+v, %v", snap, err)
	}
	swap(right, "") // the operator has found the right ones
	if snap, err := c.Get(t.Context(), after); err != nil || !snap.Done {
		t.Errorf("with the right data: %+v, %v", snap, err)
	}
	wantDoctor(t, in, url, false)
	swap(older, "")
	wantReset(t, in, url, after)
	in.accept(t, url, after)
	if snap, err := c.Get(t.Context(), before); err != nil || !snap.Done {
		t.Errorf("what is in the older data, once accepted: %+v, %v", snap, err)
	}
}

func copyData(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(to, "appendonlydir"), os.DirFS(filepath.Join(from, "appendonlydir"))); err != nil {
		t.Fatal(err)
	}
}
