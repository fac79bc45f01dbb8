//go:build !linux

package disk_test

import "errors"

func mountSmall(string) error { return errors.ErrUnsupported }
