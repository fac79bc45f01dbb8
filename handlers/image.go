package handlers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"longshore/internal/imaging"
	"longshore/job"
	"longshore/tasks"
)

// maxImageFile is the largest file that image.resize reads, in bytes. It is
// held in memory.
const maxImageFile = 256 << 20

// resized is the result of image.resize.
type resized struct {
	Images   []resizedImage `json:"images"`             // in the order of the payload's sizes
	Warnings []string       `json:"warnings,omitempty"` // what is wrong with the file
}

type resizedImage struct {
	Name   string `json:"name"` // of the output
	Format string `json:"format"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Bytes  int64  `json:"bytes"`
}

// resize is the handler of image.resize. All outputs are committed together
// when the last one is made.
func resize(ctx context.Context, run *Run, p tasks.Resize) (any, error) {
	data, err := readImage(ctx, run)
	if err != nil {
		return nil, err
	}
	header, err := imaging.ReadHeader(data, p.MaxPixels)
	if err != nil {
		return nil, imageError(err)
	}
	frames, err := imageFrames(header, p)
	if err != nil {
		return nil, imageError(err)
	}
	renderer := newImageRenderer(header, p, len(frames))
	defer renderer.close()
	result := resized{}
	names := map[string]bool{}
	var outputs []Output
	defer func() {
		for _, out := range outputs {
			out.Abort()
		}
	}()
	for _, frame := range frames {
		image := resizedImage{imageName(names, frame, renderer.format), p.Format,
			frame.Width, frame.Height, 0}
		run.Note(image.Name)
		out, err := run.Output(ctx, image.Name, renderer.format.ContentType())
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, out)
		counted := &countedWriter{ctx: ctx, w: out}
		if err := renderer.render(ctx, counted, frame); err != nil {
			return nil, imageError(err)
		}
		image.Bytes = counted.n
		result.Images = append(result.Images, image)
		run.Records(1)
	}
	result.Warnings = renderer.warnings()
	for _, out := range outputs {
		if err := commit(ctx, out); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// countedWriter counts what is written, and ends writing when the run ends.
type countedWriter struct {
	ctx context.Context
	w   io.Writer
	n   int64
}

func (c *countedWriter) Write(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// readImage reads the whole input.
func readImage(ctx context.Context, run *Run) ([]byte, error) {
	in, err := run.Input(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var data bytes.Buffer
	if run.InputSize <= maxImageFile {
		data.Grow(int(run.InputSize) + bytes.MinRead) // what ReadFrom wants to see the end
	}
	n, err := data.ReadFrom(io.LimitReader(in, maxImageFile+1))
	if err != nil {
		return nil, err
	}
	if n > maxImageFile {
		return nil, FailWith(job.ImageTooLarge, fmt.Errorf("image file is over %d bytes", maxImageFile))
	}
	return data.Bytes(), nil
}

// imageFrames works out all sizes before any work is done.
func imageFrames(header imaging.Header, p tasks.Resize) ([]imaging.Frame, error) {
	sizes := p.Sizes
	if len(sizes) == 0 {
		sizes = []tasks.ImageSize{{Width: p.Width, Height: p.Height}}
	}
	frames := make([]imaging.Frame, len(sizes))
	for i, size := range sizes {
		box := imaging.Box{Width: size.Width, Height: size.Height, Fit: imaging.Fit(cmp.Or(size.Fit, p.Fit))}
		frame, err := header.Frame(box, p.Enlarge)
		if err != nil {
			return nil, err
		}
		if pixels := int64(frame.Width) * int64(frame.Height); pixels > p.MaxPixels {
			return nil, fmt.Errorf("%w: the result would have %d×%d = %d pixels, over the limit of %d",
				imaging.ErrTooLarge, frame.Width, frame.Height, pixels, p.MaxPixels)
		}
		frames[i] = frame
	}
	return frames, nil
}

// imageName names an output by its size: 800x600.jpg, and 800x600-2.jpg if two
// sizes come out the same.
func imageName(taken map[string]bool, frame imaging.Frame, format imaging.Format) string {
	base := strconv.Itoa(frame.Width) + "x" + strconv.Itoa(frame.Height)
	name := base + format.Extension()
	for i := 2; taken[name]; i++ {
		name = base + "-" + strconv.Itoa(i) + format.Extension()
	}
	taken[name] = true
	return name
}

// imageError gives errors of package imaging their failure codes. What is
// wrong with a file stays wrong, so these are final.
func imageError(err error) error {
	for _, kind := range []struct {
		cause error
		code  job.Code
	}{
		// Where both ways have failed, what the first lacks comes before what is
		// wrong with what the second wrote.
		{imaging.ErrWebP, job.Unsupported}, {imaging.ErrUnsupported, job.Unsupported},
		{imaging.ErrTooLarge, job.ImageTooLarge},
		{imaging.ErrFormat, job.TypeMismatch}, {imaging.ErrCorrupt, job.CorruptInput},
	} {
		if errors.Is(err, kind.cause) {
			return FailWith(kind.code, err)
		}
	}
	return err
}
