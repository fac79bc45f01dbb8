package check

import (
	"slices"
	"strings"
	"testing"

	"longshore/internal/chaos/history"
)

const (
	one = "01a20000-0000-7000-8000-000000000001"
	two = "01a20000-0000-7000-8000-000000000002"
)

// at is a time in the histories below, in milliseconds.
func at(ms int64) int64 { return ms * 1000 }

// good is a history without a mistake: a job whose first worker is killed, and one that is
// quick and nobody strikes.
func good() []history.Event {
	return []history.Event{
		{T: at(10), Kind: history.Up, Proc: "worker1#1"},
		{T: at(20), Kind: history.Submit, Key: "k1", Way: "json"},
		{T: at(30), From: at(20), Kind: history.Ack, Key: "k1", Job: one, Status: 202},
		{T: at(31), Kind: history.Parked, Job: one, Way: "sse", Key: "w1"},
		{T: at(40), Kind: history.Start, Proc: "worker1#1", Job: one, Attempt: 1},
		{T: at(41), Kind: history.Tick, Proc: "100", Job: one},
		{T: at(45), Kind: history.Seen, Job: one, Way: "sse", Key: "w1", Rev: 2, State: "running"},
		{T: at(100), Kind: history.Fault, Key: "f1", Way: "worker.kill", Proc: "worker1#1", N: 1},
		{T: at(110), Kind: history.Exit, Proc: "worker1#1", Status: -1},
		{T: at(900), Kind: history.Heal, Key: "f1", Way: "worker.kill", Proc: "worker1#1"},
		{T: at(8100), Kind: history.Start, Proc: "worker2#1", Job: one, Attempt: 1},
		{T: at(8110), Kind: history.Tick, Proc: "200", Job: one},
		{T: at(9000), Kind: history.End, Proc: "worker2#1", Job: one, State: "succeeded"},
		{T: at(9003), Kind: history.Seen, Job: one, Way: "sse", Key: "w1", Rev: 5, State: "succeeded",
			Done: true, Digest: "d1"},
		{T: at(9004), Kind: history.Callback, Job: one, Rev: 5, State: "succeeded", Done: true, Digest: "d1"},
		{T: at(30_000), From: at(29_990), Kind: history.Ack, Key: "k2", Job: two, Status: 202},
		{T: at(30_001), Kind: history.Parked, Job: two, Way: "poll", Key: "w2"},
		{T: at(30_002), Kind: history.Start, Proc: "worker2#1", Job: two, Attempt: 1},
		{T: at(30_010), Kind: history.End, Proc: "worker2#1", Job: two, State: "succeeded"},
		{T: at(30_012), From: at(30_001), Kind: history.Seen, Job: two, Way: "poll", Key: "w2", Rev: 3,
			State: "succeeded", Done: true, Digest: "d2"},
		{T: at(30_012), From: at(30_001), Kind: history.Waited, Job: two, Way: "poll", Proc: "web1#1",
			Wait: 10 * second, Status: 200},
		{T: at(40_000), Kind: history.Settled},
		final(one, "d1", 5), final(two, "d2", 3),
		{T: at(41_001), Kind: history.Result, Job: one, Status: 200, Digest: `{"word":"w1"}`, Text: "w1"},
		{T: at(41_002), Kind: history.Listed, Job: one}, {T: at(41_002), Kind: history.Listed, Job: two},
		{T: at(42_000), Kind: history.Exit, Proc: "web1#1", Wait: second},
	}
}

func final(job, digest string, rev int64) history.Event {
	return history.Event{T: at(41_000), From: at(40_990), Kind: history.Final, Job: job, Status: 200,
		State: "succeeded", Rev: rev, Attempt: 1, Digest: digest}
}

func TestGood(t *testing.T) {
	t.Parallel()
	r := Check(good())
	for _, v := range r.Violations {
		t.Error(v)
	}
	if r.Invalid != "" || r.Acked != 2 || len(r.Faults) != 1 || r.Faults[0].Hits != 1 {
		t.Errorf("a good run is %+v", r)
	}
}

// change returns the good history with some events put in the place of those that match.
func change(match func(history.Event) bool, by ...history.Event) []history.Event {
	return append(slices.DeleteFunc(good(), match), by...)
}

func also(more ...history.Event) []history.Event { return append(good(), more...) }

// is matches events of a kind about a job.
func is(kind history.Kind, job string) func(history.Event) bool {
	return func(e history.Event) bool { return e.Kind == kind && e.Job == job }
}

// TestBad has at least one bad history for each invariant. The slice that is shown has the
// event with the mistake.
func TestBad(t *testing.T) {
	t.Parallel()
	final1 := final(one, "d1", 5)
	edit := func(e history.Event, f func(*history.Event)) history.Event { f(&e); return e }
	for name, c := range map[string]struct {
		events []history.Event
		want   string
		shows  history.Kind
	}{
		"runs for ever": {change(is(history.Final, one), edit(final1, func(e *history.Event) {
			e.State = "running"
		})), "I1", history.Final},
		"is lost": {change(is(history.Final, one), edit(final1, func(e *history.Event) {
			e.State, e.Status = "", 404
		})),
			"I1", history.Final},
		"was never asked for": {change(is(history.Final, one)), "I1", history.Ack},
		"is invented": {also(history.Event{T: at(41_002), Kind: history.Listed,
			Job: strings.Replace(one, "1", "9", 1)}),
			"I2", history.Listed},
		"two jobs of a key": {also(history.Event{T: at(40_500), Kind: history.Ack, Key: "k1", Job: two,
			Status: 202}), "I3", history.Ack},
		"another result": {change(is(history.Callback, one),
			history.Event{T: at(9004), Kind: history.Callback, Job: one, Rev: 5,
				State: "succeeded", Done: true, Digest: "d9"}), "I4", history.Callback},
		"runs after its end": {also(history.Event{T: at(9100), From: at(9050), Kind: history.Seen, Job: one,
			Rev:   6,
			State: "running"}), "I4", history.Seen},
		"a stream goes back": {also(history.Event{T: at(8000), Kind: history.Seen, Job: one, Key: "w1",
			Rev: 1, State: "queued"}),
			"I5", history.Seen},
		"a read goes back": {also(history.Event{T: at(8000), From: at(7000), Kind: history.Seen, Job: one,
			Key: "w9", Rev: 1,
			State: "queued"}), "I5", history.Seen},
		"two ends": {also(history.Event{T: at(9002), Kind: history.End, Proc: "worker2#1", Job: one,
			State: "succeeded"}),
			"I6", history.End},
		"the end of a lost run": {change(is(history.End, one), history.Event{T: at(9000), Kind: history.End,
			Proc: "worker1#1", Job: one,
			State: "succeeded"}), "I6", history.Start},
		"runs again": {also(history.Event{T: at(9500), Kind: history.Start, Proc: "worker2#1", Job: one}),
			"I6", history.Start},
		"another end in the record": {change(is(history.End, two),
			history.Event{T: at(30_010), Kind: history.End, Proc: "worker2#1",
				Job: two, State: "canceled"}), "I6", history.Final},
		"a success without a run":   {change(is(history.Start, two)), "I7", history.Final},
		"a success without its end": {change(is(history.End, two)), "I7", history.Final},
		"a failure without a run": {change(func(e history.Event) bool {
			return e.Job == two && (e.Kind == history.Start ||
				e.Kind == history.Final || e.Kind == history.End)
		}, edit(final(two, "d2", 3), func(e *history.Event) {
			e.State, e.Code = "failed", "handler_error"
		})), "I7", history.Final},
		"two runs overlap": {also(history.Event{T: at(8115), Kind: history.Tick, Proc: "100", Job: one}),
			"I8", history.Tick},
		"a wait is too long": {also(history.Event{T: at(45_000), From: at(33_000), Kind: history.Waited,
			Job: two, Proc: "web1#1",
			Wait: 10 * second}), "I9", history.Waited},
		"a waiter sleeps on": {change(func(e history.Event) bool {
			return e.Job == two && e.Kind == history.Seen
		},
			history.Event{T: at(33_100), Kind: history.Seen, Job: two, Key: "w2", Rev: 3, State: "succeeded",
				Done: true, Digest: "d2"}),
			"I10", history.End},
		"a result is gone": {also(history.Event{T: at(41_005), Kind: history.Result, Job: two, Status: 404}),
			"I11", history.Result},
		"a result is another": {also(history.Event{T: at(41_005), Kind: history.Result, Job: two, Status: 200,
			Digest: "x", Text: "w"}),
			"I11", history.Result},
		"a job is not found": {also(history.Event{T: at(8000), From: at(7000), Kind: history.Refused,
			Job: one, Status: 404,
			Code: "not_found"}), "I11", history.Refused},
		"an offset goes back": {also(history.Event{T: at(50), From: at(45), Kind: history.Offset, Job: one,
			N: 100, Way: "patch"},
			history.Event{T: at(70), From: at(60), Kind: history.Offset, Job: one, N: 50, Way: "head"}),
			"I12", history.Offset},
		"other bytes": {also(history.Event{T: at(41_005), Kind: history.Result, Job: two,
			Type: "file.checksum", Status: 200,
			Digest: "aa", Text: "bb"}), "I12", history.Result},
		"a child stays": {also(history.Event{T: at(43_000), Kind: history.Left, Way: "child", Text: "123"}),
			"I14", history.Left},
		"a ticket stays": {also(history.Event{T: at(43_000), Kind: history.Left, Way: "ticket"}), "I15",
			history.Left},
		"a callback did not come": {also(history.Event{T: at(43_000), Kind: history.Left, Way: "callback",
			Job: one}),
			"callback", history.Left},
		"a cancel takes long": {also(history.Event{T: at(22_000), Kind: history.Cancel, Job: two,
			From: at(21_000)}), "I17", history.Cancel},
		"a secret": {also(history.Event{T: at(43_000), Kind: history.Secret, Proc: "web1#1"}), "I18",
			history.Secret},
		"an attempt is lost": {change(is(history.Final, one),
			edit(final1, func(e *history.Event) { e.Attempt = 2 })),
			"I19", history.Final},
		"a machine's fault fails it": {change(is(history.Final, one),
			edit(final1, func(e *history.Event) { e.N = 1 })),
			"I19", history.Final},
		"runs again late": {change(func(e history.Event) bool {
			return e.Kind == history.Start && e.T == at(8100)
		},
			history.Event{T: at(12_500), Kind: history.Start, Proc: "worker2#1", Job: one, Attempt: 1}),
			"recovery", history.Start},
		"an error of the server": {also(history.Event{T: at(8000), Kind: history.Refused, Way: "submit",
			Status: 500}),
			"answers", history.Refused},
		"no Retry-After": {also(history.Event{T: at(8000), Kind: history.Refused, Way: "submit",
			Status: 503}),
			"answers", history.Refused},
		"a request fails in a restart": {also(history.Event{T: at(20_000), Kind: history.Fault, Key: "f2",
			Way: "rolling", N: 1},
			history.Event{T: at(21_000), Kind: history.Heal, Key: "f2"},
			history.Event{T: at(20_500), From: at(20_400), Kind: history.Unknown, Way: "submit"}), "rolling",
			history.Unknown},
		"a program ends with an error": {also(history.Event{T: at(43_000), Kind: history.Exit, Proc: "web2#1",
			Status: 1, Wait: 100}),
			"rolling", history.Exit},
		"a loss goes unnoticed": {also(history.Event{T: at(15), Kind: history.Up, Proc: "web1#1"},
			history.Event{T: at(20_000), Kind: history.Fault, Key: "f2", Way: "redis.empty", N: 1},
			history.Event{T: at(20_100), Kind: history.Heal, Key: "f2"}), "noticed", history.Fault},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Check(c.events)
			i := slices.IndexFunc(r.Violations, func(v Violation) bool { return v.Invariant == c.want })
			if i < 0 {
				t.Fatalf("found %v, want %s", r.By(), c.want)
			}
			if !slices.ContainsFunc(r.Violations[i].Slice, func(e history.Event) bool {
				return e.Kind == c.shows
			}) {
				t.Errorf("the slice has no %s:\n%s", c.shows, r.Violations[i])
			}
		})
	}
}

// TestForgiven has faults that may take jobs: what they took is counted, and is no violation.
func TestForgiven(t *testing.T) {
	t.Parallel()
	lost := func(e *history.Event) { e.State, e.Status, e.Digest, e.Rev = "", 404, "", 0 }
	gone := final(two, "", 0)
	lost(&gone)
	strike := func(way, code string) []history.Event {
		return change(is(history.Final, two), gone,
			history.Event{T: at(31_000), Kind: history.Fault, Key: "f2", Way: way, Code: code, N: 1},
			history.Event{T: at(31_100), Kind: history.Heal, Key: "f2"})
	}
	for name, c := range map[string]struct {
		events   []history.Event
		forgiven int
		want     string
	}{
		"the last two seconds": {strike("redis.power", "everysec"), 1, ""},
		"synced always":        {strike("redis.power", "always"), 0, "I1"},
		"not synced":           {strike("redis.power", "no"), 0, "I1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Check(c.events)
			if r.Forgiven != c.forgiven || slices.Contains(r.By(), "I1") != (c.want == "I1") {
				t.Errorf("%d forgiven, violated: %v", r.Forgiven, r.By())
			}
		})
	}
}

// TestInvalid has histories that show nothing.
func TestInvalid(t *testing.T) {
	t.Parallel()
	for name, events := range map[string][]history.Event{
		"no fault":     change(func(e history.Event) bool { return e.Kind == history.Fault }),
		"nothing hit":  also(history.Event{T: at(20_000), Kind: history.Fault, Key: "f2", Way: "net.cut"}),
		"not settled":  change(func(e history.Event) bool { return e.Kind == history.Settled }),
		"nothing sent": {},
	} {
		if r := Check(events); r.Invalid == "" {
			t.Errorf("%s: the run counts", name)
		}
	}
}

// TestSlopes fits lines to samples.
func TestSlopes(t *testing.T) {
	t.Parallel()
	var events []history.Event
	for i := range int64(100) {
		events = append(events, history.Event{T: i * second, Kind: history.Gauge, Proc: "web", Way: "rss",
			N: 1000 + 10*i},
			history.Event{T: i * second, Kind: history.Gauge, Proc: "web", Way: "fds", N: 10 + i%2})
	}
	got := Slopes(events, 10*second)
	if len(got) != 2 || got[1].Way != "rss" || got[1].First != 1100 || got[1].Last != 1990 ||
		got[1].Hour < 35_999 || got[1].Hour > 36_001 {
		t.Errorf("slopes: %+v", got)
	}
	if got[0].Hour > 5 || got[0].Hour < -5 {
		t.Errorf("what doesn't grow: %+v", got[0])
	}
}
