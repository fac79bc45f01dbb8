package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/stream"
)

// lines writes down what Next returns, up to its end.
func lines(r io.Reader, max int) (got []string, err error) {
	l := stream.NewLines(r, max)
	defer l.Close()
	for {
		line, err := l.Next()
		var limit *stream.LimitError
		switch {
		case err == nil:
			got = append(got, fmt.Sprintf("%d:%s", l.Line(), line))
		case errors.As(err, &limit):
			got = append(got, fmt.Sprintf("%d!%d", limit.Line, limit.Max))
		default:
			return got, err
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300<<10) // more than the buffer
	tests := map[string]struct {
		in   string
		want []string
	}{
		"empty":  {"", nil},
		"one":    {"a\n", []string{"1:a"}},
		"no end": {"a\nb", []string{"1:a", "2:b"}},
		"blank":  {"\n\na\n\n", []string{"1:", "2:", "3:a", "4:"}},
		"line ends": {"a\r\nb\rc\r\r\nd\n\re\r\r", []string{"1:a", "2:b", "3:c", "4:d", "5:", "6:e",
			"7:"}},
		"NULs before": {"\x00\x00a\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00b\r\x00\n\x00",
			[]string{"1:a", "2:b", "3:"}},
		"marks before": {"\ufeffa\n\x00\ufeff\ufeffb\n\xef\nc\ufeff",
			[]string{"1:a", "2:b", "3:\xef", "4:c\ufeff"}},
		"NULs over limit":    {"\x00a\x0012345678\nb\n", []string{"1!8", "2:b"}},
		"CRs at the limit":   {"12345678\r\r\n123456789\r\r\nb", []string{"1:12345678", "2!8", "3:b"}},
		"at the limit":       {"12345678\n12345678", []string{"1:12345678", "2:12345678"}},
		"over the limit":     {"a\n123456789\nb\n", []string{"1:a", "2!8", "3:b"}},
		"over it at the end": {"a\n123456789", []string{"1:a", "2!8"}},
		"far over it":        {long + "\nb\n" + long + "\r" + long, []string{"1!8", "2:b", "3!8", "4!8"}},
		"far more NULs":      {strings.Repeat("\x00", 600<<10) + "a\rb", []string{"1:a", "2:b"}},
	}
	for name, test := range tests {
		for how, chunked := range chunkings {
			got, err := lines(chunked(strings.NewReader(test.in)), 8)
			if diff := cmp.Diff(test.want, got); diff != "" || !stream.Ended(err) {
				t.Errorf("%s, %s: %v (-want +got)\n%s", name, how, err, diff)
			}
		}
	}
}

func TestLinesOfAnyLength(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	got, err := lines(strings.NewReader(long+"\n"+long+"y\n"), 1<<20)
	if diff := cmp.Diff([]string{"1:" + long, "2!1048576"}, got); diff != "" || !stream.Ended(err) {
		t.Errorf("%v, %d lines", err, len(got))
	}
}

func TestLinesSourceError(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	got, err := lines(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 8)
	if diff := cmp.Diff([]string{"1:a"}, got); diff != "" || !errors.Is(err, broken) {
		t.Errorf("got %v, want the source's error and only whole lines (-want +got)\n%s", err, diff)
	}
	if _, err := lines(stuck{}, 8); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("source without progress: %v, want %v", err, io.ErrNoProgress)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// oneEnd makes all line ends to LF.
func oneEnd(text string) string {
	return strings.NewReplacer("\r\r\n", "\n", "\r\n", "\n", "\r", "\n").Replace(text)
}

// bareLine is a line without the NULs and byte order marks before it.
func bareLine(line []byte) []byte {
	for {
		less := bytes.TrimPrefix(bytes.TrimLeft(line, "\x00"), []byte("\ufeff"))
		if len(less) == len(line) {
			return line
		}
		line = less
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\n\nccc"), uint8(2))
	f.Add([]byte("\r\n\n"), uint8(0))
	f.Add([]byte("a\r\r\n\x00\ufeffb\r\r"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, limit uint8) {
		var want []string
		all := bytes.Split([]byte(oneEnd(string(in))), []byte("\n"))
		if last := len(all) - 1; len(bareLine(all[last])) == 0 {
			all = all[:last]
		}
		for i, line := range all {
			line = bareLine(line)
			if len(line) > int(limit) {
				want = append(want, fmt.Sprintf("%d!%d", i+1, limit))
				continue
			}
			want = append(want, fmt.Sprintf("%d:%s", i+1, line))
		}
		for how, chunked := range chunkings {
			got, err := lines(chunked(bytes.NewReader(in)), int(limit))
			if diff := cmp.Diff(want, got); diff != "" || !stream.Ended(err) {
				t.Fatalf("%s: %v (-want +got)\n%s", how, err, diff)
			}
		}
	})
}
