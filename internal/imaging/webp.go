package imaging

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
)

// Flags of VP8X (RFC 9649, 2.7.1).
const (
	webpProfileFlag = 1 << 5
	webpAlphaFlag   = 1 << 4
	webpExifFlag    = 1 << 3
	webpXMPFlag     = 1 << 2
	webpHeader      = 12 // of the container
	webpFrameHeader = 16 // position, size, duration, flags
)

// readWebP looks through the chunks (RFC 9649, 2.7). The size is the one that
// the pixels have; the container's counts only as an animation's canvas.
func (p *parts) readWebP(data []byte) error {
	p.space = spaceRGB
	var flags byte
	var screen *canvas
	for id, body := range riffChunks(data[min(webpHeader, len(data)):]) {
		switch {
		case id == "VP8X" && len(body) >= 10 && screen == nil && p.file == nil:
			flags = body[0]
			screen = &canvas{width: 1 + uint24(body[4:]), height: 1 + uint24(body[7:])}
		case id == "ANMF" && p.file == nil && screen != nil && len(body) >= webpFrameHeader:
			screen.x, screen.y = 2*uint24(body), 2*uint24(body[3:])
			for id, body := range riffChunks(body[webpFrameHeader:]) {
				p.webpPixels(id, body)
			}
			if p.file == nil {
				return fmt.Errorf("%w: webp: its first frame has no pixels", ErrCorrupt)
			}
			p.canvas = screen
		case id == "EXIF" && p.exif == nil:
			p.exif = bytes.TrimPrefix(body, []byte(exifPrefix)) // which some programs write
		case id == "ICCP" && !p.profiled:
			p.profiled = true
			if len(body) <= maxManaged {
				p.icc = body
			}
		default:
			p.webpPixels(id, body)
		}
	}
	return p.webpSize(flags)
}

// webpPixels keeps a chunk of the image's pixels; those behind it don't count.
func (p *parts) webpPixels(id string, body []byte) {
	sized := p.width > 0
	switch {
	case sized:
		return
	case id == "ALPH" && !p.alpha:
		p.alpha = true
	case id == "VP8 " && len(body) >= 10: // RFC 6386, 9.1
		p.width, p.height = int(binary.LittleEndian.Uint16(body[6:])&0x3fff),
			int(binary.LittleEndian.Uint16(body[8:])&0x3fff)
	case id == "VP8L" && len(body) >= 5: // RFC 9649, 3.4
		size := binary.LittleEndian.Uint32(body[1:])
		p.width, p.height = 1+int(size&0x3fff), 1+int(size>>14&0x3fff)
		p.file, p.alpha = nil, false // alpha is among the pixels
		p.clear = size>>28&1 != 0
	default:
		return
	}
	p.file = append(p.file, riffHead(id, body), body)
	if len(body)%2 == 1 {
		p.file = append(p.file, []byte{0})
	}
}

// webpSize judges what was found.
func (p *parts) webpSize(flags byte) error {
	if p.width == 0 {
		return fmt.Errorf("%w: webp: it has no pixels, or is cut", ErrCorrupt)
	}
	if flags&webpExifFlag == 0 {
		p.exif = nil // as in a browser
	}
	c := p.canvas
	if c != nil && (c.x+p.width > c.width || c.y+p.height > c.height) {
		return fmt.Errorf("%w: webp: its first frame reaches beyond the canvas", ErrCorrupt)
	}
	return nil
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func riffHead(id string, body []byte) []byte {
	return binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body)))
}

// webpFile puts a container around the pixels, with an orientation and a
// colour profile where there are any.
func (p *parts) webpFile(o Orientation, icc []byte) [][]byte {
	var flags byte
	var before, behind [][]byte
	if p.alpha {
		flags |= webpAlphaFlag
	}
	if icc != nil {
		flags |= webpProfileFlag
		before = append(before, riffHead("ICCP", icc), icc, make([]byte, len(icc)%2))
	}
	if o != Upright {
		flags |= webpExifFlag
		tiff := exifOf(o)
		behind = append(behind, riffHead("EXIF", tiff), tiff)
	}
	if flags != 0 {
		if p.clear { // Go's decoder has no need of a container then
			flags |= webpAlphaFlag
		}
		w, h := p.width-1, p.height-1
		extended := []byte{flags, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8),
			byte(h >> 16)}
		before = append([][]byte{riffHead("VP8X", extended), extended}, before...)
	}
	file := append(append(append([][]byte{nil}, before...), p.file...), behind...)
	size := len("WEBP")
	for _, piece := range file {
		size += len(piece)
	}
	file[0] = append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(size)), "WEBP"...)
	return file
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

// webpBare returns a WebP file of vipsthumbnail's without what is not the
// picture: Exif and XMP, which libvips 8.14 writes though it is told not to and
// which may say where a photo was taken, and the profile of sRGB, which is what
// colours are without one.
func webpBare(data []byte) []byte {
	const flagsAt = webpHeader + 8 // of VP8X, which comes first
	bare := append([]byte(nil), data[:min(webpHeader, len(data))]...)
	for id, body := range riffChunks(data[len(bare):]) {
		if id == "EXIF" || id == "XMP " || id == "ICCP" {
			continue
		}
		bare = append(append(bare, riffHead(id, body)...), body...)
		if len(body)%2 == 1 {
			bare = append(bare, 0)
		}
		if id == "VP8X" && len(bare) > flagsAt {
			bare[flagsAt] &^= webpExifFlag | webpXMPFlag | webpProfileFlag
		}
	}
	if len(bare) >= webpHeader {
		binary.LittleEndian.PutUint32(bare[4:], uint32(len(bare)-8))
	}
	return bare
}

// onWebPCanvas puts a frame at its place. x/image's YCbCr is not what package
// image means by it; see planes.go.
func onWebPCanvas(img image.Image, c *canvas) image.Image {
	if c == nil || img.Bounds().Size() == (image.Point{c.width, c.height}) {
		return img
	}
	if ycbcr, ok := img.(*image.YCbCr); ok {
		opaque := bytes.Repeat([]byte{255}, ycbcr.Rect.Dx()*ycbcr.Rect.Dy())
		img = &image.NYCbCrA{YCbCr: *ycbcr, A: opaque, AStride: ycbcr.Rect.Dx()}
	}
	whole := image.NewRGBA(image.Rect(0, 0, c.width, c.height))
	row := rowRGBA(img)
	for y := range img.Bounds().Dy() {
		copy(whole.Pix[whole.PixOffset(c.x, c.y+y):], row(y))
	}
	return whole
}
