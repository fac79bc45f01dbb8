package imaging

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
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

// Primaries as profiles have them, adapted to D50.
var (
	plainRGB  = [3][3]float64{{0.4361, 0.2225, 0.0139}, {0.3851, 0.7169, 0.0971}, {0.1431, 0.0606, 0.7139}}
	displayP3 = [3][3]float64{{0.5151, 0.2412, -0.0011}, {0.2919, 0.6922, 0.0419}, {0.1572, 0.0666, 0.7841}}
)

// profileOf makes a colour profile of primaries and an exponent; 0 is sRGB's curve.
func profileOf(primaries [3][3]float64, exponent float64) []byte {
	fixed := func(b []byte, x float64) []byte {
		return binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(x*65536))))
	}
	curve := []byte("para\x00\x00\x00\x00\x00\x03\x00\x00")
	for _, x := range []float64{2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045} {
		curve = fixed(curve, x)
	}
	if exponent > 0 {
		curve = append(binary.BigEndian.AppendUint16([]byte("curv\x00\x00\x00\x00\x00\x00\x00\x01"),
			uint16(exponent*256)), 0, 0)
	}
	xyz := func(p [3]float64) []byte {
		b := []byte("XYZ \x00\x00\x00\x00")
		for _, x := range p {
			b = fixed(b, x)
		}
		return b
	}
	description := append([]byte("desc\x00\x00\x00\x00\x00\x00\x00\x05test\x00"), make([]byte, 79)...)
	tags := []struct {
		name string
		body []byte
	}{
		{"wtpt", xyz([3]float64{0.9642, 1, 0.8249})}, {"desc", description},
		{"cprt", []byte("text\x00\x00\x00\x00none\x00")}, {"rXYZ", xyz(primaries[0])},
		{"gXYZ", xyz(primaries[1])}, {"bXYZ", xyz(primaries[2])}, {"rTRC", curve}, {"gTRC", curve},
		{"bTRC", curve},
	}
	table, at := binary.BigEndian.AppendUint32(nil, uint32(len(tags))), profileHeader+4+12*len(tags)
	var bodies []byte
	for _, tag := range tags {
		table = binary.BigEndian.AppendUint32(append(table, tag.name...), uint32(at+len(bodies)))
		table = binary.BigEndian.AppendUint32(table, uint32(len(tag.body)))
		bodies = append(bodies, tag.body...)
		bodies = append(bodies, make([]byte, -len(bodies)&3)...)
	}
	icc := make([]byte, profileHeader, 1000)
	icc = append(append(icc, table...), bodies...)
	binary.BigEndian.PutUint32(icc, uint32(len(icc)))
	copy(icc[8:], "\x02\x40\x00\x00mntrRGB XYZ ")
	copy(icc[profileMagic:], "acsp")
	copy(icc[68:], xyz([3]float64{0.9642, 1, 0.8249})[8:])
	return icc
}
