package imaging

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
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
	Warnings []string // what was mended

	header  Header
	img     image.Image
	limited bool // the YCbCr planes use 16 to 235 (240), as video does
}

// Decode decodes a file whose header was read. It mends damage that costs no
// pixel, and says so in the picture's Warnings. It ends with the context's
// cause. The time is that of the format's decoder: 14 ns a pixel for JPEG.
func Decode(ctx context.Context, h Header) (*Picture, error) {
	if h.unread != nil {
		return nil, fmt.Errorf("decode: %w", h.unread)
	}
	if h.bytes > maxDecoded {
		return nil, fmt.Errorf("%w: decoding takes %d MiB, over the limit of %d", ErrTooLarge, h.bytes>>20,
			maxDecoded>>20)
	}
	img, warnings, err := h.decode(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("decode: %w", decodeError(h.Format, err))
	}
	if size := img.Bounds().Size(); size.X != h.Width || size.Y != h.Height {
		return nil, fmt.Errorf("%w: %d×%d pixels, but its header says %d×%d", ErrCorrupt, size.X, size.Y,
			h.Width, h.Height)
	}
	return &Picture{Warnings: warnings, header: h, img: img, limited: h.Format == WebP}, nil
}

// A decoder decodes what it reads.
type decoder func(io.Reader) (image.Image, error)

func (h *Header) decode(ctx context.Context) (image.Image, []string, error) {
	with := func(decode decoder) decoder {
		return func(r io.Reader) (image.Image, error) { return decode(&contextReader{ctx, r}) }
	}
	switch h.Format {
	case JPEG:
		return h.decodeJPEG(with(jpeg.Decode))
	case PNG:
		return h.decodePNG(with(png.Decode))
	case GIF:
		return h.parts.decodeGIF(ctx.Err)
	default:
		img, err := with(webp.Decode)(reader(h.parts.webpFile(Upright, nil)...))
		if err != nil {
			return nil, nil, err
		}
		return onWebPCanvas(img, h.parts.canvas), nil, nil
	}
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

// onCanvas puts an image at its place on a canvas, which is transparent elsewhere.
func onCanvas(img image.Image, width, height int) image.Image {
	canvas := image.Rect(0, 0, width, height)
	if img.Bounds() == canvas {
		return img
	}
	whole := image.NewRGBA(canvas)
	draw.Draw(whole, img.Bounds(), img, img.Bounds().Min, draw.Src)
	return whole
}

// estimate works out about how many bytes the file's decoder and the picture
// take at their peak, with the file itself. It sees too whether Go's decoder
// likes the header.
func (h *Header) estimate(size int64) error {
	pixels := int64(h.Width) * int64(h.Height)
	perPixel := int64(0)
	switch h.Format {
	case JPEG:
		h.unread = h.parts.unreadable()
		h.bytes = size + jpegBytes(pixels, h.parts.sof)
		return nil
	case GIF:
		perPixel = 5 // indices, and a canvas
	case WebP:
		config, err := webp.DecodeConfig(reader(h.parts.webpFile(Upright, nil)...))
		if err != nil {
			return err
		}
		perPixel = 10 // lossless needs a second copy, alpha is lossless
		if config.ColorModel == color.YCbCrModel {
			perPixel = 2
		}
		if h.parts.canvas != nil {
			perPixel += 5
		}
	case PNG:
		config, err := png.DecodeConfig(reader(h.parts.file...))
		if err != nil {
			return err
		}
		perPixel = pngPixelBytes(config, h.parts.file[0][len(pngSignature)+8+headSize-1] == 1)
	}
	h.bytes = size + perPixel*pixels
	return nil
}

func pngPixelBytes(config image.Config, interlaced bool) int64 {
	perPixel := int64(4) // gray too: a transparent shade makes it RGBA
	switch config.ColorModel {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		perPixel = 8
	}
	if _, ok := config.ColorModel.(color.Palette); ok {
		perPixel = 1
	}
	if interlaced {
		perPixel += perPixel / 2 // a pass beside the whole
	}
	return perPixel
}
