package submit

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/strictjson"
	"longshore/job"
)

// Every way in is read here, by the one table of httpapi.Controls: the body of a request
// and the lines of a batch as JSON, parameters of a query, a form or an upload's
// metadata, and headers. What a value must be beyond its form is the submitter's to say.

var controls = httpapi.FieldsOf[Request]()

// ReadBody reads the JSON of one job, strictly. The error is an *httpapi.Error; the
// payload is a part of text.
func (r *Request) ReadBody(text []byte) error { return r.readJSON(text, httpapi.InBody) }

// ReadLine reads one line of a batch, as strictly as a body.
func (r *Request) ReadLine(text []byte) error { return r.readJSON(text, httpapi.InLine) }

// ReadSchedule reads what a schedule says of its jobs, of which it knows no input. Members that are the
// schedule's own more takes; known is false of those that are nobody's, and the error is for the client.
func (r *Request) ReadSchedule(text []byte, more func(name string, value []byte) (known bool,
	err error)) error {
	return r.read(text, &object{Request: r, in: httpapi.InSchedule, more: more})
}

// ReadDirect reads the JSON that begins an upload straight to the bucket.
func (r *Request) ReadDirect(text []byte) error {
	direct := false
	more := func(name string, value []byte) (known bool, err error) {
		switch name {
		case "direct":
			direct = string(value) == "true"
		case "size":
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 {
				return true, errSize
			}
			r.InputSize = n
		case "checksum":
			sum, err := httpapi.TextOf(value)
			if err != nil || sum != "sha256" {
				return true, errors.New("expected sha256")
			}
			r.Summed = true
		case "filename":
			return true, textTo(&r.Filename, value)
		case "content_type":
			return true, textTo(&r.ContentType, value)
		default:
			return false, nil
		}
		return true, nil
	}
	err := r.read(text, &object{Request: r, in: httpapi.InBody, more: more})
	switch {
	case err != nil:
		return err
	case !direct:
		return httpapi.InvalidAt("/direct", "expected true: an upload through this server begins by tus, in headers")
	case r.From != nil:
		return httpapi.InvalidAt("/input", "the input is what is uploaded")
	case r.InputSize < 0:
		return httpapi.InvalidAt("/size", errSize.Error())
	}
	r.Direct = true
	return nil
}

var errSize = errors.New("expected the input's size, a whole number of bytes")

func textTo(to *string, value []byte) (err error) {
	*to, err = httpapi.TextOf(value)
	return err
}

// AppendControls appends the controls of a schedule's jobs as members of an object that isn't empty.
func (r *Request) AppendControls(b []byte) ([]byte, error) {
	return controls.AppendJSON(b, r, httpapi.InSchedule)
}

func (r *Request) readJSON(text []byte, in httpapi.Places) error {
	return r.read(text, &object{Request: r, in: in})
}

func (r *Request) read(text []byte, o *object) error {
	err := strictjson.Fields(text, o.member)
	switch {
	case errors.Is(err, strictjson.ErrNoObject):
		return httpapi.InvalidAt("", err.Error())
	case err != nil:
		return httpapi.NewError(httpapi.Invalid, err.Error()).WithStatus(http.StatusBadRequest)
	}
	typed := func(p httpapi.Pointer) bool { return p.Pointer == "/type" }
	if r.Type == "" && !slices.ContainsFunc(o.wrong, typed) {
		o.bad("type", "expected the name of a type")
	}
	if o.wrong != nil {
		return httpapi.NotValid(o.wrong...)
	}
	return nil
}

// An object is a request in JSON that is being read. What is wrong with it is noted.
type object struct {
	*Request
	in   httpapi.Places
	more func(name string, value []byte) (known bool,
		err error) // takes what is no control; nil = there is nothing
	wrong []httpapi.Pointer
}

func (o *object) bad(name, detail string) {
	if len(o.wrong) < httpapi.MaxPointers {
		o.wrong = append(o.wrong, httpapi.Pointer{Pointer: "/" + name, Detail: detail})
	}
}

// member takes one member of the object.
func (o *object) member(name, value []byte) error {
	switch string(name) {
	case "type":
		o.text("type", value, &o.Type)
	case "payload":
		o.Payload = value
	case "input":
		if o.in == httpapi.InSchedule {
			o.bad("input", "a schedule's jobs have no input: say in the payload what they are to work on")
			return nil
		}
		o.input(value)
	default:
		if o.more != nil {
			if known, err := o.more(string(name), value); known || err != nil {
				if err != nil {
					o.bad(string(name), err.Error())
				}
				return nil
			}
		}
		i, ok := httpapi.FindControl(string(name), o.in)
		if !ok {
			o.bad(httpapi.EscapePointer(shortName(name)), "unknown field")
			return nil
		}
		// null is as if it were not there. But a key or id that came out null would make a job that
		// no repeat finds, so these are refused below.
		if value[0] == 'n' && httpapi.Controls[i].Header == "" {
			return nil
		}
		if err := controls.SetJSON(o.Request, i, value); err != nil {
			o.bad(httpapi.Controls[i].Name, err.Error())
		}
	}
	return nil
}

func (o *object) text(name string, value []byte, to *string) {
	text, err := httpapi.TextOf(value)
	if err != nil {
		o.bad(name, err.Error())
	}
	*to = text
}

// input takes what makes another job's output the input.
func (o *object) input(value []byte) {
	if value[0] == 'n' {
		return
	}
	from := &Reference{}
	err := strictjson.Fields(value, func(name, value []byte) error {
		switch string(name) {
		case "job":
			o.text("input/job", value, (*string)(&from.Job))
		case "output":
			if value[0] == 'n' { // null: as if it were not there
				return nil
			}
			o.text("input/output", value, &from.Output)
		default:
			o.bad("input/"+httpapi.EscapePointer(shortName(name)), "unknown field")
		}
		return nil
	})
	if err != nil {
		o.bad("input", err.Error())
		return
	}
	o.From = from
}

// shortName is what is told of an unknown member's name.
func shortName(name []byte) string {
	return strings.ToValidUTF8(string(name[:min(len(name), 64)]), "")
}

// TakeParameters takes the controls and the payload out of named values: a query, a
// form, or an upload's metadata. What is wrong is noted there.
func (r *Request) TakeParameters(p *httpapi.Params) {
	for i, c := range httpapi.Controls {
		if c.In&httpapi.InQuery != 0 {
			p.Take(c.Name, func(text string) error { return controls.Set(r, i, text) })
		}
	}
	inBody := len(r.Payload) > 0
	p.Take("payload", func(text string) error {
		if inBody {
			return errors.New("the body is the payload already")
		}
		r.Payload = []byte(text)
		return nil
	})
}

// ReadHeader reads the headers by which a client names its job.
func (r *Request) ReadHeader(h http.Header) error {
	for i := range httpapi.Controls {
		c := &httpapi.Controls[i]
		if c.In&httpapi.InHeader == 0 {
			continue
		}
		text := h.Get(c.Header)
		if text == "" {
			continue
		}
		if err := controls.Set(r, i, text); err != nil {
			return httpapi.InvalidAt(headerPointer(c), err.Error())
		}
	}
	if r.ID == "" {
		return nil
	}
	// How old it may be is for Permit to say, which knows whether a page's token has drawn it.
	if _, err := job.ParseID(string(r.ID)); err != nil {
		return httpapi.InvalidAt("/headers/"+httpapi.HeaderJob, badID)
	}
	return nil
}

func headerPointer(c *httpapi.Control) string { return "/headers/" + c.Header }

const badID = "expected a UUIDv7 in lower case"

// checkID says what is wrong with an id that a client has chosen, or "".
func checkID(id job.ID, now time.Time) string {
	if _, err := job.ParseID(string(id)); err != nil {
		return badID
	}
	if id.Time().Before(now.Add(-maxIDAge)) || id.Time().After(now.Add(maxIDAhead)) {
		return "expected an id drawn within the last hour"
	}
	return ""
}

// inLine moves the submitter's pointers to where a line has what is wrong.
func inLine(e *httpapi.Error) *httpapi.Error {
	for i, p := range e.Errors {
		for j := range httpapi.Controls {
			if c := &httpapi.Controls[j]; c.In&httpapi.InLine != 0 && p.Pointer == headerPointer(c) {
				e.Errors[i].Pointer = "/" + c.Name
			}
		}
	}
	return e
}
