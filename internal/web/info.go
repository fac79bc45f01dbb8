package web

import (
	"context"
	"net/http"
	"time"

	"longshore/internal/httpapi"
	"longshore/tasks"
)

type typesOutput struct{ Body httpapi.TypeList }

func (s *Server) listTypes(context.Context, *struct{}) (*typesOutput, error) {
	out := &typesOutput{Body: httpapi.TypeList{Types: []httpapi.TypeInfo{}}}
	for _, i := range s.Catalog.All() {
		out.Body.Types = append(out.Body.Types, typeInfo(i))
	}
	for _, r := range s.Catalog.Refused() {
		out.Body.Refused = append(out.Body.Refused, httpapi.RefusedType{Type: r.Type, Reason: r.Reason})
	}
	return out, nil
}

func typeInfo(i tasks.Info) httpapi.TypeInfo {
	return httpapi.TypeInfo{Type: i.Type, Doc: i.Doc, Lane: i.Lane, TimeoutMS: i.TimeoutMS, MaxAttempts: i.MaxAttempts,
		Input: string(i.Input), ForbidOverlap: i.ForbidOverlap, Schema: i.Schema}
}

type queuesOutput struct{ Body httpapi.QueueList }

func (s *Server) listQueues(ctx context.Context, _ *struct{}) (*queuesOutput, error) {
	queues, err := s.Queues(ctx)
	if err != nil {
		return nil, err
	}
	workers, err := s.Workers(ctx)
	if err != nil {
		return nil, err
	}
	return &queuesOutput{Body: httpapi.QueueList{Queues: append([]httpapi.QueueInfo{}, queues...),
		Workers: append([]httpapi.WorkerInfo{}, workers...)}}, nil
}

type statusOutput struct{ Body httpapi.Status }

func (s *Server) health(context.Context, *struct{}) (*statusOutput, error) {
	return &statusOutput{httpapi.Status{Status: "ok"}}, nil
}

// readyTimeout is how long the job store may take to say that it is there.
const readyTimeout = 2 * time.Second

// ready is red while the job store is out of reach, and while the server stops,
// so that a load balancer looks elsewhere.
func (s *Server) ready(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	if s.stopping.Err() != nil {
		return nil, unavailable("the server is stopping", time.Second)
	}
	limited, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := s.Ready(limited); err != nil {
		return nil, unavailable("the job store can't be reached", time.Second).Wrap(err)
	}
	return s.health(ctx, nil)
}

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", httpapi.TypeJSON)
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(s.openapi) // an error here is the client's going
	return nil
}
