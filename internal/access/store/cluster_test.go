package store_test

import (
	"testing"

	"longshore/internal/access/store"
	"longshore/internal/localredis/redistest"
)

// TestTriesOnACluster counts tries there, where a script gets a key more than its caller names.
func TestTriesOnACluster(t *testing.T) {
	t.Parallel()
	rdb := redistest.ClientOf(t, redistest.NewCluster(t).URL)
	s := store.New(rdb, redistest.Prefix(t))
	free := map[string]int{"ada": 2, "192.0.2.1": 5}
	for i := range 3 {
		wait, err := s.Try(t.Context(), free)
		if err != nil || (wait > 0) != (i == 2) {
			t.Errorf("try %d: wait %v, %v", i, wait, err)
		}
	}
	if err := s.Refund(t.Context(), "ada", "192.0.2.1"); err != nil {
		t.Error(err)
	}
	if wait, err := s.Try(t.Context(), free); err != nil || wait > 0 {
		t.Errorf("after a good one: wait %v, %v", wait, err)
	}
}
