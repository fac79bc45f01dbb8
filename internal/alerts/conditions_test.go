package alerts

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/overview"
	"longshore/internal/printable"
	"longshore/internal/queue"
	"longshore/job"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func waiting(latency time.Duration, change func(*overview.Overview)) *overview.Overview {
	o := &overview.Overview{Queues: []queue.Info{{
		Place: job.Place{Lane: job.LaneIO, Priority: job.Default}, Pending: 3,
		Latency: latency}}, Types: []map[string]bool{{"a.b": true}},
		Workers: []queue.WorkerInfo{{Slots: map[job.Lane]int{job.LaneIO: 1}, Types: []string{"a.b"}}}}
	if change != nil {
		change(o)
	}
	return o
}

func ago(d time.Duration) *time.Time {
	at := noon.Add(-d)
	return &at
}

// TestConditions has for each thing that is wrong, and for what is nearly wrong, the names that are told:
// "~" of what is at its edge.
func TestConditions(t *testing.T) {
	t.Parallel()
	schedule := func(s answer.Schedule, missed int64, last job.State) *SeenSchedules {
		s.Name = "nightly"
		return &SeenSchedules{All: []answer.Schedule{s}, Missed: map[string]int64{"nightly": missed},
			Last: map[string]job.State{"nightly": last}}
	}
	worker := func(alarm string, lag int64) *answer.WorkerDetails {
		return &answer.WorkerDetails{Workers: []answer.WorkerDetail{{ID: "abcdef", Host: "h", PID: 7,
			Alarm: alarm, LagMS: lag}}}
	}
	gone := func(why string, at time.Duration) *answer.GoneWorkers {
		return &answer.GoneWorkers{Workers: []answer.GoneWorker{{ID: "abcdef", Host: "h", Why: why,
			At: *ago(at)}}}
	}
	pause := func(p answer.Pause) *answer.PauseList { return &answer.PauseList{Pauses: []answer.Pause{p}} }
	for _, c := range []struct {
		what string
		seen Seen
		want string
	}{
		{"nothing was looked at", Seen{}, ""},
		{"all is well", Seen{Overview: waiting(time.Minute, nil), Memory: &Room{}, Disk: &Room{},
			Pauses: &answer.PauseList{}, Workers: &answer.WorkerDetails{}, Gone: &answer.GoneWorkers{},
			Failures: &answer.Failures{}, Schedules: &SeenSchedules{}}, ""},
		{"the oldest job", Seen{Overview: waiting(5*time.Minute, nil)}, "age:io-default"},
		{"nearly", Seen{Overview: waiting(4*time.Minute, nil)}, "~age:io-default"},
		{"of a paused queue", Seen{Overview: waiting(time.Hour, func(o *overview.Overview) {
			o.Queues[0].Paused = true
		})}, ""},
		{"of a paused type", Seen{Overview: waiting(time.Hour, func(o *overview.Overview) {
			o.Queues[0].Parked = []queue.Parked{{Type: "a.b", Pending: 3}}
			o.Paused = map[string]bool{httpapi.PausedType("a.b"): true}
		})}, ""},
		{"an empty queue", Seen{Overview: waiting(time.Hour, func(o *overview.Overview) {
			o.Queues[0].Pending = 0
		})}, ""},
		{"no worker", Seen{Overview: waiting(0, func(o *overview.Overview) {
			o.Workers = nil
		})}, "unserved:a.b"},
		{"a worker that drains", Seen{Overview: waiting(0, func(o *overview.Overview) {
			o.Workers[0].Draining = true
		})}, "unserved:a.b"},
		{"no worker of a paused type", Seen{Overview: waiting(0, func(o *overview.Overview) {
			o.Workers, o.Paused = nil, map[string]bool{httpapi.PausedType("a.b"): true}
		})}, ""},
		{"a long pause", Seen{Pauses: pause(answer.Pause{Type: "a.b", At: ago(25 * time.Hour)})}, "paused:a.b"},
		{"of a queue", Seen{Pauses: pause(answer.Pause{Queue: "io-low", At: ago(24 * time.Hour)})},
			"paused:io-low"},
		{"a shorter one", Seen{Pauses: pause(answer.Pause{Queue: "io-low", At: ago(23 * time.Hour)})}, ""},
		{"nobody knows since when", Seen{Pauses: pause(answer.Pause{Queue: "io-low"})}, ""},
		{"memory", Seen{Workers: worker("its memory grows", 10)}, "worker-memory"},
		{"lag", Seen{Workers: worker("", 1000)}, "worker-lag"},
		{"something else", Seen{Workers: worker("", 10)}, ""},
		{"a lost worker", Seen{Gone: gone("lost", time.Minute)}, "worker-lost"},
		{"long ago", Seen{Gone: gone("lost", 11*time.Minute)}, ""},
		{"one that was stopped", Seen{Gone: gone("stopped", time.Minute)}, ""},
		{"failures", Seen{Failures: &answer.Failures{Groups: []answer.FailureGroup{{Group: "0123456789ab",
			Type: "a.b", N: 2}}}}, "failures:0123456789ab"},
		{"a schedule's problem", Seen{Schedules: schedule(answer.Schedule{Problem: &answer.ScheduleProblem{
			Since: noon}}, 0, "")}, "schedule:nightly"},
		{"late", Seen{Schedules: schedule(answer.Schedule{Next: []time.Time{*ago(2 * time.Minute)}}, 0,
			"")}, "schedule:nightly"},
		{"late within its jitter", Seen{Schedules: schedule(answer.Schedule{ScheduleSpec: answer.ScheduleSpec{
			Jitter: "5m"}, Next: []time.Time{*ago(2 * time.Minute)}}, 0, "")}, ""},
		{"missed", Seen{Schedules: schedule(answer.Schedule{}, 2, "")}, "schedule:nightly"},
		{"its job failed", Seen{Schedules: schedule(answer.Schedule{}, 0, job.Failed)}, "schedule:nightly"},
		{"its job runs", Seen{Schedules: schedule(answer.Schedule{}, 0, job.Running)}, "~schedule:nightly"},
		{"a schedule that is well", Seen{Schedules: schedule(answer.Schedule{Next: []time.Time{noon}}, 0,
			job.Succeeded)}, ""},
		{"a full store", Seen{Memory: &Room{Full: true, Edge: true}}, "store-full"},
		{"nearly full", Seen{Memory: &Room{Edge: true}}, "~store-full"},
		{"a full disk", Seen{Disk: &Room{Full: true, Edge: true}}, "disk-full"},
	} {
		c.seen.Now = noon
		var names []string
		for _, f := range c.seen.Conditions(5 * time.Minute) {
			name := f.Name
			if f.Edge {
				name = "~" + name
			}
			names = append(names, name)
			if !f.Edge && (f.Summary == "" || f.Do == "") || !c.seen.looked(kindOf(f.Name)) {
				t.Errorf("%s: %+v", c.what, f)
			}
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// TestStrangersTexts has jobs fail with texts that steer terminals, forge lines, or are markup.
func TestStrangersTexts(t *testing.T) {
	t.Parallel()
	evil := "<!channel> & \x1b]0;owned\x07\r\nfiring x \u202e" + strings.Repeat("é", 300)
	seen := Seen{Now: noon, Failures: &answer.Failures{Groups: []answer.FailureGroup{{Group: "0123456789ab",
		Type: "a.b", Code: "error", Message: evil, N: 1}}},
		Pauses: &answer.PauseList{Pauses: []answer.Pause{{Type: "a.b", By: evil, Why: evil,
			At: ago(48 * time.Hour)}}},
		Workers: &answer.WorkerDetails{Workers: []answer.WorkerDetail{{Host: evil, Alarm: evil,
			LagMS: 5000}}}}
	found := seen.Conditions(time.Minute)
	if len(found) != 4 {
		t.Fatal(len(found))
	}
	for _, c := range found {
		if c.Summary != printable.Text(c.Summary) || len(c.Summary) > 1000 {
			t.Errorf("%d bytes: %q", len(c.Summary), c.Summary)
		}
		m := (&held{Since: noon.UnixMilli(), Summary: c.Summary, Do: c.Do}).message(c.Name, firing)
		if text := slackText(m); strings.ContainsAny(text, "<>") || strings.Count(text, "\n") != 1 ||
			!strings.Contains(text, "&lt;!channel&gt; &amp; ") {
			t.Errorf("slack gets %q", text)
		}
	}
}

// TestManyGroups has more groups fail, and more schedules, than have an alert of their own.
func TestManyGroups(t *testing.T) {
	t.Parallel()
	seen := Seen{Now: noon, Failures: &answer.Failures{}, Schedules: &SeenSchedules{}}
	for i := range 50 {
		seen.Failures.Groups = append(seen.Failures.Groups, answer.FailureGroup{Group: fmt.Sprint(i), N: 2})
		seen.Schedules.All = append(seen.Schedules.All, answer.Schedule{Name: fmt.Sprint(i),
			Problem: &answer.ScheduleProblem{}})
	}
	found := seen.Conditions(time.Minute)
	if len(found) != maxGroups+1+maxSchedules+1 {
		t.Errorf("%d alerts", len(found))
	}
	others := slices.IndexFunc(found, func(c Condition) bool { return c.Name == "failures:others" })
	if others < 0 || found[others].Count != 2*(50-maxGroups) {
		t.Errorf("%d", others)
	}
}
