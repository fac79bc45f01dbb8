package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/functions"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
)

// A Deployment is what is to become a type's current version.
type Deployment struct {
	Type      string
	By        store.Actor
	IfCurrent *int64 // the number that must be current, 0 = none; nil = any
}

// FunctionStore takes functions in. Its errors hold an *httpapi.Error.
type FunctionStore interface {
	// Deploy takes what is read, Rollback an older version's content. made is false where
	// that is current already.
	Deploy(ctx context.Context, d Deployment, r io.Reader) (v answer.FunctionVersion, made bool, err error)
	Rollback(ctx context.Context, d Deployment, to int64) (v answer.FunctionVersion, made bool, err error)
	Functions(ctx context.Context) ([]answer.FunctionVersion, error)
	Versions(ctx context.Context, typ string) (answer.Function, error)
	Remove(ctx context.Context, d Deployment) (answer.RemovedFunction, error)
}

// Functions serves what there is to do with deployed functions. They are the installation's.
type Functions struct {
	Store   FunctionStore
	Uploads *edge.Uploads
	Log     *slog.Logger
}

func (h Functions) actor(a *edge.Answer) store.Actor {
	return store.Actor{Who: a.Who, Address: a.ClientText(), Log: h.Log}
}

// maxFunction is how long what is deployed may be, in bytes.
const maxFunction = 64 << 20

// Routes are what it serves.
func (h Functions) Routes() []edge.Route {
	const all, one = httpapi.PathFunctions, httpapi.PathFunctions + "/{type}"
	schema := edge.Route{Op: edge.At("GET", all+"/schema", "function-schema", "JSON Schema of function.json"),
		Access: edge.Public, Handle: h.schema, Body: map[string]any{}}
	put := edge.At("PUT", one, "deploy-function",
		"Make a module or a tar.gz of a folder the current version of a type")
	put.DefaultStatus, put.Parameters = http.StatusCreated, deployParams.Describe()
	put.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/wasm": {}, "application/gzip": {}}}
	get := edge.At("GET", one, "get-function", "The versions of a deployed function that are kept")
	get.Parameters = oneFunction.Describe()
	back := edge.At("POST", one+"/rollback", "rollback-function",
		"Go back to an older version's content, under a new number")
	back.DefaultStatus, back.Parameters = http.StatusCreated, deployParams.Describe()
	back.RequestBody = edge.JSONBody[rollbackBody]()
	remove := edge.At("DELETE", one, "remove-function", "Take no more jobs for a deployed function")
	remove.Parameters = oneFunction.Describe()
	routes := []edge.Route{
		{Op: edge.At("GET", all, "list-functions", "List the deployed functions"), Handle: h.list,
			Body: httpapi.FunctionList{}},
		{Op: put, Handle: h.deploy, Body: answer.FunctionVersion{}},
		{Op: get, Handle: h.get, Body: answer.Function{}},
		{Op: back, JSON: true, Handle: h.rollback, Body: answer.FunctionVersion{}},
		{Op: remove, Handle: h.remove, Body: answer.RemovedFunction{}},
	}
	for i := range routes {
		routes[i].Access, routes[i].Scope, routes[i].Wide = edge.Bearer, access.FunctionsDeploy, true
	}
	return append(routes, schema)
}

type rollbackBody struct {
	To int64 `json:"to" minimum:"1" doc:"number of the version whose content is to be current"`
}

func functionParam[T any](set func(to *T, typ string)) edge.Param[T] {
	return edge.Param[T]{Name: "type", In: edge.Path, Doc: "the name of a type", Schema: plainText(),
		Read: func(to *T, text string) error {
			if set(to, text); !job.IsFolderType(text) {
				return errors.New("expected the name of a type: two or more lower-case words joined by dots")
			}
			return nil
		}}
}

var (
	// oneName is the name of a type that is claimed, which may be any.
	oneName = edge.Params[string]{{Name: "type", In: edge.Path, Doc: "the name of a type", Schema: plainText(),
		Read: func(to *string, text string) error {
			if *to = text; !job.IsType(text) {
				return errors.New("expected the name of a type: " + job.TypeNames)
			}
			return nil
		}}}
	oneFunction  = edge.Params[string]{functionParam(func(to *string, typ string) { *to = typ })}
	deployParams = edge.Params[Deployment]{functionParam(func(to *Deployment, typ string) { to.Type = typ }),
		{Name: "If-Match", In: edge.Header, Schema: plainText(),
			Doc: `the number that must be current, as "3"; "0" = none must be`,
			Read: func(to *Deployment, text string) error {
				n, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
				if err != nil || n < 0 {
					return errors.New(`expected the number of a version, as "3"`)
				}
				to.IfCurrent = &n
				return nil
			}}}
)

func (h Functions) schema(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	a.Header().Set("Content-Type", "application/schema+json")
	_, _ = a.Write(functions.Schema) // whose client may have left
	return nil
}

func (h Functions) deploy(a *edge.Answer, r *http.Request) error {
	var d Deployment
	if err := deployParams.Read(r, &d); err != nil {
		return err
	}
	if a.Body == nil || r.ContentLength == 0 {
		return httpapi.InvalidAt("/body", "expected a module of WebAssembly or a tar.gz")
	}
	if r.ContentLength > maxFunction {
		return tooLargeFunction()
	}
	end, err := h.Uploads.Begin(a, r, max(r.ContentLength, 0))
	if err != nil {
		return err
	}
	defer end()
	a.Body.Limit(maxFunction)
	d.By = h.actor(a)
	v, made, err := h.Store.Deploy(r.Context(), d, a.Body)
	if refused := a.Body.Refusal(); err != nil && refused != nil {
		if refused.Code == httpapi.TooLarge {
			return tooLargeFunction()
		}
		return refused
	}
	return writeVersion(a, v, made, err)
}

func tooLargeFunction() error {
	return httpapi.NewError(httpapi.TooLarge, "a function may have "+strconv.Itoa(maxFunction>>20)+" MiB")
}

func (h Functions) rollback(a *edge.Answer, r *http.Request) error {
	var d Deployment
	if err := deployParams.Read(r, &d); err != nil {
		return err
	}
	var body rollbackBody
	if err := edge.DecodeJSON(a.JSON, &body); err != nil {
		return err
	}
	if body.To < 1 {
		return httpapi.InvalidAt("/to", "expected the number of a version")
	}
	d.By = h.actor(a)
	v, made, err := h.Store.Rollback(r.Context(), d, body.To)
	return writeVersion(a, v, made, err)
}

func writeVersion(a *edge.Answer, v answer.FunctionVersion, made bool, err error) error {
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if !made {
		status = http.StatusOK
	}
	a.Header().Set("ETag", `"`+strconv.FormatInt(v.Version, 10)+`"`)
	edge.WriteJSON(a, status, v)
	return nil
}

func (h Functions) list(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	all, err := h.Store.Functions(r.Context())
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, httpapi.FunctionList{Functions: all})
	return nil
}

func (h Functions) get(a *edge.Answer, r *http.Request) error {
	var typ string
	if err := oneFunction.Read(r, &typ); err != nil {
		return err
	}
	f, err := h.Store.Versions(r.Context(), typ)
	if err != nil {
		return err
	}
	a.Header().Set("ETag", `"`+strconv.FormatInt(f.Current, 10)+`"`)
	edge.WriteJSON(a, http.StatusOK, f)
	return nil
}

func (h Functions) remove(a *edge.Answer, r *http.Request) error {
	var typ string
	if err := oneFunction.Read(r, &typ); err != nil {
		return err
	}
	gone, err := h.Store.Remove(r.Context(), Deployment{Type: typ, By: h.actor(a)})
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, gone)
	return nil
}
