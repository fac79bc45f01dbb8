//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/tooltest"
	"longshore/job"
)

// A crew is workers in one language, of one installation.
type crew struct {
	t       *testing.T
	name    string // before the dot of its types
	url     string
	client  *client.Client
	web     *process
	restart func() // kills the server and starts another one at its address
	dir     string // where they run, and files tell of them
	command []string
	env     []string
	ready   string // what is said once jobs are taken
	signals bool   // handlers hear signals alone: not why they are to stop
}

// Each reaches the server through a proxy that is configured as docs/deploy.md says.
var crews = map[string]struct {
	program, script, library, proxy string
}{
	"py": {"python3", "worker.py", "worker-python", "nginx"},
	"js": {"node", "worker.mjs", "worker-node", "haproxy"},
	"rb": {"ruby", "worker.rb", "worker-ruby", "nginx"},
	"ex": {proxy: "haproxy"}, // enqueue work --exec
}

// newCrew makes an installation whose jobs are for workers of a language.
func newCrew(t *testing.T, name string) *crew {
	t.Helper()
	about := crews[name]
	in := install(t)
	env := []string{"LONGSHORE_TOKEN=" + webToken, "TRUSTED_PROXIES=127.0.0.1"}
	web, url := in.web(t, env...)
	front := startProxy(t, about.proxy, deployBlock(t, about.proxy), url)
	c := &crew{t: t, name: name, url: url, client: clientOf(t, url), web: web,
		restart: in.again(t, web, url, env...), dir: t.TempDir(), ready: "works"}
	if err := os.CopyFS(c.dir, os.DirFS("testdata/workers")); err != nil {
		t.Fatal(err)
	}
	if about.library == "" {
		dir, err := programs()
		if err != nil {
			t.Fatal(err)
		}
		c.command = []string{filepath.Join(dir, "enqueue"), "work", "--types", name + ".*", "--slots", "4", "--exec",
			"./exec.py"}
		c.ready, c.signals = "jobs are taken", true
	} else {
		c.command = []string{tooltest.Path(t, about.program), about.script}
		if err := os.CopyFS(c.dir, os.DirFS("../clients/"+about.library)); err != nil {
			t.Fatal(err)
		}
	}
	c.env = append(os.Environ(), "LONGSHORE_URL="+front.url, "LONGSHORE_TOKEN="+webToken,
		"PYTHONDONTWRITEBYTECODE=1")
	for _, typ := range []string{"result", "files", "talks", "retries", "fails", "later", "busy", "apart",
		"waits", "slow", "holds", "odd", "submits"} {
		claimed(t, url, name+"."+typ, `,"max_attempts":3,"timeout":"10m"`)
	}
	return c
}

// start starts a worker, which takes jobs.
func (c *crew) start() *process {
	c.t.Helper()
	p := c.run()
	p.await(c.t, c.ready)
	return p
}

func (c *crew) run() *process {
	c.t.Helper()
	cmd := exec.Command(c.command[0], c.command[1:]...)
	cmd.Dir = c.dir
	return startCommand(c.t, cmd, c.env)
}

// post submits a job; more are its controls.
func (c *crew) post(typ string, payload any, more string) job.ID {
	c.t.Helper()
	text, err := json.Marshal(payload)
	if err != nil {
		c.t.Fatal(err)
	}
	return posted(c.t, c.url, fmt.Sprintf(`{"type":"%s.%s","payload":%s%s}`, c.name, typ, text, more)).ID
}

// upload submits a job with an input.
func (c *crew) upload(typ string, content []byte) job.ID {
	c.t.Helper()
	r := request(c.t, "POST", c.url+httpapi.SubmitPath(c.name+"."+typ), bytes.NewReader(content))
	if r.StatusCode != http.StatusAccepted {
		c.t.Fatalf("upload: %s %s", r.Status, r.body)
	}
	return r.snapshot(c.t).ID
}

// why is what a handler knows of why it is to stop.
func (c *crew) why(reason string) string {
	if c.signals {
		return "stopped"
	}
	return reason
}

// hurry has workers that start from now on wait half a second for jobs that run, at their end.
func (c *crew) hurry() {
	if c.signals {
		c.command = append(c.command, "--grace", "500ms")
	}
	c.env = append(c.env, "GRACE=0.5")
}

func (c *crew) path(name string) string { return filepath.Join(c.dir, name) }

func (c *crew) touch(name string) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// text is what a worker wrote into a file, once it is there.
func (c *crew) text(name string) (text string) {
	c.t.Helper()
	eventually(c.t, name+" is there", func() bool {
		content, err := os.ReadFile(c.path(name))
		text = string(content)
		return err == nil && text != ""
	})
	return text
}

func (c *crew) ends(id job.ID, state job.State, result string) job.Snapshot {
	c.t.Helper()
	snap := poll(c.t, c.client, id, "ends", isDone)
	if snap.State != state || result != "" && string(snap.Result) != result {
		c.t.Errorf("%s ended as %s %s %+v, want %s %s", snap.Type, snap.State, snap.Result, snap.Errors, state,
			result)
	}
	return snap
}

func (c *crew) output(id job.ID, name string) []byte {
	c.t.Helper()
	return request(c.t, "GET", c.url+httpapi.OutputPath(id, name), nil).body
}

// logged tells that a line is in the log of a job, once.
func (c *crew) logged(id job.ID, line string) bool {
	c.t.Helper()
	log := string(request(c.t, "GET", c.url+httpapi.JobPath(id)+"/logs", nil).body)
	return strings.Count(log, strconv.Quote(line)) == 1
}

func (c *crew) logHas(id job.ID, lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		if !c.logged(id, line) {
			c.t.Errorf("%q is not once in the log of %s", line, id)
		}
	}
}

func reports(snap job.Snapshot) bool { return snap.Progress != nil && snap.Progress.Records > 0 }

// TestWorkers has the libraries of workers run jobs, each in its language: all that a handler may do, all
// that ends it early, and the end of the process.
func TestWorkers(t *testing.T) {
	t.Parallel()
	for name := range crews {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrew(t, name)
			worker := c.start()
			c.runsJobs()
			c.stopsJobs()
			c.outlivesServer()
			c.drains(worker)
		})
	}
}

// runsJobs: results, files, progress, a log, and each way to end.
func (c *crew) runsJobs() {
	c.t.Helper()
	c.ends(c.post("result", map[string]int{"n": 21}, ""), job.Succeeded, `{"twice":42,"attempt":1}`)
	content := []byte(strings.Repeat("a line of it\n", 200_000))
	for _, typ := range []string{"files", "apart"} {
		id := c.upload(typ, content)
		snap := c.ends(id, job.Succeeded, "")
		if got := c.output(id, "copy.bin"); !bytes.Equal(got, content) {
			c.t.Errorf("%s: %d bytes of %d came back", typ, len(got), len(content))
		}
		if typ == "apart" {
			c.logHas(id, "from a child")
			continue
		}
		if got := string(c.output(id, "count.txt")); got != "200000 2600000" || len(snap.Outputs) != 3 {
			c.t.Errorf("count.txt %q of %+v", got, snap.Outputs)
		}
	}
	talks := c.post("talks", map[string]string{"until": "heard"}, "")
	poll(c.t, c.client, talks, "reports", func(snap job.Snapshot) bool {
		return reports(snap) && snap.Progress.Note == "page 3" && *snap.Progress.Fraction == 0.3
	})
	eventually(c.t, "lines come while it runs", func() bool {
		return c.logged(talks, "one") && c.logged(talks, "two")
	})
	c.touch("heard")
	c.ends(talks, job.Succeeded, `"told"`)
	c.logHas(talks, "one", "two", "three")

	retried := c.ends(c.post("retries", struct{}{}, ""), job.Succeeded, "2")
	if len(retried.Errors) != 1 || !strings.Contains(retried.Errors[0].Message, "not yet") {
		c.t.Errorf("errors %+v", retried.Errors)
	}
	failed := c.ends(c.post("fails", struct{}{}, ""), job.Failed, "")
	if failed.Attempt != 1 || !strings.Contains(failed.Errors[0].Message, "never") {
		c.t.Errorf("failed %+v", failed)
	}
	for how, message := range map[string]string{"large": "is over 65536 bytes", "noJSON": "", "chatty": ""} {
		id := c.post("odd", map[string]string{"how": how}, `,"max_attempts":1`)
		if how == "chatty" {
			c.ends(id, job.Succeeded, "")
			c.logHas(id, "line 5000")
			continue
		}
		snap := c.ends(id, job.Failed, "")
		if len(snap.Errors) != 1 || !strings.Contains(snap.Errors[0].Message, message) {
			c.t.Errorf("%s: %+v", how, snap.Errors)
		}
	}
	if c.signals { // libraries have a client for that
		c.ends(c.post("submits", struct{}{}, ""), job.Succeeded, "")
		made := 0
		for snap, err := range c.client.List(c.t.Context(), client.Filter{Type: "math.primes"}) {
			if made++; err != nil || snap.State != job.Queued {
				c.t.Errorf("submitted %+v, %v", snap, err)
			}
		}
		if made != 1 {
			c.t.Errorf("%d jobs were submitted, want 1", made)
		}
	}
	for _, how := range []string{"in", "release"} {
		c.ends(c.post("later", map[string]string{"how": how, "flag": how + ".flag"}, ""), job.Succeeded, "1")
	}
}

// stopsJobs: one whose client cancels it, and one that is over its time, both in a loop that looks at
// nothing; and one that looks.
func (c *crew) stopsJobs() {
	c.t.Helper()
	over := `,"timeout":"6s","max_attempts":1` // time enough for a process to start on a busy machine
	for name, controls := range map[string]string{"canceled": "", "timeout": over} {
		beats := name + ".beats"
		id := c.post("busy", map[string]string{"beats": beats}, controls)
		c.text(beats)
		state := job.Failed
		if name == "canceled" {
			state = job.Canceled
			if _, err := c.client.Cancel(c.t.Context(), id); err != nil {
				c.t.Fatal(err)
			}
		}
		c.ends(id, state, "")
		eventually(c.t, "its loop is ended", func() bool { return os.Remove(c.path(beats)) != nil })
	}
	id := c.post("waits", map[string]string{"told": "told"}, "")
	poll(c.t, c.client, id, "reports", reports)
	if _, err := c.client.Cancel(c.t.Context(), id); err != nil {
		c.t.Fatal(err)
	}
	c.ends(id, job.Canceled, "")
	if told := c.text("told"); told != c.why("canceled") {
		c.t.Errorf("told %q", told)
	}
}

// outlivesServer: a job that ends while there is no server is as if nothing had been, and others come.
func (c *crew) outlivesServer() {
	c.t.Helper()
	id := c.post("slow", map[string]string{"until": "restarted"}, "")
	poll(c.t, c.client, id, "reports", reports)
	c.web.signal(syscall.SIGKILL)
	<-c.web.done
	c.touch("restarted")
	c.restart()
	c.ends(id, job.Succeeded, `"whole"`)
	if runs := c.text("restarted.runs"); runs != "x" {
		c.t.Errorf("it ran %d times", len(runs))
	}
	c.ends(c.post("result", map[string]int{"n": 1}, ""), job.Succeeded, "")
}

// drains: a running job ends, and whatever else there is, too, or waits for others; none is lost.
func (c *crew) drains(worker *process) {
	c.t.Helper()
	until := map[string]string{"until": "enough"}
	slow := c.post("slow", until, "")
	poll(c.t, c.client, slow, "reports", reports)
	worker.signal(syscall.SIGTERM)
	var more []job.ID
	for range 8 {
		more = append(more, c.post("slow", until, ""))
	}
	c.touch("enough")
	c.ends(slow, job.Succeeded, `"whole"`)
	if code := worker.end(c.t, time.Minute); code != 0 {
		c.t.Errorf("exit code %d", code)
	}
	worker.await(c.t, "ended")
	for _, id := range more {
		snap, err := c.client.Get(c.t.Context(), id)
		if err != nil || snap.State != job.Queued && snap.State != job.Succeeded {
			c.t.Errorf("after the end of its worker: %+v, %v", snap, err)
		}
	}
	c.hurry() // what doesn't end within the grace is another's, by the same attempt
	other := c.start()
	for _, id := range more {
		c.ends(id, job.Succeeded, `"whole"`)
	}
	long := c.post("waits", map[string]string{"told": "drained"}, "")
	poll(c.t, c.client, long, "reports", reports)
	other.signal(syscall.SIGTERM)
	if code := other.end(c.t, time.Minute); code != 0 || c.text("drained") != c.why("drain") {
		c.t.Errorf("exit code %d", code)
	}
	if snap, err := c.client.Get(c.t.Context(), long); err != nil || snap.Done || snap.State == job.Running ||
		len(snap.Errors) > 0 {
		c.t.Errorf("released: %+v, %v", snap, err)
	}
}

// TestWorkersLeases has handlers hold their process up for longer than a lease: it never begins
// once more.
func TestWorkersLeases(t *testing.T) {
	t.Parallel()
	for name, about := range crews {
		if about.library == "" {
			continue // its jobs are processes of their own
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrew(t, name)
			c.start()
			id := c.post("holds", map[string]int{"seconds": 34}, "")
			c.ends(id, job.Succeeded, "1")
			if runs := c.text("holds.runs"); runs != "x" {
				t.Errorf("it ran %d times", len(runs))
			}
		})
	}
}

// TestWorkersDocs runs the programs of the documentation.
func TestWorkersDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/workers.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, language := range map[string]string{"py": "python", "js": "js", "rb": "ruby"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, rest, _ := strings.Cut(string(page), "```"+language+"\n")
			program, _, there := strings.Cut(rest, "```\n")
			if !there {
				t.Fatalf("there is no program in %s", language)
			}
			c := newCrew(t, name)
			if err := os.WriteFile(c.path(crews[name].script), []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			early := c.run()
			if code := early.end(t, 2*time.Minute); code == 0 || len(early.said("no type logs.count")) == 0 {
				t.Errorf("of a type that nobody has made: exit code %d", code)
			}
			claimed(t, c.url, "logs.count", "")
			p := c.run()
			for content, result := range map[string]string{"a\nb\nc\n": `{"lines":3}`, "": ""} {
				r := request(t, "POST", c.url+httpapi.SubmitPath("logs.count"), strings.NewReader(content))
				id, state := r.snapshot(t).ID, job.Succeeded
				if content == "" {
					state = job.Failed
				}
				c.ends(id, state, result)
				if content != "" && string(c.output(id, "count.txt")) != "3" {
					t.Error("it has not made its output")
				}
			}
			p.signal(os.Interrupt)
			if code := p.end(t, time.Minute); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestWorkersKilled has a process end without a word: all that it has started ends, and its job is
// another's once the lease is over.
func TestWorkersKilled(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"py", "ex"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killCrew(newCrew(t, name))
		})
	}
}

func killCrew(c *crew) {
	t := c.t
	worker := c.start()
	id := c.post("slow", map[string]string{"until": "killed"}, "")
	poll(t, c.client, id, "reports", reports)
	worker.signal(syscall.SIGKILL)
	c.touch("killed")
	c.start()
	c.ends(id, job.Succeeded, `"whole"`)
}
