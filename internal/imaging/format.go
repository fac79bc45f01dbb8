package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"
	"image/png"
	"net/http"
	"strings"
)

// What is wrong with a file. Errors of this package wrap one of these, or are
// those of a writer, of a program, or the cause of a context.
var (
	ErrFormat      = errors.New("not an image of a supported format")
	ErrCorrupt     = errors.New("image is corrupt")
	ErrTooLarge    = errors.New("image is too large")
	ErrUnsupported = errors.New("image has a feature that can't be read here")

	// ErrCut is the ErrCorrupt of a file that ends before its pixels do.
	ErrCut = fmt.Errorf("%w: the file ends before its pixels do", ErrCorrupt)
)

// A Format is an image file format.
type Format string

// The formats. All are read; WebP is written by Vips only, GIF not at all.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	GIF  Format = "gif"
	WebP Format = "webp"
)

// ContentType is the format's media type.
func (f Format) ContentType() string { return "image/" + string(f) }

// Extension is the usual end of a file's name, with the dot.
func (f Format) Extension() string {
	if f == JPEG {
		return ".jpg"
	}
	return "." + string(f)
}

// foreign are the beginnings of files that are sound but not ours to read and
// that net/http's sniffing does not know.
var foreign = []struct {
	offset int
	magic  string
	name   string
}{
	{0, "II*\x00", "TIFF"}, {0, "MM\x00*", "TIFF"}, {0, "8BPS", "Photoshop"}, {0, "\xff\x0a", "JPEG XL"},
	{4, "ftyp", "HEIF, AVIF or MP4"}, {4, "JXL ", "JPEG XL"}, {4, "jP  ", "JPEG 2000"},
}

// Sniff tells the format from a file's first bytes; 512 are enough. The error
// wraps ErrFormat for a file of another kind, a text for one, and ErrCorrupt
// for bytes that are no known kind of file at all.
func Sniff(head []byte) (Format, error) {
	for _, f := range foreign {
		if len(head) > f.offset && bytes.HasPrefix(head[f.offset:], []byte(f.magic)) {
			return "", fmt.Errorf("%w: it is %s", ErrFormat, f.name)
		}
	}
	for _, magic := range []string{"\xff\xd8\xff", "\x89PNG\r\n\x1a\n", "GIF89a", "GIF87a", "RIFF"} {
		if len(head) < len(magic) && strings.HasPrefix(magic, string(head)) {
			return "", fmt.Errorf("%w: it has only %d bytes", ErrCorrupt, len(head))
		}
	}
	switch kind := http.DetectContentType(head); {
	case kind == "image/jpeg":
		return JPEG, nil
	case kind == "image/png":
		return PNG, nil
	case kind == "image/gif":
		return GIF, nil
	case kind == "image/webp":
		return WebP, nil
	case kind == "application/octet-stream":
		return "", fmt.Errorf("%w: no known kind of file", ErrCorrupt)
	default:
		return "", fmt.Errorf("%w: it looks like %s", ErrFormat, kind)
	}
}

// A Header is what a file says of itself before it is decoded.
type Header struct {
	Format        Format
	Width, Height int // pixels as stored, 1 or more
	Orientation   Orientation
	// Warnings say what is wrong with the file and costs nothing of the picture.
	Warnings []string

	parts  parts
	icc    []byte // colour profile that the output may keep, or that Vips turns into sRGB
	unread error  // why Decode can't read the file, though its header is sound
	bytes  int64  // memory that decoding takes, about; see estimate
}

// Size is the size in pixels as the image is to be seen.
func (h Header) Size() (width, height int) {
	if h.Orientation.Transposes() {
		return h.Height, h.Width
	}
	return h.Width, h.Height
}

// ReadHeader reads the header of a file, which must stay as it is as long as
// the header is in use. An image of more than maxPixels pixels is ErrTooLarge.
func ReadHeader(data []byte, maxPixels int64) (Header, error) {
	format, err := Sniff(data[:min(len(data), 512)])
	if err != nil {
		return Header{}, err
	}
	p, err := readParts(format, data)
	if pixels := int64(p.width) * int64(p.height); pixels > maxPixels {
		return Header{}, fmt.Errorf("%w: %d×%d = %d pixels, over the limit of %d", ErrTooLarge, p.width,
			p.height, pixels, maxPixels)
	}
	if err != nil {
		return Header{}, fmt.Errorf("read the header: %w", err)
	}
	h := Header{Format: format, Width: p.width, Height: p.height, Orientation: tiffOrientation(p.exif)}
	if p.canvas != nil {
		h.Width, h.Height = p.canvas.width, p.canvas.height
	}
	if h.Width < 1 || h.Height < 1 {
		return Header{}, fmt.Errorf("%w: %d×%d pixels", ErrCorrupt, h.Width, h.Height)
	}
	if pixels := int64(h.Width) * int64(h.Height); pixels > maxPixels {
		return Header{}, fmt.Errorf("%w: %d×%d = %d pixels, over the limit of %d", ErrTooLarge, h.Width,
			h.Height, pixels, maxPixels)
	}
	h.icc = p.profile()
	h.Warnings = p.warnings
	h.parts = p
	if err := h.estimate(int64(len(data))); err != nil {
		return Header{}, fmt.Errorf("read the header: %w", decodeError(format, err))
	}
	return h, nil
}

// decodeError says which of our errors a decoder's error is.
func decodeError(format Format, err error) error {
	var jpegFeature jpeg.UnsupportedError
	var pngFeature png.UnsupportedError
	switch {
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrUnsupported):
		return err
	case errors.As(err, &jpegFeature), errors.As(err, &pngFeature):
		return fmt.Errorf("%w: %s: %w", ErrUnsupported, format, err)
	default:
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, format, err)
	}
}
