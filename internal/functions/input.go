package functions

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"longshore/handlers"
	"longshore/job"
)

// CopyInput writes the whole input to a file, for a function that reads it there. An error
// of that file ends the job with storage_error; others are those of the input.
func (a *Attempt) CopyInput(ctx context.Context, to *os.File) error {
	in, err := a.Run.Input(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := io.Copy(to, in); err != nil {
		if path := (*fs.PathError)(nil); errors.As(err, &path) { // of the copy
			return &handlers.Failure{Code: job.StorageError, Err: err}
		}
		return err
	}
	return nil
}
