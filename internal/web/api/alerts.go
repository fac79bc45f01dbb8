package api

import (
	"context"
	"net/http"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// Alerter knows what is wrong, and who is told. alerts.Desk implements it.
type Alerter interface {
	List(ctx context.Context) (answer.AlertList, error)
	Test(ctx context.Context) (answer.AlertTest, error)
}

// Alerts serves what is wrong with the installation.
type Alerts struct {
	Desk Alerter // nil = nothing of it is served
}

// Routes are what it serves.
func (h Alerts) Routes() []edge.Route {
	if h.Desk == nil {
		return nil
	}
	list := edge.At("GET", httpapi.PathAlerts, "list-alerts", "What is wrong now, what was, and who is told")
	test := edge.At("POST", httpapi.PathAlerts+"/test", "test-alerts",
		"Send a message to each receiver of alerts, and tell what became of it, within 25 s")
	return []edge.Route{
		{Op: list, Access: edge.Bearer, Scope: access.Numbers, Wide: true, Handle: h.list,
			Body: answer.AlertList{}},
		{Op: test, Access: edge.Bearer, Scope: access.Operate, Wide: true, Handle: h.test,
			Body: answer.AlertTest{}},
	}
}

func (h Alerts) list(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	list, err := h.Desk.List(r.Context())
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

func (h Alerts) test(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	tested, err := h.Desk.Test(r.Context())
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, tested)
	return nil
}
