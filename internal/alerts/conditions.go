package alerts

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/overview"
	"longshore/internal/printable"
	"longshore/job"
)

// Kinds of alerts, with which their names begin.
const (
	kindAge       = "age"           // of the oldest job of a queue
	kindUnserved  = "unserved"      // a type with jobs, and no worker
	kindPaused    = "paused"        // for over a day
	kindMemory    = "worker-memory" // a worker's alarm
	kindLag       = "worker-lag"
	kindLost      = "worker-lost"
	kindFailures  = "failures" // a group of failed jobs
	kindSchedule  = "schedule"
	kindStoreFull = "store-full"
	kindDiskFull  = "disk-full"
)

const (
	// unservedAfter is how long a type must have had no worker; ALERT_AGE where that is less.
	unservedAfter = 2 * time.Minute
	pausedLong    = 24 * time.Hour
	lostLately    = 10 * time.Minute
	lagging       = time.Second
	// late is how late a tick is of which nobody takes care.
	late = time.Minute
	// calm is how long no job of a group may fail, and no tick be missed, until that is over.
	calm = 30 * time.Minute
	// near is how long what is full must have room again: it swings as jobs come and go.
	near = time.Minute
	// maxGroups is how many groups of failures have an alert of their own, maxSchedules how many schedules.
	maxGroups    = 20
	maxSchedules = 20
	maxNamed     = 5 // workers in one summary
	maxText      = 200
)

// A Seen is what a look sees. What is nil was not looked at, and nothing is said of it.
type Seen struct {
	Now time.Time

	Overview  *overview.Overview
	Pauses    *answer.PauseList
	Workers   *answer.WorkerDetails // those of which something is wrong
	Gone      *answer.GoneWorkers   // lately
	Failures  *answer.Failures      // since the look before
	Schedules *SeenSchedules
	// Memory and Disk are nil where there is no limit.
	Memory, Disk *Room
}

// SeenSchedules are what makes jobs by the clock.
type SeenSchedules struct {
	All []answer.Schedule
	// Missed are those that have missed ticks since the last look, with how many.
	Missed map[string]int64
	// Last is the state of each schedule's last job.
	Last map[string]job.State
}

// A Room is how much there is, in bytes. Full means that new jobs are refused; Edge that they nearly are.
type Room struct {
	Full, Edge bool
	Text       string
}

// looked says which kinds of alerts were looked at.
func (s *Seen) looked(kind string) bool {
	switch kind {
	case kindAge, kindUnserved:
		return s.Overview != nil
	case kindPaused:
		return s.Pauses != nil
	case kindMemory, kindLag:
		return s.Workers != nil
	case kindLost:
		return s.Gone != nil
	case kindFailures:
		return s.Failures != nil
	case kindSchedule:
		return s.Schedules != nil
	case kindStoreFull:
		return s.Memory != nil
	case kindDiskFull:
		return s.Disk != nil
	}
	return true // of a release that knew more: it is over
}

// Conditions is all that is wrong. age is how long the oldest job of a queue may wait.
func (s *Seen) Conditions(age time.Duration) []Condition {
	return slices.Concat(s.full(), s.ages(age), s.unserved(age), s.pauses(), s.workers(), s.lost(),
		s.schedules(), s.failures())
}

func (s *Seen) ages(age time.Duration) (found []Condition) {
	if s.Overview == nil {
		return nil
	}
	for _, q := range s.Overview.Queues {
		waiting := q.Pending
		for _, p := range q.Parked {
			if s.Overview.TypePaused(p.Type) {
				waiting -= p.Pending
			}
		}
		if waiting <= 0 || q.Paused || q.Latency < age/5*4 {
			continue // a pause is told in a day
		}
		name := q.Place.Name()
		found = append(found, Condition{Name: kindAge + ":" + name, Edge: q.Latency < age,
			Since: s.Now.Add(-q.Latency).Add(age),
			Summary: fmt.Sprintf("the oldest of %d jobs in %s waits for %v", waiting, name,
				q.Latency.Round(time.Second)),
			Do: "start more workers, or see with enqueue workers and enqueue queues what keeps these from it"})
	}
	return found
}

func (s *Seen) unserved(age time.Duration) (found []Condition) {
	if s.Overview == nil {
		return nil
	}
	types := s.Overview.Unserved()
	for _, typ := range slices.Sorted(maps.Keys(types)) {
		if s.Overview.TypePaused(typ) {
			continue
		}
		found = append(found, Condition{Name: kindUnserved + ":" + typ, After: min(unservedAfter, age),
			Summary: fmt.Sprintf("jobs of type %s wait, and no worker takes them", typ),
			Do: fmt.Sprintf("start a worker that has type %s and serves lane %s%s", typ, types[typ].Lane,
				ofQueue(types[typ].Queue))})
	}
	queues := s.Overview.NoQueue()
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		found = append(found, Condition{Name: kindUnserved + ":queue:" + name, After: min(unservedAfter, age),
			Summary: fmt.Sprintf("%d jobs wait in queue %s, which no worker serves", queues[name], name),
			Do:      fmt.Sprintf("start a worker with %s among its QUEUES, or with none, which serves all", name)})
	}
	return found
}

// ofQueue names a queue that isn't the default one.
func ofQueue(name string) string {
	if name == "" {
		return ""
	}
	return " of queue " + name
}

func (s *Seen) pauses() (found []Condition) {
	if s.Pauses == nil {
		return nil
	}
	for _, p := range s.Pauses.Pauses {
		if p.At == nil || s.Now.Sub(*p.At) < pausedLong {
			continue // asynq's tools don't say since when
		}
		name := cmp.Or(p.Type, p.Queue)
		said := shown(cmp.Or(p.By, "somebody"))
		if p.Why != "" {
			said += ": " + shown(p.Why)
		}
		found = append(found, Condition{Name: kindPaused + ":" + name, Since: *p.At,
			Summary: fmt.Sprintf("%s is paused for over a day, by %s", name, said),
			Do:      "enqueue resume " + name})
	}
	return found
}

// workers are one alert a kind: a cause that many have is told once.
func (s *Seen) workers() (found []Condition) {
	if s.Workers == nil {
		return nil
	}
	var memory, lag []string
	for _, w := range s.Workers.Workers {
		who := workerName(w.ID, w.Host, w.PID)
		if w.Alarm != "" {
			memory = append(memory, who+" ("+shown(w.Alarm)+")")
		}
		if late := time.Duration(w.LagMS) * time.Millisecond; late >= lagging {
			lag = append(lag, fmt.Sprintf("%s (%v)", who, late))
		}
	}
	if len(memory) > 0 {
		found = append(found, Condition{Name: kindMemory, Count: int64(len(memory)),
			Summary: "memory runs short in " + some(memory),
			Do:      "see with enqueue profiles what holds it (docs/memory.md)"})
	}
	if len(lag) > 0 {
		found = append(found, Condition{Name: kindLag, Count: int64(len(lag)),
			Summary: "timers are late in " + some(lag),
			Do:      "give these workers more CPU, or fewer slots (docs/event-loop.md)"})
	}
	return found
}

func (s *Seen) lost() []Condition {
	if s.Gone == nil {
		return nil
	}
	var lost []string
	var first time.Time
	for _, w := range s.Gone.Workers {
		if w.Why == "lost" && s.Now.Sub(w.At) < lostLately {
			first = w.At // the oldest comes last
			lost = append(lost, workerName(w.ID, w.Host, w.PID))
		}
	}
	if lost == nil {
		return nil
	}
	return []Condition{{Name: kindLost, Count: int64(len(lost)), Since: first,
		Summary: "no word any more from " + some(lost),
		Do: "enqueue workers --gone tells what they ran, which runs again elsewhere; look in their logs, and " +
			"for a kernel that ended them"}}
}

func (s *Seen) failures() (found []Condition) {
	if s.Failures == nil {
		return nil
	}
	for _, g := range s.Failures.Groups {
		c := Condition{Name: kindFailures + ":" + g.Group, Quiet: calm, Since: g.First, Count: int64(g.N),
			More: true, Summary: fmt.Sprintf("jobs of type %s fail, %s: %s", g.Type, g.Code, shown(g.Message)),
			Do: "enqueue failures, enqueue ls --group " + g.Group}
		found = append(found, c)
	}
	// Many groups at once have one cause, as a rule, and are told as one.
	if len(found) > maxGroups {
		var n int64
		for _, c := range found[maxGroups:] {
			n += c.Count
		}
		found = append(found[:maxGroups], Condition{Name: kindFailures + ":others", Quiet: calm, Count: n,
			More: true, Summary: "jobs fail in many other ways", Do: "enqueue failures"})
	}
	return found
}

func (s *Seen) schedules() (found []Condition) {
	if s.Schedules == nil {
		return nil
	}
	for i := range s.Schedules.All {
		is := &s.Schedules.All[i]
		name := ScheduleName(is)
		c := Condition{Name: kindSchedule + ":" + name}
		jitter, _ := httpapi.ParseDuration(is.Jitter) // "" = none
		switch missed := s.Schedules.Missed[name]; {
		case is.Problem != nil:
			c.Since = is.Problem.Since
			c.Summary = fmt.Sprintf("schedule %s makes no jobs: %s", name, shown(is.Problem.Detail))
			c.Do = "put the schedule right, or start a worker that serves its type"
		case len(is.Next) > 0 && s.Now.Sub(is.Next[0]) > late+jitter:
			c.Since = is.Next[0]
			c.Summary = fmt.Sprintf("the tick of schedule %s at %s was not made", name,
				is.Next[0].UTC().Format(time.DateTime))
			c.Do = "start a web process: these make the ticks"
		case missed > 0:
			c.Count, c.More, c.Quiet = missed, true, calm
			c.Summary = fmt.Sprintf("schedule %s missed ticks, which came too late", name)
			c.Do = "see that a web process is there all the time, or let catch_up make the ticks later"
		case open(s.Schedules.Last[name]):
			c.Edge = true // how the one before ended is what is known
		case s.Schedules.Last[name] == job.Failed:
			c.Summary = fmt.Sprintf("the last job of schedule %s, %s, failed", name, is.LastJob)
			c.Do = "enqueue timeline " + string(is.LastJob)
		default:
			continue
		}
		found = append(found, c)
	}
	return few(found)
}

// few has those of many schedules that have no alert of their own as one.
func few(all []Condition) []Condition {
	found, more := []Condition{}, int64(0)
	for _, c := range all {
		switch {
		case c.Edge:
			found = append(found, c) // which begins nothing
		case len(found) < maxSchedules:
			found = append(found, c)
		default:
			more++
		}
	}
	if more > 0 {
		found = append(found, Condition{Name: kindSchedule, Count: more,
			Summary: fmt.Sprintf("%d more schedules are late, or fail", more),
			Do:      "enqueue doctor, enqueue schedules"})
	}
	return found
}

// open reports whether a job is there, and has not ended.
func open(is job.State) bool { return is != "" && !is.Terminal() }

// ScheduleName is its name, with its tenant's where that isn't the usual one.
func ScheduleName(s *answer.Schedule) string {
	if s.Tenant == "" {
		return s.Name
	}
	return s.Tenant + "/" + s.Name
}

func (s *Seen) full() (found []Condition) {
	if m := s.Memory; m != nil && (m.Full || m.Edge) {
		found = append(found, Condition{Name: kindStoreFull, Edge: !m.Full, Quiet: near,
			Summary: "the job store is nearly full, and takes no new jobs: " + m.Text,
			Do:      "give Redis more memory, or keep ended jobs for less time (docs/operate.md)"})
	}
	if d := s.Disk; d != nil && (d.Full || d.Edge) {
		found = append(found, Condition{Name: kindDiskFull, Edge: !d.Full, Quiet: near,
			Summary: "there is no room for files, and none are taken: " + d.Text,
			Do:      "make room where the blobs are, or keep ended jobs for less time"})
	}
	return found
}

func workerName(id, host string, pid int) string {
	return fmt.Sprintf("%s on %s, process %d", cmp.Or(id, "a worker"), shown(host), pid)
}

// some names a few of many.
func some(all []string) string {
	text := strings.Join(all[:min(len(all), maxNamed)], "; ")
	if more := len(all) - maxNamed; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// shown is a stranger's text within a line, not too long.
func shown(text string) string {
	text = printable.Line(text)
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}
