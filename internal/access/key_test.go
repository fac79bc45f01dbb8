package access_test

import (
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
)

func TestKeyForm(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := access.DrawID()
		key := access.DrawKey(id)
		got, ok := access.ParseKey(key)
		if !ok || got != id || len(key) != 65 || seen[key] {
			t.Fatalf("%s: id %s, %v", key, got, ok)
		}
		seen[key] = true
		for i := range len(key) { // one wrong character is seen without a look at the store
			wrong := key[:i] + string(key[i]^1) + key[i+1:]
			if _, ok := access.ParseKey(wrong); ok {
				t.Fatalf("%s passes for %s", wrong, key)
			}
		}
	}
	for _, text := range []string{"", "ls_", strings.Repeat("l", 65), "ls_" + strings.Repeat("_", 62)} {
		if _, ok := access.ParseKey(text); ok {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestKeyFits(t *testing.T) {
	t.Parallel()
	now := time.Now()
	key, old, other := access.DrawKey("0123456789AB"), access.DrawKey("0123456789AB"),
		access.DrawKey("0123456789AB")
	k := &access.Key{Hash: access.Hash(key), Old: access.Hash(old), OldEnds: now.Add(time.Minute)}
	for text, want := range map[string]bool{key: true, old: true, other: false, "": false} {
		if k.Fits(text, now) != want {
			t.Errorf("%.20s: %v", text, !want)
		}
	}
	if k.Fits(old, now.Add(time.Minute)) || !k.Fits(key, now.Add(time.Minute)) {
		t.Error("the old secret's time isn't kept")
	}
	if (*access.Key)(nil).Fits("", now) || (&access.Key{}).Fits("", now) {
		t.Error("no key fits nothing")
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ours, theirs string
		want         bool
	}{
		{"", "", true}, {"", "a.b", true}, {"a.b", "", false}, {"a.*", "a.b", true}, {"a.*", "a.b*", true},
		{"a.*", "a.*", true}, {"a.*", "*", false}, {"a.*", "a*", false}, {"*.b", "a.b", true},
		{"*.b", "*.b", true}, {"*.b", "a.*", false}, {"a.b", "a.c", false},
	} {
		p := &access.Principal{}
		list := func(text string) []string {
			if text == "" {
				return nil
			}
			return []string{text}
		}
		p.Types = list(c.ours)
		if got := p.Covers(list(c.theirs)); got != c.want {
			t.Errorf("%q covers %q: %v", c.ours, c.theirs, got)
		}
	}
}

// TestHold ends many that wait, with some that leave, arrive and hear of it late.
func TestHold(t *testing.T) {
	t.Parallel()
	p := &access.Principal{Kind: access.KindKey}
	told := make([]int, 100)
	held := make([]access.Held, 100)
	for i := range held {
		p.Hold(&held[i], func(error) { told[i]++ })
	}
	for i := range held {
		if i%3 == 0 {
			held[i].Let()
		}
	}
	p.End(access.ErrExpired)
	p.End(access.ErrExpired)
	p.End(access.ErrRevoked) // what outlives its token hears of this too
	for i, n := range told {
		want := 2
		if i%3 == 0 {
			want = 0
		}
		if n != want {
			t.Errorf("%d was told %d times, want %d", i, n, want)
		}
		held[i].Let()
	}
	if p.Holds() {
		t.Error("somebody is held yet")
	}
	late := 0
	var one access.Held
	p.Hold(&one, func(error) { late++ })
	if late != 1 {
		t.Errorf("who comes late is told %d times", late)
	}
	access.Root.Hold(&one, func(error) { t.Error("root ends") })
	one.Let()
}

// FuzzParseKey holds that what is taken for a key is written as one.
func FuzzParseKey(f *testing.F) {
	f.Add(access.DrawKey("0123456789AB"))
	f.Add("ls_0123456789AB_")
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := access.ParseKey(text)
		if ok && (!access.ValidID(id) || !strings.HasPrefix(text, "ls_"+id+"_") || len(text) != 65) {
			t.Fatalf("%q is the key of %q", text, id)
		}
	})
}
