package push

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

var lastEventID = &huma.Param{Name: httpapi.HeaderLastEventID, In: "header",
	Schema: &huma.Schema{Type: huma.TypeString},
	Description: "the cursor of the last event received; EventSource sends it by itself. Libraries that can't " +
		"set it may send it as the parameter lastEventId"}

func eventsOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: httpapi.PathJobs + "/{id}/events", OperationID: "job-events",
		Summary: "A job's changes as Server-Sent Events",
		Description: "Each event `state` is the job's newest snapshot; its id is rev, the cursor. A client that " +
			"reads slowly misses what lies between, never the newest. The stream ends after the job's end; coming " +
			"back after that gets 204. Event `missing`: the job is gone.",
		Parameters: []*huma.Param{
			edge.IDParam(),
			{Name: "after", In: "query", Description: "the revision that the client knows",
				Schema: &huma.Schema{Type: huma.TypeInteger}},
			lastEventID,
		},
		Responses: eventResponses(),
	}
}

func manyEventsOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: httpapi.PathEvents, OperationID: "events",
		Summary: "The changes of several jobs as Server-Sent Events",
		Description: "As for one job. An event's id has the form of the parameter, with what the client has been " +
			"told of all jobs.",
		Parameters: []*huma.Param{
			{Name: "id", In: "query", Required: true, Schema: &huma.Schema{Type: huma.TypeString},
				Description: "the jobs, each with the revision that the client knows: A.3,B.0; at most 100"},
			lastEventID,
		},
		Responses: eventResponses(),
	}
}

func eventResponses() map[string]*huma.Response {
	return map[string]*huma.Response{
		"200": {Description: "The stream. With Retry-After it ends at once, since too many wait.",
			Content: map[string]*huma.MediaType{
				httpapi.TypeEvents: {Schema: &huma.Schema{Type: huma.TypeString}}}},
		"204":     {Description: "The client knows the end already."},
		"default": edge.ProblemResponse(),
	}
}

func socketOperation() huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: httpapi.PathSocket, OperationID: "socket",
		Summary: "The changes of up to 1000 jobs over a WebSocket",
		Description: `Subprotocol longshore.v1; messages are JSON texts of at most 64 KiB. The client sends ` +
			`{"type":"subscribe","jobs":[{"id":"…","after":3}]} and {"type":"unsubscribe","jobs":[{"id":"…"}]}; ` +
			`it gets {"type":"state","job":{…}} with the newest snapshot, {"type":"end","id":"…","rev":7} after a job's ` +
			`end, and {"type":"error","id":"…","code":"not_found","detail":"…"}. A script in a browser sends the token ` +
			`as a further subprotocol, longshore.bearer. and the token in base64url without padding. Close codes: ` +
			`1001 the server stops, 4401 the token counts no more, 1013 too many wait, 1009 a message over the limit, 1003 a binary message.`,
		Responses: map[string]*huma.Response{
			"101":     {Description: "The connection is a WebSocket now."},
			"default": edge.ProblemResponse(),
		},
	}
}
