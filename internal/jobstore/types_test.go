package jobstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/localredis/redistest"
)

// TestTypes holds that definitions are read within bounds, and go when nobody has
// published them for long, but for those of programs that note no time.
func TestTypes(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	s := New(rdb, Config{Prefix: redistest.Prefix(t)})
	if err := s.PublishTypes(t.Context(), map[string][]byte{"a.new": []byte("new"), "a.old": []byte("old")}); err != nil {
		t.Fatal(err)
	}
	past := float64(time.Now().Add(-typeLife - time.Hour).UnixMilli())
	if err := rdb.ZAdd(t.Context(), s.seenKey(), redis.Z{Score: past, Member: "a.old"}).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.HSet(t.Context(), s.typesKey(), "a.foreign", "foreign", "a.large", strings.Repeat("x", 101)).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.PublishTypes(t.Context(), map[string][]byte{"a.new": []byte("newer")}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Types(t.Context(), 100)
	if want := map[string]string{"a.new": "newer", "a.foreign": "foreign", "a.large": ""}; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Types = %v, %v, want %v", got, err, want)
	}
	many := make([]any, 0, 6*maxTypes)
	for i := range 3 * maxTypes {
		many = append(many, fmt.Sprint("b.", i), "x")
	}
	if err := rdb.HSet(t.Context(), s.typesKey(), many...).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Types(t.Context(), 100); err != nil || len(got) == 0 || len(got) > maxTypes {
		t.Errorf("%d of many types, %v", len(got), err)
	}
}
