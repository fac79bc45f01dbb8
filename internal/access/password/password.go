// Package password hashes people's passwords with argon2id, some at a time, and refuses those
// that others try first. common.txt has such, by the terms of common.LICENSE.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// What a hash costs: 19 MiB and some 20 ms. A hash says with what it was made, so other values
// may come.
const (
	memory, rounds, lanes = 19 << 10, 2, 1 // KiB, passes, threads
	saltLen, sumLen       = 16, 32

	atOnce  = 2               // hashes, so memory is bounded
	patient = 2 * time.Second // how long one waits in line
)

// Lengths of a password in characters.
const (
	MinLength = 12
	MaxLength = 128
)

// ErrBusy says that too many log in at once.
var ErrBusy = errors.New("too many passwords are checked at once")

var errForm = errors.New("the password's hash is not as we write it")

// A Hasher hashes. The zero value is not for use; see New.
type Hasher struct {
	slots chan struct{}
	dummy string // of no password, for users that there aren't
}

// New returns a Hasher of a process.
func New() *Hasher {
	none := phc{memory, rounds, lanes, make([]byte, saltLen), make([]byte, sumLen)}
	return &Hasher{slots: make(chan struct{}, atOnce), dummy: none.String()}
}

func (h *Hasher) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patient, ErrBusy)
	defer cancel()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Hash returns what is kept of a password. The error may be ErrBusy.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-h.slots }()
	p := phc{memory: memory, rounds: rounds, lanes: lanes, salt: make([]byte, saltLen)}
	_, _ = rand.Read(p.salt) // never fails
	p.sum = argon2.IDKey([]byte(password), p.salt, rounds, memory, lanes, sumLen)
	return p.String(), nil
}

// Fits reports whether a password is the one that was hashed; hash "" takes as long, and fits
// nothing. The error may be ErrBusy.
func (h *Hasher) Fits(ctx context.Context, hash, password string) (bool, error) {
	there := hash != ""
	if !there {
		hash = h.dummy
	}
	p, err := parse(hash)
	if err != nil {
		return false, err
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer func() { <-h.slots }()
	got := argon2.IDKey([]byte(password), p.salt, p.rounds, p.memory, p.lanes, uint32(len(p.sum)))
	return subtle.ConstantTimeCompare(got, p.sum) == 1 && there, nil
}

// A phc is a hash and with what it was made. It is written in the format of the Password
// Hashing Competition.
type phc struct {
	memory, rounds uint32
	lanes          uint8
	salt, sum      []byte
}

func (p phc) String() string {
	text := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.rounds, p.lanes,
		text(p.salt), text(p.sum))
}

// parse reads a hash; what would cost far more than ours is refused.
func parse(hash string) (p phc, err error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errForm
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.rounds, &p.lanes); n != 3 ||
		err != nil ||
		p.memory > 128<<10 || p.rounds < 1 || p.rounds > 10 || p.lanes < 1 {
		return p, errForm
	}
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return p, errForm
	}
	p.sum, err = base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(p.salt) < 8 || len(p.sum) < 16 || len(p.sum) > 64 {
		return p, errForm
	}
	return p, nil
}

//go:embed common.txt
var commonText string

// common are passwords that many have, sorted.
var common = sync.OnceValue(func() []string { return strings.Split(strings.TrimSpace(commonText), "\n") })

// Check says what is wrong with a new password, "" = nothing. Words are what others would try
// for this person, as an e-mail address.
func Check(password string, words ...string) string {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password):
		return "a password is text"
	case n < MinLength:
		return fmt.Sprintf("too short: at least %d characters; some words in a row are fine", MinLength)
	case n > MaxLength:
		return fmt.Sprintf("too long: at most %d characters", MaxLength)
	}
	folded := strings.ToLower(password)
	if distinct(folded) < 5 {
		return "too few different characters"
	}
	bare := strings.TrimFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, word := range []string{folded, bare} {
		if _, found := slices.BinarySearch(common(), word); found {
			return "many people have this password, so it is tried first"
		}
	}
	for _, word := range append(words, "longshore") {
		word, _, _ = strings.Cut(strings.ToLower(word), "@")
		if len(word) >= 4 && strings.Contains(folded, word) && len(folded)-len(word) < MinLength-4 {
			return "it is easily guessed from your e-mail address, or from what it is for"
		}
	}
	return ""
}

func distinct(text string) int {
	all := map[rune]bool{}
	for _, r := range text {
		all[r] = true
	}
	return len(all)
}
