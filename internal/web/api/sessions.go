package api

import (
	"context"
	"errors"
	"net/http"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/access/people"
	"longshore/internal/access/store"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// Persons know people's sessions. people.People implements it.
type Persons interface {
	Account(ctx context.Context, s *access.Session) (*access.User, error)
	Sessions(ctx context.Context, u *access.User) ([]access.Session, error)
	Logout(ctx context.Context, c people.Client, who *access.Session, id string) error
}

// Sessions serves people's own sessions. What calls by a key has none.
type Sessions struct {
	People Persons // nil = nobody logs in
}

// Routes are what it serves.
func (h Sessions) Routes() []edge.Route {
	end := edge.At("DELETE", httpapi.PathSessions+"/{id}", "end-session", "End a session of one's own")
	end.DefaultStatus, end.Parameters = http.StatusNoContent, oneSession.Describe()
	return []edge.Route{
		{Op: edge.At("GET", httpapi.PathSessions, "list-sessions", "List one's own sessions, the newest first"),
			Access: edge.Bearer, Scope: access.Known, Handle: h.list, Body: httpapi.SessionList{}},
		{Op: end, Access: edge.Bearer, Scope: access.Known, Handle: h.end},
	}
}

// maxSessionID is longer than any that there is.
const maxSessionID = 64

var oneSession = edge.Params[string]{{Name: "id", In: edge.Path, Doc: "the session's id", Schema: plainText(),
	Read: func(to *string, text string) error {
		if *to = text; text == "" || len(text) > maxSessionID {
			return errors.New("expected a session's id")
		}
		return nil
	}}}

func (h Sessions) list(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	all, err := h.own(a, r)
	if err != nil {
		return err
	}
	list := httpapi.SessionList{Sessions: []answer.Session{}}
	for _, s := range all {
		list.Sessions = append(list.Sessions, answer.Session{ID: s.ID, CreatedAt: s.Created,
			ProvedAt: s.Proved, ExpiresAt: s.Ends, How: s.How, Address: s.Address, Agent: s.Agent,
			Current: s.ID == a.Who.Session.ID})
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

// own are the sessions of who asks.
func (h Sessions) own(a *edge.Answer, r *http.Request) ([]access.Session, error) {
	if h.People == nil || a.Who == nil || a.Who.Session == nil {
		return nil, nil
	}
	u, err := h.People.Account(r.Context(), a.Who.Session)
	if errors.Is(err, store.ErrNoUser) {
		return nil, nil // removed just now
	}
	if err != nil {
		return nil, err
	}
	return h.People.Sessions(r.Context(), u)
}

func (h Sessions) end(a *edge.Answer, r *http.Request) error {
	var id string
	if err := oneSession.Read(r, &id); err != nil {
		return err
	}
	all, err := h.own(a, r)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.ID != id {
			continue
		}
		by := people.Client{Address: a.ClientText(), Agent: r.UserAgent()}
		if err := h.People.Logout(r.Context(), by, a.Who.Session, id); err != nil {
			return err
		}
		a.WriteHeader(http.StatusNoContent)
		return nil
	}
	return httpapi.NewError(httpapi.NotFound, "there is no such session")
}
