package stream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"testing"

	"longshore/internal/stream"
)

// frame is a zstd frame of one raw block, with a window descriptor.
func frame(window byte, data string) string {
	head := uint32(len(data))<<3 | 1
	return "\x28\xb5\x2f\xfd\x00" + string([]byte{window, byte(head), byte(head >> 8), byte(head >> 16)}) + data
}

// Window descriptors.
const (
	kib1   = 0
	mib16  = 14 << 3
	mib64  = 16 << 3
	mib128 = 17 << 3
)

// TestLongWindows: what zstd(1) reads without options is read, in any frame. It
// runs alone, for the memory is the process's.
func TestLongWindows(t *testing.T) { //nolint:paralleltest // see above
	file, err := os.ReadFile("testdata/long27.zst")
	if err != nil {
		t.Fatal(err)
	}
	const skippable = "\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
	for name, c := range map[string]struct{ in, want string }{
		"of zstd --long=27":  {string(file), ""},
		"128 MiB":            {frame(mib128, "x"), "x"},
		"behind a small one": {frame(kib1, "a") + skippable + frame(mib128, "b") + frame(mib64, "c"), "abc"},
		"growing": {frame(mib16, "a") + frame(mib64, "b") + frame(mib128, "c") + frame(mib16, ""),
			"abc"},
	} {
		for how, chunked := range chunkings {
			got, err := unpack(chunked(strings.NewReader(c.in)), stream.Auto, stream.Limits{})
			if err != nil || string(got) != c.want && c.want != "" || len(got) != 1000 && c.want == "" {
				t.Errorf("%s, %s: %d bytes, %v", name, how, len(got), err)
			}
		}
	}
}

// TestWindowMemory: large windows have a bounded memory together, and give it
// back; small ones need none of it.
func TestWindowMemory(t *testing.T) { //nolint:paralleltest // the memory is the process's
	open := func(in string) (*stream.Reader, error) {
		z, err := stream.NewReader(strings.NewReader(in), stream.Zstd, stream.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = z.Read(make([]byte, 1))
		return z, err
	}
	var held []*stream.Reader
	for range 2 {
		z, err := open(frame(mib128, "x"))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, z)
	}
	for name, in := range map[string]string{"first frame": frame(mib16, "x"),
		"second frame": frame(kib1, "") + frame(mib64, "x")} {
		z, err := open(in)
		if !errors.Is(err, stream.ErrBusy) {
			t.Errorf("%s: %v, want %v", name, err, stream.ErrBusy)
		}
		z.Close()
	}
	small, err := open(frame(13<<3, "x")) // 8 MiB
	if err != nil {
		t.Errorf("small window: %v", err)
	}
	small.Close()
	for _, z := range held {
		z.Close()
		z.Close()
	}
	for range 2 { // as much as was taken, and no more
		z, err := open(frame(mib128, "x"))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
	}
	z, err := open(frame(mib16, "x"))
	if !errors.Is(err, stream.ErrBusy) {
		t.Errorf("over the limit: %v", err)
	}
	z.Close()
}

// member is a gzip member whose header has what the flags say.
func member(flags byte, extra int, name, comment, data string) []byte {
	head := []byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255}
	if flags&4 != 0 {
		head = binary.LittleEndian.AppendUint16(head, uint16(extra))
		head = append(head, make([]byte, extra)...)
	}
	if flags&8 != 0 {
		head = append(append(head, name...), 0)
	}
	if flags&16 != 0 {
		head = append(append(head, comment...), 0)
	}
	if flags&2 != 0 {
		head = binary.LittleEndian.AppendUint16(head, uint16(crc32.ChecksumIEEE(head)))
	}
	head = append(head, 1, byte(len(data)), 0, ^byte(len(data)), 0xff) // one stored block
	head = append(head, data...)
	head = binary.LittleEndian.AppendUint32(head, crc32.ChecksumIEEE([]byte(data)))
	return binary.LittleEndian.AppendUint32(head, uint32(len(data)))
}

func TestGzipHeaders(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/long-name.gz")
	if err != nil {
		t.Fatal(err)
	}
	long, longer := strings.Repeat("n", 600), strings.Repeat("c", 1<<20)
	both := append(member(8, 0, longer, "", "a"), member(16, 0, "", longer, "b")...)
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"a name of 600 bytes": {file, "hello world\n"},
		"511 and 512 bytes": {append(member(8, 0, long[:511], "", "a"),
			member(8, 0, long[:512], "", "b")...), "ab"},
		"comment":         {member(16, 0, "", long, "a"), "a"},
		"all, with a sum": {member(2|4|8|16, 65535, longer, longer, "a"), "a"},
		"empty texts":     {member(2|4|8|16, 0, "", "", "a"), "a"},
		"two members":     {both, "ab"},
		"none":            {member(0, 0, "", "", ""), ""},
	} {
		for how, chunked := range chunkings {
			got, err := unpack(chunked(bytes.NewReader(c.in)), stream.Gzip, stream.Limits{})
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %s: %q, %v", name, how, got, err)
			}
		}
	}
	sum := member(2|8, 0, "name", "", "a")
	sum[15]++
	for name, in := range map[string][]byte{
		"wrong sum of the header": sum,
		"reserved flag":           member(32, 0, "", "", "a"),
		"name without end":        member(8, 0, longer, "", "")[:1<<20],
		"extra cut":               member(4, 65535, "", "", "")[:40_000],
		"length wrong":            append(bytes.Clone(member(0, 0, "", "", "a")[:20]), 9, 9, 9, 9),
	} {
		_, err := unpack(bytes.NewReader(in), stream.Gzip, stream.Limits{})
		if corrupt := (*stream.CorruptError)(nil); !errors.As(err, &corrupt) ||
			strings.Contains(name, "cut") && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
