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
	if err := s.PublishTypes(t.Context(), map[string][]byte{"a.new": []byte("new"),
		"a.old": []byte("old")}); err != nil {
		t.Fatal(err)
	}
	past := float64(time.Now().Add(-typeLife - time.Hour).UnixMilli())
	if err := rdb.ZAdd(t.Context(), s.seenKey(), redis.Z{Score: past, Member: "a.old"}).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.HSet(t.Context(), s.typesKey(), "a.foreign", "foreign", "a.large",
		strings.Repeat("x", 101)).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.PublishTypes(t.Context(), map[string][]byte{"a.new": []byte("newer")}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Types(t.Context(), 100)
	if want := map[string]string{"a.new": "newer", "a.foreign": "foreign", "a.large": ""}; err != nil ||
		fmt.Sprint(got) != fmt.Sprint(want) {
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

// TestRollingDefinitions holds that of two versions of a program that publish a type in turn
// the one that has begun last counts, until it publishes no more.
func TestRollingDefinitions(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Client(t), redistest.Prefix(t)
	older, newer := New(rdb, Config{Prefix: prefix}), New(rdb, Config{Prefix: prefix})
	publish := func(s *Store, text string) {
		t.Helper()
		if err := s.PublishTypes(t.Context(), map[string][]byte{"a.b": []byte(text),
			"a." + text: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		got, err := older.Types(t.Context(), 100)
		if err != nil || got["a.b"] != want || got["a.old"] != "x" {
			t.Errorf("%v, %v; want %s", got, err, want)
		}
	}
	publish(older, "old")
	expect("old")
	newer.publishes.Store(older.publishes.Load() + 1000)
	publish(newer, "new")
	publish(older, "old")
	publish(newer, "new")
	publish(older, "old")
	expect("new")
	// The newer one is gone for long.
	gone := fmt.Sprint(newer.publishes.Load(), " ", time.Now().Add(-2*holdFor).UnixMilli())
	if err := rdb.HSet(t.Context(), older.fromKey(), "a.b", gone).Err(); err != nil {
		t.Fatal(err)
	}
	publish(older, "old")
	expect("old")
}

// TestReleasedTypes holds that a definition that its process has released is known but held by
// nobody, until somebody publishes it again, and that nobody releases what another one holds.
func TestReleasedTypes(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Client(t), redistest.Prefix(t)
	older, newer := New(rdb, Config{Prefix: prefix}), New(rdb, Config{Prefix: prefix})
	publish := func(s *Store) {
		t.Helper()
		if err := s.PublishTypes(t.Context(),
			map[string][]byte{"a.b": []byte("x"), "c.d": []byte("y")}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when string, want bool) {
		t.Helper()
		held, err := older.HeldTypes(t.Context(), []string{"a.b", "c.d", "e.f"})
		if err != nil || held["a.b"] != want || !held["c.d"] {
			t.Errorf("%s: %v, %v; want a.b %t", when, held, err, want)
		}
		if known, err := older.Types(t.Context(), 100); err != nil || known["a.b"] != "x" {
			t.Errorf("%s: known are %v, %v", when, known, err)
		}
	}
	release := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	publish(older)
	expect("published", true)
	newer.publishes.Store(older.publishes.Load() + 1000)
	publish(newer)
	release(older.ReleaseTypes(t.Context(), []string{"a.b"}))
	expect("the newer one holds it", true)
	release(newer.ReleaseTypes(t.Context(), []string{"a.b", "never.known"}))
	expect("released", false)
	publish(older)
	expect("the older one has it still", true)
	release(newer.ReleaseType(t.Context(), "a.b"))
	expect("released by who knows that nobody has it", false)
	release(older.ReleaseTypes(t.Context(), nil))
}
