//go:build !linux && !darwin

package disk

import (
	"context"
	"errors"
	"fmt"
)

// Space is not known on this system.
func (s *Store) Space(context.Context) (free, total int64, err error) {
	return 0, 0, fmt.Errorf("space of the blob folder: %w", errors.ErrUnsupported)
}

// SpaceOf is not known either.
func SpaceOf(string) (free, total int64, err error) {
	return 0, 0, fmt.Errorf("space of a folder: %w", errors.ErrUnsupported)
}
