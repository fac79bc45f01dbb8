package deployed

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncAll makes all of a folder durable, at once: a power cut must leave no content that is
// there by its name and empty.
func syncAll(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
