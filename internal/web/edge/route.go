package edge

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"longshore/internal/httpapi"
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
	JSON   bool // the body is strict JSON, read before the handler
	Loose  bool // parameters that it doesn't know are ignored, as libraries add some (_=123)
	Probe  bool // asked every few seconds: logged at debug level
	Handle Handler
	// Quick serves the plain requests of the route; it reports whether one was. nil = none are.
	Quick func(*Answer, *http.Request) (plain bool, err error)
}

// A Handler is what serves a route; Typed and Raw make one.
type Handler func(huma.API, *Route)

// At describes a route in few words.
func At(method, path, name, summary string) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: name, Summary: summary}
}

// Typed makes a handler of a function over structs, as a huma operation.
func Typed[I, O any](handle func(context.Context, *I) (*O, error)) Handler {
	return func(api huma.API, rt *Route) {
		huma.Register(api, rt.Op, func(ctx context.Context, in *I) (*O, error) {
			out, err := handle(ctx, in)
			if err != nil {
				return nil, (*problem)(AnswerOf(ctx).Refusal(ctx, err))
			}
			return out, nil
		})
	}
}

// Raw makes a handler of a plain function, for bodies that stream. Its operation is
// only a description.
func Raw(handle func(*Answer, *http.Request) error) Handler {
	return func(api huma.API, rt *Route) {
		api.Adapter().Handle(&rt.Op, func(c huma.Context) {
			r, w := humago.Unwrap(c)
			a := w.(*Answer)
			if err := handle(a, r); err != nil {
				a.refuse(r, err)
			}
		})
		api.OpenAPI().AddOperation(&rt.Op)
	}
}

// Mount puts a table of routes on the edge and returns their description.
func (e *Edge) Mount(config huma.Config, routes []Route) huma.API {
	setErrors()
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // the document is a route of ours
	config.CreateHooks = nil                                             // no $schema in answers
	config.Formats = map[string]huma.Format{
		httpapi.TypeJSON: huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	if e.Token != "" {
		config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
			"bearer": {Type: "http", Scheme: "bearer"}}
	}
	g := &guarded{edge: e, routes: map[string]*Route{}}
	api := humago.New(g, config)
	for _, rt := range routes {
		if rt.Access != Public && e.Token != "" {
			rt.Op.Security = []map[string][]string{{"bearer": {}}}
		}
		rt.Op.RejectUnknownQueryParameters = !rt.Loose
		g.routes[rt.Op.Method+" "+rt.Op.Path] = &rt
		rt.Handle(api, &rt)
	}
	return api
}

// guarded is the mux as huma sees it: each route is entered through admit.
type guarded struct {
	edge   *Edge
	routes map[string]*Route // by "METHOD path"
}

func (g *guarded) HandleFunc(pattern string, next func(http.ResponseWriter, *http.Request)) {
	e, rt := g.edge, g.routes[pattern]
	e.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		a := w.(*Answer)
		a.route = rt
		if err := e.admit(rt, a, r); err != nil {
			a.refuse(r, err)
			return
		}
		if rt.Quick != nil {
			if plain, err := rt.Quick(a, r); err != nil {
				a.refuse(r, err)
				return
			} else if plain {
				return
			}
		}
		next(a, r.WithContext(WithAnswer(r.Context(), a)))
	})
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.edge.mux.ServeHTTP(w, r) }

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
		return checkJSONBody(a, r)
	case rt.Access == Socket:
		return e.origins.checkSocket(r)
	}
	return nil
}
