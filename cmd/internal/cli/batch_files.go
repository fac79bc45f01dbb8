package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"longshore/internal/httpapi"
	"longshore/job"
)

// uploads is how many files are on their way at once.
const uploads = 4

// sendFiles makes a job of each file that no earlier run has.
func (b *batch) sendFiles(ctx context.Context, to Installation) error {
	b.total.size = int64(len(b.files))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	names := make(chan int)
	var mu sync.Mutex // of what follows, and of everything that answers
	var first error
	var wg sync.WaitGroup
	for range uploads {
		wg.Go(func() {
			for i := range names {
				o := b.sendFile(ctx, to, b.files[i])
				mu.Lock()
				if err := b.answeredFile(i, o); err != nil && first == nil {
					first = err
					stop(err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range b.files {
		if ctx.Err() != nil {
			break
		}
		names <- i
	}
	close(names)
	wg.Wait()
	if first == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return first
}

// An outcome is what became of one file.
type outcome struct {
	id    job.ID
	stamp string
	known bool // an earlier run has submitted it
	err   error
}

// sendFile submits one file. Its key is made of its name, size and time, so
// that a file that has changed is another job.
func (b *batch) sendFile(ctx context.Context, to Installation, name string) (o outcome) {
	info, err := os.Stat(name)
	if err != nil {
		return outcome{err: err}
	}
	o.stamp = fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
	if id, ok := b.taken(name, o.stamp); ok {
		o.id, o.known = id, true
		return o
	}
	in, size, err := b.open(name)
	if err != nil {
		o.err = err
		return o
	}
	defer in.Close()
	sum := sha256.Sum256([]byte(name + "\x00" + o.stamp))
	s := b.each
	s.asked.IdempotencyKey = b.book.run + "." + hex.EncodeToString(sum[:16])
	request := s.request()
	request.Filename = filepath.Base(name)
	snap, err := sendInput(ctx, to, request, in, size, new(progress)) // the batch shows files, not bytes
	o.id, o.err = snap.ID, err
	return o
}

func (b *batch) taken(name, stamp string) (job.ID, bool) {
	id, ok := b.book.files[name+"\x00"+stamp] // of earlier runs only: never written here
	return id, ok
}

// answeredFile takes in what became of one file. An error ends the batch; a
// file that can't be read or is refused does not.
func (b *batch) answeredFile(i int, o outcome) error {
	b.total.done.Add(1)
	name := b.files[i]
	a := httpapi.BatchAnswer{Line: int64(i) + 1, ID: o.id}
	var refused *httpapi.Error
	switch {
	case o.known:
		b.total.before++
		if b.wait {
			b.book.jobs = append(b.book.jobs, placed{o.id, a.Line})
		}
		if text := b.appendAnswer(nil, a); len(text) > 0 {
			return b.write(text)
		}
		return nil
	case o.err == nil:
		a.Created = true
		if err := b.book.noteFile(name, o.stamp, o.id); err != nil {
			return err
		}
	case errors.As(o.err, &refused) && !unavailable(httpapi.Refusal(0, refused)) && refused.Status != 0 &&
		refused.Code != httpapi.Unauthorized:
		a = httpapi.Refusal(a.Line, refused)
	case errors.As(o.err, new(*os.PathError)):
		a = httpapi.Refusal(a.Line, httpapi.NewError(httpapi.Invalid, o.err.Error()))
	default:
		return o.err
	}
	return b.tell([]httpapi.BatchAnswer{a})
}

// A fileAnswer is the answer to a line, of a file.
type fileAnswer struct {
	File string `json:"file"`
	httpapi.BatchAnswer
}
