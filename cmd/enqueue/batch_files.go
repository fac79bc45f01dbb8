package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
func (b *batch) sendFiles(ctx context.Context, to *target) error {
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
func (b *batch) sendFile(ctx context.Context, to *target, name string) (o outcome) {
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
	s.key = b.book.run + "." + hex.EncodeToString(sum[:16])
	var snap job.Snapshot
	if to.direct != nil {
		request, err := s.directRequest(to.direct)
		if err != nil {
			o.err = err
			return o
		}
		request.Input, request.InputSize, request.Filename = in, size, filepath.Base(name)
		snap, _, o.err = to.direct.Submit(ctx, request)
	} else {
		request := s.request()
		request.Filename = filepath.Base(name)
		snap, o.err = sendInput(ctx, to.http, request, in, size, new(progress)) // the batch shows files, not bytes
	}
	o.id = snap.ID
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
	a := fileAnswer{File: name}
	a.Line, a.ID = int64(i)+1, o.id
	var refused *httpapi.Error
	switch {
	case o.known:
		b.total.before++
		if b.wait {
			b.book.ids = append(b.book.ids, o.id)
		}
		return nil
	case o.err == nil:
		a.Created = true
		if err := b.book.noteFile(name, o.stamp, o.id); err != nil {
			return err
		}
	case errors.As(o.err, &refused) && !unavailable(httpapi.Refusal(0, refused)) && refused.Status != 0 && refused.Code != httpapi.Unauthorized:
		a.BatchAnswer = httpapi.Refusal(a.Line, refused)
	case errors.As(o.err, new(*os.PathError)):
		a.BatchAnswer = httpapi.Refusal(a.Line, httpapi.NewError(httpapi.Invalid, o.err.Error()))
	default:
		return o.err
	}
	if b.format == "jsonl" {
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if err := b.write(append(text, '\n')); err != nil {
			return err
		}
	}
	return b.tell([]httpapi.BatchAnswer{a.BatchAnswer}, func(httpapi.BatchAnswer) string { return name })
}

// A fileAnswer is the answer to a line, of a file.
type fileAnswer struct {
	File string `json:"file"`
	httpapi.BatchAnswer
}
