package imaging

import "encoding/binary"

// An Orientation says how a stored image is to be turned to be seen upright:
// the value of the Exif tag of that name (Exif 2.32, 4.6.4, tag 0x0112).
type Orientation uint8

// The orientations. They are named by what makes the stored image upright.
const (
	Upright          Orientation = 1
	FlipHorizontal   Orientation = 2
	Rotate180        Orientation = 3
	FlipVertical     Orientation = 4
	Transpose        Orientation = 5
	Rotate90         Orientation = 6 // clockwise
	Transverse       Orientation = 7
	Rotate270        Orientation = 8 // clockwise
	orientationTag               = 0x0112
	tiffShort                    = 3
	tiffEntrySize                = 12
	tiffHeaderSize               = 8
	maxDirectorySize             = 1000 // entries looked at; cameras write some 20
)

// Transposes reports whether width and height change places.
func (o Orientation) Transposes() bool { return o >= Transpose }

// tiffOrientation finds the orientation in Exif data, which is the first
// directory of a TIFF file (TIFF 6.0, section 2). Data that makes no sense, or
// has no such tag, is upright: a damaged note on an image must not spoil it. So
// is a tag of another type or of several values, as in browsers.
func tiffOrientation(tiff []byte) Orientation {
	if len(tiff) < tiffHeaderSize {
		return Upright
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return Upright
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return Upright
	}
	entries := min(int(order.Uint16(tiff[at:])), maxDirectorySize)
	rest := tiff[at+2:]
	for range entries {
		if len(rest) < tiffEntrySize {
			return Upright
		}
		if order.Uint16(rest) == orientationTag {
			kind, count, value := order.Uint16(rest[2:]), order.Uint32(rest[4:]), order.Uint16(rest[8:])
			if kind != tiffShort || count != 1 || value < 1 || value > 8 {
				return Upright
			}
			return Orientation(value)
		}
		rest = rest[tiffEntrySize:]
	}
	return Upright
}

// exifOf makes Exif data that has an orientation and nothing else.
func exifOf(o Orientation) []byte {
	tiff := binary.BigEndian.AppendUint32([]byte("MM\x00*"), tiffHeaderSize)
	// one entry, of one value; no more directories
	for _, word := range []uint16{1, orientationTag, tiffShort, 0, 1, uint16(o), 0, 0, 0} {
		tiff = binary.BigEndian.AppendUint16(tiff, word)
	}
	return tiff
}
