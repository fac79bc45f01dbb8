//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// moved is an installation beside another one: another Redis, another folder.
func moved(t *testing.T, redisURL string) *installation {
	t.Helper()
	in := install(t)
	if redisURL != "" {
		in.env = append(in.env, "REDIS_URL="+redisURL)
	}
	return in
}

// backup writes a backup, which must succeed.
func (in *installation) backup(t *testing.T, dir string, args ...string) {
	t.Helper()
	if code, out, msg := call(t, "", in.env, "enqueue", append([]string{"backup", dir}, args...)...); code != 0 {
		t.Fatalf("backup: %d %s %s", code, out, msg)
	}
}

// restore tries to restore one.
func (in *installation) restore(t *testing.T, dir string) (code int, msg string) {
	t.Helper()
	code, _, msg = call(t, "", in.env, "enqueue", "restore", dir)
	return code, msg
}

// TestBackupUnderLoad backs an installation up while jobs come and run, and restores it into a Cluster:
// each job that was acknowledged before, and was still open behind it, is there once, with its file, and
// comes to its end there.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	c := clientOf(t, url)
	var ids []job.ID
	for i := range 40 {
		text := fmt.Sprint("file ", i)
		snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.checksum"}, strings.NewReader(text), int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, snap.ID)
	}
	first := submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 100}})
	ids = append(ids, first.ID,
		submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 100}, After: []job.ID{first.ID}}).ID,
		submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 100},
			Labels: job.Labels{"team": "a"}, IdempotencyKey: "once"}).ID)
	ids = append(ids, submitMany(t, c, 2000, func(i int) (client.Submission, string) {
		return client.Submission{Type: "math.primes", Payload: map[string]int{"n": 1_000_000 + i}}, ""
	})...)
	in.worker(t)
	l := load(t, url)
	l.grown(50)
	dir := filepath.Join(t.TempDir(), "backup")
	in.backup(t, dir)
	var open []job.ID // still
	for _, id := range ids {
		if snap, err := c.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		} else if !snap.Done {
			open = append(open, id)
		}
	}
	l.judge(l.stop())
	if len(open) == 0 {
		t.Fatal("invalid run: no job was open behind the backup")
	}
	lines := linesOf(t, dir)
	for _, id := range open {
		if lines[id] != 1 {
			t.Errorf("%s is in the backup %d times", id, lines[id])
		}
	}

	to := moved(t, redistest.NewCluster(t).URL)
	if code, msg := to.restore(t, dir); code != 0 {
		t.Fatalf("restore: %d %s", code, msg)
	}
	_, there := to.web(t)
	to.worker(t)
	theirs := clientOf(t, there)
	for id := range lines {
		if snap := wait(t, theirs, id); snap.State != job.Succeeded {
			t.Errorf("%s ended as %s: %+v", id, snap.State, snap.Error)
		}
	}
	for kind, n := range listed(t, theirs) {
		if n != lines[kind] {
			t.Errorf("%s is listed %d times", kind, n)
		}
	}
	if code, msg := to.restore(t, dir); code != 1 || !strings.Contains(msg, "restored here before") {
		t.Errorf("a second time: %d %s", code, msg)
	}
}

// listed is how often each job stands in the list of all.
func listed(t *testing.T, c *client.Client) map[job.ID]int {
	t.Helper()
	n := map[job.ID]int{}
	for cursor := ""; ; {
		page, err := c.ListPage(t.Context(), client.Filter{}, 200, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, snap := range page.Jobs {
			n[snap.ID]++
		}
		if cursor = page.Next; cursor == "" {
			return n
		}
	}
}

// linesOf is how often each job stands in a backup.
func linesOf(t *testing.T, dir string) map[job.ID]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "jobs.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	n := map[job.ID]int{}
	for line := range strings.Lines(string(text)) {
		var one struct{ ID job.ID }
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		n[one.ID]++
	}
	return n
}

// TestRestoreKilled kills a restore in its midst: no program opens what there is of it, and run again it
// goes on.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	c := clientOf(t, url)
	const n = 20_000
	ids := submitMany(t, c, n, func(i int) (client.Submission, string) {
		return client.Submission{Type: "math.primes", Payload: map[string]int{"n": 10 + i%90}}, ""
	})
	dir := filepath.Join(t.TempDir(), "backup")
	in.backup(t, dir)
	to := moved(t, "")
	rdb := redistest.ClientOf(t, to.redis.URL())
	restore := startProgram(t, "", to.env, "enqueue", "restore", dir)
	eventually(t, "some jobs are made", func() bool {
		made, _ := rdb.Get(t.Context(), "longshore:{0}:restore").Int()
		return made > 0
	})
	restore.cmd.Process.Signal(syscall.SIGKILL)
	<-restore.done
	made := rdb.XLen(t.Context(), streamOf(t, to)).Val()
	if made == 0 || made == n {
		t.Fatalf("invalid run: %d jobs were made when it was killed", made)
	}
	if web := to.start(t, "web"); web.end(t, time.Minute) == 0 || len(web.said("a backup is being restored")) == 0 {
		t.Errorf("a program opens half of a backup: %s", web.tail(5))
	}
	if code, msg := to.restore(t, dir); code != 0 || !strings.Contains(msg, "goes on") {
		t.Fatalf("again: %d %s", code, msg)
	}
	_, there := to.web(t)
	to.worker(t)
	theirs := clientOf(t, there)
	for _, id := range ids {
		if snap := wait(t, theirs, id); snap.State != job.Succeeded || snap.Attempt != 1 {
			t.Fatalf("%s: %+v", id, snap)
		}
	}
	if all := rdb.XLen(t.Context(), streamOf(t, to)).Val(); all != n {
		t.Errorf("%d jobs instead of %d", all, n)
	}
}

// streamOf is the key of the one stream of all jobs.
func streamOf(t *testing.T, in *installation) string {
	t.Helper()
	keys, err := redistest.ClientOf(t, in.redis.URL()).Keys(t.Context(), "longshore:{0}:all:*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%q, %v", keys, err)
	}
	return keys[0]
}

// TestBackupBadInput refuses what is no backup, and what is no place for one.
func TestBackupBadInput(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	c := clientOf(t, url)
	submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 100}})
	dir := filepath.Join(t.TempDir(), "backup")
	in.backup(t, dir)
	for _, name := range []string{"", "jobs.ndjson", "manifest.json"} {
		if is, err := os.Stat(filepath.Join(dir, name)); err != nil || is.Mode().Perm()&0o077 != 0 {
			t.Errorf("%q may be read by others: %v, %v", name, is.Mode(), err)
		}
	}
	if code, _, msg := call(t, "", in.env, "enqueue", "backup", dir); code != 1 || !strings.Contains(msg, "not empty") {
		t.Errorf("into a folder with something: %d %s", code, msg)
	}
	if code, _, msg := call(t, "", in.env, "enqueue", "backup", dir+"2", "--inputs", "maybe"); code != 2 {
		t.Errorf("a wrong flag: %d %s", code, msg)
	}
	to := moved(t, "")
	refused := func(what, said string, in *installation, change func(dir string)) {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		change(copied)
		if code, msg := in.restore(t, copied); code == 0 || !strings.Contains(msg, said) {
			t.Errorf("%s: %d %s", what, code, msg)
		}
		if keys := redistest.ClientOf(t, to.redis.URL()).DBSize(t.Context()).Val(); keys != 0 {
			t.Errorf("%s: %d keys were written", what, keys)
		}
	}
	edit := func(name, from, into string) func(string) {
		return func(dir string) {
			file := filepath.Join(dir, name)
			text, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(text), from) {
				t.Fatalf("%s has no %q: %v", name, from, err)
			}
			changed := strings.Replace(string(text), from, into, 1)
			if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused("without a manifest", "no whole backup", to, func(dir string) { os.Remove(filepath.Join(dir, "manifest.json")) })
	refused("a changed manifest", "changed", to, edit("manifest.json", `"jobs": 1`, `"jobs": 2`))
	refused("a manifest of later", "another release", to, edit("manifest.json", `"version": 1`, `"version": 2`))
	refused("a changed part", "not as it was written", to, edit("jobs.ndjson", "math.primes", "math.Primes"))
	refused("a part is missing", "is missing", to, func(dir string) { os.Remove(filepath.Join(dir, "limits.ndjson")) })
	refused("over data", "data of an installation", in, func(string) {})
	byName := filepath.Join(t.TempDir(), "name")
	in.backup(t, byName, "--inputs", "name")
	if code, msg := to.restore(t, byName); code != 78 || !strings.Contains(msg, "another place") {
		t.Errorf("files elsewhere: %d %s", code, msg)
	}
	if keys := redistest.ClientOf(t, to.redis.URL()).DBSize(t.Context()).Val(); keys != 0 {
		t.Errorf("%d keys were written", keys)
	}
	web, _ := to.web(t)
	if code, msg := to.restore(t, dir); code != 1 || !strings.Contains(msg, "programs") {
		t.Errorf("while a program runs: %d %s", code, msg)
	}
	web.signal(syscall.SIGTERM)
	web.end(t, time.Minute)
	if code, msg := to.restore(t, dir); code != 0 {
		t.Errorf("restore: %d %s", code, msg)
	}
}

// TestBackupFullDisk ends with an error where the folder's disk is full, and leaves what is no backup.
func TestBackupFullDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("needs leave to mount a small file system:", err)
	}
	t.Cleanup(func() { syscall.Unmount(folder, syscall.MNT_DETACH) })
	in := install(t)
	_, url := in.web(t)
	submitMany(t, clientOf(t, url), 5000, func(i int) (client.Submission, string) {
		return client.Submission{Type: "math.primes", Payload: map[string]int{"n": i}}, ""
	})
	dir := filepath.Join(folder, "backup")
	code, _, msg := call(t, "", in.env, "enqueue", "backup", dir)
	if code != 1 || !strings.Contains(msg, "no space left") || !strings.Contains(msg, "is no backup") {
		t.Errorf("%d %s", code, msg)
	}
	if code, msg := moved(t, "").restore(t, dir); code != 1 || !strings.Contains(msg, "no whole backup") {
		t.Errorf("restore of it: %d %s", code, msg)
	}
}
