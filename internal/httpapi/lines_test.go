package httpapi

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// lineCopies reads all lines to the end.
func lineCopies(in io.Reader, limit int) (lines []Line, err error) {
	l := NewLines(in, limit)
	for {
		some, err := l.Next()
		if err != nil {
			return lines, err
		}
		lines = append(lines, some...)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300_000)
	got, err := lineCopies(strings.NewReader("a\r\n\n  \n"+strings.Repeat("b", 10)+"\n"+
		strings.Repeat("c", 11)+"\n"+long+"\nd"), 10)
	want := []Line{{1, []byte("a"), false}, {4, []byte("bbbbbbbbbb"), false}, {5, nil, true}, {6, nil, true},
		{7, []byte("d"), false}}
	if diff := cmp.Diff(want, got); diff != "" || !errors.Is(err, io.EOF) {
		t.Errorf("error %v, -want +got:\n%s", err, diff)
	}
	if got, err := lineCopies(strings.NewReader(long), 10); len(got) != 1 || !got[0].TooLong ||
		!errors.Is(err, io.EOF) {
		t.Errorf("a long last line: %v, %v", got, err)
	}
	// A line that broke off is not taken.
	cut := io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if got, err := lineCopies(cut, 10); len(got) != 1 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut line: %v, %v", got, err)
	}
	// A whole line does not wait for more.
	r, w := io.Pipe()
	go w.Write([]byte("a\nb"))
	if got, err := NewLines(r, 10).Next(); len(got) != 1 || err != nil {
		t.Errorf("the first line: %v, %v", got, err)
	}
	r.Close()
}

// However the stream is cut into reads, the lines are the same.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\r\n\n ccc\n12345678\n123456789\nlast"), uint64(1))
	f.Add([]byte("\r\r\n123456789012345678901234567890"), uint64(2))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		whole, err := lineCopies(bytes.NewReader(text), 8)
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		for _, in := range []io.Reader{iotest.OneByteReader(bytes.NewReader(text)),
			&crumbs{text, rand.New(rand.NewPCG(seed, 1))}, iotest.DataErrReader(bytes.NewReader(text))} {
			parts, err := lineCopies(in, 8)
			if diff := cmp.Diff(whole, parts); diff != "" || !errors.Is(err, io.EOF) {
				t.Fatalf("%q: error %v, -whole +parts:\n%s", text, err, diff)
			}
		}
		number := int64(0)
		var want []Line
		for line := range strings.Lines(string(text)) {
			number++
			line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
			if len(line) > 8 {
				want = append(want, Line{number, nil, true})
			} else if strings.Trim(line, " \t\r") != "" {
				want = append(want, Line{number, []byte(line), false})
			}
		}
		if diff := cmp.Diff(want, whole); diff != "" {
			t.Fatalf("%q: -want +got:\n%s", text, diff)
		}
	})
}

// crumbs gives a text in pieces of any size.
type crumbs struct {
	text []byte
	rand *rand.Rand
}

func (c *crumbs) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1+c.rand.IntN(12))], c.text)
	c.text = c.text[n:]
	return n, nil
}
