package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// KeyStore keeps API keys. store.Store implements it.
type KeyStore interface {
	Issue(ctx context.Context, by store.Actor, k access.Key) (access.Key, string, error)
	Rotate(ctx context.Context, by store.Actor, id string, keep time.Duration) (access.Key, string, error)
	Remove(ctx context.Context, by store.Actor, id string) error
	List(ctx context.Context, by store.Actor) ([]store.UsedKey, error)
	RevokeToken(ctx context.Context, by store.Actor, id string) error
	Audit(ctx context.Context, refused bool, tenant, before string, limit int) ([]access.Entry, error)
}

// Keys serves what there is to manage about who may come in.
type Keys struct {
	Store KeyStore
	Log   *slog.Logger
}

// Routes are what it serves.
func (h Keys) Routes() []edge.Route {
	const all, one = httpapi.PathKeys, httpapi.PathKeys + "/{id}"
	create := edge.At("POST", all, "create-key", "Make an API key; its secret is told once")
	create.DefaultStatus, create.RequestBody = http.StatusCreated, edge.JSONBody[answer.NewKey]()
	rotate := edge.At("POST", one+"/rotate", "rotate-key", "Give a key another secret")
	rotate.Parameters, rotate.RequestBody = oneKey.Describe(), edge.JSONBody[keepBody]()
	remove := edge.At("DELETE", one, "delete-key", "Delete a key; what it made counts no more")
	remove.DefaultStatus, remove.Parameters = http.StatusNoContent, oneKey.Describe()
	audit := edge.At("GET", httpapi.PathAudit, "audit",
		"Who changed what, and who was refused, the newest first")
	audit.Parameters = auditParams.Describe()
	return []edge.Route{
		{Op: edge.At("GET", all, "list-keys", "List the API keys"), Access: edge.Bearer, Scope: access.Admin,
			Handle: h.list, Body: httpapi.KeyList{}},
		{Op: create, Access: edge.Bearer, Scope: access.Admin, JSON: true, Handle: h.create,
			Body: answer.APIKey{}},
		{Op: rotate, Access: edge.Bearer, Scope: access.Admin, JSON: true, Handle: h.rotate,
			Body: answer.APIKey{}},
		{Op: remove, Access: edge.Bearer, Scope: access.Admin, Handle: h.remove},
		{Op: audit, Access: edge.Bearer, Scope: access.Admin, Handle: h.audit, Body: httpapi.AuditList{}},
	}
}

type keepBody struct {
	Keep string `json:"keep,omitempty" doc:"how long the secret before stays good, a duration up to 720h; none = it ends now"`
}

// oneKey are the parameters of a route that needs nothing but the key.
var oneKey = edge.Params[string]{{Name: "id", In: edge.Path, Doc: "the key's id", Schema: plainText(),
	Read: func(to *string, text string) error {
		if *to = text; !access.ValidID(text) {
			return errors.New("expected a key's id: 12 letters and digits")
		}
		return nil
	}}}

func (h Keys) actor(a *edge.Answer) store.Actor {
	return store.Actor{Who: a.Who, Address: a.ClientText(), Log: h.Log}
}

// accessError words what went wrong with keys and tokens.
func accessError(err error) error {
	var invalid *access.InvalidError
	switch {
	case errors.As(err, &invalid):
		return httpapi.InvalidAt(invalid.Pointer, invalid.Detail)
	case errors.Is(err, access.ErrBeyond):
		return httpapi.NewError(httpapi.Forbidden,
			err.Error()+" may not be more than who makes or changes it has")
	case errors.Is(err, store.ErrNotFound):
		return httpapi.NewError(httpapi.NotFound, "there is no such key")
	case errors.Is(err, store.ErrFull):
		return httpapi.NewError(httpapi.Conflict,
			"there are as many as are kept: delete keys, or revoke a key instead of its tokens")
	}
	return err
}

func (h Keys) list(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	keys, err := h.Store.List(r.Context(), h.actor(a))
	if err != nil {
		return err
	}
	list := httpapi.KeyList{Keys: make([]answer.APIKey, len(keys))}
	for i, k := range keys {
		list.Keys[i] = store.KeyInfo(k.Key, k.Used)
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

func (h Keys) create(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	var body answer.NewKey
	if err := edge.DecodeJSON(a.JSON, &body); err != nil {
		return err
	}
	if a.Who.Kind == access.KindOpen { // it would be good once the installation is closed
		return httpapi.NewError(httpapi.Forbidden,
			"an open installation makes no keys: set LONGSHORE_TOKEN, or use enqueue keys at REDIS_URL")
	}
	k, err := store.KeyOf(body)
	if err != nil {
		return accessError(err)
	}
	k, secret, err := h.Store.Issue(r.Context(), h.actor(a), k)
	if err != nil {
		return accessError(err)
	}
	info := store.KeyInfo(k, time.Time{})
	info.Key = secret
	edge.WriteJSON(a, http.StatusCreated, info)
	return nil
}

func (h Keys) rotate(a *edge.Answer, r *http.Request) error {
	var id string
	if err := oneKey.Read(r, &id); err != nil {
		return err
	}
	var body keepBody
	if err := edge.OptionalJSON(a, &body); err != nil {
		return err
	}
	keep := time.Duration(0)
	if body.Keep != "" {
		var err error
		if keep, err = httpapi.ParseDuration(body.Keep); err != nil {
			return httpapi.InvalidAt("/keep", err.Error())
		}
	}
	k, secret, err := h.Store.Rotate(r.Context(), h.actor(a), id, keep)
	if err != nil {
		return accessError(err)
	}
	info := store.KeyInfo(k, time.Time{})
	info.Key = secret
	edge.WriteJSON(a, http.StatusOK, info)
	return nil
}

func (h Keys) remove(a *edge.Answer, r *http.Request) error {
	var id string
	if err := oneKey.Read(r, &id); err != nil {
		return err
	}
	if err := h.Store.Remove(r.Context(), h.actor(a), id); err != nil {
		return accessError(err)
	}
	a.WriteHeader(http.StatusNoContent)
	return nil
}

// An auditing is what is asked of the audit log.
type auditing struct {
	refused bool
	before  string
	limit   int64
}

var auditParams = edge.Params[auditing]{
	edge.OneOf(edge.Param[auditing]{Name: "kind", In: edge.Query,
		Doc: "what was done, which is the default, or who was refused"},
		[]string{"done", "refused"}, func(to *auditing, text string) { to.refused = text == "refused" }),
	{Name: "before", In: edge.Query, Doc: "id of the last entry of the page before", Schema: plainText(),
		Read: func(to *auditing, text string) error {
			to.before = text
			if !access.ValidEntryID(text) {
				return errors.New("expected an entry's id")
			}
			return nil
		}},
	edge.Whole(edge.Param[auditing]{Name: "limit", In: edge.Query, Doc: "entries in a page; 100 by default"},
		1, maxPage, func(to *auditing, n int64) { to.limit = n }),
}

func (h Keys) audit(a *edge.Answer, r *http.Request) error {
	what := auditing{limit: defaultPage}
	if err := auditParams.Read(r, &what); err != nil {
		return err
	}
	entries, err := h.Store.Audit(r.Context(), what.refused, a.Who.Tenant, what.before, int(what.limit))
	if err != nil {
		return err
	}
	list := httpapi.AuditList{Entries: make([]answer.AuditEntry, len(entries))}
	for i, e := range entries {
		list.Entries[i] = answer.AuditEntry{ID: e.ID, Time: e.Time, Actor: e.Actor, Kind: string(e.Kind),
			Tenant: e.Tenant, Address: e.Address, Action: e.Action, Target: e.Target, Count: e.Count}
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}
