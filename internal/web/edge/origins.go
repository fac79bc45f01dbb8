package edge

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"longshore/internal/httpapi"
)

// origins is the list of web origins whose pages may use the API. It feeds the
// CORS headers, by which a browser lets a page read our answers, and the check
// against forged requests, by which we don't do what a foreign page wants.
type origins struct {
	allowed []string
	any     bool // all may: who asks shows it by a credential that a page must have been given
	forgery *http.CrossOriginProtection
}

// anyOrigin is the one that stands for all.
const anyOrigin = "*"

func newOrigins(allowed []string, open bool) (*origins, error) {
	o := &origins{allowed: allowed, forgery: http.NewCrossOriginProtection()}
	if slices.Contains(allowed, anyOrigin) {
		if open || len(allowed) > 1 {
			return nil, errors.New(
				`CORS origin "*" must be alone, and needs LONGSHORE_TOKEN or ACCESS_SECRET`)
		}
		o.any = true
		return o, nil
	}
	for _, origin := range allowed {
		if err := o.forgery.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("CORS origin %q: %w", origin, err)
		}
	}
	return o, nil
}

const (
	corsMethods = "GET, HEAD, POST, PATCH, DELETE"
	corsSend    = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Longshore-Job, " +
		"Longshore-Tenant, Prefer, Range, Traceparent, Tracestate, Tus-Resumable, Upload-Length, Upload-Metadata, " +
		"Upload-Offset, X-HTTP-Method-Override, X-Request-ID, X-Requested-With"
	corsRead = "Content-Digest, Content-Disposition, Content-Range, ETag, Location, Longshore-Existing, " +
		"Longshore-Job, Longshore-Wait, Preference-Applied, RateLimit, RateLimit-Policy, Repr-Digest, Retry-After, " +
		"Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset"
)

// check refuses a request that a page of a foreign origin made, and sets the
// CORS headers for one that is allowed.
func (o *origins) check(w http.ResponseWriter, r *http.Request) error {
	if o.any {
		w.Header().Set("Access-Control-Allow-Origin", anyOrigin)
		w.Header().Set("Access-Control-Expose-Headers", corsRead)
		return nil
	}
	if len(o.allowed) > 0 {
		w.Header().Add("Vary", "Origin")
	}
	if origin := r.Header.Get("Origin"); slices.Contains(o.allowed, origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", corsRead)
	}
	if err := o.forgery.Check(r); err != nil {
		return httpapi.NewError(httpapi.Forbidden, "a page of this origin may not do this; see CORS_ORIGINS").
			Wrap(err)
	}
	return nil
}

// checkSocket refuses a WebSocket that a page of a foreign origin opens:
// browsers ask nobody before they open one, and read it.
func (o *origins) checkSocket(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || o.any || slices.Contains(o.allowed, origin) {
		return nil
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && sameHost(u, r.Host) {
		return nil
	}
	return httpapi.NewError(httpapi.Forbidden, "a page of this origin may not do this; see CORS_ORIGINS")
}

// sameHost reports whether a page's origin is the host that was asked, however
// either is written.
func sameHost(origin *url.URL, asked string) bool {
	usual := map[string]string{"http": "80", "https": "443"}[origin.Scheme]
	host, port := splitHost(origin.Host)
	askedHost, askedPort := splitHost(asked)
	return host == askedHost && cmp.Or(port, usual) == cmp.Or(askedPort, usual)
}

// preflight answers a browser's question before a request, if it is one of an
// allowed origin.
func (o *origins) preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" ||
		!o.any && !slices.Contains(o.allowed, r.Header.Get("Origin")) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", corsMethods)
	w.Header().Set("Access-Control-Allow-Headers", corsSend)
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
