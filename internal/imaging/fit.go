package imaging

import (
	"fmt"
	"math"
)

// A Fit says what happens when an image's shape is not the box's.
type Fit string

// The fits.
const (
	Contain Fit = "contain" // the whole image, no larger than the box
	Cover   Fit = "cover"   // the whole box, what sticks out is cut off evenly
	Fill    Fit = "fill"    // the whole image stretched to the whole box
)

// A Box is the size that is asked for, in pixels. Where one side is 0 it
// follows from the image's shape, and Fit has nothing to do.
type Box struct {
	Width, Height int
	Fit           Fit
}

// A Frame is a box that fits one image: what is taken of the image, in its
// upright pixels from the top left corner, and what it becomes.
type Frame struct {
	Width, Height int     // of the result
	X, Y, W, H    float64 // of the piece that is taken
}

// Crops reports whether a frame leaves out a part of the image.
func (f Frame) crops(width, height int) bool {
	return f.W < float64(width) || f.H < float64(height)
}

// Frame works out a box for the image. Without enlarge the image is never made
// larger: contain then keeps its size, and for cover and fill the box gets
// smaller in its own shape until the image reaches.
func (h Header) Frame(box Box, enlarge bool) (Frame, error) {
	width, height := h.Size()
	w, ht := float64(width), float64(height)
	if box.Width < 0 || box.Height < 0 || box.Width == 0 && box.Height == 0 {
		return Frame{}, fmt.Errorf("box of %d×%d pixels", box.Width, box.Height)
	}
	boxW, boxH := float64(box.Width), float64(box.Height)
	if box.Width == 0 {
		boxW = w * boxH / ht
	}
	if box.Height == 0 {
		boxH = ht * boxW / w
	}
	scaleX, scaleY := boxW/w, boxH/ht
	free := box.Width == 0 || box.Height == 0
	frame := Frame{W: w, H: ht}
	switch {
	case free || box.Fit == Contain:
		scale := min(scaleX, scaleY)
		if !enlarge {
			scale = min(scale, 1)
		}
		boxW, boxH = w*scale, ht*scale
	case box.Fit == Cover || box.Fit == Fill:
		if larger := max(scaleX, scaleY); larger > 1 && !enlarge {
			boxW, boxH = boxW/larger, boxH/larger
		}
		if box.Fit == Cover {
			scale := max(boxW/w, boxH/ht)
			frame.W, frame.H = min(w, boxW/scale), min(ht, boxH/scale)
			frame.X, frame.Y = (w-frame.W)/2, (ht-frame.H)/2
		}
	default:
		return Frame{}, fmt.Errorf("unknown fit %q", box.Fit)
	}
	frame.Width, frame.Height = max(1, int(math.Round(boxW))), max(1, int(math.Round(boxH)))
	return frame, nil
}
