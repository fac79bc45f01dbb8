package edge

import (
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/tracing"
)

// Access says who may use a route.
type Access string

// The kinds of access.
const (
	Public Access = "public" // anybody: probes and the description of the API
	Bearer Access = "bearer" // who sends the token, where one is set
	// Socket is Bearer where a page's script can't set the header: the token may be in
	// a subprotocol, and the page's origin is checked.
	Socket Access = "socket"
	// Page is Bearer for pages that people look at: who isn't logged in is sent to LoginPath.
	Page Access = "page"
	// Visit is a page for anybody; Answer.Who is whoever is logged in, or nil.
	Visit Access = "visit"
)

// A Route is one line of the table. Its method and path are those of Op.
type Route struct {
	Op     huma.Operation
	Access Access
	Scope  access.Scope  // that is needed, unless it is public
	Wide   bool          // … of the whole installation
	Job    bool          // the path's id is a job's that is there: whom it isn't for sees none
	Whole  bool          // no page's token may, whatever its scopes
	Late   time.Duration // how long after its token's end a page may go on
	JSON   bool          // the body is JSON, read before the handler
	// InAddress has a page's token taken from the address, as all reads of jobs do, InForm from a form.
	InAddress, InForm bool
	Probe             bool // asked every few seconds: logged at debug level
	Fresh             bool // what it changes needs a login of the last minutes, as all of scope admin does
	// Refuse shows a refusal as a page; nil: it is a problem in JSON.
	Refuse func(*Answer, *http.Request, *httpapi.Error)
	// Handle serves it. Body, if it answers with JSON, is the zero value of what, and
	// Headers are those that it answers with; both are for the description.
	Handle  func(*Answer, *http.Request) error
	Body    any
	Headers map[string]string
}

// At describes a route in few words.
func At(method, path, name, summary string) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: name, Summary: summary}
}

// Mount puts a table of routes on the edge, and their descriptions into a document.
func (e *Edge) Mount(document *huma.OpenAPI, routes []Route) {
	if !e.guard.open {
		document.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http",
			Scheme: "bearer"}}
	}
	document.Components.Schemas.Schema(reflect.TypeFor[problem](), true, "Problem")
	for _, rt := range routes {
		if rt.Access != Public && !e.guard.open {
			rt.Op.Security = []map[string][]string{{"bearer": {}}}
		}
		e.mux.HandleFunc(rt.Op.Method+" "+rt.Op.Path, func(w http.ResponseWriter, r *http.Request) {
			a := w.(*Answer)
			a.route = &rt
			if trace := r.Header.Get(tracing.Header); trace != "" && r.Method == http.MethodPost {
				r = r.WithContext(tracing.With(r.Context(), trace)) // the job's that it may make
			}
			err := e.admit(&rt, a, r)
			if err == nil {
				err = a.serve(&rt, r)
			}
			if err != nil && !a.toLogin(&rt, r, err) {
				a.refuse(r, err)
			}
		})
		if !rt.Op.Hidden {
			rt.describe(document)
		}
	}
}

// serve has a route serve a request. What its client is sending is not read on once its
// credential was revoked.
func (a *Answer) serve(rt *Route, r *http.Request) error {
	if a.Body != nil {
		var held access.Held
		a.Who.Hold(&held, func(why error) {
			if rt.Late == 0 || errors.Is(why, access.ErrRevoked) {
				a.Body.Interrupt()
			}
		})
		defer held.Let()
	}
	err := rt.Handle(a, r)
	if err != nil && a.Body.interrupted() {
		if ended := a.Ended(); ended != nil {
			return ended
		}
	}
	return err
}

// admit applies a route's rules.
func (e *Edge) admit(rt *Route, a *Answer, r *http.Request) error {
	switch rt.Access {
	case Public:
	case Visit:
		if err := e.guard.visit(rt, a, r); err != nil {
			return err
		}
	default:
		if err := e.guard.check(rt, a, r); err != nil {
			return err
		}
	}
	if err := checkCoding(a, r); err != nil {
		return err
	}
	switch {
	case rt.JSON:
		return readJSONBody(a, r)
	case rt.Access == Socket && (a.Who == nil || a.Who.Session == nil): // else it was checked with the cookie
		return e.origins.checkSocket(r)
	}
	return nil
}

// FileOperation describes a route that sends a file of a job, or of what else its path's id names.
func FileOperation(path, name, summary string) huma.Operation {
	op := At(http.MethodGet, path, name, summary)
	op.Parameters = []*huma.Param{IDParam()}
	op.Responses = map[string]*huma.Response{
		"200":     {Description: "The whole.", Content: map[string]*huma.MediaType{"*/*": {}}},
		"206":     {Description: "The range.", Content: map[string]*huma.MediaType{"*/*": {}}},
		"default": ProblemResponse(),
	}
	return op
}
