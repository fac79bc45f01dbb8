package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"longshore/handlers"
	"longshore/internal/blob"
	"longshore/internal/blob/disk"
)

// childFiles are a run's files in a child: the input is a descriptor, outputs
// are files of the work folder that the worker collects.
type childFiles struct {
	folder string
	input  *os.File
	room   allowance
	floor  *blob.Floor // of the folder's disk

	mu      sync.Mutex
	begun   int
	outputs []childOutput
}

var _ handlers.Files = (*childFiles)(nil)

// Input reads the input by position: its descriptor shares the offset with others.
func (f *childFiles) Input(context.Context) (io.ReadCloser, error) {
	if f.input == nil {
		return nil, handlers.Fail(errors.New("the job has no input"))
	}
	return io.NopCloser(io.NewSectionReader(f.input, 0, math.MaxInt64)), nil
}

// Output starts a file of the work folder.
func (f *childFiles) Output(_ context.Context, name, contentType string) (handlers.Output, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := admit(f.outputs, func(o childOutput) string { return o.Name }, name); err != nil {
		return nil, err
	}
	f.begun++
	file := outputPrefix + strconv.Itoa(f.begun)
	w, err := os.OpenFile(filepath.Join(f.folder, file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create output %s: %w", name, spaceError(err))
	}
	return &childFile{File: w, files: f, meter: f.floor.Meter(), output: childOutput{File: file, Name: name,
		ContentType: contentType}}, nil
}

// outputPrefix begins the names of outputs in a work folder.
const outputPrefix = "output-"

func (f *childFiles) committed() []childOutput {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outputs
}

type childFile struct {
	*os.File
	files  *childFiles
	meter  *blob.Meter
	size   int64
	output childOutput
	ended  bool
}

func (o *childFile) Write(p []byte) (int, error) {
	if err := errors.Join(o.files.room.take(len(p)), o.meter.Take(len(p))); err != nil {
		return 0, err
	}
	o.size += int64(len(p))
	n, err := o.File.Write(p)
	return n, spaceError(err)
}

// Commit hands the output to the worker, which makes it durable.
func (o *childFile) Commit() error {
	if o.ended {
		return fmt.Errorf("commit output %s: %w", o.output.Name, os.ErrClosed)
	}
	o.ended = true
	o.meter.End()
	if err := o.File.Close(); err != nil {
		return fmt.Errorf("commit output %s: %w", o.output.Name, spaceError(err))
	}
	o.files.mu.Lock()
	defer o.files.mu.Unlock()
	o.files.outputs = append(o.files.outputs, o.output)
	return nil
}

// Abort throws the output away.
func (o *childFile) Abort() error {
	if o.ended {
		return nil
	}
	o.ended = true
	o.meter.End()
	o.files.room.used.Add(-o.size)
	return errors.Join(o.File.Close(), os.Remove(o.File.Name()))
}

// spaceError puts a full disk into the words of package blob.
func spaceError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	return err
}

// inputFile opens a job's input as a file. One in the blob folder is used as
// it is; any other is copied into the work folder, above the floor of its disk.
func inputFile(ctx context.Context, blobs blob.Store, name, folder string,
	floor *blob.Floor) (io.Closer, syscall.Conn, error) {
	in, err := blobs.Open(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if file, ok := in.(syscall.Conn); ok {
		return in, file, nil
	}
	defer in.Close()
	copied, err := os.OpenFile(filepath.Join(folder, "input"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("copy input: %w", spaceError(err))
	}
	metered := &meteredFile{copied, floor.Meter()}
	defer metered.meter.End()
	if _, err := io.Copy(metered, in); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("copy input: %w", spaceError(err)), copied.Close())
	}
	return copied, copied, nil
}

// floorOf is what is to stay free on the disk of the work folders.
func floorOf(folder string, bytes int64) *blob.Floor {
	if bytes <= 0 {
		return nil
	}
	return &blob.Floor{Min: bytes, Space: func() (free, total int64, err error) {
		return disk.SpaceOf(folder)
	}}
}

type meteredFile struct {
	file  io.Writer
	meter *blob.Meter
}

func (m *meteredFile) Write(p []byte) (int, error) {
	if err := m.meter.Take(len(p)); err != nil {
		return 0, err
	}
	return m.file.Write(p)
}

// collect makes the outputs in a work folder the run's. The child that wrote
// them is not believed: nothing outside of the folder is read.
func (f *files) collect(ctx context.Context, folder string, outputs []childOutput) error {
	if len(outputs) == 0 {
		return nil
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("collect outputs: %w", err)
	}
	defer root.Close()
	for _, o := range outputs {
		if err := f.collectOne(ctx, root, o); err != nil {
			return fmt.Errorf("collect output %s: %w", o.Name, err)
		}
	}
	return nil
}

func (f *files) collectOne(ctx context.Context, root *os.Root, o childOutput) error {
	info, err := root.Lstat(o.File)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", o.File)
	}
	in, err := root.Open(o.File)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := f.Output(ctx, o.Name, o.ContentType)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Abort())
	}
	return out.Commit()
}
