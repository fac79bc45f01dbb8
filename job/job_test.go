package job

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 123e6, time.UTC)
	seen := map[ID]bool{}
	for range 1000 {
		id := NewID(now)
		if seen[id] {
			t.Fatalf("%s was drawn twice", id)
		}
		seen[id] = true
		if parsed, err := ParseID(string(id)); err != nil || parsed != id || !id.Time().Equal(now) ||
			id.Shard() < 0 || id.Shard() >= Shards {
			t.Fatalf("%s: parsed %s, %v; time %v, shard %d", id, parsed, err, id.Time(), id.Shard())
		}
	}
	if a, b := NewID(now), NewID(now.Add(time.Millisecond)); a >= b {
		t.Errorf("%s is not before %s", a, b)
	}
	// The example of RFC 9562, appendix A.6.
	const example = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
	if id, err := ParseID(example); err != nil || id.Time().UnixMilli() != 0x017f22e279b0 {
		t.Errorf("%s: %v", example, err)
	}
	for _, bad := range []string{"", "x", example[:35], example + "0", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
		"{17f22e2-79b0-7cc3-98c4-dc0c0c07398f", "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
		"017f22e2-79b0-7cc3-c8c4-dc0c0c07398f", "017f22e279b0-7cc3-98c4-dc0c0c07398f--",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398\n"} {
		if _, err := ParseID(bad); !errors.Is(err, ErrBadID) {
			t.Errorf("ParseID(%q) = %v", bad, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	f.Add("urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseID(s); err == nil && (string(id) != s || len(s) != 36 || id.Time().IsZero() &&
			s[:8] != "00000000") {
			t.Errorf("%q was accepted", s)
		}
	})
}

// TestStates holds what a state machine must have: an end for every state, no
// way out of it, and no state that nobody reaches.
func TestStates(t *testing.T) {
	t.Parallel()
	reached := slices.Clone(State("").Moves())
	for _, s := range States {
		if !s.Valid() {
			t.Errorf("%s is not valid", s)
		}
		if s.Terminal() != (len(s.Moves()) == 0) {
			t.Errorf("%s: terminal %v, moves %v", s, s.Terminal(), s.Moves())
		}
		if !s.Terminal() && !MayMove(s, Canceled) {
			t.Errorf("%s can't be canceled", s)
		}
		reached = append(reached, s.Moves()...)
	}
	for _, s := range States {
		if !slices.Contains(reached, s) {
			t.Errorf("nobody reaches %s", s)
		}
	}
	if State("dancing").Valid() || MayMove(Succeeded, Queued) {
		t.Error("more is allowed than there is")
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	var m Meter
	now := time.Unix(1000, 0)
	var p Progress
	for i := range int64(101) { // 10 MB/s for 10 s
		p = Progress{BytesDone: i * 1e6, BytesTotal: 200e6}
		m.Measure(&p, now, p.BytesDone, p.BytesTotal)
		now = now.Add(100 * time.Millisecond)
	}
	if p.Rate < 9.9e6 || p.Rate > 10.1e6 || *p.Fraction != 0.5 || *p.ETA < 9.8 || *p.ETA > 10.2 {
		t.Errorf("rate %v, fraction %v, ETA %v", p.Rate, *p.Fraction, *p.ETA)
	}
	units := Progress{} // work that isn't reading bytes has a fraction and no rate of bytes
	m = Meter{}
	m.Measure(&units, now, 0, 10)
	m.Measure(&units, now.Add(time.Second), 5, 10)
	if units.Rate != 0 || *units.Fraction != 0.5 || *units.ETA != 1 {
		t.Errorf("rate %v, fraction %v, ETA %v", units.Rate, *units.Fraction, *units.ETA)
	}
	unknown := Progress{BytesDone: 5}
	m.Measure(&unknown, now.Add(2*time.Second), 5, 0)
	if unknown.Fraction != nil || unknown.ETA != nil {
		t.Error("a fraction of nothing known")
	}
}
