package edge

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
)

// A Param is one parameter of a route: its description and how it is read into T, side
// by side.
type Param[T any] struct {
	Name, Doc string
	In        Place
	Schema    *huma.Schema
	Read      func(to *T, text string) error // the error is for the client
}

// A Place is where a parameter stands.
type Place string

// The places.
const (
	Path   Place = "path"
	Query  Place = "query"
	Header Place = "header"
)

// Params are all parameters of a route.
type Params[T any] []Param[T]

// Describe is their description.
func (ps Params[T]) Describe() []*huma.Param {
	described := make([]*huma.Param, len(ps))
	for i, p := range ps {
		described[i] = &huma.Param{Name: p.Name, In: string(p.In), Required: p.In == Path,
			Description: p.Doc, Schema: p.Schema}
	}
	return described
}

// Read reads them. All that is wrong is told, a parameter that isn't there too.
func (ps Params[T]) Read(r *http.Request, to *T) error { return ps.read(r, to, true) }

// ReadLoose is Read for routes whose clients' libraries add parameters of their own (_=123).
func (ps Params[T]) ReadLoose(r *http.Request, to *T) error { return ps.read(r, to, false) }

func (ps Params[T]) read(r *http.Request, to *T, strict bool) error {
	query := httpapi.Params{}
	if r.URL.RawQuery != "" {
		query.Values = r.URL.Query()
	}
	for i := range ps {
		p := &ps[i]
		text := ""
		switch p.In {
		case Query:
			query.Take(p.Name, func(text string) error { return p.Read(to, text) })
			continue
		case Path:
			text = r.PathValue(p.Name)
		case Header:
			text = r.Header.Get(p.Name)
		}
		if text == "" && p.In == Header {
			continue
		}
		if err := p.Read(to, text); err != nil {
			query.Wrong(pointerOf(p.In, p.Name), err.Error())
		}
	}
	if strict {
		for _, name := range slices.Sorted(maps.Keys(query.Values)) {
			query.Wrong("?"+name, "unknown parameter")
		}
	}
	return query.Err()
}

func pointerOf(in Place, name string) string {
	if in == Header {
		return "/headers/" + name
	}
	return "/" + string(in) + "/" + name
}

// NoParams are those of a route that has none.
type NoParams = Params[struct{}]

// OneOf describes a text that is one of some, and reads it.
func OneOf[T any](p Param[T], texts []string, set func(to *T, text string)) Param[T] {
	p.Schema = &huma.Schema{Type: huma.TypeString, Enum: anys(texts)}
	p.Read = func(to *T, text string) error {
		if !slices.Contains(texts, text) {
			return errors.New(httpapi.ExpectedOneOf(texts))
		}
		set(to, text)
		return nil
	}
	return p
}

// Whole describes a whole number within bounds, and reads it.
func Whole[T any](p Param[T], least, most int64, set func(to *T, n int64)) Param[T] {
	p.Schema = &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: floatOf(least)}
	detail := "expected a whole number from " + strconv.FormatInt(least, 10)
	if most > 0 {
		p.Schema.Maximum = floatOf(most)
		detail += " to " + strconv.FormatInt(most, 10)
	}
	p.Read = func(to *T, text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < least || most > 0 && n > most {
			return errors.New(detail)
		}
		set(to, n)
		return nil
	}
	return p
}

func floatOf(n int64) *float64 {
	f := float64(n)
	return &f
}

func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}
