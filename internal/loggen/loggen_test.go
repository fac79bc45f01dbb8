package loggen_test

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/loggen"
)

func generate(t testing.TB, o loggen.Options) ([]byte, loggen.Totals) {
	t.Helper()
	r := loggen.New(o)
	log, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return log, r.Totals()
}

func TestDeterministic(t *testing.T) {
	t.Parallel()
	o := loggen.Options{Seed: 7, Lines: 5000}
	first, totals := generate(t, o)
	second, err := io.ReadAll(iotest.HalfReader(loggen.New(o)))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("two logs of one seed differ (%v)", err)
	}
	if n := bytes.Count(first, []byte("\n")); n != 5000 || totals.Lines != 5000 {
		t.Errorf("%d lines, %d in the totals; want 5000", n, totals.Lines)
	}
	o.Seed = 8
	if other, _ := generate(t, o); bytes.Equal(first, other) {
		t.Error("two seeds give one log")
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1, 1000, 1 << 20} {
		log, _ := generate(t, loggen.Options{Seed: 1, Bytes: size})
		if n := int64(len(log)); n > size || n < size-1000 || n > 0 && log[n-1] != '\n' {
			t.Errorf("%d bytes asked for, %d made, ending %q", size, n, log[max(0, n-20):])
		}
	}
	if log, _ := generate(t, loggen.Options{}); len(log) != 0 {
		t.Errorf("%d bytes without a limit", len(log))
	}
}

func TestTotals(t *testing.T) {
	t.Parallel()
	start := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	log, totals := generate(t, loggen.Options{Seed: 5, Lines: 50_000, Start: start, Every: time.Second,
		Addresses: 10, Paths: 10})
	if totals.Malformed == 0 || totals.Malformed > 100 || totals.Warnings == 0 || totals.Bytes == 0 {
		t.Errorf("totals %+v", totals)
	}
	if n := int64(bytes.Count(log, []byte("WARN"))); n != totals.Warnings {
		t.Errorf("%d lines with WARN, %d in the totals", n, totals.Warnings)
	}
	var sum int64
	for _, n := range totals.Status {
		sum += n
	}
	if diff := cmp.Diff(totals.Lines, sum+totals.Malformed); diff != "" {
		t.Errorf("lines, statuses and malformed lines:\n%s", diff)
	}
	if took := totals.Last.Sub(totals.First); totals.First.Before(start) || took < 10*time.Hour ||
		took > 20*time.Hour {
		t.Errorf("from %v to %v, want about 50,000 s from %v", totals.First, totals.Last, start)
	}
}

func BenchmarkReader(b *testing.B) {
	const size = 16 << 20
	b.SetBytes(size)
	for b.Loop() {
		if _, err := io.Copy(struct{ io.Writer }{io.Discard},
			loggen.New(loggen.Options{Seed: 1, Bytes: size})); err != nil {
			b.Fatal(err)
		}
	}
}
