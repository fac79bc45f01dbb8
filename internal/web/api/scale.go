package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"net/http"
	"slices"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// Scaling answers autoscalers.
type Scaling struct {
	Scale func(context.Context) (httpapi.Scale, error) // nil: none is answered
	Token string                                       // of HireFire; "" = it isn't answered
	// Latency: HireFire is told seconds, not workers.
	Latency bool
}

// A HireFireValue is one process type's, in HireFire's words.
type HireFireValue struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// Routes are what it serves.
func (h Scaling) Routes() (routes []edge.Route) {
	if h.Scale == nil {
		return nil
	}
	routes = []edge.Route{{Op: edge.At("GET", httpapi.PathScale, "scale", "How many workers are wanted"),
		Access: edge.Bearer, Scope: access.Numbers, Wide: true, Probe: true, Handle: h.scale,
		Body: httpapi.Scale{}}}
	if h.Token != "" {
		// Its token is its own, so the table of who may what says nobody's.
		byPath, byHeader := edge.At("GET", httpapi.PathHireFire+"/{token}/info", "hirefire-by-path",
			"The same for HireFire"),
			edge.At("GET", httpapi.PathHireFire, "hirefire",
				"The same for HireFire, with its token in HireFire-Token")
		routes = append(routes, edge.Route{Op: byPath, Access: edge.Public, Probe: true,
			Body: []HireFireValue{},
			Handle: func(a *edge.Answer, r *http.Request) error {
				return h.hireFire(a, r, r.PathValue("token"))
			}},
			edge.Route{Op: byHeader, Access: edge.Public, Probe: true, Body: []HireFireValue{},
				Handle: func(a *edge.Answer, r *http.Request) error {
					return h.hireFire(a, r, r.Header.Get("HireFire-Token"))
				}})
	}
	return routes
}

func (h Scaling) scale(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	s, err := h.Scale(r.Context())
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, s)
	return nil
}

func (h Scaling) hireFire(a *edge.Answer, r *http.Request, token string) error {
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(h.Token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return httpapi.NewError(httpapi.NotFound,
			"there is nothing at this path; /openapi.json lists what there is")
	}
	s, err := h.Scale(r.Context())
	if err != nil {
		return err
	}
	value := func(name string, l httpapi.LaneScale) HireFireValue {
		if h.Latency {
			return HireFireValue{Name: name, Value: (l.AgeMS + 999) / 1000}
		}
		return HireFireValue{Name: name, Value: int64(l.Wanted)}
	}
	values := []HireFireValue{value("worker", s.All)}
	for _, name := range slices.Sorted(maps.Keys(s.Queues)) {
		values = append(values, value("worker-"+name, s.Queues[name]))
	}
	edge.WriteJSON(a, http.StatusOK, values)
	return nil
}
