package imaging

import (
	"context"
	"fmt"
	"image"
)

// Render returns the picture in a frame's size, upright. It is an
// *image.YCbCr, *image.Gray or *image.RGBA with its corner at 0, 0. It ends
// with the context's cause.
func (p *Picture) Render(ctx context.Context, frame Frame) (image.Image, error) {
	x, y := span{frame.X, frame.X + frame.W, frame.Width}, span{frame.Y, frame.Y + frame.H, frame.Height}
	o := p.header.Orientation
	if o.Transposes() {
		x, y = y, x
	}
	// A frame lies in the middle, so that flips change nothing about it.
	planes := p.planes()
	rendered := make([][]uint8, len(planes))
	for i, part := range planes {
		// Planes of less resolution cover the same picture.
		scaleX, scaleY := part.subX, part.subY
		rendered[i] = make([]uint8, x.n*y.n*part.channels)
		err := resample(ctx, rendered[i], x.n*part.channels, part.plane,
			span{x.from / scaleX, x.to / scaleX, x.n}, span{y.from / scaleY, y.to / scaleY, y.n})
		if err != nil {
			return nil, err
		}
		rendered[i] = o.turn(rendered[i], x.n, y.n, part.channels)
	}
	rect := image.Rect(0, 0, frame.Width, frame.Height)
	switch {
	case len(planes) == 3:
		if p.limited {
			widenRange(rendered[0], &fullLuma)
			widenRange(rendered[1], &fullChroma)
			widenRange(rendered[2], &fullChroma)
		}
		return &image.YCbCr{Y: rendered[0], Cb: rendered[1], Cr: rendered[2], YStride: frame.Width,
			CStride: frame.Width, SubsampleRatio: image.YCbCrSubsampleRatio444, Rect: rect}, nil
	case planes[0].channels == 1:
		return &image.Gray{Pix: rendered[0], Stride: frame.Width, Rect: rect}, nil
	default:
		capColours(rendered[0])
		return &image.RGBA{Pix: rendered[0], Stride: 4 * frame.Width, Rect: rect}, nil
	}
}

// capColours holds premultiplied colours within their alpha, which a filter
// that overshoots may have passed.
func capColours(rgba []uint8) {
	for i := 0; i+4 <= len(rgba); i += 4 {
		pixel := (*[4]uint8)(rgba[i:])
		alpha := pixel[3]
		pixel[0], pixel[1], pixel[2] = min(pixel[0], alpha), min(pixel[1], alpha), min(pixel[2], alpha)
	}
}

// turn makes samples of the stored orientation upright. The size is the
// stored one.
func (o Orientation) turn(stored []uint8, width, height, channels int) []uint8 {
	if o == Upright {
		return stored
	}
	// The upright pixel x, y is the stored one at start + x·stepX + y·stepY.
	row := width
	last := width*height - 1
	var start, stepX, stepY int
	switch o {
	case FlipHorizontal:
		start, stepX, stepY = width-1, -1, row
	case Rotate180:
		start, stepX, stepY = last, -1, -row
	case FlipVertical:
		start, stepX, stepY = last-(width-1), 1, -row
	case Transpose:
		start, stepX, stepY = 0, row, 1
	case Rotate90:
		start, stepX, stepY = last-(width-1), -row, 1
	case Transverse:
		start, stepX, stepY = last, -row, -1
	case Rotate270:
		start, stepX, stepY = width-1, row, -1
	default:
		panic(fmt.Sprintf("orientation %d", o)) // ReadHeader gives only those above
	}
	if o.Transposes() {
		width, height = height, width
	}
	upright := make([]uint8, len(stored))
	at := 0
	for y := range height {
		from := start + y*stepY
		for range width {
			copy(upright[at:at+channels], stored[from*channels:])
			at += channels
			from += stepX
		}
	}
	return upright
}
