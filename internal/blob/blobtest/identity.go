package blobtest

import (
	"io"
	"sync"
	"testing"
)

// An identified store is one place, on whose id all who open it agree.
type identified interface {
	io.Closer
	ID() string
}

// OneID opens a new place many times at once, and wants one id for it; it
// returns the id.
func OneID[S identified](t *testing.T, open func() (S, error)) string {
	t.Helper()
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			s, err := open()
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = s.ID()
			s.Close()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if len(id) != 32 || id != ids[0] {
			t.Fatalf("ids of one place: %v", ids)
		}
	}
	return ids[0]
}
