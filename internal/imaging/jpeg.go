package imaging

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"io"
)

// Markers of JPEG (ITU-T T.81, table B.1).
const (
	jpegStart   = "\xff\xd8"
	jpegEnd     = "\xff\xd9"
	markerTEM   = 0x01
	markerSOF2  = 0xc2
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerRST0  = 0xd0
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerAPP0  = 0xe0
	markerAPP1  = 0xe1
	markerAPP2  = 0xe2
	markerAPP14 = 0xee
	markerAPP15 = 0xef
	markerLS    = 0xf7
	markerCOM   = 0xfe

	iccPrefix   = "ICC_PROFILE\x00"
	exifPrefix  = "Exif\x00\x00"
	adobePrefix = "Adobe"
)

// adobeCMYK says that four components are CMYK, which Go's decoder asks for. All
// that read such files without it take them for inverted, as Adobe's are.
var adobeCMYK = []byte("\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00")

// readJPEG walks through the segments (ITU-T T.81, annex B) up to the scan.
func (p *parts) readJPEG(data []byte) error {
	p.file = [][]byte{[]byte(jpegStart)}
	var profile [][]byte // its pieces, by number
	at := min(len(jpegStart), len(data))
	for len(data)-at >= 4 {
		marker := data[at+1]
		switch {
		case data[at] != 0xff, marker == 0:
			p.warn(warnSegments) // every decoder skips such bytes
			at++
			continue
		case marker == 0xff: // fills up
			at++
			continue
		case marker == markerTEM, marker >= markerRST0 && marker < markerRST0+8:
			at += 2
			continue
		case marker == markerSOS:
			p.file = append(p.file, data[at:])
			p.joinProfile(profile)
			return p.jpegSize()
		case marker == markerEOI:
			return fmt.Errorf("%w: it ends before its pixels begin", ErrCorrupt)
		}
		size := 2 + int(binary.BigEndian.Uint16(data[at+2:]))
		if size < 4 || size > len(data)-at {
			break
		}
		segment := data[at+4 : at+size]
		if p.takeSegment(marker, segment, &profile) {
			if err := p.keep(data[at : at+size]); err != nil {
				return err
			}
		}
		at += size
	}
	return fmt.Errorf("%w: its header is cut", ErrCorrupt)
}

// takeSegment reads a segment, and reports whether decoders need it.
func (p *parts) takeSegment(marker byte, segment []byte, profile *[][]byte) bool {
	switch {
	case marker == markerAPP1:
		if p.exif == nil && bytes.HasPrefix(segment, []byte(exifPrefix)) {
			p.exif = segment[len(exifPrefix):]
		}
		return false
	case marker == markerAPP2:
		if bytes.HasPrefix(segment, []byte(iccPrefix)) && len(segment) > len(iccPrefix)+2 {
			p.profiled = true
			// One byte is the piece's number, from 1, the next how many there are.
			body := segment[len(iccPrefix):]
			if n, of := int(body[0]), int(body[1]); n >= 1 && n <= of {
				if *profile == nil {
					*profile = make([][]byte, of)
				}
				if n <= len(*profile) {
					(*profile)[n-1] = body[2:]
				}
			}
		}
		return false
	case marker == markerAPP14:
		ours := bytes.HasPrefix(segment, []byte(adobePrefix))
		p.adobe = p.adobe || ours && len(segment) >= len(adobeCMYK)-4
		return ours
	case marker >= 0xc0 && marker <= 0xcf && marker != markerDHT && marker != markerJPG &&
		marker != markerDAC, marker == markerLS:
		if p.sof == nil {
			p.sof = append([]byte{marker}, segment...)
		}
		return true
	default:
		return marker != markerCOM && (marker <= markerAPP0 || marker > markerAPP15)
	}
}

// jpegSize reads the frame header (B.2.2).
func (p *parts) jpegSize() error {
	const heightAt, widthAt, countAt = 2, 4, 6
	if len(p.sof) <= countAt {
		return fmt.Errorf("%w: it has no frame header", ErrCorrupt)
	}
	p.height, p.width = int(binary.BigEndian.Uint16(p.sof[heightAt:])),
		int(binary.BigEndian.Uint16(p.sof[widthAt:]))
	if p.height == 0 && p.width > 0 {
		return fmt.Errorf("%w: jpeg: its height stands behind its pixels", ErrUnsupported)
	}
	p.space = map[byte]string{1: spaceGray, 3: spaceRGB, 4: spaceCMYK}[p.sof[countAt]]
	return nil
}

// joinProfile keeps the profile if all pieces are there.
func (p *parts) joinProfile(pieces [][]byte) {
	total := 0
	for _, piece := range pieces {
		if piece == nil {
			return
		}
		total += len(piece)
	}
	if total > 0 && total <= maxManaged {
		p.icc = bytes.Join(pieces, nil)
	}
}

// unreadable tells why Go's decoder can't read a JPEG whose header is sound, or
// returns nil: some samplings, arithmetic coding, more than 8 bits.
func (p *parts) unreadable() error {
	if _, err := jpeg.DecodeConfig(p.goJPEG()); err != nil {
		return decodeError(JPEG, err)
	}
	return nil
}

// goJPEG is the file as Go's decoder wants it.
func (p *parts) goJPEG(tail ...[]byte) io.Reader {
	pieces := append(p.file[:len(p.file):len(p.file)], tail...)
	if p.space == spaceCMYK && !p.adobe {
		pieces = append([][]byte{pieces[0], adobeCMYK}, pieces[1:]...)
	}
	return reader(pieces...)
}

// decodeJPEG decodes, and mends what costs no pixel when that fails: the mark
// of the end, which a cut file lacks too, and the numbers of restart markers.
func (h *Header) decodeJPEG(decode decoder) (image.Image, []string, error) {
	img, err := decode(h.parts.goJPEG())
	if err == nil {
		return img, nil, nil
	}
	first := err
	var tail [][]byte
	var warnings []string
	scan := h.parts.file[len(h.parts.file)-1]
	ended := bytes.Contains(scan, []byte(jpegEnd))
	if !ended {
		tail, warnings = [][]byte{[]byte(jpegEnd)}, []string{warnEnd}
		if img, err = decode(h.parts.goJPEG(tail...)); err == nil {
			return img, warnings, nil
		}
	}
	if img, err = decode(&renumber{r: h.parts.goJPEG(tail...)}); err == nil {
		return img, append(warnings, warnRestart), nil
	}
	if !ended {
		return nil, nil, ErrCut
	}
	return nil, nil, decodeError(JPEG, first)
}

// renumber gives the restart markers of a JPEG the numbers that are due
// (ITU-T T.81, E.1.4).
type renumber struct {
	r     io.Reader
	due   byte
	state renumberState
	skip  int // bytes of a segment that are left
}

type renumberState int

const (
	inPixels renumberState = iota
	behindFF
	lengthHigh
	lengthLow
	inSegment
)

func (r *renumber) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	for i := range p[:n] {
		r.pass(&p[i])
	}
	return n, err
}

func (r *renumber) pass(b *byte) {
	switch r.state {
	case inPixels:
		if *b == 0xff {
			r.state = behindFF
		}
	case behindFF:
		switch marker := *b; {
		case marker == 0xff:
		case marker >= markerRST0 && marker < markerRST0+8:
			*b = markerRST0 + r.due
			r.due = (r.due + 1) % 8
			r.state = inPixels
		case marker == 0, marker == markerTEM, marker == jpegStart[1], marker == markerEOI:
			r.state = inPixels
		default:
			r.due = 0
			r.state = lengthHigh
		}
	case lengthHigh:
		r.skip, r.state = int(*b)<<8, lengthLow
	case lengthLow:
		r.skip, r.state = r.skip+int(*b)-2, inSegment
		if r.skip <= 0 {
			r.state = inPixels
		}
	case inSegment:
		if r.skip--; r.skip == 0 {
			r.state = inPixels
		}
	}
}

// jpegBytes works out the planes of a frame header, and for the progressive
// kind the coefficients too, of four bytes each.
func jpegBytes(pixels int64, sof []byte) int64 {
	const components, perComponent = 6, 3
	var samples, widest int64
	for i := range int(sof[components]) {
		at := components + 1 + i*perComponent + 1
		if at >= len(sof) {
			break
		}
		area := int64(sof[at]>>4) * int64(sof[at]&15)
		samples += area
		widest = max(widest, area)
	}
	total := pixels * samples / max(widest, 1)
	if sof[components] == 4 {
		total += 4 * pixels // CMYK is put together from its planes
	}
	if sof[0] == markerSOF2 {
		total += 4 * pixels * samples / max(widest, 1)
	}
	return total
}

// jpegExif makes the APP1 segment of an orientation.
func jpegExif(o Orientation) []byte {
	tiff := exifOf(o)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, markerAPP1}, uint16(2+len(exifPrefix)+len(tiff)))
	return append(append(segment, exifPrefix...), tiff...)
}
