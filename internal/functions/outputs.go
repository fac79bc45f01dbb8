package functions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"longshore/handlers"
	"longshore/internal/printable"
)

// Collect makes the files in a folder outputs of a run. Nothing of the program's may
// run any more. What is no plain file with a plain name fails for good, by name, before
// anything is stored; names that begin with a dot are skipped.
func Collect(ctx context.Context, run *handlers.Run, folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("outputs: %w", plainError(err))
	}
	defer root.Close()
	return CollectIn(ctx, run, root)
}

// CollectIn is Collect of a folder that is open: a program that runs can't put another
// in its place.
func CollectIn(ctx context.Context, run *handlers.Run, root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("outputs: %w", plainError(err))
	}
	var names []string
	for _, e := range entries {
		if e.Name()[0] == '.' {
			continue
		}
		if err := checkOutput(root, e.Name()); err != nil {
			return handlers.Fail(fmt.Errorf("output %q %w", e.Name(), err))
		}
		names = append(names, e.Name())
	}
	for _, name := range names {
		if err := collectOne(ctx, run, root, name); err != nil {
			return err
		}
	}
	return nil
}

func checkOutput(root *os.Root, name string) error {
	if !printable.FileName(name) {
		return errors.New("has no plain name")
	}
	info, err := root.Lstat(name)
	if err != nil {
		return plainError(err)
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return errors.New("is a link: only plain files become outputs")
	case mode.IsDir():
		return errors.New("is a folder: only plain files become outputs (an archive may hold a folder)")
	case !mode.IsRegular():
		return fmt.Errorf("is no plain file (%s)", strings.TrimSuffix(mode.Type().String(), "---------"))
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		return errors.New("is a link to another file")
	}
	return nil
}

func collectOne(ctx context.Context, run *handlers.Run, root *os.Root, name string) error {
	in, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) && root.Chmod(name, 0o600) == nil {
		in, err = root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	}
	if err != nil {
		return handlers.Fail(fmt.Errorf("output %q can't be read: %w", name, plainError(err)))
	}
	defer in.Close()
	out, err := run.Output(ctx, name, "")
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Abort())
	}
	return out.Commit()
}
