//go:build linux || darwin

package disk

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"longshore/internal/blob"
)

var _ blob.Spacer = (*Store)(nil)

// Space returns the bytes that are free to us in the folder's file system, and
// its size (statfs(2)).
func (s *Store) Space(context.Context) (free, total int64, err error) {
	dir, err := s.root.Open(".")
	if err != nil {
		return 0, 0, fmt.Errorf("space of the blob folder: %w", err)
	}
	defer dir.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, 0, fmt.Errorf("space of the blob folder: %w", err)
	}
	return sizes(&st)
}

// SpaceOf is Space of any folder.
func SpaceOf(folder string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, 0, fmt.Errorf("space of %s: %w", folder, err)
	}
	return sizes(&st)
}

func sizes(st *unix.Statfs_t) (free, total int64, err error) {
	block := int64(st.Bsize)
	return int64(st.Bavail) * block, int64(st.Blocks) * block, nil
}
