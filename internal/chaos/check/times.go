package check

import (
	"fmt"
	"slices"
	"strings"

	"longshore/internal/chaos/history"
)

// I9: no wait is longer than was asked for and a second. A web process that is stopped or
// killed can't answer.
func waitsEnd(f *facts) (bad []Violation) {
	for _, e := range f.events {
		if e.Kind != history.Waited || e.T-e.From <= e.Wait+second || f.struck(e.Proc, e.From, e.T) {
			continue
		}
		bad = append(bad, Violation{Job: e.Job, Text: "a wait was answered too late",
			Slice: []history.Event{e}})
	}
	return bad
}

// struck tells whether a fault was on that names a process.
func (f *facts) struck(proc string, from, to int64) bool {
	for _, w := range f.windows {
		if w.proc == proc && w.from <= to && from <= w.to {
			return true
		}
	}
	return false
}

// wakeMost is how long a waiter may sleep after the end if every notification is lost, with
// half a second for a machine that has much to do.
const wakeMost = 3 * second

// notifying are the faults that may cost notifications but not the way to Redis.
var notifying = []string{"worker.", "redis.pubsub", "net.deaf"}

// I10: a waiter learns of the end within 2.5 s, though all notifications are lost.
func wakesInTime(f *facts) (bad []Violation) {
	for _, w := range f.wakes(notifying...) {
		if w.seen.T-w.end.T > wakeMost {
			bad = append(bad, Violation{Job: w.end.Job, Text: "a waiter was told of the end too late",
				Slice: []history.Event{w.parked, w.end, w.seen}})
		}
	}
	return bad
}

// A wake is one waiter that was there when its job ended.
type wake struct{ parked, end, seen history.Event }

// wakes finds the waiters that were woken while no other faults were on than the given ones.
func (f *facts) wakes(but ...string) (found []wake) {
	for _, id := range f.sorted() {
		ends := f.of(id, history.End)
		if len(ends) == 0 {
			continue
		}
		end := ends[0]
		parked := map[string]history.Event{}
		for _, e := range f.of(id, history.Parked, history.Seen) {
			if e.Kind == history.Parked {
				parked[e.Key] = e
				continue
			}
			p, ok := parked[e.Key]
			if !ok || !e.Done || p.T >= end.T {
				continue
			}
			if delete(parked, e.Key); !f.touched(end.T-second, e.T, 3*second, but...) {
				found = append(found, wake{p, end, e})
			}
		}
	}
	return found
}

// I11: what was made can be read.
func resultsStay(f *facts) (bad []Violation) {
	for _, id := range f.sorted() {
		for _, e := range f.of(id, history.Result) {
			switch {
			case e.Type == "file.checksum": // what it tells is about an upload: I12
			case e.Status != 200:
				bad = append(bad, Violation{Job: id, Text: "a result can't be read",
					Slice: []history.Event{e}})
			case !strings.Contains(e.Digest, e.Text):
				bad = append(bad, Violation{Job: id, Text: "a result is another one",
					Slice: []history.Event{e}})
			}
		}
		for _, e := range f.of(id, history.Refused) {
			if _, ok := f.acked[id]; ok && (e.Status == 404 || e.Code == "not_found") {
				bad = append(bad, Violation{Job: id, Text: "an acknowledged job was not found",
					Slice: []history.Event{e}})
				break
			}
		}
	}
	return bad
}

// I12: the bytes are what was sent, and an acknowledged offset never decreases.
func uploadsStay(f *facts) (bad []Violation) {
	for _, id := range f.sorted() {
		offsets := f.of(id, history.Offset)
		for i, e := range offsets {
			for _, before := range offsets[:i] {
				if before.T < e.From && before.N > e.N && e.Way != "create" {
					bad = append(bad, Violation{Job: id, Text: "an acknowledged offset went back",
						Slice: []history.Event{before, e}})
				}
			}
		}
		for _, e := range f.of(id, history.Result) {
			if e.Type == "file.checksum" && (e.Status != 200 || !strings.Contains(e.Digest, e.Text)) {
				bad = append(bad, Violation{Job: id, Text: "an upload has other bytes than were sent",
					Slice: []history.Event{e}})
			}
		}
	}
	return bad
}

// leftovers maps what can be left over to the invariant that forbids it.
var leftovers = map[string]string{"ticket": "I15", "callback": "callback"}

// I14, I15: nothing is left over.
func nothingLeft(f *facts) (bad []Violation) {
	for _, e := range f.events {
		if e.Kind == history.Left && !f.forgiven[e.Job] {
			bad = append(bad, Violation{Invariant: leftovers[e.Way], Job: e.Job, Text: "left over: " + e.Way,
				Slice: []history.Event{e}})
		}
	}
	return bad
}

// I17: what is canceled ends within 5 s, or within 12 where its worker was lost.
func cancelsEnd(f *facts) (bad []Violation) {
	for _, id := range f.sorted() {
		cancels := f.of(id, history.Cancel)
		if len(cancels) == 0 {
			continue
		}
		cancel := cancels[0]
		took, end := f.canceled(id, cancel)
		most := 5 * second
		if f.touched(cancel.T, cancel.T+most, 12*second, "web.", "rolling") {
			most = 12 * second
		}
		if took <= most || f.touched(cancel.T, cancel.T+took, 12*second, "web.", "worker.", "rolling",
			"redis.pubsub") {
			continue
		}
		bad = append(bad, Violation{Job: id, Text: "a canceled job ended too late",
			Slice: append(end, cancel)})
	}
	return bad
}

// canceled tells how long after its cancel a job has ended at the latest.
func (f *facts) canceled(id string, cancel history.Event) (took int64, shown []history.Event) {
	for _, e := range f.jobs[id] {
		if e.Kind == history.End || e.Kind == history.Seen && e.Done || e.Kind == history.Final {
			return max(0, e.T-cancel.T), []history.Event{e}
		}
	}
	return 1 << 40, nil
}

// I18: no secret is seen.
func noSecret(f *facts) (bad []Violation) {
	for _, e := range f.events {
		if e.Kind == history.Secret {
			bad = append(bad, Violation{Text: "a secret was seen", Slice: []history.Event{e}})
		}
	}
	return bad
}

// recoverMost is when the job of a killed worker runs again.
const recoverMost = 12 * second

// reruns finds, for each job that ran on a killed worker, the kill and the next start.
func (f *facts) reruns() (found [][2]history.Event) {
	for _, w := range f.windows {
		if w.way != "worker.kill" {
			continue
		}
		for _, id := range f.sorted() {
			runs := false
			for _, e := range f.of(id, history.Start, history.End, history.Release, history.Late,
				history.Exit) {
				switch {
				case e.Proc == w.proc:
					runs = e.Kind == history.Start
				case runs && e.Kind == history.Start && e.T > w.from:
					found = append(found, [2]history.Event{w.fault, e})
					runs = false
				}
			}
		}
	}
	return found
}

// runsAgain: a job of a killed worker runs again within 12 s, while Redis answers.
func runsAgain(f *facts) (bad []Violation) {
	for _, r := range f.reruns() {
		if r[1].T-r[0].T > recoverMost && !f.touched(r[0].T, r[1].T, 0, "worker.", "web.", "rolling",
			"redis.pubsub", "net.deaf") {
			bad = append(bad, Violation{Job: r[1].Job, Text: "a killed worker's job ran again too late",
				Slice: r[:]})
		}
	}
	return bad
}

// fitting are the refusals that tell a client what to do.
var fitting = map[int]bool{408: true, 409: true, 429: true, 503: true, 507: true}

// untold is for how long after Redis came back empty web processes may not know the types of
// workers, which tell them each minute.
const untold = 65 * second

// answersAreClear: who is refused is told how to go on.
func answersAreClear(f *facts) (bad []Violation) {
	for _, e := range f.events {
		if e.Kind != history.Refused || e.Status == 0 || f.forgiven[e.Job] {
			continue
		}
		switch {
		case e.Status == 422 && f.emptied(e.T):
		case !fitting[e.Status] && e.Status != 404: // 404 is I11's
			bad = append(bad, Violation{Job: e.Job, Text: fmt.Sprintf("%s was answered %d", e.Way, e.Status),
				Slice: []history.Event{e}})
		case e.Status == 503 && e.N == 0:
			bad = append(bad, Violation{Job: e.Job, Text: "503 without Retry-After",
				Slice: []history.Event{e}})
		}
	}
	return bad
}

// emptied tells whether Redis has come back empty not long before.
func (f *facts) emptied(t int64) bool {
	return slices.ContainsFunc(f.windows, func(w window) bool {
		return w.way == "redis.empty" && w.from <= t && t <= saturate(w.to, untold)
	})
}

// exitMost is the grace of the programs in a run, and two seconds.
const exitMost = 12 * second

// rollsUnseen: a rolling restart costs no request, and programs end in time.
func rollsUnseen(f *facts) (bad []Violation) {
	for _, e := range f.events {
		rolled := f.touched(max(e.From, 1), e.T, 0) && !f.touched(max(e.From, 1), e.T, 2*second, "rolling")
		switch {
		case e.Kind == history.Unknown && rolled:
			bad = append(bad, Violation{Job: e.Job, Text: "a request failed in a rolling restart",
				Slice: []history.Event{e}})
		case e.Kind == history.Exit && e.Wait > 0 && (e.Status != 0 || e.Wait > exitMost) &&
			!f.touched(e.T-e.Wait, e.T, 0, "rolling"):
			bad = append(bad, Violation{Text: "a program did not end in good order",
				Slice: []history.Event{e}})
		}
	}
	return bad
}

// noticeMost is when a process that runs has told that Redis lost its data.
const noticeMost = 10 * second

// lossIsNoticed: a Redis that comes back empty is told of by all programs.
func lossIsNoticed(f *facts) (bad []Violation) {
	for _, w := range f.windows {
		if w.way != "redis.empty" {
			continue
		}
		missing := map[string]bool{}
		for _, e := range f.events {
			switch {
			case e.Kind == history.Up && e.T < w.from:
				missing[e.Proc] = true
			case e.Kind == history.Exit && e.T < w.to+noticeMost,
				e.Kind == history.Noticed && e.T >= w.from && e.T < saturate(w.to, noticeMost):
				delete(missing, e.Proc)
			}
		}
		for proc := range missing {
			bad = append(bad, Violation{Text: proc + " did not tell that redis has lost its data",
				Slice: []history.Event{w.fault}})
		}
	}
	return bad
}
