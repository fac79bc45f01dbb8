package stream_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"longshore/internal/stream"
)

// Lines come out the same wherever pieces of the stream end: within a line,
// within its end, and where the ends change from one piece to the next.
func TestLinesAcrossPieces(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var in, out strings.Builder
	lines := int64(0)
	for in.Len() < 6<<20 {
		size := random.IntN(200)
		if random.IntN(4000) == 0 {
			size = 700 << 10 // over several pieces
		}
		end := "\n"
		if in.Len()>>20%2 == 1 { // every second megabyte has them all
			end = []string{"\n", "\r\n", "\r\r\n", "\r"}[random.IntN(4)]
		}
		if end == "\r" {
			size = max(size, 1) // else it would be a part of the next end
		}
		line := strings.Repeat(string(rune('a'+lines%26)), size)
		if strings.HasSuffix(in.String()[max(0, in.Len()-1):], "\r") && size == 0 {
			line = "-"
		}
		in.WriteString(line + end)
		out.WriteString(line + "\n")
		lines++
	}
	dst := &bytes.Buffer{}
	report, err := pipeline(t, stream.SplitLines()).Run(t.Context(), dst, strings.NewReader(in.String()),
		stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if report.RecordsIn != lines {
		t.Errorf("%d lines, not %d", report.RecordsIn, lines)
	}
	if dst.String() != out.String() {
		t.Error("the lines differ")
	}
}

// Of records that stand apart, those side by side are written at once: a large
// piece must not overtake a small one.
func TestPiecesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	record := func(size int) string { return `"` + strings.Repeat("x", size) + "\"\n" }
	small, large := record(10), record(150<<10)
	for _, in := range []string{small + "0\n" + large + "0\n" + small, "0\n" + small + small + "0\n" + large +
		large} {
		dst := &bytes.Buffer{}
		p := pipeline(t, stream.NDJSON(), stream.Filter(expr(t, ". != 0")))
		if _, err := p.Run(t.Context(), dst, strings.NewReader(in), stream.Options{}); err != nil {
			t.Fatal(err)
		}
		if dst.String() != strings.ReplaceAll(in, "0\n", "") {
			t.Errorf("%d bytes of another order, of %d", dst.Len(), len(in))
		}
	}
}
