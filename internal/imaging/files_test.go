package imaging

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

func crcOf(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// cmykJPEG is an even surface of the ink 51, 204, 10, 0: a hand-made
// four-component JPEG, 16×8 pixels, whose every block has only a DC value.
func cmykJPEG(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	segment := func(marker byte, body ...byte) {
		b.Write([]byte{0xff, marker})
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(body)+2)))
		b.Write(body)
	}
	b.WriteString("\xff\xd8")
	segment(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00")...) // no transform: CMYK, inverted
	segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...)...)
	segment(0xc0, 8, 0, 8, 0, 16, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0)
	// DC: code 0 is category 0, code 10 category 7. AC: code 0 is the end of the block.
	segment(0xc4, append(append([]byte{0x00, 1, 1}, make([]byte, 14)...), 0, 7)...)
	segment(0xc4, append(append([]byte{0x10, 1}, make([]byte, 15)...), 0)...)
	segment(0xda, 4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0)
	var bits bitWriter
	for _, ink := range []int{51, 204, 10, 0} {
		bits.dc(255 - ink - 128) // with a quantizer of 8, a DC of n is n gray levels
		bits.put(0, 1)
	}
	for range 4 { // the second block of each component is as the first
		bits.put(0, 1)
		bits.put(0, 1)
	}
	b.Write(bits.bytes())
	b.WriteString("\xff\xd9")
	return b.Bytes()
}

type bitWriter struct {
	out   []byte
	acc   uint32
	count int
}

func (w *bitWriter) put(bits uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		w.acc = w.acc<<1 | bits>>i&1
		if w.count++; w.count == 8 {
			w.out = append(w.out, byte(w.acc))
			if byte(w.acc) == 0xff {
				w.out = append(w.out, 0)
			}
			w.acc, w.count = 0, 0
		}
	}
}

// dc writes a difference of category 7: 64 to 127, or -127 to -64.
func (w *bitWriter) dc(n int) {
	w.put(0b10, 2)
	if n < 0 {
		n += 1<<7 - 1
	}
	w.put(uint32(n), 7)
}

func (w *bitWriter) bytes() []byte {
	for w.count != 0 {
		w.put(1, 1)
	}
	return w.out
}
