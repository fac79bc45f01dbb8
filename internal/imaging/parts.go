package imaging

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
)

// parts are the pieces of a file beside the pixels that matter here.
type parts struct {
	exif []byte // a TIFF structure
	icc  []byte // a colour profile (ICC.1) of at most maxProfile
	sof  []byte // JPEG: the marker of the frame header, then its segment

	profiled bool // there is a colour profile, even if it is too large or cut
}

// maxProfile is the largest colour profile that is kept, in bytes. Those of
// displays and cameras have 0.5 to 4 KiB; those of printers go with CMYK,
// which is converted.
const maxProfile = 64 << 10

var exifPrefix = []byte("Exif\x00\x00")

// readParts finds the parts of a file. It never fails: what can't be read is
// not there.
func readParts(format Format, data []byte) parts {
	switch format {
	case JPEG:
		return jpegParts(data)
	case PNG:
		return pngParts(data)
	case WebP:
		return webpParts(data)
	default:
		return parts{}
	}
}

// jpegParts walks through the segments (ITU-T T.81, annex B) up to the scan.
func jpegParts(data []byte) parts {
	const (
		markerTEM, markerRST0, markerEOI, markerSOS = 0x01, 0xd0, 0xd9, 0xda
		markerAPP1, markerAPP2                      = 0xe1, 0xe2
		iccPrefix                                   = "ICC_PROFILE\x00"
	)
	var p parts
	var profile [][]byte // its pieces, by number
	rest := data[min(2, len(data)):]
	for len(rest) >= 4 {
		if rest[0] != 0xff {
			rest = rest[1:] // Go's decoder skips such bytes too
			continue
		}
		marker := rest[1]
		switch {
		case marker == 0xff || marker == 0:
			rest = rest[1:]
			continue
		case marker == markerTEM, marker >= markerRST0 && marker < markerRST0+8:
			rest = rest[2:]
			continue
		case marker == markerSOS, marker == markerEOI:
			p.icc = joinProfile(profile)
			return p
		}
		size := int(binary.BigEndian.Uint16(rest[2:]))
		if size < 2 || size+2 > len(rest) {
			break
		}
		segment := rest[4 : 2+size]
		switch {
		case marker == markerAPP1 && p.exif == nil && bytes.HasPrefix(segment, exifPrefix):
			p.exif = segment[len(exifPrefix):]
		case marker == markerAPP2 && bytes.HasPrefix(segment, []byte(iccPrefix)) && len(segment) > len(iccPrefix)+2:
			p.profiled = true
			// One byte is the piece's number, from 1, the next how many there are.
			body := segment[len(iccPrefix):]
			if n, of := int(body[0]), int(body[1]); n >= 1 && n <= of {
				if profile == nil {
					profile = make([][]byte, of)
				}
				if n <= len(profile) {
					profile[n-1] = body[2:]
				}
			}
		case marker >= 0xc0 && marker <= 0xc2 && p.sof == nil:
			p.sof = append([]byte{marker}, segment...)
		}
		rest = rest[2+size:]
	}
	p.icc = joinProfile(profile)
	return p
}

// joinProfile returns nil unless all pieces are there.
func joinProfile(pieces [][]byte) []byte {
	total := 0
	for _, piece := range pieces {
		if piece == nil {
			return nil
		}
		total += len(piece)
	}
	if total == 0 || total > maxProfile {
		return nil
	}
	return bytes.Join(pieces, nil)
}

// pngParts walks through the chunks (PNG specification, third edition, 5 and 11.3).
func pngParts(data []byte) parts {
	var p parts
	rest := data[min(8, len(data)):]
	for len(rest) >= 12 {
		size := uint64(binary.BigEndian.Uint32(rest))
		if size > uint64(len(rest)-12) {
			break
		}
		body := rest[8 : 8+size]
		switch string(rest[4:8]) {
		case "eXIf":
			p.exif = body
		case "iCCP":
			p.profiled = true
			// A name of 1 to 79 bytes, a zero, the method 0, the packed profile.
			if end := bytes.IndexByte(body[:min(len(body), 80)], 0); end > 0 && len(body) > end+2 && body[end+1] == 0 {
				p.icc, _ = unpackProfile(body[end+2:])
			}
		}
		rest = rest[12+size:]
	}
	return p
}

var errProfileSize = errors.New("colour profile is too large")

func unpackProfile(packed []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	profile, err := io.ReadAll(io.LimitReader(z, maxProfile+1))
	if err != nil {
		return nil, err
	}
	if len(profile) > maxProfile {
		return nil, errProfileSize
	}
	return profile, nil
}

// webpParts looks through the chunks (RFC 9649, 2.7).
func webpParts(data []byte) parts {
	var p parts
	for id, body := range riffChunks(data[min(12, len(data)):]) {
		switch id {
		case "EXIF":
			p.exif = bytes.TrimPrefix(body, exifPrefix) // which some programs write
		case "ICCP":
			p.profiled = true
			if len(body) <= maxProfile {
				p.icc = body
			}
		}
	}
	return p
}

// riffChunks walks through the chunks of a RIFF container, until the end or
// the first that is cut.
func riffChunks(rest []byte) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for len(rest) >= 8 {
			size := uint64(binary.LittleEndian.Uint32(rest[4:]))
			if size > uint64(len(rest)-8) || !yield(string(rest[:4]), rest[8:8+size]) {
				return
			}
			rest = rest[min(uint64(len(rest)), 8+size+size&1):]
		}
	}
}

// webpStill returns the first image of an animation as a file of its own, and
// any other file as it is. The image counts by itself, without the canvas.
func webpStill(data []byte) []byte {
	const frameHeader = 16 // position, size, duration, flags
	for id, body := range riffChunks(data[min(12, len(data)):]) {
		if id == "ANMF" && len(body) >= frameHeader {
			return webpFile(body[frameHeader:], body[6:12])
		}
	}
	return data
}

// webpFile puts a file's header before the chunks of a frame. The size is two
// numbers of three bytes, each less one, as VP8X has them too.
func webpFile(chunks, size []byte) []byte {
	const alphaFlag = 1 << 4
	var extended []byte
	for id := range riffChunks(chunks) {
		if id == "ALPH" {
			extended = append([]byte("VP8X\x0a\x00\x00\x00"), alphaFlag, 0, 0, 0)
			extended = append(extended, size...)
		}
	}
	file := []byte("RIFF\x00\x00\x00\x00WEBP")
	binary.LittleEndian.PutUint32(file[4:], uint32(4+len(extended)+len(chunks)))
	return append(append(file, extended...), chunks...)
}

// webpBare returns a WebP file without Exif and XMP, which libvips 8.14 writes
// though it is told not to: they may say where a photo was taken.
func webpBare(data []byte) []byte {
	const header, flagsAt = 12, 12 + 8
	const exifFlag, xmpFlag = 1 << 3, 1 << 2 // in VP8X, which comes first
	bare := append([]byte(nil), data[:min(header, len(data))]...)
	for id, body := range riffChunks(data[len(bare):]) {
		if id == "EXIF" || id == "XMP " {
			continue
		}
		bare = append(bare, id...)
		bare = binary.LittleEndian.AppendUint32(bare, uint32(len(body)))
		bare = append(bare, body...)
		if len(body)%2 == 1 {
			bare = append(bare, 0)
		}
		if id == "VP8X" && len(bare) > flagsAt {
			bare[flagsAt] &^= exifFlag | xmpFlag
		}
	}
	if len(bare) >= header {
		binary.LittleEndian.PutUint32(bare[4:], uint32(len(bare)-8))
	}
	return bare
}
