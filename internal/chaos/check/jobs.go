package check

import (
	"fmt"
	"slices"

	"longshore/internal/chaos/history"
)

var terminal = []string{"succeeded", "failed", "canceled", "expired"}

// I1: every acknowledged job ends.
func everyJobEnds(f *facts) (bad []Violation) {
	if f.settled == 0 { // nobody has asked
		return nil
	}
	for id, ack := range f.acked {
		final, ok := f.final[id]
		if f.forgiven[id] || ok && slices.Contains(terminal, final.State) {
			continue
		}
		events := append([]history.Event{ack}, f.of(id, history.Start, history.End, history.Release,
			history.Late)...)
		text := "an acknowledged job has not ended"
		if ok {
			events = append(events, final)
			if final.Status == 404 {
				text = "an acknowledged job is lost"
			}
		}
		bad = append(bad, Violation{Job: id, Text: text, Slice: events})
	}
	return bad
}

// I2: no job is there that nobody submitted. Who had no answer may have made one.
func noneIsInvented(f *facts) (bad []Violation) {
	var strange []history.Event
	for _, id := range f.sorted() {
		listed := f.of(id, history.Listed)
		if _, ok := f.acked[id]; !ok && len(listed) > 0 && len(f.of(id, history.Offset)) == 0 {
			strange = append(strange, listed[0])
		}
	}
	open := map[string]bool{}
	for _, e := range f.events {
		if (e.Kind == history.Unknown || e.Kind == history.Refused) && e.Key != "" &&
			len(f.keys[e.Key]) == 0 {
			open[e.Key] = true
		}
	}
	if len(strange) > len(open) {
		bad = append(bad, Violation{Job: strange[0].Job, Slice: strange,
			Text: fmt.Sprintf("%d jobs are listed that nobody was told of, and %d submissions have no answer",
				len(strange), len(open))})
	}
	return bad
}

// I3: one key, one job.
func oneJobAKey(f *facts) (bad []Violation) {
	for key, acks := range f.keys {
		first := acks[0]
		if f.forgiven[first.Job] {
			continue
		}
		for _, other := range acks[1:] {
			if other.Job != first.Job {
				bad = append(bad, Violation{Job: other.Job, Text: "key " + key + " has made another job",
					Slice: []history.Event{first, other}})
				break
			}
		}
	}
	return bad
}

// I4: one end, for ever and over every way.
func oneEnd(f *facts) (bad []Violation) {
	for _, id := range f.sorted() {
		var first *history.Event
		for _, e := range f.of(id, history.Seen, history.Callback, history.Final) {
			done := e.Done || e.Kind != history.Seen && slices.Contains(terminal, e.State)
			switch {
			case first == nil && done:
				first = &e
			case first == nil || !done && e.From > 0 && e.From < first.T: // it was asked before
			case !done && e.From == 0 && e.Kind == history.Seen: // pushed before, perhaps: I5 looks
			case e.Kind == history.Final && e.Status == 0: // it could not be asked for: I1 looks
				continue
			case !done && e.State == "":
				bad = append(bad, Violation{Job: id, Text: "an ended job is gone",
					Slice: []history.Event{*first, e}})
			case !done, e.State != first.State, e.Digest != first.Digest, e.Rev != first.Rev:
				bad = append(bad, Violation{Job: id, Text: "an ended job has changed",
					Slice: []history.Event{*first, e}})
			default:
				continue
			}
			if len(bad) > 0 && bad[len(bad)-1].Job == id {
				break
			}
		}
	}
	return bad
}

// I5: rev only grows, for each client and from one read to a later one.
func revGrows(f *facts) (bad []Violation) {
	for _, id := range f.sorted() {
		seen := f.of(id, history.Seen)
		last := map[string]history.Event{} // by client
		for i, e := range seen {
			if e.Key != "" {
				if before, ok := last[e.Key]; ok && e.Rev < before.Rev {
					bad = append(bad, Violation{Job: id, Text: "a client was told an older rev",
						Slice: []history.Event{before, e}})
					break
				}
				last[e.Key] = e
			}
			if e.From == 0 {
				continue
			}
			old := slices.IndexFunc(seen[:i], func(b history.Event) bool {
				return b.T < e.From && b.Rev > e.Rev
			})
			if old >= 0 {
				bad = append(bad, Violation{Job: id, Text: "a read went back",
					Slice: []history.Event{seen[old], e}})
				break
			}
		}
	}
	return bad
}

// I6: exactly one end is accepted, and it is that of the run that has the job.
func oneFinish(f *facts) (bad []Violation) {
	for _, id := range f.sorted() {
		runs := f.of(id, history.Start, history.End)
		var end, start *history.Event
		for _, e := range runs {
			switch {
			case e.Kind == history.Start && end != nil:
				bad = append(bad, Violation{Job: id, Text: "an ended job runs again",
					Slice: []history.Event{*end, e}})
			case e.Kind == history.Start:
				start = &e
				continue
			case end != nil:
				bad = append(bad, Violation{Job: id, Text: "two ends were accepted",
					Slice: []history.Event{*end, e}})
			case start != nil && start.Proc != e.Proc:
				bad = append(bad,
					Violation{Job: id, Text: "the end of a run was accepted that had lost the job",
						Slice: append(slices.Clone(runs), e)})
			default:
				end = &e
				if final, ok := f.final[id]; ok && final.State != e.State && final.State != "" {
					bad = append(bad, Violation{Job: id, Text: "the record has another end than the run",
						Slice: []history.Event{e, final}})
				}
				continue
			}
			break
		}
	}
	return bad
}

// I7: a success has a completed run, and no failure comes out of nothing.
func endsHaveRuns(f *facts) (bad []Violation) {
	died := map[string]bool{}
	for _, e := range f.events {
		if e.Kind == history.Exit && e.Status != 0 {
			died[e.Proc] = true
		}
	}
	for id, final := range f.final {
		starts, ends := f.of(id, history.Start), f.of(id, history.End)
		switch {
		case f.forgiven[id]:
		case final.State == "succeeded" && len(starts) == 0:
			bad = append(bad, Violation{Job: id, Text: "a success without a run",
				Slice: []history.Event{final}})
		case final.State == "succeeded" && len(ends) == 0 && !died[starts[len(starts)-1].Proc]:
			bad = append(bad, Violation{Job: id, Text: "a success whose run did not complete",
				Slice: append(starts, final)})
		case final.State == "failed" && len(starts) == 0 && final.Code != "poisoned" &&
			final.Code != "upload_incomplete":
			bad = append(bad, Violation{Job: id, Text: "a failure without a run",
				Slice: []history.Event{final}})
		}
	}
	return bad
}

// I8: two runs of a job that forbids it never overlap.
func noOverlap(f *facts) (bad []Violation) {
	for _, id := range f.sorted() {
		last := map[string]history.Event{} // by process
		var current string
		for _, e := range f.of(id, history.Tick) {
			if before, ok := last[e.Proc]; ok && current != e.Proc {
				bad = append(bad, Violation{Job: id, Text: "two runs at the same time",
					Slice: []history.Event{before, last[current], e}})
				break
			}
			last[e.Proc], current = e, e.Proc
		}
	}
	return bad
}

// I19: what goes wrong with machines costs no attempt, and fails no job.
func noAttemptLost(f *facts) (bad []Violation) {
	for id, final := range f.final {
		if f.forgiven[id] {
			continue
		}
		if final.Attempt > 1 || final.N > 0 || final.State == "failed" || final.State == "expired" {
			bad = append(bad, Violation{Job: id, Text: "a fault of a machine has cost an attempt, or the job",
				Slice: append(f.of(id, history.Ack, history.Start, history.End, history.Release,
					history.Late), final)})
		}
	}
	return bad
}
