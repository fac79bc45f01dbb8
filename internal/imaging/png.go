package imaging

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"image"
	"io"
)

// PNG's framing (PNG specification, third edition, 5).
const (
	pngSignature = "\x89PNG\r\n\x1a\n"
	chunkFrame   = 12 // length, name, checksum
	headSize     = 13 // of IHDR's body
)

var pngEnd = pngChunk("IEND", nil)

func pngChunk(name string, body []byte) []byte {
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	chunk = append(append(chunk, name...), body...)
	return binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
}

// readPNG walks through the chunks up to the end of the pixels. As in a
// browser an orientation behind them has no effect, and of two the first counts.
// A chunk whose checksum is wrong does not count, unless nothing can be shown
// without it.
func (p *parts) readPNG(data []byte) error {
	at := min(len(pngSignature), len(data))
	seen := map[string]bool{}
	for len(data)-at >= chunkFrame {
		size, name := int64(binary.BigEndian.Uint32(data[at:])), string(data[at+4:at+8])
		if name == "IDAT" {
			return p.keepPixels(data, at)
		}
		if size > int64(len(data)-at-chunkFrame) {
			break
		}
		end := at + chunkFrame + int(size)
		body := data[at+8 : end-4]
		sound := crc32.ChecksumIEEE(data[at+4:end-4]) == binary.BigEndian.Uint32(data[end-4:])
		if !sound {
			p.warn(warnChecksum)
		}
		keep := false
		switch {
		case name == "IHDR" && len(body) == headSize && len(p.file) == 0:
			p.pngHead(body)
			p.file = append(p.file, data[:end:end]) // with the signature
		case name == "IEND":
			return fmt.Errorf("%w: it ends before its pixels begin", ErrCorrupt)
		case !sound && name[0]&0x20 != 0: // as if it were not there
		case name == "eXIf" && p.exif == nil:
			p.exif = body
		case name == "iCCP" && !p.profiled:
			p.profiled = true
			// A name of 1 to 79 bytes, a zero, the method 0, the packed profile.
			if end := bytes.IndexByte(body[:min(len(body), 80)], 0); end > 0 && len(body) > end+2 &&
				body[end+1] == 0 {
				p.icc, _ = unpackProfile(body[end+2:])
			}
		case name == "PLTE" || name == "tRNS":
			keep = true
		case name[0]&0x20 == 0 && name != "IHDR":
			return fmt.Errorf("%w: png: chunk %q", ErrUnsupported, name)
		}
		if len(p.file) == 0 || name == "IHDR" && seen[name] || keep && seen[name] {
			return fmt.Errorf("%w: its chunks are out of order", ErrCorrupt)
		}
		seen[name] = true
		if keep {
			p.file = append(p.file, data[at:end])
		}
		at = end
	}
	return fmt.Errorf("%w: its header is cut", ErrCorrupt)
}

// pngHead reads the body of IHDR (11.2.1).
func (p *parts) pngHead(body []byte) {
	const typeAt, coloured = 9, 2
	p.width = int(min(binary.BigEndian.Uint32(body), 1<<31-1))
	p.height = int(min(binary.BigEndian.Uint32(body[4:]), 1<<31-1))
	p.space = spaceRGB
	if body[typeAt]&coloured == 0 {
		p.space = spaceGray
	}
}

// keepPixels keeps the chunks of pixels, which follow each other, and ends the file.
func (p *parts) keepPixels(data []byte, at int) error {
	if len(p.file) == 0 {
		return fmt.Errorf("%w: its chunks are out of order", ErrCorrupt)
	}
	begin := at
	for len(data)-at >= 8 && string(data[at+4:at+8]) == "IDAT" {
		size := int64(binary.BigEndian.Uint32(data[at:]))
		if size > int64(len(data)-at-chunkFrame) {
			at = len(data) // cut; the decoder will say so
			break
		}
		at += chunkFrame + int(size)
	}
	if len(data)-at < chunkFrame {
		p.warn(warnEnd)
	}
	p.file = append(p.file, data[begin:at], pngEnd)
	return nil
}

var errProfileSize = errors.New("colour profile is too large")

func unpackProfile(packed []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	profile, err := io.ReadAll(io.LimitReader(z, maxManaged+1))
	if err != nil {
		return nil, err
	}
	if len(profile) > maxManaged {
		return nil, errProfileSize
	}
	return profile, nil
}

// decodePNG decodes. When that fails though the pixels are whole, as one of
// the two checksums over them bears witness, they are packed anew. That the one
// over all pixels is wrong is not worth a word: libpng doesn't look at it.
func (h *Header) decodePNG(decode decoder) (image.Image, []string, error) {
	img, err := decode(reader(h.parts.file...))
	if err == nil {
		return img, nil, nil
	}
	first := decodeError(PNG, err)
	want := h.parts.pngRaw()
	found := h.parts.examinePixels(want)
	switch {
	case found.cut && found.raw < want:
		return nil, nil, ErrCut
	case found.raw < want, !found.crc && !found.adler:
		return nil, nil, first
	}
	var warnings []string
	if !found.crc {
		warnings = append(warnings, warnChecksum)
	}
	if found.raw > want {
		warnings = append(warnings, warnMoreData)
	}
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.CloseWithError(h.parts.repack(w, want))
	}()
	img, err = decode(r)
	_ = r.Close() // ends the writer, should the decoder not have read to the end
	<-ended
	if err != nil {
		return nil, nil, first
	}
	return img, warnings, nil
}

// pngRaw is how many bytes the pixels have unpacked, with a filter's byte a
// row (PNG specification, 7 and 8).
func (p *parts) pngRaw() int64 {
	body := p.file[0][len(pngSignature)+8:]
	const depthAt, typeAt, interlaceAt = 8, 9, 12
	channels := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[body[typeAt]]
	bits := channels * int64(body[depthAt])
	size := func(width, height int64) int64 {
		if width <= 0 || height <= 0 {
			return 0
		}
		return height * (1 + (width*bits+7)/8)
	}
	width, height := int64(p.width), int64(p.height)
	if body[interlaceAt] == 0 {
		return size(width, height)
	}
	total := int64(0)
	for _, pass := range [7][4]int64{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4},
		{1, 0, 2, 2}, {0, 1, 1, 2}} {
		total += size((width-pass[0]+pass[2]-1)/pass[2], (height-pass[1]+pass[3]-1)/pass[3])
	}
	return total
}

// pngPixels is what can be said of packed pixels.
type pngPixels struct {
	raw        int64 // bytes that unpack
	crc, adler bool  // the checksums of the chunks, and the one over the pixels, are right
	cut        bool  // the file ends within the pixels
}

// examinePixels unpacks the pixels, but for those beyond want bytes.
func (p *parts) examinePixels(want int64) pngPixels {
	chunks := &idatReader{rest: p.pngPixels(), sound: true}
	var found pngPixels
	var header [2]byte
	if _, err := io.ReadFull(chunks, header[:]); err == nil {
		sum := adler32.New()
		z := flate.NewReader(chunks)
		found.raw, err = io.Copy(sum, io.LimitReader(z, want+1))
		var stored [4]byte
		if _, short := io.ReadFull(chunks, stored[:]); err == nil && short == nil {
			found.adler = sum.Sum32() == binary.BigEndian.Uint32(stored[:])
		}
	}
	_, _ = io.Copy(io.Discard, chunks) // its errors are none
	found.crc, found.cut = chunks.sound && !chunks.cut, chunks.cut
	return found
}

// repack writes the file with want bytes of the pixels, which are stored.
func (p *parts) repack(w io.Writer, want int64) error {
	chunks := &idatReader{rest: p.pngPixels()}
	var header [2]byte
	if _, err := io.ReadFull(chunks, header[:]); err != nil {
		return err
	}
	if _, err := io.Copy(w, reader(p.file[:len(p.file)-2]...)); err != nil {
		return err
	}
	z, err := zlib.NewWriterLevel(idatWriter{w}, zlib.NoCompression)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(z, flate.NewReader(chunks), want); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	_, err = w.Write(pngEnd)
	return err
}

// pngPixels are the chunks of pixels, which stand before the end.
func (p *parts) pngPixels() []byte { return p.file[len(p.file)-2] }

// idatReader reads the bodies of chunks, and looks at their checksums.
type idatReader struct {
	rest, body []byte
	sound, cut bool
}

func (r *idatReader) Read(b []byte) (int, error) {
	if !r.fill() {
		return 0, io.EOF
	}
	n := copy(b, r.body)
	r.body = r.body[n:]
	return n, nil
}

// ReadByte makes flate read no further than it must.
func (r *idatReader) ReadByte() (byte, error) {
	if !r.fill() {
		return 0, io.EOF
	}
	b := r.body[0]
	r.body = r.body[1:]
	return b, nil
}

func (r *idatReader) fill() bool {
	for len(r.body) == 0 && len(r.rest) >= 8 {
		end := int64(binary.BigEndian.Uint32(r.rest)) + chunkFrame
		if end > int64(len(r.rest)) {
			r.body, r.rest, r.cut = r.rest[8:], nil, true
			break
		}
		r.body = r.rest[8 : end-4]
		r.sound = r.sound && crc32.ChecksumIEEE(r.rest[4:end-4]) == binary.BigEndian.Uint32(r.rest[end-4:end])
		r.rest = r.rest[end:]
	}
	return len(r.body) > 0
}

// idatWriter makes a chunk of each piece that is written.
type idatWriter struct{ w io.Writer }

func (w idatWriter) Write(b []byte) (int, error) {
	if _, err := w.w.Write(pngChunk("IDAT", b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
