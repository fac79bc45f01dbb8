package imaging

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// maxDecoded is how much memory decoding may take, in bytes. A file whose
// header asks for more is ErrTooLarge: a process with a cap of 512 MiB would
// die of it.
const maxDecoded = 400 << 20

// A Picture is a decoded image. It is rendered in any number of sizes.
type Picture struct {
	header  Header
	img     image.Image
	limited bool // the YCbCr planes use 16 to 235 (240), as video does
}

// Decode decodes a file whose header was read. It ends with the context's
// cause. The time is that of the format's decoder: 14 ns a pixel for JPEG.
func Decode(ctx context.Context, data []byte, h Header) (*Picture, error) {
	if h.bytes > maxDecoded {
		return nil, fmt.Errorf("%w: decoding takes %d MiB, over the limit of %d", ErrTooLarge, h.bytes>>20, maxDecoded>>20)
	}
	if h.Format == WebP {
		data = webpStill(data)
	}
	img, err := decoders[h.Format](&contextReader{ctx, bytes.NewReader(data)})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("decode: %w", decodeError(h.Format, err))
	}
	if h.Format == GIF {
		img = onCanvas(img, h)
	}
	if size := img.Bounds().Size(); size.X != h.Width || size.Y != h.Height {
		return nil, fmt.Errorf("%w: %d×%d pixels, but its header says %d×%d", ErrCorrupt, size.X, size.Y, h.Width, h.Height)
	}
	return &Picture{header: h, img: img, limited: h.Format == WebP}, nil
}

var decoders = map[Format]func(io.Reader) (image.Image, error){
	JPEG: jpeg.Decode, PNG: png.Decode, GIF: gif.Decode, WebP: webp.Decode,
}

// contextReader makes a decoder end when the context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// onCanvas puts the first image of a GIF at its place on the canvas, which is
// transparent elsewhere.
func onCanvas(img image.Image, h Header) image.Image {
	canvas := image.Rect(0, 0, h.Width, h.Height)
	if img.Bounds() == canvas {
		return img
	}
	whole := image.NewRGBA(canvas)
	draw.Draw(whole, img.Bounds(), img, img.Bounds().Min, draw.Src)
	return whole
}

// estimate returns about how many bytes the file's decoder and the picture
// take at their peak, with the file itself.
func estimate(h Header, data []byte, config image.Config) int64 {
	pixels := int64(h.Width) * int64(h.Height)
	switch h.Format {
	case JPEG:
		return int64(len(data)) + jpegBytes(h, jpegParts(data).sof)
	case GIF:
		return int64(len(data)) + 5*pixels // indices, and a canvas
	case WebP:
		if config.ColorModel == color.YCbCrModel {
			return int64(len(data)) + 2*pixels
		}
		return int64(len(data)) + 10*pixels // lossless needs a second copy, alpha is lossless
	}
	perPixel := int64(4) // gray too: a transparent shade makes it RGBA
	switch config.ColorModel {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		perPixel = 8
	}
	if _, ok := config.ColorModel.(color.Palette); ok {
		perPixel = 1
	}
	const interlaceByte = 28 // the last of IHDR
	if len(data) > interlaceByte && data[interlaceByte] == 1 {
		perPixel += perPixel / 2 // a pass beside the whole
	}
	return int64(len(data)) + perPixel*pixels
}

// jpegBytes works out the planes of a frame header (ITU-T T.81, B.2.2), and
// for the progressive kind the coefficients too, of four bytes each.
func jpegBytes(h Header, sof []byte) int64 {
	const progressive, components, perComponent = 0xc2, 6, 3
	pixels := int64(h.Width) * int64(h.Height)
	if len(sof) <= components {
		return 3 * pixels
	}
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
	if sof[0] == progressive {
		total += 4 * pixels * samples / max(widest, 1)
	}
	return total
}
