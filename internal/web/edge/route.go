package edge

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
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
)

// A Route is one line of the table. Its method and path are those of Op.
type Route struct {
	Op     huma.Operation
	Access Access
	JSON   bool // the body is JSON, read before the handler
	Probe  bool // asked every few seconds: logged at debug level
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
	if e.Token != "" {
		document.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}}
	}
	document.Components.Schemas.Schema(reflect.TypeFor[problem](), true, "Problem")
	for _, rt := range routes {
		if rt.Access != Public && e.Token != "" {
			rt.Op.Security = []map[string][]string{{"bearer": {}}}
		}
		e.mux.HandleFunc(rt.Op.Method+" "+rt.Op.Path, func(w http.ResponseWriter, r *http.Request) {
			a := w.(*Answer)
			a.route = &rt
			err := e.admit(&rt, a, r)
			if err == nil {
				err = rt.Handle(a, r)
			}
			if err != nil {
				a.refuse(r, err)
			}
		})
		rt.describe(document)
	}
}

// admit applies a route's rules.
func (e *Edge) admit(rt *Route, a *Answer, r *http.Request) error {
	if rt.Access != Public {
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
	case rt.Access == Socket:
		return e.origins.checkSocket(r)
	}
	return nil
}
