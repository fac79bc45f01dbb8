//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
)

// Of the function that the tests of secrets use: it says too much of what it was given.
const (
	secretManifest = `{"input":"none","payload":{"type":"object","properties":{
  "user":{"type":"string"},"password":{"type":"string","writeOnly":true},"fail":{"type":"boolean"},
  "hosts":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},
    "pin":{"type":"integer","writeOnly":true}}}}}}}`
	secretProgram = `#!/usr/bin/env python3
import hashlib, json, os, sys
with open(os.environ["LONGSHORE_PAYLOAD"]) as f: given = json.load(f)
print("got", given["password"], given["hosts"][0]["pin"], file=sys.stderr)
if given.get("fail"): sys.exit("no entry with " + given["password"])
whole = given["password"] + str(given["hosts"][0]["pin"])
print(json.dumps({"user": given["user"], "digest": hashlib.sha256(whole.encode()).hexdigest()}))
`
	plantedPassword, plantedPin = `planted-"Pa$$w0rd"-7f3a`, "918273645"
)

// secretsKeptIn is an installation whose Redis keeps all that it is told as it is: uncompressed.
func secretsKeptIn(t *testing.T) (in *installation, folder string) {
	t.Helper()
	folder = t.TempDir()
	in = installOn(t, localredis.Options{DataDir: folder, Args: []string{"--rdbcompression", "no",
		"--aof-use-rdb-preamble", "no"}}, "LONGSHORE_TOKEN="+webToken)
	functions := filepath.Join(t.TempDir(), "functions", "secret.use")
	if err := os.MkdirAll(functions, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"function.json": secretManifest, "main.py": secretProgram} {
		if err := os.WriteFile(filepath.Join(functions, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	in.env = append(in.env, "FUNCTIONS_DIR="+filepath.Dir(functions))
	return in, folder
}

// TestSecretFields plants secret values in a payload and looks for them in Redis' dump and its AOF, in all
// logs, in each answer of the API and of the command line, which the dashboard's pages are made of. The
// function gets them all the same, a retry too.
func TestSecretFields(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
	const secret = "ACCESS_SECRET=a-secret-for-tests-of-32-characters"
	in, folder := secretsKeptIn(t)
	web, url := in.web(t, secret)
	none, without := in.web(t)
	worker := in.worker(t, secret)
	for _, url := range []string{url, without} {
		servedAt(t, url, "secret.use")
	}
	payload := func(extra string) string {
		text, err := json.Marshal(plantedPassword)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"user":"plain-value-ada","password":%s,"hosts":[{"name":"a","pin":%s}]%s}`, text,
			plantedPin, extra)
	}
	post := func(url, path, body string, headers ...string) reply {
		if len(headers) == 0 || !strings.HasPrefix(headers[0], "Prefer") {
			headers = append(headers, "Prefer: wait=20")
		}
		return request(t, "POST", url+path, strings.NewReader(body), append(headers,
			"Content-Type: application/json", "Authorization: Bearer "+webToken)...)
	}
	get := func(path string) string {
		return string(request(t, "GET", url+path, nil, "Authorization: Bearer "+webToken).body)
	}
	submit := func(extra string, headers ...string) secretJob {
		t.Helper()
		return jobIn(t, post(url, "/v1/jobs", `{"type":"secret.use","payload":`+payload(extra)+`}`, headers...))
	}
	if r := post(without, "/v1/jobs/secret.use", payload("")); r.StatusCode != 422 ||
		!strings.Contains(string(r.body), "ACCESS_SECRET") || strings.Contains(string(r.body), "planted") {
		t.Errorf("without ACCESS_SECRET: %d %s", r.StatusCode, r.body)
	}
	one := submit("", "Idempotency-Key: k")
	if one.State != "succeeded" || len(one.Result.Digest) != 64 {
		t.Fatalf("%+v", one)
	}
	if again := submit("", "Idempotency-Key: k"); again.ID != one.ID {
		t.Errorf("a repeat is job %s, not %s", again.ID, one.ID)
	}
	other := strings.Replace(payload(""), plantedPin, "918273646", 1)
	if r := post(url, "/v1/jobs", `{"type":"secret.use","payload":`+other+`}`, "Idempotency-Key: k"); r.StatusCode != 422 {
		t.Errorf("another secret under the key: %d %s", r.StatusCode, r.body)
	}
	want := `{"hosts":[{"name":"a","pin":"•••"}],"password":"•••","user":"plain-value-ada"}`
	if got := get("/v1/jobs/" + one.ID + "/payload"); !strings.Contains(got, want) {
		t.Errorf("payload: %s", got)
	}
	for _, body := range []string{`{}`, `{"set":{"user":"eve"}}`, `{"payload":` + want + `}`} {
		r := jobIn(t, post(url, "/v1/jobs/"+one.ID+"/retry?again=true", body))
		r = jobIn(t, request(t, "GET", url+"/v1/jobs/"+r.ID+"?wait=20s", nil, "Authorization: Bearer "+webToken))
		if r.Result.Digest != one.Result.Digest {
			t.Errorf("retried with %s: %+v", body, r)
		}
	}
	failed := submit(`,"fail":true`, "Longshore-Max-Attempts: 1")
	code, _, stderr := call(t, "", append(in.env, secret), "enqueue", "submit", "secret.use", "--payload", payload(""),
		"--wait")
	if code != 0 {
		t.Errorf("the command line at Redis: %d %s", code, stderr)
	}
	batch := post(url, "/v1/jobs/batch", `{"type":"secret.use","payload":`+payload("")+"}\n",
		"Content-Type: application/x-ndjson")

	texts := map[string]string{"batch": string(batch.body), "web's log": web.tail(1e6),
		"worker's log": worker.tail(1e6), "the other web's log": none.tail(1e6)}
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal([]byte(get("/openapi.json")), &doc); err != nil || len(doc.Paths) < 20 {
		t.Fatal(err, len(doc.Paths))
	}
	for _, id := range []string{one.ID, failed.ID} {
		for path, methods := range doc.Paths {
			path = strings.ReplaceAll(path, "{id}", id)
			if _, is := methods["get"]; is && !strings.Contains(path, "{") && !strings.HasSuffix(path, "/socket") {
				texts["GET "+path] = get(path)
			}
		}
		for _, args := range [][]string{{"get", id}, {"logs", id}, {"timeline", id}, {"ls"}, {"failures"}} {
			_, stdout, stderr := call(t, "", append(in.env, secret), "enqueue", args...)
			texts["enqueue "+strings.Join(args, " ")] = stdout + stderr
		}
	}
	if !strings.Contains(texts["GET /v1/jobs/"+failed.ID], "no entry with •••") ||
		!strings.Contains(texts["GET /v1/jobs/"+one.ID+"/logs"], "got ••• •••") {
		t.Errorf("what the function says: %s %s", texts["GET /v1/jobs/"+failed.ID], texts["GET /v1/jobs/"+one.ID+"/logs"])
	}
	redisKeeps(t, in, folder, texts)
	for what, text := range texts {
		for _, planted := range []string{plantedPassword, "planted-", "7f3a", plantedPin} {
			if strings.Contains(text, planted) {
				t.Errorf("%s has %s", what, planted)
			}
		}
	}
	if !strings.Contains(texts["redis"], "plain-value-ada") {
		t.Error("what Redis keeps isn't what was looked through")
	}
	keysGo(t, in, worker, url, secret, one.Result.Digest, func() secretJob { return submit("", "Prefer: wait=0") })
}

// keysGo changes ACCESS_SECRET: with the old one as second jobs run on, without it they fail for good.
func keysGo(t *testing.T, in *installation, worker *process, url, secret, digest string,
	submit func() secretJob) {
	t.Helper()
	stop := func(p *process) {
		p.signal(syscall.SIGTERM)
		p.end(t, 30*time.Second)
	}
	wait := func(id string) secretJob {
		return jobIn(t, request(t, "GET", url+"/v1/jobs/"+id+"?wait=20s", nil, "Authorization: Bearer "+webToken))
	}
	newer := "ACCESS_SECRET=another-secret-of-32-characters-here"
	stop(worker)
	first := submit()
	worker = in.worker(t, newer+","+strings.TrimPrefix(secret, "ACCESS_SECRET="))
	if got := wait(first.ID); got.Result.Digest != digest {
		t.Errorf("with the old key as second: %+v", got)
	}
	stop(worker)
	second := submit()
	in.worker(t, newer)
	if got := wait(second.ID); got.State != "failed" || got.Error.Code != "secret_unreadable" {
		t.Errorf("without the key: %+v", got)
	}
}

// redisKeeps adds what Redis has on disk, as dump and as AOF.
func redisKeeps(t *testing.T, in *installation, folder string, texts map[string]string) {
	t.Helper()
	client := redistest.ClientOf(t, in.redis.URL())
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	kinds := map[string]bool{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		kinds[filepath.Ext(path)] = len(text) > 0
		all.Write(text)
		return err
	})
	if err != nil || !kinds[".rdb"] || !kinds[".aof"] {
		t.Fatal(err, kinds)
	}
	texts["redis"] = all.String()
}

// A secretJob is a job as these tests look at it.
type secretJob struct {
	ID, State string
	Result    struct{ Digest string }
	Error     struct{ Code string }
}

func jobIn(t *testing.T, r reply) (j secretJob) {
	t.Helper()
	if err := json.Unmarshal(r.body, &j); err != nil || j.ID == "" {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	return j
}

// servedAt waits until a closed installation knows a type.
func servedAt(t *testing.T, url, typ string) {
	t.Helper()
	eventually(t, typ+" is served", func() bool {
		r, err := tryRequest(t, "GET", url+"/v1/types", nil, "Authorization: Bearer "+webToken)
		return err == nil && strings.Contains(string(r.body), `"type":"`+typ+`"`)
	})
}
