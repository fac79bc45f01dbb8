// Package registry keeps in Redis which functions are deployed: of each type its versions,
// numbered from 1, and which of them is current. What was deployed lies in the blob store,
// under the name that a version has. A change is one script, so of two at once each gets a
// number, and the later one is current. All of it is one hash, P:functions, with the fields
//
//	epoch, rev           drawn with the first change; how many there were
//	n:<type>             the last number that was given, never twice; it outlives the type
//	c:<type>             the number that is current; not there = not deployed
//	l:<type>             the numbers that are kept, separated by spaces
//	v:<type>:<number>    a version, as JSON
//	s:<type>:<number>    … its SHA-256, in hex
//	d:<type>:<number>    … its definition: a tasks.Info, as JSON
package registry

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/tasks"
)

//go:embed lua/*.lua
var sources embed.FS

func script(flags, name string) *redis.Script {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is embedded
	}
	return redis.NewScript("#!lua flags=" + flags + "\n" +
		strings.ReplaceAll(string(text), "@MOST@", strconv.Itoa(maxFields)))
}

var (
	deploy = script("allow-oom", "deploy")
	remove = script("allow-oom", "remove")
	look   = script("no-writes", "look")
	blobs  = script("no-writes", "blobs")
)

// Bounds of what is kept.
const (
	Kept      = 20     // versions of a type: the last ones
	maxFields = 20_000 // of the hash, beyond which no new type comes
)

// Errors of changes, beside Redis's.
var (
	ErrNotFound = errors.New("no such function, or no such version of it")
	ErrFull     = errors.New("too many functions are deployed")
)

// A MismatchError says that another version is current than was expected.
type MismatchError struct{ Current int64 } // 0 = none

func (m *MismatchError) Error() string {
	if m.Current == 0 {
		return "no version is current"
	}
	return fmt.Sprintf("version %d is current", m.Current)
}

// A Version is one content that was deployed.
type Version struct {
	Number int64     `json:"-"`
	SHA256 string    `json:"sha256"` // of what was sent, in hex
	Size   int64     `json:"size"`   // of what was sent, in bytes
	Kind   string    `json:"kind"`   // KindModule or KindArchive
	Blob   string    `json:"blob"`
	By     string    `json:"by"` // who deployed it
	At     time.Time `json:"at"`
	Of     int64     `json:"of,omitempty"` // the number that a rollback went back to
}

// What is deployed.
const (
	KindModule  = "wasm"
	KindArchive = "tar.gz"
)

// BlobMark begins the names of blobs that hold functions: no job's id does.
const BlobMark = "fn-"

// DrawBlob draws the name of a blob. No two deployments share one, so whoever sweeps those
// that no version names takes nobody's away.
func DrawBlob(sha256 string) string { return BlobMark + sha256 + "-" + rand.Text()[:10] + "/code" }

// A Current is the version of a type that counts, with its definition.
type Current struct {
	Version
	Info tasks.Info // whose Version is the number
}

// A Store is the registry of an installation. It is safe for concurrent use.
type Store struct {
	rdb    redis.UniversalClient
	prefix string

	mu      sync.Mutex
	rev     string
	current map[string]Current
}

// New returns the registry of an installation whose keys begin with prefix.
func New(rdb redis.UniversalClient, prefix string) *Store { return &Store{rdb: rdb, prefix: prefix} }

// Channel is where changes ring.
func (s *Store) Channel() string { return s.key() }

func (s *Store) key() string { return s.prefix + ":functions" }

// Deploy makes a content the current one of a type; ifCurrent is the number that must be
// current, 0 for none at all, or nil. made is false where that content is current already:
// then nothing is written. The error may be a *MismatchError or ErrFull.
func (s *Store) Deploy(ctx context.Context, typ string, v Version, info tasks.Info,
	ifCurrent *int64) (number int64, made bool, err error) {
	definition, err := json.Marshal(info)
	if err != nil {
		return 0, false, err
	}
	return s.change(ctx, typ, v, string(definition), "", ifCurrent)
}

// Rollback makes the content of an older version the current one, under a new number. The
// error may be a *MismatchError or ErrNotFound.
func (s *Store) Rollback(ctx context.Context, typ string, to int64, by string,
	ifCurrent *int64) (number int64, made bool, err error) {
	text, err := s.rdb.HGet(ctx, s.key(), field("v", typ, to)).Result()
	if errors.Is(err, redis.Nil) {
		return 0, false, ErrNotFound
	} else if err != nil {
		return 0, false, fmt.Errorf("roll back: %w", err)
	}
	v, err := readVersion(to, text)
	if err != nil {
		return 0, false, err
	}
	v.By, v.At, v.Of = by, time.Now().UTC().Truncate(time.Millisecond), to
	return s.change(ctx, typ, v, "", strconv.FormatInt(to, 10), ifCurrent)
}

func (s *Store) change(ctx context.Context, typ string, v Version, definition, from string,
	ifCurrent *int64) (int64, bool, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return 0, false, err
	}
	want := ""
	if ifCurrent != nil {
		want = strconv.FormatInt(*ifCurrent, 10)
	}
	said, err := deploy.Run(ctx, s.rdb, []string{s.key()}, typ, want, rand.Text(), s.Channel(), Kept,
		v.SHA256, body, definition, from).StringSlice()
	if err != nil {
		return 0, false, fmt.Errorf("deploy %s: %w", typ, err)
	}
	if len(said) != 2 {
		return 0, false, fmt.Errorf("deploy %s: unexpected reply %q", typ, said)
	}
	n, _ := strconv.ParseInt(said[1], 10, 64)
	switch said[0] {
	case "made", "same":
		return n, said[0] == "made", nil
	case "mismatch":
		return 0, false, &MismatchError{n}
	case "full":
		return 0, false, ErrFull
	}
	return 0, false, ErrNotFound
}

// Remove makes a type deployed no more. Errors: ErrNotFound.
func (s *Store) Remove(ctx context.Context, typ string) error {
	n, err := remove.Run(ctx, s.rdb, []string{s.key()}, typ, rand.Text(), s.Channel()).Int()
	if err != nil {
		return fmt.Errorf("remove function %s: %w", typ, err)
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

// Current returns what is current, by type; the map is the caller's to read only. It costs
// one small call where nothing has changed.
func (s *Store) Current(ctx context.Context) (map[string]Current, error) {
	s.mu.Lock()
	known, current := s.rev, s.current
	s.mu.Unlock()
	said, err := look.Run(ctx, s.rdb, []string{s.key()}, known).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("look at deployed functions: %w", err)
	}
	if len(said) == 0 || len(said)%4 != 1 {
		return nil, fmt.Errorf("look at deployed functions: unexpected reply of %d parts", len(said))
	}
	if said[0] == known {
		return current, nil
	}
	current = map[string]Current{}
	for i := 1; i < len(said); i += 4 {
		if c, err := readCurrent(said[i : i+4]); err == nil { // who writes to Redis may write anything
			current[said[i]] = c
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rev, s.current = said[0], current
	return current, nil
}

func readCurrent(said []string) (c Current, err error) {
	n, err := strconv.ParseInt(said[1], 10, 64)
	if err != nil {
		return c, err
	}
	if c.Version, err = readVersion(n, said[2]); err != nil {
		return c, err
	}
	if err := json.Unmarshal([]byte(said[3]), &c.Info); err != nil {
		return c, err
	}
	if c.Info.Type != said[0] {
		return c, errors.New("definition of another type")
	}
	c.Info.Version = n
	return c, nil
}

func readVersion(n int64, text string) (v Version, err error) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, fmt.Errorf("version %d can't be read: %w", n, err)
	}
	v.Number = n
	return v, nil
}

func field(letter, typ string, n int64) string {
	return letter + ":" + typ + ":" + strconv.FormatInt(n, 10)
}

// Versions returns the versions of a type that are kept, the oldest first, and the number of
// the current one. Errors: ErrNotFound.
func (s *Store) Versions(ctx context.Context, typ string) (versions []Version, current int64, err error) {
	said, err := s.rdb.HMGet(ctx, s.key(), "c:"+typ, "l:"+typ).Result()
	if err != nil {
		return nil, 0, fmt.Errorf("list versions: %w", err)
	}
	number, _ := said[0].(string)
	list, _ := said[1].(string)
	if current, err = strconv.ParseInt(number, 10, 64); err != nil || list == "" {
		return nil, 0, ErrNotFound
	}
	var fields []string
	var numbers []int64
	for one := range strings.FieldsSeq(list) {
		n, err := strconv.ParseInt(one, 10, 64)
		if err != nil {
			continue
		}
		fields, numbers = append(fields, field("v", typ, n)), append(numbers, n)
	}
	texts, err := s.rdb.HMGet(ctx, s.key(), fields...).Result()
	if err != nil {
		return nil, 0, fmt.Errorf("list versions: %w", err)
	}
	for i, text := range texts {
		text, _ := text.(string)
		if v, err := readVersion(numbers[i], text); err == nil { // one that goes meanwhile is left out
			versions = append(versions, v)
		}
	}
	return versions, current, nil
}

// Blobs returns the names, up to the slash, of the blobs that versions have.
func (s *Store) Blobs(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{}
	texts, err := blobs.RunRO(ctx, s.rdb, []string{s.key()}).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("list blobs of functions: %w", err)
	}
	for _, text := range texts {
		v, err := readVersion(0, text)
		if err != nil {
			return nil, err // what can't be read may name any blob
		}
		name, _, _ := strings.Cut(v.Blob, "/")
		names[name] = true
	}
	return names, nil
}
