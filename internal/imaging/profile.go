package imaging

import (
	"encoding/binary"
	"math"
)

// Colour spaces of samples, as a profile's header names them (ICC.1:2022, 7.2.8).
const (
	spaceRGB  = "RGB "
	spaceGray = "GRAY"
	spaceCMYK = "CMYK"
)

const (
	profileHeader = 128
	profileSpace  = 16
	profilePCS    = 20
	profileMagic  = 36
	maxTags       = 200 // of a profile that counts; those of printers have about 30
)

// profileTags reads a profile's table of tags. A profile that is cut, or whose
// tags lie beyond its end, has none: it is as if it were not there.
func profileTags(icc []byte) map[string][]byte {
	if len(icc) < profileHeader+4 || string(icc[profileMagic:profileMagic+4]) != "acsp" {
		return nil
	}
	size := int64(binary.BigEndian.Uint32(icc))
	if size < profileHeader+4 || size > int64(len(icc)) {
		return nil
	}
	if pcs := string(icc[profilePCS : profilePCS+4]); pcs != "XYZ " && pcs != "Lab " {
		return nil
	}
	icc = icc[:size]
	count := binary.BigEndian.Uint32(icc[profileHeader:])
	if count > maxTags || int64(count)*12 > size-profileHeader-4 {
		return nil
	}
	tags := map[string][]byte{}
	for i := range int(count) {
		entry := icc[profileHeader+4+12*i:][:12]
		from, length := int64(binary.BigEndian.Uint32(entry[4:])), int64(binary.BigEndian.Uint32(entry[8:]))
		if from+length > size || length < 8 {
			return nil
		}
		tags[string(entry[:4])] = icc[from : from+length]
	}
	needed := [][]string{{"kTRC"}, {"A2B0"}, {"rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC"}}
	for _, names := range needed {
		whole := true
		for _, name := range names {
			whole = whole && tags[name] != nil
		}
		if whole {
			return tags
		}
	}
	return nil
}

// isSRGB tells a profile that means what colours mean without one, within a
// hair: sRGB's primaries and its curve (IEC 61966-2-1). There are dozens of such.
func isSRGB(icc []byte, tags map[string][]byte) bool {
	if tags["A2B0"] != nil || string(icc[profileSpace:profileSpace+4]) != spaceRGB {
		return false
	}
	for name, want := range map[string][3]float64{ // adapted to D50
		"rXYZ": {0.4360, 0.2225, 0.0139}, "gXYZ": {0.3851, 0.7169, 0.0971}, "bXYZ": {0.1431, 0.0606, 0.7141},
	} {
		tag := tags[name]
		if len(tag) < 20 || string(tag[:4]) != "XYZ " {
			return false
		}
		for i, w := range want {
			if math.Abs(fixed16(tag[8+4*i:])-w) > 0.003 {
				return false
			}
		}
	}
	for _, name := range []string{"rTRC", "gTRC", "bTRC"} {
		for _, x := range []float64{0.02, 0.1, 0.25, 0.5, 0.75, 0.9} {
			want := math.Pow((x+0.055)/1.055, 2.4)
			if x <= 0.04045 {
				want = x / 12.92
			}
			if got, ok := curveAt(tags[name], x); !ok || math.Abs(got-want) > 0.004 {
				return false
			}
		}
	}
	return true
}

func fixed16(b []byte) float64 { return float64(int32(binary.BigEndian.Uint32(b))) / 65536 }

// curveAt reads a curve (10.6, 10.18) at a place from 0 to 1.
func curveAt(tag []byte, x float64) (float64, bool) {
	if len(tag) < 12 {
		return 0, false
	}
	switch string(tag[:4]) {
	case "curv":
		n := int64(binary.BigEndian.Uint32(tag[8:]))
		table := tag[12:]
		switch {
		case n == 0:
			return x, true
		case n == 1 && len(table) >= 2: // an exponent in 1/256
			return math.Pow(x, float64(binary.BigEndian.Uint16(table))/256), true
		case n < 2 || n*2 > int64(len(table)):
			return 0, false
		}
		at := x * float64(n-1)
		i := min(int64(at), n-2)
		low, high := binary.BigEndian.Uint16(table[2*i:]), binary.BigEndian.Uint16(table[2*i+2:])
		return (float64(low) + (at-float64(i))*(float64(high)-float64(low))) / 65535, true
	case "para":
		const plain, linearFoot = 0, 3
		kind, values := binary.BigEndian.Uint16(tag[8:]), tag[12:]
		switch {
		case kind == plain && len(values) >= 4:
			return math.Pow(x, fixed16(values)), true
		case kind == linearFoot && len(values) >= 20:
			g, a, b, c, d := fixed16(values), fixed16(values[4:]), fixed16(values[8:]), fixed16(values[12:]),
				fixed16(values[16:])
			if x < d {
				return c * x, true
			}
			return math.Pow(a*x+b, g), true
		}
	}
	return 0, false
}

// profile judges the profile of a file: what an output may keep or what has to
// be turned into sRGB, if anything. A damaged one, and one of another colour
// space than the samples', would spoil the picture. Of CMYK none is used, since
// only one of the two ways could.
func (p *parts) profile() []byte {
	if !p.profiled || p.space == spaceCMYK {
		return nil
	}
	tags := profileTags(p.icc)
	switch {
	case tags == nil:
		p.warn(warnProfile)
		return nil
	case string(p.icc[profileSpace:profileSpace+4]) != p.space, isSRGB(p.icc, tags):
		return nil
	}
	return p.icc
}
