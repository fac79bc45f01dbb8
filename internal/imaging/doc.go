// Package imaging makes smaller versions of photos and pictures: it tells a
// file's format from its bytes, reads the size and the orientation from its
// header, decodes it within limits, and renders it in one or several sizes.
//
// The container is read once, in readParts: it decides the size, the turn and
// the colour profile, and both ways of decoding get what it puts together.
//
// There are two ways, with the same results but for a few shades: Go's own
// decoders with the resampler of this package, and vipsthumbnail of libvips
// where it is installed, which is faster for JPEG and can write WebP.
//
// The usual order is ReadHeader and Header.Frame for each size, then either
// Decode, Picture.Render and Picture.Encode, or Vips.Open and Session.Render.
// Of a file's metadata nothing reaches the output but, by the first way, the
// colour profile, where it is the pixels' own; the second turns the colours
// into sRGB instead.
package imaging
