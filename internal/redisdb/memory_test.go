package redisdb_test

import (
	"strconv"
	"testing"

	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
	"longshore/internal/redisdb"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	server := redistest.NewWith(t, localredis.Options{})
	rdb := redistest.ClientOf(t, server.URL())
	m := redisdb.NewMemory(rdb)
	for _, c := range []struct {
		limit int64
		full  bool
	}{{0, false}, {1 << 30, false}, {1 << 20, true}, {0, false}} {
		if err := rdb.ConfigSet(t.Context(), "maxmemory", strconv.FormatInt(c.limit, 10)).Err(); err != nil {
			t.Fatal(err)
		}
		if err := m.Look(t.Context()); err != nil || m.Full() != c.full {
			t.Errorf("maxmemory %d: full is %v, %v", c.limit, m.Full(), err)
		}
	}
	// Who may not read INFO is not told that it is full.
	rdb.ConfigSet(t.Context(), "maxmemory", "1mb")
	acl(t, server, "-info")
	if err := m.Look(t.Context()); err == nil || m.Full() {
		t.Errorf("without INFO: full is %v, %v", m.Full(), err)
	}
}
