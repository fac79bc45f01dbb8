// Package stream moves bytes: decoders and encoders of gzip and zstd, a line
// splitter, checksums and live counts, all in bounded memory, with limits
// against hostile input. It knows nothing of jobs; package handlers turns its
// errors into failure codes.
//
// Decoders are shaped like io.Reader and encoders like io.Writer, so that they
// chain. An error of the source comes out as it went in, on whatever stage
// reads it; what is wrong with the data is a *CorruptError, what is too big is
// a *LimitError.
package stream
