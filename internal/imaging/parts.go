package imaging

import (
	"fmt"
	"io"
	"slices"

	"bytes"
)

// parts is a file taken to pieces by the only reader of containers here. What
// both ways of decoding get is put together from them, so that no other reader
// has a say in what an image's size, turn and colours are.
type parts struct {
	// file is a sound file of the same image: without metadata, without what
	// stands behind the image. Slices of the original, but for a few bytes.
	// What goes along with an image stands behind the first.
	file [][]byte
	// width and height are the image's; canvas is where an animation shows it.
	width, height int
	canvas        *canvas

	exif     []byte // a TIFF structure
	icc      []byte // a colour profile (ICC.1) of at most maxManaged
	profiled bool   // there is a colour profile, even if it is too large or cut
	space    string // of the samples, as profiles name it
	alpha    bool   // WebP: there is an ALPH chunk
	clear    bool   // WebP: pixels of the lossless kind have alpha
	sof      []byte // JPEG: the marker of the frame header, then its segment
	adobe    bool   // JPEG: a marker tells what four components are
	gif      gifFrame

	warnings []string
}

// A canvas is the area that an animation's first image has a place on.
type canvas struct {
	width, height int // pixels
	x, y          int // of the image
}

const (
	// maxProfile is the largest colour profile that an output keeps, in bytes.
	// Those of displays and cameras have 0.5 to 4 KiB; those of printers go
	// with CMYK, which is converted. maxManaged is the largest that is read.
	maxProfile = 64 << 10
	maxManaged = 4 << 20
	// maxPieces bounds the pieces kept of a file; a photo has about ten.
	maxPieces = 1000
	// maxWarnings bounds what a result says of one file.
	maxWarnings = 10
)

// keep adds the next piece.
func (p *parts) keep(piece []byte) error {
	if len(p.file) >= maxPieces {
		return fmt.Errorf("%w: its header has over %d pieces", ErrCorrupt, maxPieces)
	}
	p.file = append(p.file, piece)
	return nil
}

func (p *parts) warn(warning string) {
	if len(p.warnings) < maxWarnings && !slices.Contains(p.warnings, warning) {
		p.warnings = append(p.warnings, warning)
	}
}

// What a result may say of a file.
const (
	warnProfile   = "the colour profile is damaged and was left out"
	warnSegments  = "there are stray bytes between the parts of the header"
	warnEnd       = "the mark of the file's end is missing"
	warnChecksum  = "a checksum is wrong"
	warnMoreData  = "there are more pixels than the image has room for"
	warnFewer     = "pixels are missing; they are transparent"
	warnPalette   = "some pixels have a colour that is not in the palette; they are transparent"
	warnRestart   = "the restart markers have wrong numbers"
	warnCanvas    = "the image reaches beyond its canvas, which was made larger"
	warnRecovered = "the pixels are damaged in places, which show something else: "
)

// readParts takes a file to pieces. What can't be read of metadata is not
// there; without an image there is an error.
func readParts(format Format, data []byte) (parts, error) {
	var p parts
	err := map[Format]func(*parts, []byte) error{
		JPEG: (*parts).readJPEG, PNG: (*parts).readPNG, GIF: (*parts).readGIF, WebP: (*parts).readWebP,
	}[format](&p, data)
	return p, err
}

// reader reads pieces one after the other.
func reader(pieces ...[]byte) io.Reader {
	readers := make([]io.Reader, len(pieces))
	for i, piece := range pieces {
		readers[i] = bytes.NewReader(piece)
	}
	return io.MultiReader(readers...)
}
