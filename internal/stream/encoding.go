package stream

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// An Encoding is a way in which text is written as bytes.
type Encoding string

// The encodings. Whatever is asked for, a byte order mark at the front decides.
const (
	AutoEncoding Encoding = "auto"   // UTF-16 where every second byte is NUL, else UTF-8; "" is the same
	UTF8         Encoding = "utf-8"  // nothing is decoded
	UTF16        Encoding = "utf-16" // without a mark, of the order that the NULs have, else little endian
	UTF16LE      Encoding = "utf-16le"
	UTF16BE      Encoding = "utf-16be"
	Windows1252  Encoding = "windows-1252"
	Latin1       Encoding = "iso-8859-1"

	utf32LE Encoding = "utf-32le" // only by its mark
	utf32BE Encoding = "utf-32be"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// marks are the byte order marks; that of UTF-32 begins with that of UTF-16.
var marks = []struct {
	mark     []byte
	encoding Encoding
}{
	{byteOrderMark, UTF8},
	{[]byte{0xff, 0xfe, 0, 0}, utf32LE},
	{[]byte{0, 0, 0xfe, 0xff}, utf32BE},
	{[]byte{0xff, 0xfe}, UTF16LE},
	{[]byte{0xfe, 0xff}, UTF16BE},
}

// sampleSize is how much of a text is looked at to tell its encoding.
const sampleSize = 1 << 10

// detect tells a text's encoding by its first sampleSize bytes, or by all of
// it, and how long its byte order mark is.
func (e Encoding) detect(sample []byte) (found Encoding, mark int) {
	for _, m := range marks {
		if bytes.HasPrefix(sample, m.mark) {
			return m.encoding, len(m.mark)
		}
	}
	switch e {
	case AutoEncoding, "":
		return wide(sample, UTF8), 0
	case UTF16:
		return wide(sample, UTF16LE), 0
	}
	return e, 0
}

// wide tells UTF-16 by its NULs: of the characters that files are made of, many
// have one, always on the same side. A text in UTF-8 may have NULs too, but not
// at every second byte; so there must be many, the more the shorter the text is.
func wide(sample []byte, otherwise Encoding) Encoding {
	sample = sample[:min(len(sample), sampleSize)&^1]
	var nuls [2]int // at even and at odd places
	for i, c := range sample {
		if c == 0 {
			nuls[i&1]++
		}
	}
	enough := max(2, (len(sample)/2*3+3)/4) // of the characters
	if len(sample) >= sampleSize/4 {
		enough = len(sample) / 20
	}
	switch few, many := min(nuls[0], nuls[1]), max(nuls[0], nuls[1]); {
	case many < enough || few*16 > many: // a few are characters as U+4E00
		return otherwise
	case nuls[1] > nuls[0]:
		return UTF16LE
	}
	return UTF16BE
}

// decoder returns what turns the encoding into UTF-8; nil for UTF-8 itself.
// What stands for no character becomes U+FFFD.
func (e Encoding) decoder() transform.Transformer {
	var known encoding.Encoding
	switch e {
	case UTF16LE:
		known = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case UTF16BE:
		known = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case utf32LE:
		known = utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)
	case utf32BE:
		known = utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)
	case Windows1252:
		known = charmap.Windows1252
	case Latin1:
		known = charmap.ISO8859_1
	default:
		return nil
	}
	return known.NewDecoder().Transformer
}

// A decoding looks at the first bytes of a stream and turns it into UTF-8. What
// is UTF-8 goes through untouched.
type decoding struct {
	r     *run
	next  flow
	count *StageCount
	asked Encoding

	begun    bool   // the encoding is known
	head     []byte // the first bytes, before it is
	encoding Encoding
	t        transform.Transformer // nil: UTF-8
	in       []byte                // to be decoded; between two calls, the beginning of a character
	taken    int64
	out      *chunk
	b        batch
}

func (d *decoding) take(b *batch) error {
	if d.begun && d.t == nil {
		return d.next.take(b)
	}
	return eachRun(b, func(p []byte) error {
		if d.begun {
			return d.bytes(p)
		}
		if len(d.head)+len(p) < sampleSize {
			d.head = append(d.head, p...)
			return nil
		}
		return d.begin(p)
	})
}

// begin finds out the encoding; p is what follows head.
func (d *decoding) begin(p []byte) error {
	if len(d.head) > 0 {
		p = append(d.head, p...)
	}
	d.begun, d.head = true, nil
	found, mark := d.asked.detect(p)
	if d.encoding, d.t = found, found.decoder(); d.t != nil {
		d.count.Encoding = string(found)
		d.out = chunks.Get().(*chunk)
		d.r.atEnd(func() { chunks.Put(d.out) })
		p, d.taken = p[mark:], int64(mark)
	}
	return d.bytes(p)
}

func (d *decoding) bytes(p []byte) error {
	if d.t == nil {
		if len(p) == 0 {
			return nil
		}
		d.b.data, d.b.texts = p, nil
		return d.next.take(&d.b)
	}
	d.taken += int64(len(p))
	d.in = append(d.in, p...)
	rest := d.in
	for {
		n, used, err := d.t.Transform(d.out[:], rest, false)
		rest = rest[used:]
		d.count.Replaced += int64(bytes.Count(d.out[:n], []byte("\uFFFD")))
		if n > 0 {
			d.b.data, d.b.texts = d.out[:n], nil
			if err := d.next.take(&d.b); err != nil {
				return err
			}
		}
		if !errors.Is(err, transform.ErrShortDst) {
			d.in = d.in[:copy(d.in, rest)]
			if errors.Is(err, transform.ErrShortSrc) {
				err = nil
			}
			return err
		}
	}
}

func (d *decoding) finish() error {
	if !d.begun {
		if err := d.begin(nil); err != nil {
			return err
		}
	}
	if len(d.in) > 0 {
		return &CorruptError{Format(d.encoding), d.taken, io.ErrUnexpectedEOF}
	}
	return d.next.finish()
}

// A Text reads text as UTF-8. It is not safe for concurrent use.
type Text struct {
	r        io.Reader
	asked    Encoding
	encoding Encoding // "" = the first bytes have not been read
	head     []byte   // the first bytes, where they are still to be given out
	err      error    // behind head
}

// NewText reads text of that encoding from r; see Encoding. A byte order mark of
// UTF-8 stays.
func NewText(r io.Reader, e Encoding) *Text { return &Text{r: r, asked: e} }

// Encoding is the text's encoding; AutoEncoding before the first Read.
func (t *Text) Encoding() Encoding {
	if t.encoding == "" {
		return AutoEncoding
	}
	return t.encoding
}

func (t *Text) Read(p []byte) (int, error) {
	if t.encoding == "" {
		t.begin()
	}
	if len(t.head) > 0 {
		n := copy(p, t.head)
		t.head = t.head[n:]
		return n, nil
	}
	if t.err != nil {
		return 0, t.err
	}
	return t.r.Read(p)
}

func (t *Text) begin() {
	sample := make([]byte, 0, sampleSize)
	for len(sample) < sampleSize && t.err == nil {
		var n int
		n, t.err = t.r.Read(sample[len(sample):sampleSize])
		sample = sample[:len(sample)+n]
	}
	found, mark := t.asked.detect(sample)
	t.encoding, t.head = found, sample
	if decode := found.decoder(); decode != nil {
		rest := io.Reader(&Text{r: t.r, encoding: UTF8, head: slices.Clip(sample[mark:]), err: t.err})
		t.r, t.head, t.err = transform.NewReader(rest, decode), nil, nil
	}
}
