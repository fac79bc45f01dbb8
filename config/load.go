package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// mistakes gathers what is wrong, at most one thing a variable.
type mistakes struct {
	names []string
	errs  []error
}

func (m *mistakes) add(name, what string) {
	if !slices.Contains(m.names, name) {
		m.names = append(m.names, name)
		m.errs = append(m.errs, errors.New(name+": "+what))
	}
}

// expect adds a mistake by what would be right. The wrong value is never told:
// it may be a secret that was put into the wrong variable.
func (m *mistakes) expect(name, form string) { m.add(name, "expected "+form) }

func (m *mistakes) err() error { return errors.Join(m.errs...) }

// within adds a mistake unless a value lies between two others, both included.
func within[T cmp.Ordered](m *mistakes, name string, value, least, most T) {
	if value < least || value > most {
		m.expect(name, fmt.Sprintf("%s to %s", show(least), show(most)))
	}
}

// A source answers go-envconfig's questions, and remembers the last.
type source struct {
	getenv func(string) string
	types  map[string]reflect.Type
	wrong  []string // variables whose value could not be read
	last   string
}

// Lookup takes an empty variable for one that is not set, as shells do with
// ${NAME:-default}.
func (s *source) Lookup(name string) (string, bool) {
	s.last = name
	value := s.getenv(name)
	if value == "" || slices.Contains(s.wrong, name) {
		if s.types[name] == reflect.TypeFor[slog.Level]() {
			// A zero field is decoded even when not set, from "": that is no level.
			return slog.LevelInfo.String(), true
		}
		return "", false
	}
	if s.types[name] == reflect.TypeFor[time.Duration]() {
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			value += "s" // a bare number is seconds
		}
	}
	return value, true
}

// read fills a struct of settings, which holds the defaults, from the
// environment. go-envconfig stops at the first value that it can't read, so it
// is asked again without that one until none is left.
func read(getenv func(string) string, target any) *mistakes {
	m := &mistakes{}
	src := &source{getenv: getenv, types: make(map[string]reflect.Type)}
	for f := range fields(reflect.ValueOf(target).Elem()) {
		src.types[f.tag.Get("env")] = f.value.Type()
	}
	for range len(src.types) + 1 {
		err := envconfig.ProcessWith(context.Background(), &envconfig.Config{
			Target: target, Lookuper: src, DefaultOverwrite: true,
		})
		if err == nil {
			break
		}
		m.expect(src.last, form(src.types[src.last], err))
		src.wrong = append(src.wrong, src.last)
	}
	return m
}

// form says what a value of a type looks like.
func form(t reflect.Type, err error) string {
	if f, ok := errors.AsType[formError](err); ok {
		return string(f)
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration like 1500ms, 25s or 2h; a bare number is seconds"
	case reflect.TypeFor[slog.Level]():
		return "debug, info, warn or error"
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[int]():
		return "a whole number"
	}
	return "a value of another form"
}

// A formError of a decoder says what would be right.
type formError string

func (e formError) Error() string { return string(e) }
