//go:build !linux

package deployed

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// syncAll makes all of a folder durable, file by file.
func syncAll(folder string) error {
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
