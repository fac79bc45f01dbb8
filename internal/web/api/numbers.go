package api

import (
	"context"
	"net/http"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

// An Exposition returns metrics in the format that an Accept header asks for, and their
// Content-Type.
type Exposition func(ctx context.Context, accept string) (text []byte, kind string, err error)

// Numbers serves metrics.
type Numbers struct{ Process, Installation Exposition }

// Routes are what it serves.
func (h Numbers) Routes() (routes []edge.Route) {
	for _, r := range []struct {
		path, name, summary string
		text                Exposition
	}{
		{httpapi.PathMetrics, "metrics", "Metrics of this process, for Prometheus", h.Process},
		{httpapi.PathInstallation, "installation-metrics",
			"Metrics of the whole installation, for Prometheus: ask one web process only", h.Installation},
	} {
		if r.text != nil {
			routes = append(routes, edge.Route{Op: edge.At("GET", r.path, r.name, r.summary),
				Access: edge.Bearer,
				Scope:  access.Numbers, Wide: true, Probe: true, Handle: r.text.serve})
		}
	}
	return routes
}

func (x Exposition) serve(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	text, kind, err := x(r.Context(), r.Header.Get("Accept"))
	if err != nil {
		return err
	}
	a.Header().Set("Content-Type", kind)
	_, err = a.Write(text)
	return err
}
