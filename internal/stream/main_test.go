package stream_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"longshore/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text is compressible data of that many bytes.
func text(seed uint64, size int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	words := [][]byte{[]byte("quay "), []byte("anchor\n"), []byte("crane "), []byte("hull "), {0, 1, 2, 0xff}}
	b := make([]byte, 0, size+8)
	for len(b) < size {
		b = append(b, words[rng.IntN(len(words))]...)
		if rng.IntN(10) == 0 {
			b = append(b, byte(rng.Uint32()))
		}
	}
	return b[:size]
}

func pack(t testing.TB, format stream.Format, level int, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := stream.NewWriter(&b, format, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if z.Out() != int64(b.Len()) {
		t.Fatalf("Out = %d, want %d", z.Out(), b.Len())
	}
	return b.Bytes()
}

// unpack reads a whole stream.
func unpack(r io.Reader, format stream.Format, limits stream.Limits) ([]byte, error) {
	z, err := stream.NewReader(r, format, limits)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return io.ReadAll(z)
}

// chunkings are ways in which the same bytes may arrive.
var chunkings = map[string]func(io.Reader) io.Reader{
	"whole":     func(r io.Reader) io.Reader { return r },
	"half":      iotest.HalfReader,
	"one byte":  iotest.OneByteReader,
	"early EOF": iotest.DataErrReader,
}

var formats = []stream.Format{stream.Gzip, stream.Zstd}
