package httpapi

import (
	"errors"
	"net/http"
	"net/url"

	"longshore/job"
)

// Params reads parameters by their names, wherever a client has written them, and
// notes all that is wrong. What was taken is gone from the values.
type Params struct {
	Values url.Values
	wrong  []Pointer
}

// Take gives the value of one parameter to set, if it is there.
func (p *Params) Take(name string, set func(text string) error) {
	values, ok := p.Values[name]
	if !ok {
		return
	}
	delete(p.Values, name)
	err := errors.New("given more than once")
	switch {
	case len(values) == 1 && values[0] == "": // an empty field of a form: as if it were not there
		return
	case len(values) == 1:
		err = set(values[0])
	}
	if err != nil {
		p.Wrong("?"+name, err.Error())
	}
}

// Wrong notes what is wrong in another place.
func (p *Params) Wrong(pointer, detail string) {
	p.wrong = append(p.wrong, Pointer{Pointer: pointer, Detail: detail})
}

// Err tells all that was wrong, or nil.
func (p *Params) Err() error {
	if p.wrong == nil {
		return nil
	}
	return NotValid(p.wrong...)
}

// PathID is the job that a request's path names.
func PathID(r *http.Request) (job.ID, error) {
	id, err := job.ParseID(r.PathValue("id"))
	if err != nil {
		return "", InvalidAt("/path/id", err.Error())
	}
	return id, nil
}
