package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/job"
)

// ids draws some.
func ids(n int) []job.ID {
	list := make([]job.ID, n)
	for i := range list {
		list[i] = job.NewID(time.Now())
	}
	return list
}

// keep writes a journal of three notes and returns its name and run.
func keep(t *testing.T, drawn []job.ID) (name, run string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "journal")
	j, err := openJournal(name, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		j.draw(dated{1, 10, 1_790_000_000_000}),
		j.note([]acked{{1, drawn[0]}, {2, drawn[1]}, {4, drawn[2]}}, prefix{4, 11}),
		j.note([]acked{{9, drawn[4]}, {8, drawn[3]}}, prefix{10, 12}),
		j.note(nil, prefix{}),
		j.noteFile("a file", "12 3", drawn[5]),
		j.close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return name, j.run
}

func TestJournal(t *testing.T) {
	t.Parallel()
	drawn := ids(6)
	name, run := keep(t, drawn)
	j, err := openJournal(name, true)
	if err != nil {
		t.Fatal(err)
	}
	var taken []int64
	for n := range int64(20) {
		if j.taken.has(n) {
			taken = append(taken, n)
		}
	}
	if j.run != run || !slices.Equal(taken, []int64{1, 2, 4, 8, 9}) ||
		j.keyed || !slices.Equal(j.times, []dated{{1, 10, 1_790_000_000_000}}) ||
		!slices.Equal(j.sums, []prefix{{4, 11}, {10, 12}}) ||
		!slices.Equal(idsOf(j.jobs), drawn[:5]) || j.files["a file\x0012 3"] != drawn[5] {
		t.Errorf("read back: %+v, taken %v", j, taken)
	}
	if _, err := openJournal(name, false); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second run: %v", err)
	}
	if err := j.close(); err != nil {
		t.Error(err)
	}
}

// A kill can end the file at any byte: what stands before is known, and the
// next run goes on behind it under the same name.
func TestJournalCutAnywhere(t *testing.T) {
	t.Parallel()
	drawn := ids(6)
	name, run := keep(t, drawn)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(text) + 1 {
		if err := os.WriteFile(name, text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(name, false)
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		whole := bytes.Count(text[:n], []byte("\n"))
		if (whole > 0) != (j.run == run) || (whole > 2) != j.taken.has(4) || (whole > 3) != j.taken.has(9) {
			t.Fatalf("cut at %d: %+v", n, j)
		}
		if err := errors.Join(j.note([]acked{{20, drawn[5]}}, prefix{20, 13}), j.close()); err != nil {
			t.Fatal(err)
		}
		again, err := openJournal(name, false)
		if err != nil || !again.taken.has(20) || (whole > 2) != again.taken.has(4) || again.run != j.run {
			t.Fatalf("cut at %d, gone on: %+v, %v", n, again, err)
		}
		again.close()
	}
}

func TestJournalRefuses(t *testing.T) {
	t.Parallel()
	begin := journalBegin + "AAAAAAAAAAAAAAAAAAAA\"}\n"
	good := `{"upto":1,"crc":0,"jobs":[{"line":1,"ids":["01a20967-50f3-73e0-89b5-4af387a3557a"]}]}` + "\n"
	for text, want := range map[string]string{
		"precious\n": "no journal", "precious": "no journal", journalBegin + "x\"}\n": "no journal",
		`{"longshore_batch":2,` + "\n": "no journal",
		begin + "{}x\n" + good:         "line 2 is damaged", begin + strings.ReplaceAll(good, `"upto":1`,
			`"upto":0`) + good: "line 2",
		begin + strings.ReplaceAll(good, "01a2", "01X2") + good: "line 2",
	} {
		name := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if j, err := openJournal(name, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v", text, j, err)
		}
		if kept, _ := os.ReadFile(name); string(kept) != text {
			t.Errorf("%q was changed to %q", text, kept)
		}
	}
}

// Whatever the file holds, reading ends, and what is taken in stays bounded.
func FuzzJournal(f *testing.F) {
	begin := journalBegin + "AAAAAAAAAAAAAAAAAAAA\"}\n"
	f.Add(
		[]byte(begin +
			`{"upto":1,"crc":0,"jobs":[{"line":1,"ids":["01a20967-50f3-73e0-89b5-4af387a3557a"]}]}` + "\n"))
	f.Add([]byte(begin + `{"upto":-1,"jobs":[{"line":-5,"ids":[]}]}` + "\n"))
	f.Add([]byte(begin + `{"file":"a","stamp":"b","id":"01a20967-50f3-73e0-89b5-4af387a3557a"}` + "\n{"))
	f.Add([]byte(`{"longs`))
	f.Fuzz(func(t *testing.T, text []byte) {
		j := newJournal()
		j.run = "new"
		good, err := j.read(bytes.NewReader(text), true)
		if err != nil {
			return
		}
		if good > int64(len(text)) || good > 0 && text[good-1] != '\n' {
			t.Fatalf("%d of %q are good", good, text)
		}
		again := newJournal()
		again.run = "new"
		if good2, err := again.read(bytes.NewReader(text[:good]), true); err != nil || good2 != good ||
			again.run != j.run ||
			!slices.Equal(again.jobs, j.jobs) || len(again.taken) != len(j.taken) {
			t.Fatalf("%q: what was kept reads as %+v, %v, not %+v", text, again, err, j)
		}
	})
}

func idsOf(jobs []placed) (ids []job.ID) {
	for _, p := range jobs {
		ids = append(ids, p.id)
	}
	return ids
}
