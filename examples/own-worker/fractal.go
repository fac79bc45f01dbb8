package main

import (
	"context"
	"image"
	"image/color"
	"image/png"

	"longshore/handlers"
	"longshore/job"
	"longshore/tasks"
)

// fractal is the payload of fractal.render.
type fractal struct {
	Width int `json:"width,omitempty" doc:"of the picture, in pixels" default:"600" minimum:"16" maximum:"8192"`
}

// fractalRender keeps a core busy, so its lane is cpu: each job runs in a child
// process, which is killed when it takes too long or is canceled.
var fractalRender = tasks.Definition[fractal]{
	Type: "fractal.render", Doc: "A picture of the Mandelbrot set.", Lane: job.LaneCPU,
}

func renderFractal(ctx context.Context, run *handlers.Run, p fractal) (any, error) {
	height := p.Width * 2 / 3
	picture := image.NewGray(image.Rect(0, 0, p.Width, height))
	run.Progress(0, int64(height))
	for y := range height {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx) // politeness saves the child
		}
		for x := range p.Width {
			c := complex(3*float64(x)/float64(p.Width)-2.1, 2*float64(y)/float64(height)-1)
			picture.SetGray(x, y, color.Gray{Y: escape(c)})
		}
		run.Progress(int64(y)+1, int64(height))
	}
	out, err := run.Output(ctx, "fractal.png", "image/png")
	if err != nil {
		return nil, err
	}
	defer out.Abort() // does nothing after Commit
	if err := png.Encode(out, picture); err != nil {
		return nil, err
	}
	return map[string]int{"width": p.Width, "height": height}, out.Commit()
}

// escape tells how soon z² + c leaves the circle of radius 2; 0 = not in 255 steps.
func escape(c complex128) uint8 {
	z := c
	for i := range 255 {
		if real(z)*real(z)+imag(z)*imag(z) > 4 {
			return uint8(255 - i)
		}
		z = z*z + c
	}
	return 0
}
