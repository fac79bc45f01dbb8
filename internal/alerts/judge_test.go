package alerts

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/answer"
)

// A world plays looks one after the other.
type world struct {
	now       time.Time
	all       map[string]*held
	ended     []answer.AlertMessage
	receivers []string
	untold    int64
}

func newWorld(receivers ...string) *world {
	return &world{now: noon, all: map[string]*held{}, receivers: receivers}
}

// look is one look some time later; it answers what is told: "<state> <alert> <count>→<receiver>".
func (w *world) look(after time.Duration, found ...Condition) string {
	w.now = w.now.Add(after)
	looked := func(kind string) bool { return kind != "unseen" }
	v := judge(w.now, w.all, w.ended, found, looked, w.receivers, 30*time.Second)
	w.untold = v.untold
	w.ended = (&look{fields: map[string]string{"ended": v.set["ended"]}}).endedOr(w.ended)
	ids := map[string]string{}
	var said []string
	for _, n := range v.notes {
		line := fmt.Sprintf("%s %s %d", n.Body.State, n.Body.Alert, n.Body.Count)
		if ids[n.ID] != "" && ids[n.ID] != line {
			said = append(said, "two messages by one id")
		}
		ids[n.ID] = line
		said = append(said, line+"→"+n.To)
	}
	slices.Sort(said)
	return strings.Join(said, ", ")
}

func (l *look) endedOr(before []answer.AlertMessage) []answer.AlertMessage {
	if l.fields["ended"] == "" {
		return before
	}
	return l.ended()
}

type step struct {
	after time.Duration
	found []Condition
	want  string
}

func TestJudge(t *testing.T) {
	t.Parallel()
	x := Condition{Name: "x", Summary: "s"}
	late := Condition{Name: "x", After: time.Minute}
	edge := Condition{Name: "x", Edge: true}
	count := func(n int64) Condition {
		return Condition{Name: "f:1", Count: n, More: true, Quiet: 30 * time.Minute}
	}
	some := func(c ...Condition) []Condition { return c }
	for name, steps := range map[string][]step{
		"once at its start and once at its end": {
			{0, some(x), "firing x 0→r"}, {5 * time.Second, some(x), ""}, {5 * time.Second, nil, ""},
			{25 * time.Second, nil, ""}, {5 * time.Second, nil, "resolved x 0→r"}, {time.Hour, nil, ""},
			{0, some(x), "firing x 0→r"},
		},
		"what comes back within its time is one alert": {
			{0, some(x), "firing x 0→r"}, {5 * time.Second, nil, ""}, {20 * time.Second, some(x), ""},
			{20 * time.Second, nil, ""}, {20 * time.Second, nil, ""}, {10 * time.Second, nil, "resolved x 0→r"},
		},
		"what must last lasts": {
			{0, some(late), ""}, {55 * time.Second, some(late), ""}, {5 * time.Second, some(late), "firing x 0→r"},
		},
		"what was gone once begins anew": {
			{0, some(late), ""}, {55 * time.Second, nil, ""}, {5 * time.Second, some(late), ""},
			{time.Minute, some(late), "firing x 0→r"},
		},
		"at its edge nothing begins and nothing ends": {
			{0, some(edge), ""}, {5 * time.Second, some(x), "firing x 0→r"}, {time.Hour, some(edge), ""},
			{time.Hour, some(edge), ""}, {0, nil, ""}, {time.Minute, nil, "resolved x 0→r"},
		},
		"a count is told again after ten minutes, if it has grown": {
			{0, some(count(1)), "firing f:1 1→r"}, {time.Minute, some(count(5)), ""}, {8 * time.Minute, nil, ""},
			{2 * time.Minute, nil, "firing f:1 6→r"}, {10 * time.Minute, nil, ""},
			{10 * time.Minute, some(count(1)), "firing f:1 7→r"}, {5 * time.Second, nil, ""},
			{30 * time.Minute, nil, "resolved f:1 7→r"},
		},
		"what was not looked at stays": {
			{0, some(Condition{Name: "unseen:1"}), "firing unseen:1 0→r"}, {time.Hour, nil, ""},
		},
		"a clock that goes back delays no end for ever": {
			{0, some(x), "firing x 0→r"}, {0, nil, ""}, {-24 * time.Hour, nil, ""},
			{30 * time.Second, nil, "resolved x 0→r"},
		},
		"the same twice in a look": {{0, some(x, x), "firing x 0→r"}},
	} {
		w := newWorld("r")
		for i, s := range steps {
			if got := w.look(s.after, s.found...); got != s.want {
				t.Errorf("%s: step %d tells %q, want %q", name, i, got, s.want)
			}
		}
	}
}

// TestReceiversComeAndGo has who comes later hear of what fires, and nobody hear of the end of what he was
// not told.
func TestReceiversComeAndGo(t *testing.T) {
	t.Parallel()
	w, x := newWorld(), Condition{Name: "x"}
	for i, s := range []struct {
		receivers string
		found     []Condition
		want      string
	}{
		{"", []Condition{x}, ""},
		{"a", []Condition{x}, "firing x 0→a"},
		{"a b", []Condition{x}, "firing x 0→b"},
		{"b c", nil, ""},
		{"b c d", nil, "resolved x 0→b"},
	} {
		w.receivers = strings.Fields(s.receivers)
		if got := w.look(30*time.Second, s.found...); got != s.want {
			t.Errorf("look %d tells %q, want %q", i, got, s.want)
		}
	}
	if len(w.ended) != 1 || w.ended[0].ResolvedAt == nil || w.ended[0].State != resolved {
		t.Errorf("%+v", w.ended)
	}
}

// TestManyAlerts has more fire than may, and more end than are kept.
func TestManyAlerts(t *testing.T) {
	t.Parallel()
	w := newWorld("r")
	var found []Condition
	for i := range maxFiring + 9 {
		found = append(found, Condition{Name: fmt.Sprintf("x:%d", i)})
	}
	if n := strings.Count(w.look(0, found...), "firing"); n != maxFiring || w.untold != 9 {
		t.Errorf("%d fire, %d are left out", n, w.untold)
	}
	w.look(time.Second)
	if n := strings.Count(w.look(time.Minute), "resolved"); n != maxFiring || len(w.ended) != maxEnded {
		t.Errorf("%d are over, %d are kept", n, len(w.ended))
	}
}
