package imaging

import (
	"compress/lzw"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"io"
	"slices"
)

// A gifFrame is the first image of a GIF (GIF89a specification, 20 to 23).
type gifFrame struct {
	palette       color.Palette
	width, height int
	interlaced    bool
	codeSize      int
	blocks        []byte // of its pixels, and what follows
}

const (
	gifHeader      = 13 // signature, screen
	gifDescriptor  = 9  // of an image, behind its mark
	gifExtension   = 0x21
	gifImage       = 0x2c
	gifTrailer     = 0x3b
	gifControl     = 0xf9
	gifHasColours  = 0x80
	gifInterlaced  = 0x40
	gifTransparent = 0x01
)

// readGIF walks through the blocks up to the first image. As in a browser the
// canvas is large enough for that.
func (p *parts) readGIF(data []byte) error {
	cut := fmt.Errorf("%w: its header is cut", ErrCorrupt)
	if len(data) < gifHeader {
		return cut
	}
	screen := &canvas{width: int(binary.LittleEndian.Uint16(data[6:])),
		height: int(binary.LittleEndian.Uint16(data[8:]))}
	p.width, p.height = screen.width, screen.height
	global, rest := gifPalette(data[10], data[gifHeader:])
	transparent := -1
	for {
		if len(rest) < 2 {
			return cut
		}
		switch rest[0] {
		case gifExtension:
			body := rest[2:]
			if rest[1] == gifControl && len(body) >= 5 && body[0] == 4 {
				transparent = -1
				if body[1]&gifTransparent != 0 {
					transparent = int(body[4])
				}
			}
			if rest = pastBlocks(body); rest == nil {
				return cut
			}
		case gifImage:
			if len(rest) < 1+gifDescriptor+1 {
				return cut
			}
			return p.gifImage(rest[1:], screen, global, transparent)
		case gifTrailer:
			return fmt.Errorf("%w: it has no image", ErrCorrupt)
		default:
			return fmt.Errorf("%w: gif: unknown block 0x%02x", ErrCorrupt, rest[0])
		}
	}
}

// gifImage reads an image's descriptor.
func (p *parts) gifImage(d []byte, screen *canvas, global color.Palette, transparent int) error {
	word := func(at int) int { return int(binary.LittleEndian.Uint16(d[at:])) }
	screen.x, screen.y = word(0), word(2)
	f := gifFrame{width: word(4), height: word(6), interlaced: d[8]&gifInterlaced != 0}
	local, rest := gifPalette(d[8], d[gifDescriptor:])
	f.palette = global
	if local != nil {
		f.palette = local
	}
	if len(rest) < 1 {
		return fmt.Errorf("%w: its header is cut", ErrCorrupt)
	}
	f.codeSize, f.blocks = int(rest[0]), rest[1:]
	switch {
	case f.palette == nil:
		return fmt.Errorf("%w: gif: it has no colours", ErrCorrupt)
	case f.codeSize < 2 || f.codeSize > 8:
		return fmt.Errorf("%w: gif: pixels of %d bits", ErrCorrupt, f.codeSize)
	}
	if transparent >= 0 && transparent < len(f.palette) {
		f.palette[transparent] = color.RGBA{}
	}
	if right, bottom := screen.x+f.width, screen.y+f.height; right > screen.width || bottom > screen.height {
		screen.width, screen.height = max(screen.width, right), max(screen.height, bottom)
		p.warn(warnCanvas)
	}
	p.gif, p.canvas, p.width, p.height = f, screen, screen.width, screen.height
	return nil
}

// gifPalette reads a table of colours, if the flags tell of one. A cut one is nil.
func gifPalette(flags byte, rest []byte) (color.Palette, []byte) {
	if flags&gifHasColours == 0 {
		return nil, rest
	}
	n := 2 << (flags & 7)
	if len(rest) < 3*n {
		return nil, nil
	}
	palette := make(color.Palette, n)
	for i := range palette {
		palette[i] = color.RGBA{rest[3*i], rest[3*i+1], rest[3*i+2], 255}
	}
	return palette, rest[3*n:]
}

// pastBlocks returns what stands behind a row of blocks; nil if that is cut.
func pastBlocks(rest []byte) []byte {
	for len(rest) > 0 {
		size := int(rest[0])
		if size == 0 {
			return rest[1:]
		}
		rest = rest[min(1+size, len(rest)):]
	}
	return nil
}

// blockReader reads what is in a row of blocks.
type blockReader struct {
	rest, body []byte
	cut        bool // the file ended before the row did
}

func (r *blockReader) ReadByte() (byte, error) {
	if len(r.body) == 0 {
		switch {
		case len(r.rest) == 0:
			r.cut = true
			return 0, io.EOF
		case r.rest[0] == 0:
			return 0, io.EOF
		}
		end := min(1+int(r.rest[0]), len(r.rest))
		r.cut = end < 1+int(r.rest[0])
		r.body, r.rest = r.rest[1:end], r.rest[end:]
		if len(r.body) == 0 {
			return 0, io.EOF
		}
	}
	b := r.body[0]
	r.body = r.body[1:]
	return b, nil
}

func (r *blockReader) Read(p []byte) (int, error) {
	for i := range p {
		b, err := r.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = b
	}
	return len(p), nil
}

// decodeGIF decodes the first image. Of damaged pixels it shows those before
// the damage, and the others transparent. alive is asked before each row.
func (p *parts) decodeGIF(alive func() error) (image.Image, []string, error) {
	f := p.gif
	blocks := &blockReader{rest: f.blocks}
	pixels := lzw.NewReader(blocks, lzw.LSB, f.codeSize)
	defer pixels.Close()
	palette := make(color.Palette, 256) // as many as a pixel can name
	for i := copy(palette, f.palette); i < len(palette); i++ {
		palette[i] = color.RGBA{}
	}
	x, y := p.canvas.x, p.canvas.y
	img := image.NewPaletted(image.Rect(x, y, x+f.width, y+f.height), palette)
	var warnings []string
	for i := range f.height {
		if err := alive(); err != nil {
			return nil, nil, err
		}
		row := img.Pix[f.row(i)*img.Stride:][:f.width]
		n, err := io.ReadFull(pixels, row)
		if slices.ContainsFunc(row[:n], func(index uint8) bool { return int(index) >= len(f.palette) }) &&
			!slices.Contains(warnings, warnPalette) {
			warnings = append(warnings, warnPalette)
		}
		if err != nil && blocks.cut {
			return nil, nil, ErrCut
		}
		if err != nil {
			return f.without(onCanvas(img, p.width, p.height), p.canvas, i, n), append(warnings,
				warnFewer), nil
		}
	}
	if more, _ := pixels.Read(make([]byte, 1)); more > 0 { // an error is no loss any more
		warnings = append(warnings, warnMoreData)
	}
	return onCanvas(img, p.width, p.height), warnings, nil
}

// row tells where the stored row i is in the image (appendix E).
func (f gifFrame) row(i int) int {
	if !f.interlaced {
		return i
	}
	for _, pass := range [4][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
		rows := (f.height - pass[0] + pass[1] - 1) / pass[1]
		if i < rows {
			return pass[0] + i*pass[1]
		}
		i -= max(rows, 0)
	}
	return f.height - 1 // not reached: the passes have all rows
}

// without clears the pixels from column n of the stored row i on.
func (f gifFrame) without(img image.Image, at *canvas, i, n int) image.Image {
	rgba := toRGBA(img)
	for ; i < f.height; i, n = i+1, 0 {
		y := at.y + f.row(i)
		clear(rgba.Pix[rgba.PixOffset(at.x+n, y):rgba.PixOffset(at.x+f.width, y)])
	}
	return rgba
}
