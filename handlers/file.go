package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"longshore/internal/stream"
	"longshore/tasks"
)

// checksum is the handler of file.checksum. Its result has "bytes" and one
// member for each algorithm, in lower-case hex.
func checksum(ctx context.Context, run *Run, p tasks.Checksum) (any, error) {
	digests, err := stream.NewDigests(p.Algorithms...)
	if err != nil {
		return nil, Fail(err)
	}
	in, err := run.Input(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if _, err := stream.Copy(ctx, digests, in); err != nil {
		return nil, err
	}
	result := map[string]any{"bytes": digests.N()}
	for name, sum := range digests.Sums() {
		result[name] = sum
	}
	return result, nil
}

// packed is the result of file.compress and file.decompress.
type packed struct {
	Format   string  `json:"format"` // gzip or zstd
	BytesIn  int64   `json:"bytes_in"`
	BytesOut int64   `json:"bytes_out"`
	Ratio    float64 `json:"ratio"` // plain bytes for one packed byte; 0 for an empty file
}

func ratio(plain, packed int64) float64 {
	if packed == 0 {
		return 0
	}
	return math.Round(float64(plain)/float64(packed)*1000) / 1000
}

// What each format's output is called.
var packedNames = map[stream.Format]outputFile{
	stream.Gzip: {"output.gz", "application/gzip"},
	stream.Zstd: {"output.zst", "application/zstd"},
}

// compress is the handler of file.compress.
func compress(ctx context.Context, run *Run, p tasks.Compress) (any, error) {
	format := stream.Format(p.Format)
	file, ok := packedNames[format]
	if !ok {
		return nil, Fail(fmt.Errorf("can't write format %q", p.Format))
	}
	result := packed{Format: p.Format}
	err := convert(ctx, run, file, func(out io.Writer, in io.Reader) error {
		z, err := stream.NewWriter(out, format, p.Level)
		if err != nil {
			return Fail(err)
		}
		n, err := stream.Copy(ctx, z, in)
		if err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		result.BytesIn, result.BytesOut, result.Ratio = n, z.Out(), ratio(n, z.Out())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// decompress is the handler of file.decompress. An input that is neither gzip
// nor zstd, an empty one too, is corrupt.
func decompress(ctx context.Context, run *Run, p tasks.Decompress) (any, error) {
	in, err := run.Input(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	z, err := stream.NewReader(in, stream.Format(p.Format),
		stream.Limits{Bytes: p.MaxBytes, Ratio: int64(p.MaxRatio)})
	if err != nil {
		return nil, err
	}
	defer z.Close()
	if z.Format() == stream.Plain {
		return nil, &stream.CorruptError{Format: stream.Auto, Err: errors.New("neither gzip nor zstd")}
	}
	out, err := run.Output(ctx, "output", "")
	if err != nil {
		return nil, err
	}
	defer out.Abort()
	n, err := stream.Copy(ctx, out, z)
	if err != nil {
		return nil, err
	}
	if err := commit(ctx, out); err != nil {
		return nil, err
	}
	return packed{string(z.Format()), z.In(), n, ratio(n, z.In())}, nil
}

// An outputFile is what an output is called.
type outputFile struct{ name, contentType string }

// convert has do turn the job's input into an output, and commits that.
func convert(ctx context.Context, run *Run, file outputFile,
	do func(out io.Writer, in io.Reader) error) error {
	in, err := run.Input(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := run.Output(ctx, file.name, file.contentType)
	if err != nil {
		return err
	}
	defer out.Abort()
	if err := do(out, in); err != nil {
		return err
	}
	return commit(ctx, out)
}

// commit commits an output unless the run has been told to end.
func commit(ctx context.Context, out Output) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return out.Commit()
}
