package cli

import (
	"context"
	"encoding/json"
	"io"

	"longshore/client"
	"longshore/job"
)

// piecesFrom is the size in bytes from which a file goes in pieces: a smaller
// one is sent again sooner than three requests take.
const piecesFrom = 8 << 20

// sendInput submits a job with its input. A large file goes in pieces, so that a
// connection that breaks does not cost what has arrived.
func sendInput(ctx context.Context, to Installation, s client.Submission, in io.Reader, size int64,
	show *progress) (job.Snapshot, error) {
	at, byOffset := in.(io.ReaderAt)
	pieces, able := to.(uploader)
	if !byOffset || !able || size < piecesFrom {
		return to.SubmitFile(ctx, s, show.input(in, size), size)
	}
	if s.Fields != nil {
		payload, err := fieldsBySchema(ctx, to, s.Type, s.Fields)
		if err != nil { // the server says better what is wrong
			return to.SubmitFile(ctx, s, show.input(in, size), size)
		}
		s.Payload, s.Fields = json.RawMessage(payload), nil
	}
	return pieces.Upload(ctx, s, show.inputAt(at, size), size)
}

// inputAt is input for what is read by offset.
func (s *progress) inputAt(in io.ReaderAt, size int64) io.ReaderAt {
	if s.bars == nil {
		return in
	}
	return countedAt{in, s.mover("sending", size)}
}

type countedAt struct {
	io.ReaderAt
	moved func(done int64)
}

func (c countedAt) ReadAt(p []byte, offset int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, offset)
	c.moved(offset + int64(n))
	return n, err
}
