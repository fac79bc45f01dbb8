// Package stream joins a source, stages and a sink: bounded memory, live
// counts, limits, and one error that is the one reported. It knows nothing of
// jobs; package handlers turns its errors into failure codes.
package stream
