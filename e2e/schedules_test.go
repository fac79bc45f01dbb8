//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/job"
)

// TestNightlyReport runs the commands of docs/flows.md from top to bottom, in one shell.
func TestNightlyReport(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t, "../docs/flows.md", "sh")
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks of commands", len(blocks))
	}
	in := install(t)
	folder := t.TempDir()
	_, url := in.web(t)
	shell := in.shell(t, url, folder, "-x")
	shell(blocks[0])
	in.worker(t, "FUNCTIONS_DIR="+folder)
	served(t, url, "report.nightly")
	said := ""
	for _, block := range blocks[1:] {
		said += shell(block)
	}
	for _, want := range []string{"succeeded", "0 3 * * * Europe/Berlin",
		"paused by open the database is moved",
		"1, and none is late"} {
		if !strings.Contains(strings.ReplaceAll(said, "\\u0026", "&"), want) {
			t.Errorf("nothing says %q:\n%s", want, said)
		}
	}
	if list, err := clientOf(t, url).Schedules(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("left: %+v, %v", list, err)
	}
}

// blocksOf are the commands of a document that stand in blocks of a language.
func blocksOf(t *testing.T, file, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// shell runs scripts in a folder, which is that of the functions too, with the built programs on PATH.
func (in *installation) shell(t *testing.T, url, folder string, flags ...string) func(script string) string {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	env := append(slices.Clone(in.env), "LONGSHORE_URL="+url, "LONGSHORE_TOKEN="+webToken, "FUNCTIONS_DIR="+folder,
		"PATH="+dir+":"+os.Getenv("PATH"))
	return func(script string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", append(flags, "-euo", "pipefail", "-c", script)...)
		cmd.Dir, cmd.Env = folder, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
}

// TestEachTickOnce kills web processes at random while 50 schedules tick each second, 2,000 ticks: each has
// exactly one job.
func TestEachTickOnce(t *testing.T) {
	t.Parallel()
	const schedules = 50
	ticks := 40
	if testing.Short() {
		ticks = 8
	}
	in := install(t)
	web, url := in.web(t)
	other, _ := in.web(t)
	worker := in.worker(t)
	c := clientOf(t, url)
	begun := time.Now()
	for i := range schedules {
		name := fmt.Sprintf("s%02d", i)
		if _, err := c.PutSchedule(t.Context(), name, client.ScheduleSpec{Every: "1s", CatchUp: "all",
			Type:    "math.primes",
			Payload: json.RawMessage(`{"n":10}`)}); err != nil {
			t.Fatal(err)
		}
	}
	kills := 0
	for enough := false; !enough; {
		tick := time.NewTimer(time.Duration(300+rand.IntN(1500)) * time.Millisecond)
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("out of time")
		}
		switch victim := rand.IntN(5); {
		case victim < 2:
			web.signal(syscall.SIGKILL)
			web, url = in.web(t)
		case victim < 4:
			other.signal(syscall.SIGKILL)
			other, _ = in.web(t)
		default:
			worker.signal(syscall.SIGKILL)
			worker = in.worker(t)
		}
		kills++
		enough = time.Since(begun) > time.Duration(ticks)*time.Second
	}
	c = clientOf(t, url)
	if _, err := c.ApplySchedules(t.Context(), client.ScheduleSource{Source: "none",
		Prune: true}); err != nil {
		t.Fatal(err)
	}
	list, err := c.Schedules(t.Context(), "")
	if err != nil || len(list) != schedules {
		t.Fatalf("%d schedules, %v", len(list), err)
	}
	for _, s := range list {
		if _, err := c.PauseSchedule(t.Context(), s.Name, ""); err != nil {
			t.Fatal(err)
		}
	}
	made := map[string][]time.Time{}
	n := 0
	for snap, err := range c.List(t.Context(), client.Filter{Type: "math.primes"}) {
		if err != nil {
			t.Fatal(err)
		}
		made[snap.Schedule.Name] = append(made[snap.Schedule.Name], *snap.Schedule.Tick)
		n++
	}
	for _, s := range list {
		now, err := c.Schedule(t.Context(), s.Name)
		if err != nil {
			t.Fatal(err)
		}
		ticks := made[s.Name]
		slices.SortFunc(ticks, time.Time.Compare)
		if int(now.Made) != len(ticks) || now.Missed+now.Refused+now.Overlapped != 0 || now.LastTick == nil ||
			!ticks[len(ticks)-1].Equal(*now.LastTick) {
			t.Errorf("%s has %d jobs: %+v", s.Name, len(ticks), now)
		}
		for i, at := range ticks[1:] {
			if at.Sub(ticks[i]) != time.Second {
				t.Errorf("%s: %v, then %v", s.Name, ticks[i], at)
			}
		}
	}
	if n < schedules*(ticks-8) {
		t.Errorf("only %d ticks", n)
	}
	t.Logf("%d ticks, %d kills: each exactly once", n, kills)
}

// TestSchedulesOnTheCommandLine goes a file's way: applied, changed, pruned, and refused with the place.
func TestSchedulesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	enqueue := func(stdin string, args ...string) (int, string, string) {
		return call(t, stdin, []string{"LONGSHORE_URL=" + url}, "enqueue", args...)
	}
	file := filepath.Join(t.TempDir(), "crontab.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const one = `{"name":"a","every":"1s","type":"math.primes","payload":{"n":50}}`
	write(`{"schedules":[` + one + `,{"name":"b","cron":"@weekly","type":"math.primes","payload":{"n":50}}]}`)
	if code, out, msg := enqueue("", "schedules", "apply", file); code != 0 || strings.Count(out,
		"created") != 2 {
		t.Fatal(code, out, msg)
	}
	c := clientOf(t, url)
	var snap job.Snapshot
	for snap.Schedule == nil {
		page, err := c.ListPage(t.Context(), client.Filter{Type: "math.primes"}, 1, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Jobs) > 0 {
			snap = page.Jobs[0]
		}
	}
	if end := wait(t, c, snap.ID); end.State != job.Succeeded || end.Schedule.Name != "a" ||
		end.Schedule.Tick == nil {
		t.Errorf("%+v", end)
	}
	write(`{"schedules":[` + one + `]}`)
	if code, out, msg := enqueue("", "schedules", "apply", file); code != 0 || !strings.Contains(out,
		"left, not in the file") {
		t.Error(code, out, msg)
	}
	if code, out, _ := enqueue("", "schedules"); code != 0 || !strings.Contains(out,
		"not in crontab.json any more") {
		t.Error(code, out)
	}
	if code, out, _ := enqueue("", "doctor"); code != 0 || !strings.Contains(out,
		"b is not in crontab.json any more") {
		t.Error(code, out)
	}
	if code, out, msg := enqueue("", "schedules", "apply", file, "--prune"); code != 0 ||
		!strings.Contains(out, "removed") {
		t.Error(code, out, msg)
	}
	for _, c := range []struct {
		want  int
		said  string
		stdin string
		args  []string
	}{
		{1, "/cron at character 3: hour: expected 0 to 23, found 24", "", []string{"set", "x",
			"math.primes", "--cron", "0 24 * * *",
			"--set", "n=5"}},
		{1, "/schedules/0/timezone there is no such time zone",
			`{"schedules":[{"name":"x","cron":"@daily","timezone":"Mars","type":"math.primes","payload":{"n":5}}]}`,
			[]string{"apply", "-", "--source", "stdin"}},
		{2, "unknown field", `{"schedule":[]}`, []string{"apply", "-", "--source", "stdin"}},
		{2, "say by --source", `{"schedules":[]}`, []string{"apply", "-"}},
		{5, "there is no such schedule", "", []string{"run", "none"}},
		{5, "there is no such schedule", "", []string{"rm", "none"}},
		{2, "--payload and --set", "", []string{"set", "x", "math.primes", "--every", "1h", "--payload",
			"{}", "--set", "n=5"}},
	} {
		if code, out, msg := enqueue(c.stdin, append([]string{"schedules"}, c.args...)...); code != c.want ||
			!strings.Contains(out+msg, c.said) {
			t.Errorf("%v: %d %s %s, want %d %s", c.args, code, out, msg, c.want, c.said)
		}
	}
	if code, out, msg := enqueue("", "schedules", "rm", "a"); code != 0 {
		t.Error(code, out, msg)
	}
}
