package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"longshore/internal/imaging"
)

// maxVipsSizes is the number of sizes up to which vipsthumbnail, which decodes
// the file for each of them, is faster than decoding it once here.
const maxVipsSizes = 2

// An imageRenderer renders one file by vipsthumbnail where that is there and
// fits, else in this process. What vipsthumbnail has doubts about is rendered
// here too, so that both ways judge a file the same.
type imageRenderer struct {
	data    []byte
	header  imaging.Header
	format  imaging.Format
	quality int

	vips    *imaging.Vips // nil: there is none
	direct  bool          // vipsthumbnail reads the file itself
	session *imaging.Session
	picture *imaging.Picture
}

func newImageRenderer(data []byte, header imaging.Header, format imaging.Format, quality, sizes int) *imageRenderer {
	vips := imaging.FindVips()
	return &imageRenderer{data: data, header: header, format: format, quality: quality, vips: vips,
		direct: vips.Reads(header) && vips.Writes(format) && sizes <= maxVipsSizes}
}

// close removes what the renderer keeps.
func (r *imageRenderer) close() {
	if r.session != nil {
		_ = r.session.Close() // what stays is in the run's own folder, or the system's for such files
	}
}

// render writes the image in one size. Nothing was written when it fails before
// the image is made.
func (r *imageRenderer) render(ctx context.Context, w io.Writer, frame imaging.Frame) error {
	if r.direct {
		err := r.byVips(ctx, w, frame)
		if !errors.Is(err, imaging.ErrVips) {
			return err
		}
		r.direct = false
	}
	if r.picture == nil {
		if r.format == imaging.WebP && !r.vips.Writes(imaging.WebP) {
			return imaging.ErrWebP
		}
		var err error
		if r.picture, err = imaging.Decode(ctx, r.data, r.header); err != nil {
			return err
		}
	}
	img, err := r.picture.Render(ctx, frame)
	if err != nil {
		return err
	}
	if r.format == imaging.WebP {
		var png bytes.Buffer
		if err := r.picture.Encode(&png, img, imaging.PNG, r.quality); err != nil {
			return err
		}
		return r.asWebP(ctx, w, png.Bytes())
	}
	return r.picture.Encode(w, img, r.format, r.quality)
}

func (r *imageRenderer) byVips(ctx context.Context, w io.Writer, frame imaging.Frame) error {
	if r.session == nil {
		var err error
		if r.session, err = r.vips.Open(r.data, r.header); err != nil {
			return err
		}
	}
	return r.session.Render(ctx, w, frame, r.format, r.quality)
}

// asWebP has vipsthumbnail write what was rendered here.
func (r *imageRenderer) asWebP(ctx context.Context, w io.Writer, png []byte) error {
	header, err := imaging.ReadHeader(png, math.MaxInt64)
	if err != nil {
		return err
	}
	session, err := r.vips.Open(png, header)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	whole, err := header.Frame(imaging.Box{Width: header.Width, Height: header.Height, Fit: imaging.Fill}, false)
	if err != nil {
		return err
	}
	if err := session.Render(ctx, w, whole, imaging.WebP, r.quality); errors.Is(err, imaging.ErrVips) {
		return fmt.Errorf("%w: it could not write this image: %w", imaging.ErrWebP, err)
	} else if err != nil {
		return err
	}
	return nil
}
