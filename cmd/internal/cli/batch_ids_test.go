package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// A peer is an installation that has some jobs, and a clock.
type peer struct {
	Installation
	jobs  []job.ID
	ahead time.Duration
	asked int
}

func (p *peer) Clock(context.Context) (time.Time, error) {
	if p.ahead < 0 {
		return time.Time{}, errors.New("it has none")
	}
	return time.Now().Add(p.ahead), nil
}

func (p *peer) PollDone(_ context.Context, ids []job.ID, _ time.Duration) ([]job.Snapshot, []job.ID, error) {
	p.asked += len(ids)
	if len(ids) > 100 {
		return nil, nil, errors.New("over 100 ids")
	}
	return nil, slices.DeleteFunc(slices.Clone(ids),
		func(id job.ID) bool { return slices.Contains(p.jobs, id) }), nil
}

// named runs a batch of lines up to where they would be sent, and tells under which names.
func (p *peer) named(t *testing.T, journal string, lines int) (names []string, items []item) {
	t.Helper()
	book, err := openJournal(journal, false)
	if err != nil {
		t.Fatal(err)
	}
	b := &batch{book: book}
	b.compareClocks(t.Context(), p)
	for n := range lines {
		items = append(items, item{Line: httpapi.Line{Number: int64(n + 1), Text: []byte(`{"type":"a.b"}`)}})
	}
	if err := (&feed{batch: b}).name(t.Context(), p, items); err != nil {
		t.Fatal(err)
	}
	for _, l := range items {
		names = append(names, string(b.named(l)))
	}
	if err := book.close(); err != nil {
		t.Fatal(err)
	}
	return names, items
}

// age makes what a journal notes so much older.
func age(t *testing.T, journal string, d time.Duration) {
	t.Helper()
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), `"at":`)
	at, _ := strconv.ParseInt(rest[:13], 10, 64)
	if !ok || at == 0 {
		t.Fatalf("no time in %s", text)
	}
	older := before + `"at":` + strconv.FormatInt(at-d.Milliseconds(), 10) + rest[13:]
	if err := os.WriteFile(journal, []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBatchIDs has lines sent again as the same jobs: by the same ids within the hour, after it by new
// ones, but for those that are jobs already.
func TestBatchIDs(t *testing.T) {
	t.Parallel()
	journal := filepath.Join(t.TempDir(), "j")
	p := &peer{}
	first, _ := p.named(t, journal, 250)
	if !strings.HasPrefix(first[0], `{"id":"01`) || first[0] == first[1] {
		t.Fatalf("lines go as %s, %s", first[0], first[1])
	}
	if again, _ := p.named(t, journal, 250); !slices.Equal(again, first) || p.asked != 0 {
		t.Errorf("a second run sends other names, and looked up %d", p.asked)
	}
	age(t, journal, 2*time.Hour)
	book, err := openJournal(journal, false)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := book.timeOf(7)
	p.jobs = []job.ID{book.id(7, at), book.id(249, at)}
	if err := book.close(); err != nil {
		t.Fatal(err)
	}
	third, items := p.named(t, journal, 300)
	for i, l := range items {
		isJob, young := i == 6 || i == 248, time.Since(time.UnixMilli(l.at)) < time.Minute
		if l.found != isJob || young == isJob {
			t.Errorf("line %d: %+v", i+1, l)
		}
	}
	if p.asked != 250 || third[0] == first[0] {
		t.Errorf("%d looked up; line 1 went as %s, then as %s", p.asked, first[0], third[0])
	}
	if fourth, _ := p.named(t, journal, 300); fourth[0] != third[0] || fourth[299] != third[299] {
		t.Error("the new names are not kept")
	}
}

// TestBatchKeys has lines go by idempotency keys where ids can't do, and stay so.
func TestBatchKeys(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"clocks differ": time.Hour, "no clock": -1} {
		journal := filepath.Join(t.TempDir(), "j")
		first, _ := (&peer{ahead: ahead}).named(t, journal, 3)
		again, _ := (&peer{}).named(t, journal, 3)
		if !strings.HasPrefix(first[0], `{"idempotency_key":"`) || !slices.Equal(first, again) {
			t.Errorf("%s: lines go as %s, then as %s", name, first[0], again[0])
		}
	}
	older := filepath.Join(t.TempDir(), "j")
	if err := os.WriteFile(older, []byte(keyedBegin+"0123456789abcdef0123\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what this run notes of it changes nothing
		if names, _ := (&peer{}).named(t, older, 1); names[0] !=
			`{"idempotency_key":"0123456789abcdef0123.1","type":"a.b"}` {
			t.Errorf("a journal of an older release goes on as %s", names[0])
		}
	}
}

// TestBatchUsedBefore takes the refusal of an id of its own for what it means.
func TestBatchUsedBefore(t *testing.T) {
	t.Parallel()
	b := &batch{book: newJournal()}
	l := item{Line: httpapi.Line{Number: 4, Text: []byte(`{"type":"a"}`)}, at: 1_790_000_000_000}
	refused := httpapi.BatchAnswer{Line: 1, Code: httpapi.Conflict, Status: 409}
	if a := b.usedBefore(l, refused); a.Code != "" || a.ID != b.book.id(4, l.at) || a.Line != 1 {
		t.Errorf("its own: %+v", a)
	}
	l.Text = []byte(`{"id":"x","type":"a"}`)
	if a := b.usedBefore(l, refused); a.Code != httpapi.Conflict {
		t.Errorf("a chosen one: %+v", a)
	}
}
