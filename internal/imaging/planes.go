package imaging

import (
	"image"
	"image/color"
	"image/draw"
)

// A part is one plane of a picture, with how many pixels of the picture one of
// its samples stands for.
type part struct {
	plane
	subX, subY float64
}

// planes gives the picture's samples to the resampler without making a copy of
// the whole: YCbCr and gray as they are, all others a row at a time as RGBA.
func (p *Picture) planes() []part {
	width, height := p.header.Width, p.header.Height
	switch img := p.img.(type) {
	case *image.YCbCr:
		return []part{
			{samples(img.Y, img.YStride, width, height), 1, 1},
			chroma(img, img.Cb, width, height),
			chroma(img, img.Cr, width, height),
		}
	case *image.Gray:
		return []part{{samples(img.Pix, img.Stride, width, height), 1, 1}}
	default:
		row := rowRGBA(p.img)
		return []part{{plane{width, height, 4, row}, 1, 1}}
	}
}

func samples(data []uint8, stride, width, height int) plane {
	return plane{width, height, 1, func(y int) []uint8 { return data[y*stride:][:width] }}
}

func chroma(img *image.YCbCr, data []uint8, width, height int) part {
	subX, subY := 1, 1
	switch img.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		subX = 2
	case image.YCbCrSubsampleRatio420:
		subX, subY = 2, 2
	case image.YCbCrSubsampleRatio440:
		subY = 2
	case image.YCbCrSubsampleRatio411:
		subX = 4
	case image.YCbCrSubsampleRatio410:
		subX, subY = 4, 2
	}
	return part{samples(data, img.CStride, (width+subX-1)/subX, (height+subY-1)/subY), float64(subX),
		float64(subY)}
}

// rowRGBA returns a function that converts one row, alpha premultiplied.
func rowRGBA(from image.Image) func(y int) []uint8 {
	bounds := from.Bounds()
	row := image.NewRGBA(image.Rect(0, 0, bounds.Dx(), 1))
	switch img := from.(type) {
	case *image.RGBA:
		return func(y int) []uint8 { return img.Pix[y*img.Stride:][:len(row.Pix)] }
	case *image.Paletted:
		colours := make([][4]uint8, 256) // an index beyond the palette is transparent
		for i, c := range img.Palette {
			rgba := color.RGBAModel.Convert(c).(color.RGBA)
			colours[i] = [4]uint8{rgba.R, rgba.G, rgba.B, rgba.A}
		}
		return func(y int) []uint8 {
			for x, index := range img.Pix[y*img.Stride:][:bounds.Dx()] {
				copy(row.Pix[4*x:], colours[index][:])
			}
			return row.Pix
		}
	case *image.NYCbCrA:
		return func(y int) []uint8 { rowNYCbCrA(img, row.Pix, y); return row.Pix }
	}
	return func(y int) []uint8 {
		draw.Draw(row, row.Rect, from, image.Pt(bounds.Min.X, bounds.Min.Y+y), draw.Src)
		return row.Pix
	}
}

// rowNYCbCrA converts a row of WebP's lossy kind with alpha.
func rowNYCbCrA(img *image.NYCbCrA, to []uint8, y int) {
	y += img.Rect.Min.Y
	for i := range len(to) / 4 {
		x := img.Rect.Min.X + i
		luma, c := img.YOffset(x, y), img.COffset(x, y)
		r, g, b := color.YCbCrToRGB(fullLuma[img.Y[luma]], fullChroma[img.Cb[c]], fullChroma[img.Cr[c]])
		alpha := uint32(img.A[img.AOffset(x, y)])
		pixel := (*[4]uint8)(to[4*i:])
		pixel[0], pixel[1], pixel[2] = premultiply(r, alpha), premultiply(g, alpha), premultiply(b, alpha)
		pixel[3] = uint8(alpha)
	}
}

func premultiply(c uint8, alpha uint32) uint8 { return uint8((uint32(c)*alpha + 127) / 255) }

// VP8 holds luma as 16 to 235 and chroma as 16 to 240 (RFC 6386, 9.2; ITU-R
// BT.601); x/image hands that through, though image.YCbCr means 0 to 255.
var fullLuma, fullChroma = rangeTable(16, 0, 219), rangeTable(128, 128, 224)

func rangeTable(zero, becomes, width int) (table [256]uint8) {
	for i := range table {
		n := (i - zero) * 255
		half := width / 2
		if n < 0 {
			half = -half
		}
		table[i] = uint8(min(max((n+half)/width+becomes, 0), 255))
	}
	return table
}

func widenRange(samples []uint8, table *[256]uint8) {
	for i, s := range samples {
		samples[i] = table[s]
	}
}
