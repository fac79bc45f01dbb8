package tasks

import (
	"errors"
	"strconv"
	"time"

	"longshore/job"
)

// Resize is the payload of image.resize: one size by its own fields, or a list.
type Resize struct {
	Sizes     []ImageSize `json:"sizes,omitempty" doc:"several sizes in one job; width and height are then absent" minItems:"1" maxItems:"16" nullable:"false"`
	Width     int         `json:"width,omitempty" doc:"the width in pixels; absent, it follows from the height and the image's shape" minimum:"1" maximum:"16383"`
	Height    int         `json:"height,omitempty" doc:"the height in pixels; absent, it follows from the width and the image's shape" minimum:"1" maximum:"16383"`
	Fit       string      `json:"fit,omitempty" doc:"contain: the whole image, no larger than the size; cover: exactly the size, evenly cropped; fill: exactly the size, stretched" enum:"contain,cover,fill" default:"contain"`
	Format    string      `json:"format,omitempty" doc:"the format to write; webp only where the worker has vipsthumbnail; transparent parts become white in jpeg" enum:"jpeg,png,webp" default:"jpeg"`
	Quality   int         `json:"quality,omitempty" doc:"of jpeg and webp, 1 smallest to 100 best" minimum:"1" maximum:"100" default:"80"`
	Enlarge   bool        `json:"enlarge,omitempty" doc:"also make small images larger; otherwise contain keeps their size, and cover and fill shrink the wanted size in its own shape until the image reaches" default:"false"`
	Strict    bool        `json:"strict,omitempty" doc:"refuse a file with anything wrong, instead of showing what browsers show of it, with warnings" default:"false"`
	MaxPixels int64       `json:"max_pixels,omitempty" doc:"the most pixels the image, and each result, may have" minimum:"1" maximum:"100000000" default:"40000000"`
}

// ImageSize is one wanted size. One side may be absent.
type ImageSize struct {
	Width  int    `json:"width,omitempty" doc:"the width in pixels" minimum:"1" maximum:"16383"`
	Height int    `json:"height,omitempty" doc:"the height in pixels" minimum:"1" maximum:"16383"`
	Fit    string `json:"fit,omitempty" doc:"as for one size; absent, the fit beside the list" enum:"contain,cover,fill"`
}

// ImageResize makes smaller versions of an image.
var ImageResize = Definition[Resize]{
	Type: "image.resize",
	Doc:  "A JPEG, PNG, GIF or WebP image in one or several sizes, upright and without metadata.",
	Lane: job.LaneCPU, Input: InputRequired, Timeout: 5 * time.Minute,
	Check: checkResize,
}

func checkResize(p Resize) error {
	single := p.Width > 0 || p.Height > 0
	switch {
	case single && len(p.Sizes) > 0:
		return errors.New("width and height don't go with sizes")
	case !single && len(p.Sizes) == 0:
		return errors.New("expected width, height or sizes")
	}
	var problems Problems
	for i, size := range p.Sizes {
		if size.Width == 0 && size.Height == 0 {
			problems = append(problems, Problem{"/sizes/" + strconv.Itoa(i), "expected width or height"})
		}
	}
	if problems != nil {
		return problems
	}
	return nil
}
