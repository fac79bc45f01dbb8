package stream

import "bytes"

// A Format is a way in which a stream of bytes is packed.
type Format string

// The formats. Auto is only asked for: a decoder then looks at the first bytes.
const (
	Auto  Format = "auto"
	Plain Format = "plain"
	Gzip  Format = "gzip" // RFC 1952, one or more members
	Zstd  Format = "zstd" // RFC 8878, one or more frames
)

// magicLen is the number of bytes Detect needs.
const magicLen = 4

var (
	gzipMagic = []byte{0x1f, 0x8b, 8} // with the only method there is, deflate
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// Detect tells the format of a stream by its first four bytes; fewer will do
// for gzip. What is neither gzip nor zstd is Plain, and so is an empty stream.
func Detect(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		return Gzip
	case bytes.HasPrefix(head, zstdMagic):
		return Zstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18:
		return Zstd // a skippable frame, as pzstd and seekable files begin with
	}
	return Plain
}

// cutMagic reports whether head is the beginning of the format's magic number
// and no more: a stream that was cut within its first bytes.
func (f Format) cutMagic(head []byte) bool {
	if len(head) == 0 {
		return f == Gzip || f == Zstd
	}
	return f == Gzip && bytes.HasPrefix(gzipMagic, head) || f == Zstd && bytes.HasPrefix(zstdMagic, head)
}
