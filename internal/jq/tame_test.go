package jq

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/itchyny/gojq"
)

// TestTame holds which expressions take little, whatever the record.
func TestTame(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]bool{
		`.a == 1 and (.b.c < "x" or not)`: false, // not is no condition there
		`.a == 1 and (.b.c < "x")`:        true,
		`select(.a != null)`:              true,
		`.a == .b`:                        false,
		`.a | length`:                     false,
		`.a == 1` + strings.Repeat(` or .a == 2`, maxTame): false,
	} {
		e, err := Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		if e.Tame() != want || Untamed(source) == want {
			t.Errorf("%.50s: tame is %t, untamed %t", source, e.Tame(), Untamed(source))
		}
	}
}

// TestLongValues holds that tame expressions are quick on the longest values, and
// compare them as gojq does.
func TestLongValues(t *testing.T) {
	t.Parallel()
	digits, escapes := strings.Repeat("7", 4<<20), strings.Repeat(`\u0061`, 600_000)
	list := "[" + strings.Repeat("[],", 1<<20) + "[]]"
	for _, c := range []struct {
		source, record string
		want           bool
	}{
		{`.a > 5`, `{"a":` + digits + `}`, true},
		{`.a > 5`, `{"a":-` + digits + `}`, false},
		{`.a < 5.5`, `{"a":-` + digits + `}`, true},
		{`.a > "aab"`, `{"a":"` + escapes + `"}`, false},
		{`.a > "aa" and .a < "b"`, `{"a":"` + escapes + `"}`, true},
		{`.a > "z"`, `{"a":` + list + `}`, true},
		{`.a.b == 1`, `{"a":{"b":2},"c":` + list + `,"a":{"b":1}}`, true}, // there twice
		{`.a > 5`, `{"a":1,"a":` + digits + `}`, true},
		{`.a.b == null and .c.d > 5`, `{"c":{"d":` + digits + `},"a":{"x":1},"a":{"y":` + list + `}}`, true},
	} {
		e, err := Compile(c.source)
		if err != nil {
			t.Fatal(err)
		}
		if !e.Tame() {
			t.Errorf("%s is not tame", c.source)
		}
		b := Padded([]byte(c.record))
		began := time.Now()
		got, err := NewMachine(t.Context(), e).Match(b, 0, len(b))
		if took := time.Since(began); err != nil || got != c.want || took > 60*time.Second {
			t.Errorf("%s of %.20s…: %t, %v, after %v", c.source, c.record, got, err, took)
		}
	}
	// Through something that is no object, with a record that is decoded in part.
	e, err := Compile(`.a.b == 1`)
	if err != nil {
		t.Fatal(err)
	}
	b := Padded([]byte(`{"x":` + list + `,"a":5}`))
	if _, err := NewMachine(t.Context(), e).Match(b, 0, len(b)); err == nil ||
		!strings.Contains(err.Error(), "object") {
		t.Errorf("a member of a number: %v", err)
	}
}

// FuzzCompareLong holds that long numbers and cut texts compare as they do whole.
func FuzzCompareLong(f *testing.F) {
	f.Add("77", "-5", uint16(500), uint16(1))
	f.Fuzz(func(t *testing.T, l, r string, n, m uint16) {
		x, ok := new(big.Int).SetString(strings.Repeat(l, int(n%200)+1), 10)
		y, ok2 := new(big.Int).SetString(strings.Repeat(r, int(m%200)+1), 10)
		if !ok || !ok2 {
			return
		}
		if got, ok := compareLong([]byte(x.String()), []byte(y.String())); ok && sign(got) != x.Cmp(y) {
			t.Fatalf("%s and %s: %d", x, y, got)
		}
	})
}

// FuzzCompareText holds the same of texts with escapes.
func FuzzCompareText(f *testing.F) {
	f.Add(`\u0061b`, `a\ud83d\ude00`)
	f.Fuzz(func(t *testing.T, l, r string) {
		for _, s := range []string{l, r} {
			b := Padded([]byte(`"` + s + `"`))
			if newScanner(nil).scan(b, 0, len(b)) != nil {
				return
			}
		}
		long := l + strings.Repeat(`\u0062`, 40)
		for _, s := range []string{l, long} {
			a, b := []byte(`"`+s+`"`), []byte(`"`+r+`"`)
			if got, want := compare(a, b), gojq.Compare(decode(a), decode(b)); sign(got) != want {
				t.Fatalf("%s and %s: %d, want %d", a, b, got, want)
			}
		}
	})
}

func sign(n int) int { return max(-1, min(1, n)) }
