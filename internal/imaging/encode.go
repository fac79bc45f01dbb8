package imaging

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
)

// ErrWebP says that only Vips writes WebP.
var ErrWebP = errors.New("writing WebP needs vipsthumbnail on the worker's PATH")

// Encode writes a rendered image. The quality, 1 to 100, is JPEG's; an image
// with alpha gets a white ground there. The picture's colour profile goes along
// where there is one; no other metadata does.
func (p *Picture) Encode(w io.Writer, img image.Image, format Format, quality int) error {
	return encode(w, img, format, quality, p.profile())
}

// EncodeBare writes a rendered image as Encode does, without a colour profile.
func (p *Picture) EncodeBare(w io.Writer, img image.Image, format Format, quality int) error {
	return encode(w, img, format, quality, nil)
}

func encode(w io.Writer, img image.Image, format Format, quality int, profile []byte) error {
	switch format {
	case JPEG:
		out := bufio.NewWriterSize(&insert{w: w, at: len("\xff\xd8"), piece: jpegProfile(profile)}, 64<<10)
		if err := jpeg.Encode(out, onWhite(img), &jpeg.Options{Quality: quality}); err != nil {
			return fmt.Errorf("encode jpeg: %w", err)
		}
		return out.Flush()
	case PNG:
		if ycbcr, ok := img.(*image.YCbCr); ok {
			img = toRGBA(ycbcr) // which the encoder has a fast path for
		}
		out := &insert{w: w, at: 8 + 25, piece: pngProfile(profile)} // the signature and IHDR
		if err := (&png.Encoder{}).Encode(out, img); err != nil {
			return fmt.Errorf("encode png: %w", err)
		}
		return nil
	case WebP:
		return ErrWebP
	default:
		return fmt.Errorf("can't write format %q", format)
	}
}

// profile is the colour profile that goes with the rendered samples, if they
// are still of its space: a gray image may have become RGB.
func (p *Picture) profile() []byte {
	icc := p.header.icc
	_, gray := p.img.(*image.Gray)
	if len(icc) == 0 || len(icc) > maxProfile ||
		(string(icc[profileSpace:profileSpace+4]) == spaceGray) != gray {
		return nil
	}
	return icc
}

func onWhite(img image.Image) image.Image {
	rgba, ok := img.(*image.RGBA)
	if !ok || rgba.Opaque() {
		return img
	}
	ground := image.NewRGBA(rgba.Rect)
	draw.Draw(ground, ground.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(ground, ground.Rect, rgba, rgba.Rect.Min, draw.Over)
	return ground
}

func toRGBA(img image.Image) *image.RGBA {
	rgba := image.NewRGBA(img.Bounds())
	draw.Draw(rgba, rgba.Rect, img, img.Bounds().Min, draw.Src)
	return rgba
}

// insert writes a piece after the first at bytes of what goes through.
type insert struct {
	w     io.Writer
	at    int
	piece []byte
}

func (i *insert) Write(p []byte) (int, error) {
	if len(i.piece) == 0 || len(p) < i.at {
		n, err := i.w.Write(p)
		i.at -= n
		return n, err
	}
	n, err := i.w.Write(p[:i.at])
	if err != nil {
		return n, err
	}
	if _, err := i.w.Write(i.piece); err != nil {
		return n, err
	}
	i.piece = nil
	m, err := i.w.Write(p[n:])
	return n + m, err
}

// jpegProfile makes the APP2 segments of a profile (ICC.1:2022, B.4).
func jpegProfile(icc []byte) []byte {
	const most = 65533 - 14
	if len(icc) == 0 {
		return nil
	}
	pieces := (len(icc) + most - 1) / most
	var b bytes.Buffer
	for i := range pieces {
		piece := icc[i*most : min(len(icc), (i+1)*most)]
		b.WriteString("\xff\xe2")
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(2+14+len(piece))))
		b.WriteString(iccPrefix)
		b.Write([]byte{byte(i + 1), byte(pieces)})
		b.Write(piece)
	}
	return b.Bytes()
}

// pngProfile makes the iCCP chunk of a profile.
func pngProfile(icc []byte) []byte {
	if len(icc) == 0 {
		return nil
	}
	body := bytes.NewBufferString("profile\x00\x00")
	z := zlib.NewWriter(body)
	_, _ = z.Write(icc) // a buffer's errors are none
	_ = z.Close()
	return pngChunk("iCCP", body.Bytes())
}
