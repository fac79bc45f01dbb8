package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"math"

	"longshore/internal/imaging"
	"longshore/tasks"
)

// maxVipsSizes is the number of sizes up to which vipsthumbnail, which decodes
// the file for each of them, is faster than decoding it once here.
const maxVipsSizes = 2

// An imageRenderer renders one file by vipsthumbnail where that is there and
// fits, else in this process. What vipsthumbnail has doubts about is rendered
// here too, so that both ways judge a file the same; only what can't be read
// here is left to it, doubts and all.
type imageRenderer struct {
	header  imaging.Header
	format  imaging.Format
	quality int
	strict  bool // refuses a file with anything wrong

	vips    *imaging.Vips // nil: there is none
	direct  bool          // vipsthumbnail reads the file itself
	settled bool          // … since nobody else can
	session *imaging.Session
	picture *imaging.Picture
}

func newImageRenderer(header imaging.Header, p tasks.Resize, sizes int) *imageRenderer {
	vips := imaging.FindVips()
	format := imaging.Format(p.Format)
	return &imageRenderer{header: header, format: format, quality: p.Quality, strict: p.Strict, vips: vips,
		direct: vips.Reads(header) && vips.Writes(format) && (sizes <= maxVipsSizes || vips.Needed(header))}
}

// close removes what the renderer keeps.
func (r *imageRenderer) close() {
	if r.session != nil {
		_ = r.session.Close() // what stays is in the run's own folder, or the system's for such files
	}
}

// warnings are what is wrong with the file, as far as it is known.
func (r *imageRenderer) warnings() []string {
	warnings := r.header.Warnings
	if r.picture != nil {
		warnings = append(warnings[:len(warnings):len(warnings)], r.picture.Warnings...)
	}
	if r.session != nil {
		warnings = append(warnings[:len(warnings):len(warnings)], r.session.Warnings...)
	}
	return warnings
}

// judge fails for a file with anything wrong, where the job is strict.
func (r *imageRenderer) judge() error {
	if warnings := r.warnings(); r.strict && len(warnings) > 0 {
		return fmt.Errorf("%w: %s", imaging.ErrCorrupt, warnings[0])
	}
	return nil
}

// render writes the image in one size. Nothing was written when it fails before
// the image is made.
func (r *imageRenderer) render(ctx context.Context, w io.Writer, frame imaging.Frame) error {
	if err := r.judge(); err != nil {
		return err
	}
	if r.direct {
		err := r.byVips(ctx, w, frame)
		if !errors.Is(err, imaging.ErrVips) || r.settled {
			return r.unreadable(err)
		}
		r.direct = false
	}
	if r.picture == nil {
		if r.format == imaging.WebP && !r.vips.Writes(imaging.WebP) {
			return imaging.ErrWebP
		}
		var err error
		if r.picture, err = imaging.Decode(ctx, r.header); err != nil {
			return r.recover(ctx, w, frame, err)
		}
		if err := r.judge(); err != nil {
			return err
		}
	}
	img, err := r.picture.Render(ctx, frame)
	if err != nil {
		return err
	}
	if r.format == imaging.WebP {
		return r.asWebP(ctx, w, img)
	}
	return r.picture.Encode(w, img, r.format, r.quality)
}

func (r *imageRenderer) byVips(ctx context.Context, w io.Writer, frame imaging.Frame) error {
	if r.session == nil {
		var err error
		if r.session, err = r.vips.Open(r.header); err != nil {
			return err
		}
	}
	err := r.session.Render(ctx, w, frame, r.format, r.quality)
	if errors.Is(err, imaging.ErrVips) {
		slog.InfoContext(ctx, "image is not vipsthumbnail's to render", "error", err)
	}
	return err
}

// recover renders what can't be decoded here as vipsthumbnail shows it, or says
// what is missing.
func (r *imageRenderer) recover(ctx context.Context, w io.Writer, frame imaging.Frame, failed error) error {
	if !r.vips.Recovers(r.header, failed) || !r.vips.Writes(r.format) {
		if r.vips == nil && errors.Is(failed, imaging.ErrUnsupported) {
			return fmt.Errorf("%w; reading it needs vipsthumbnail on the worker's PATH", failed)
		}
		return failed
	}
	if r.session == nil {
		var err error
		if r.session, err = r.vips.Open(r.header); err != nil {
			return errors.Join(failed, err)
		}
	}
	r.session.Lenient, r.direct, r.settled = !r.strict, true, true
	err := r.session.Render(ctx, w, frame, r.format, r.quality)
	if errors.Is(err, imaging.ErrVips) {
		return fmt.Errorf("%w; and %w", failed, err)
	}
	return err
}

// unreadable says of a second size what was said of the first.
func (r *imageRenderer) unreadable(err error) error {
	if errors.Is(err, imaging.ErrVips) {
		return fmt.Errorf("%w: %w", imaging.ErrCorrupt, err)
	}
	return err
}

// asWebP has vipsthumbnail write what was rendered here. A profile that it does
// not like is left out.
func (r *imageRenderer) asWebP(ctx context.Context, w io.Writer, img image.Image) error {
	err := r.packWebP(ctx, w, img, r.picture.Encode)
	if errors.Is(err, imaging.ErrVips) {
		err = r.packWebP(ctx, w, img, r.picture.EncodeBare)
	}
	if errors.Is(err, imaging.ErrVips) {
		return fmt.Errorf("%w: it could not write this image: %w", imaging.ErrWebP, err)
	}
	return err
}

type encodeImage func(io.Writer, image.Image, imaging.Format, int) error

func (r *imageRenderer) packWebP(ctx context.Context, w io.Writer, img image.Image,
	encode encodeImage) error {
	var png bytes.Buffer
	if err := encode(&png, img, imaging.PNG, r.quality); err != nil {
		return err
	}
	header, err := imaging.ReadHeader(png.Bytes(), math.MaxInt64)
	if err != nil {
		return err
	}
	session, err := r.vips.Open(header)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	whole, err := header.Frame(imaging.Box{Width: header.Width, Height: header.Height, Fit: imaging.Fill},
		false)
	if err != nil {
		return err
	}
	return session.Render(ctx, w, whole, imaging.WebP, r.quality)
}
