package edge

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
)

// A Gate knows who sends a credential. gate.Gate implements it; its errors are those of
// package access.
type Gate interface {
	Open() bool // who sends none is let in
	Identify(ctx context.Context, credential string) (*access.Principal, error)
	// Late is Identify for what may go on this long after its credential's end.
	Late(ctx context.Context, credential string, late time.Duration) (*access.Principal, error)
	Spend(ctx context.Context, who *access.Principal) access.Quota
	// Refused notes who was refused, and what he wanted.
	Refused(e access.Entry)
}

// rootOnly is the gate where there is no other: it knows the installation's token.
type rootOnly struct{ token access.Token }

func (g rootOnly) Open() bool { return !g.token.IsSet() }

func (g rootOnly) Identify(_ context.Context, credential string) (*access.Principal, error) {
	if g.token.Is(credential) {
		return access.Root, nil
	}
	return nil, access.ErrUnknown
}

func (g rootOnly) Late(ctx context.Context, credential string, _ time.Duration) (*access.Principal, error) {
	return g.Identify(ctx, credential)
}

func (rootOnly) Spend(context.Context, *access.Principal) access.Quota { return access.Quota{} }
func (rootOnly) Refused(access.Entry)                                  {}

// A guard knows who may use the routes that are not public.
type guard struct {
	gate     Gate
	open     bool            // who sends no credential is let in, if he is near
	failures access.Failures // wrong credentials
	people   people
	log      *slog.Logger
}

func newGuard(c Config) *guard {
	g := c.Gate
	if g == nil {
		g = rootOnly{access.NewToken(c.Token)}
	}
	guard := &guard{gate: g, open: g.Open(), log: c.Log}
	if s, ok := g.(Sessioner); ok && !guard.open {
		guard.people = people{c.Public, s}
	}
	return guard
}

// check finds out who asks, and refuses who may not use a route: first who is nobody,
// then who may not, and at last whom a record isn't for.
func (g *guard) check(rt *Route, a *Answer, r *http.Request) error {
	credential, err := credentialOf(rt, r, g.open)
	if err != nil {
		return err
	}
	if credential.inQuery {
		a.shown = credential.text
	}
	if g.open && !r.ProtoAtLeast(1, 1) { // nginx says nothing else of itself where it isn't told to
		return httpapi.NewError(httpapi.Forbidden, "HTTP/1.0 is how some proxies pass requests on; "+
			needsToken)
	}
	if g.open && !access.LooksLikeKey(credential.text) && !access.LooksLikeToken(credential.text) {
		a.Who = access.Open
		return a.about(r)
	}
	if !credential.sent {
		if a.Who, err = g.people.session(rt, r); err != nil {
			return unauthorized(err)
		}
	}
	if a.Who == nil {
		if a.Who, err = g.identify(rt, r, credential); err != nil {
			return g.refuse(rt, a, r, credential, err)
		}
	}
	if err := g.spend(rt, a, r); err != nil {
		return err
	}
	if err := g.allow(rt, a, r); err != nil {
		return err
	}
	return a.about(r)
}

// about reads which tenant a request is about: who has the whole installation may say.
func (a *Answer) about(r *http.Request) error {
	names, said := r.Header[httpapi.HeaderTenant]
	if !said {
		return nil
	}
	if len(names) > 1 {
		return httpapi.InvalidAt("/headers/"+httpapi.HeaderTenant, "given more than once")
	}
	return a.ForTenant(names[0], "/headers/"+httpapi.HeaderTenant)
}

// ForTenant has a request be about one tenant, whose name stands at a pointer.
func (a *Answer) ForTenant(name, pointer string) error {
	switch {
	case !access.ValidTenant(name):
		return httpapi.InvalidAt(pointer, "expected a tenant's name")
	case a.tenant != "" && a.tenant != name:
		return httpapi.InvalidAt(pointer, "two tenants are named")
	case a.Who.Tenant == access.Installation:
		a.tenant = name
	case a.Who.Tenant != name:
		return httpapi.NewError(httpapi.Forbidden, "the key or token is for another tenant")
	}
	return nil
}

// identify finds out who sends a credential.
func (g *guard) identify(rt *Route, r *http.Request, c credential) (*access.Principal, error) {
	if c.text == "" {
		return nil, access.ErrUnknown
	}
	find := g.gate.Identify
	if rt.Late > 0 {
		find = func(ctx context.Context, text string) (*access.Principal, error) {
			return g.gate.Late(ctx, text, rt.Late)
		}
	}
	who, err := find(r.Context(), c.text)
	if err == nil && c.inQuery && who.Kind != access.KindToken {
		return nil, access.ErrUnknown // a key in an address is a key in a log
	}
	return who, err
}

// refuse words why a credential is none.
func (g *guard) refuse(rt *Route, a *Answer, r *http.Request, c credential, err error) error {
	if errors.Is(err, access.ErrUnknown) && c.sent {
		if wait := g.noteFailure(rt, a, r); wait > 0 {
			challenge(a, "invalid_token")
			return httpapi.NewError(httpapi.RateLimited,
				"the token is wrong, as others were that came from this address").
				WithRetryAfter(wait)
		}
	}
	if !c.sent {
		challenge(a, "")
		return unauthorized(err)
	}
	return unauthorized(err)
}

// challenge says in what form a credential is wanted (RFC 6750, section 3).
func challenge(a *Answer, code string) {
	text := `Bearer realm="longshore"`
	if code != "" {
		text += `, error="` + code + `"`
	}
	a.Header().Set("WWW-Authenticate", text)
}

// unauthorized words why a credential is none.
func unauthorized(err error) error {
	switch {
	case errors.Is(err, access.ErrUnread):
		return httpapi.NewError(httpapi.Unavailable, "who you are can't be told for the moment, try again").
			WithRetryAfter(2 * time.Second).Wrap(err)
	case errors.Is(err, access.ErrExpired):
		return httpapi.NewError(httpapi.TokenExpired, "the token or key was right, and has expired")
	case errors.Is(err, access.ErrNoTenant):
		return httpapi.NewError(httpapi.Forbidden,
			"the token doesn't say for whom: it lacks the tenant's claim")
	case errors.Is(err, access.ErrUnknown), errors.Is(err, access.ErrRevoked):
		return httpapi.NewError(httpapi.Unauthorized,
			"expected a token or an API key as Authorization: Bearer")
	}
	return err
}

// Ended is the refusal of a request that waited by a credential that is none any more;
// nil while it is one.
func (a *Answer) Ended() error {
	if err := a.Who.Err(); err != nil {
		return unauthorized(err)
	}
	return nil
}

// spend counts a request of a principal with a rate. A client of tus gives up for good at
// 429, so there it is 503.
func (g *guard) spend(rt *Route, a *Answer, r *http.Request) error {
	q := g.gate.Spend(r.Context(), a.Who)
	if (q.Rate == access.Rate{}) {
		return nil
	}
	header, window := a.Header(), seconds(q.Rate.Per)
	header.Set("RateLimit-Policy", fmt.Sprintf(`"key";q=%d;w=%d`, q.Rate.N, window))
	header.Set("RateLimit", fmt.Sprintf(`"key";r=%d;t=%d`, q.Left, seconds(q.Reset)))
	if q.Wait <= 0 {
		return nil
	}
	refused := httpapi.NewError(httpapi.RateLimited, "the key's rate is used up").WithRetryAfter(q.Wait)
	if strings.HasPrefix(rt.Op.Path, httpapi.PathUploads) {
		refused = refused.WithStatus(http.StatusServiceUnavailable)
	}
	return refused
}

func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// allow refuses what this principal may not.
func (g *guard) allow(rt *Route, a *Answer, r *http.Request) error {
	who := a.Who
	if !who.May(rt.Scope, rt.Wide) || rt.Whole && who.Grant != nil {
		g.noteRefusal(rt, a)
		if rt.Scope.Names() != nil {
			challenge(a, `insufficient_scope", scope="`+rt.Scope.String())
		}
		detail := "this needs scope " + rt.Scope.String()
		switch {
		case rt.Scope == access.Known || rt.Whole && who.Grant != nil:
			detail = "a page's token may not do this"
		case rt.Wide && who.Scopes.Full().Has(rt.Scope):
			detail += " in tenant *"
		}
		return httpapi.NewError(httpapi.Forbidden, detail)
	}
	if grant := who.Grant; grant != nil && grant.Origin != "" {
		if origin := r.Header.Get("Origin"); origin != "" && origin != grant.Origin {
			g.noteRefusal(rt, a)
			return httpapi.NewError(httpapi.Forbidden, "the token is for pages of another origin")
		}
	}
	if err := rt.stale(who, r.Method); err != nil {
		return err
	}
	id := r.PathValue("id")
	// an upload is its maker's alone
	if rt.Job && !who.Sees(id) || rt.Late > 0 && who.Grant != nil && !who.Draws(id) {
		return httpapi.NoSuchJob()
	}
	return nil
}

func (g *guard) noteRefusal(rt *Route, a *Answer) {
	g.gate.Refused(access.Entry{Time: time.Now().UTC(), Actor: a.Who.ID, Kind: a.Who.Kind,
		Tenant:  a.Who.Tenant,
		Address: a.ClientText(), Action: rt.Op.OperationID})
}

// noteFailure counts a wrong token, and logs the event: the address, never what
// was sent. It returns how long the address should wait, 0 = it may try again.
func (g *guard) noteFailure(rt *Route, a *Answer, r *http.Request) time.Duration {
	f := g.failures.Note(clientPrefix(a.Client), time.Now())
	g.gate.Refused(access.Entry{Time: time.Now().UTC(), Actor: "unknown", Tenant: access.Installation,
		Address: a.ClientText(), Action: "authenticate"})
	if f.Tell > 0 {
		g.log.LogAttrs(r.Context(), slog.LevelWarn, "authentication failed",
			slog.String("client", addressText(a.Client)), slog.String("method", r.Method),
			slog.String("route", rt.Op.Path), slog.Int("count", f.Tell))
	}
	return f.Wait
}

// A credential is what a client shows. Text is empty where it is none that we take.
type credential struct {
	text    string
	sent    bool // there was something
	inQuery bool
}

// queryToken is the parameter in which a page's token may come where a script can set no
// header: an <img>, a download, EventSource.
const queryToken = "access_token"

// credentialOf returns the one credential of a request, and takes it out of the query.
// Two are refused: which of them counts, somebody would guess wrong.
func credentialOf(rt *Route, r *http.Request, open bool) (c credential, err error) {
	var found []string
	for _, header := range r.Header.Values("Authorization") {
		c.sent = c.sent || header != ""
		if token, ok := access.Bearer(header); ok {
			found = append(found, token)
		}
	}
	if rt.Access == Socket {
		tokens := protocolTokens(r)
		c.sent = c.sent || tokens != nil
		found = append(found, tokens...)
	}
	if strings.Contains(r.URL.RawQuery, queryToken) {
		if query := r.URL.Query(); query.Has(queryToken) &&
			(!open || access.LooksLikeToken(query.Get(queryToken))) {
			if !rt.readable(r.Method) {
				return c, httpapi.InvalidAt("?"+queryToken,
					"a token goes into the address only to read a job").
					WithStatus(http.StatusBadRequest)
			}
			found, c.sent, c.inQuery = append(found, query[queryToken]...), true, true
			r.URL.RawQuery = without(query)
		}
	}
	if rt.InForm {
		tokens := formTokens(r)
		found, c.sent, c.inQuery = append(found, tokens...), c.sent || tokens != nil, tokens != nil
	}
	if len(found) > 1 {
		return c, httpapi.NewError(httpapi.Invalid, "there is more than one credential").
			WithStatus(http.StatusBadRequest)
	}
	if len(found) == 1 {
		c.text = found[0]
	}
	return c, nil
}

// readable reports whether a page's token in the address is taken.
func (rt *Route) readable(method string) bool {
	return (rt.Scope == access.JobsRead || rt.InAddress) &&
		(method == http.MethodGet || method == http.MethodHead)
}

// maxForm bounds a form that holds a token, in bytes.
const maxForm = 16 << 10

// formTokens are those in a form's fields.
func formTokens(r *http.Request) []string {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil || len(text) > maxForm {
		return nil
	}
	fields, _ := url.ParseQuery(string(text)) // what can't be read has none
	return fields[queryToken]
}

func without(query url.Values) string {
	query.Del(queryToken)
	return query.Encode()
}

// tokenProtocol begins a subprotocol that is none: it carries the bearer token in
// base64url without padding, for scripts in browsers, which can set no header. A token
// in the address would end up in logs. It is never chosen, so never sent back.
const tokenProtocol = "longshore.bearer."

// protocolTokens returns the tokens that a client offers as subprotocols.
func protocolTokens(r *http.Request) (tokens []string) {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if coded, ok := strings.CutPrefix(strings.TrimSpace(name), tokenProtocol); ok {
				token, _ := base64.RawURLEncoding.DecodeString(coded) // what is none fits nothing
				tokens = append(tokens, string(token))
			}
		}
	}
	return tokens
}

const needsToken = "requests that come through a proxy are served only with LONGSHORE_TOKEN set"

// checkNear refuses what does not come from this machine's own user. Without a
// token the loopback address is the fence. A page whose host name was made to point
// there would be inside it, but for its Host header; and the whole world, through
// a proxy on this machine.
func (g *guard) checkNear(r *http.Request) error {
	if !g.open {
		return nil
	}
	if !loopback(r.Host) {
		return httpapi.NewError(httpapi.Forbidden,
			"without LONGSHORE_TOKEN only requests to a loopback host are served")
	}
	for name := range r.Header {
		if proxied(name) {
			return httpapi.NewError(httpapi.Forbidden, fmt.Sprintf("%s: %s", name, needsToken))
		}
	}
	return nil
}

// proxied reports whether a header's name, in canonical form, is one that proxies add.
func proxied(name string) bool {
	switch name {
	case "Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cdn-Loop",
		"Cf-Connecting-Ip", "Fastly-Client-Ip", "Fly-Client-Ip", "X-Azure-Clientip",
		"X-Envoy-External-Address", "X-Request-Start":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded") || strings.HasPrefix(name, "X-Original-F") ||
		strings.HasPrefix(name, "X-Proxyuser")
}

// loopback reports whether a Host is this machine by any name that means itself.
func loopback(host string) bool {
	host, _ = splitHost(host)
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// splitHost returns what a Host header names, in lower case, without brackets and the
// dot that may end a name, and its port.
func splitHost(text string) (host, port string) {
	host = text
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	}
	host = strings.TrimPrefix(strings.TrimSuffix(host, "]"), "[")
	return strings.ToLower(strings.TrimSuffix(host, ".")), port
}
