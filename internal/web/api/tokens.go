package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/httpapi"
	"longshore/internal/strictjson"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Minter makes pages' tokens. token.Own implements it.
type Minter interface {
	Mint(ctx context.Context, p *access.Principal) (string, error)
}

// Tokens serves tokens for pages in browsers.
type Tokens struct {
	Minter  Minter
	Store   KeyStore
	Records Records
	Log     *slog.Logger
}

// Routes are what it serves.
func (h Tokens) Routes() []edge.Route {
	mint := edge.At("POST", httpapi.PathTokens, "create-token", "Make a token for a page in a browser")
	mint.DefaultStatus, mint.RequestBody = http.StatusCreated, edge.JSONBody[answer.NewToken]()
	revoke := edge.At("DELETE", httpapi.PathTokens+"/{id}", "revoke-token",
		"Have a page's token count no more")
	revoke.DefaultStatus, revoke.Parameters = http.StatusNoContent, oneToken.Describe()
	return []edge.Route{
		{Op: mint, Access: edge.Bearer, Scope: access.Known, JSON: true, Handle: h.mint,
			Body: answer.Token{}},
		{Op: revoke, Access: edge.Bearer, Scope: access.Known, Handle: h.revoke},
	}
}

var oneToken = edge.Params[string]{{Name: "id", In: edge.Path, Doc: "the token's id", Schema: plainText(),
	Read: func(to *string, text string) error {
		*to = text
		maker, own, ok := strings.Cut(text, ".")
		if len(text) <= 40 && (ok && access.ValidID(own) && maker != "" || !ok && len(text) == 17 &&
			text[0] == 'j') {
			return nil
		}
		return errors.New("expected a token's id, or a foreign subject's")
	}}}

func (h Tokens) revoke(a *edge.Answer, r *http.Request) error {
	var id string
	if err := oneToken.Read(r, &id); err != nil {
		return err
	}
	maker, _, own := strings.Cut(id, ".")
	if (maker != a.Who.ID || !own) && !a.Who.May(access.Admin, true) {
		return httpapi.NewError(httpapi.Forbidden,
			"only who made a token may revoke it, and admin in tenant *")
	}
	by := store.Actor{Who: a.Who, Address: a.ClientText(), Log: h.Log}
	if err := h.Store.RevokeToken(r.Context(), by, id); err != nil {
		return accessError(err)
	}
	a.WriteHeader(http.StatusNoContent)
	return nil
}

// Limits of a token.
const (
	usualTTL      = 15 * time.Minute
	maxTTL        = 24 * time.Hour
	mailTTL       = 30 * 24 * time.Hour // of one that only releases jobs: a person may take days to say yes
	maxTokenJobs  = 100
	maxTokenJSON  = 4 << 10 // bytes of its payload, and of its controls
	maxInputBytes = 1 << 60
	pagesMayHave  = access.JobsRead | access.JobsCancel | access.JobsLogs | access.JobsRelease
)

// mint makes a token. It has no more than who makes it.
func (h Tokens) mint(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	var body answer.NewToken
	if err := edge.DecodeJSON(a.JSON, &body); err != nil {
		return err
	}
	p, err := principalOf(a, body, time.Now())
	if err != nil {
		return accessError(err)
	}
	if err := h.seen(r.Context(), a.Who, seenBy(a, p), p.Grant.Jobs); err != nil {
		return err
	}
	text, err := h.Minter.Mint(r.Context(), p)
	if err != nil {
		return accessError(err)
	}
	made := answer.Token{Token: text, ID: p.ID, ExpiresAt: p.Expires}
	if p.Grant.Submit != nil {
		made.Job = p.Grant.Submit.Job
	}
	edge.WriteJSON(a, http.StatusCreated, made)
	return nil
}

// seen checks that jobs are there, and the maker's to see.
func (h Tokens) seen(ctx context.Context, who *access.Principal, by access.View, jobs []string) error {
	if len(jobs) == 0 {
		return nil
	}
	ids := make([]job.ID, len(jobs))
	for i, text := range jobs {
		var err error
		if ids[i], err = job.ParseID(text); err != nil {
			return httpapi.InvalidAt(fmt.Sprintf("/jobs/%d", i), err.Error())
		}
	}
	readings, err := h.Records.GetMany(ctx, by, ids)
	if err != nil {
		return err
	}
	for _, r := range readings {
		if errors.Is(r.Err, job.ErrStoreReset) {
			return r.Err
		}
		if errors.Is(r.Err, job.ErrNotFound) || !who.Sees(string(r.ID)) {
			return httpapi.InvalidAt(fmt.Sprintf("/jobs/%d", slices.Index(ids, r.ID)), "there is no such job")
		}
	}
	return nil
}

// seenBy is whose jobs a token may name: its tenant's, and of those its maker's.
func seenBy(a *edge.Answer, p *access.Principal) access.View {
	return access.View{Tenant: p.Tenant, Subject: a.View().Subject}
}

func invalidAt(pointer, detail string) error {
	return &access.InvalidError{Pointer: pointer, Detail: detail}
}

// principalOf is who has a token that is to be made.
func principalOf(a *edge.Answer, body answer.NewToken, now time.Time) (*access.Principal, error) {
	maker := a.Who
	if body.Submit == nil && len(body.Jobs) == 0 && body.Subject == "" {
		return nil, invalidAt("", "expected submit, jobs or subject: what the token is for")
	}
	if body.Subject != "" && (len(body.Jobs) > 0 || !access.ValidSubject(body.Subject)) {
		return nil, invalidAt("/subject",
			fmt.Sprintf("expected at most %d bytes that can be shown, and no jobs",
				access.MaxSubject))
	}
	if own := maker.View().Subject; own != "" && body.Subject != "" && body.Subject != own {
		return nil, fmt.Errorf("%w: its subject", access.ErrBeyond)
	}
	if len(body.Jobs) > maxTokenJobs {
		return nil, invalidAt("/jobs", fmt.Sprintf("expected at most %d", maxTokenJobs))
	}
	if !validOrigin(body.Origin) {
		return nil, invalidAt("/origin", "expected an origin, as https://app.example.com")
	}
	ttl := usualTTL
	if body.TTL != "" {
		most := maxTTL
		if body.Submit == nil && body.Subject == "" && slices.Equal(body.Scopes, []string{"jobs:release"}) {
			most = mailTTL
		}
		var err error
		if ttl, err = httpapi.ParseDuration(body.TTL); err != nil || ttl < time.Second || ttl > most {
			return nil, invalidAt("/ttl", "expected a duration from 1s to 24h, or to 720h for jobs:release alone")
		}
	}
	scopes, err := access.ParseScopes(body.Scopes)
	if err == nil && scopes&^pagesMayHave != 0 {
		err = fmt.Errorf("a page's token may have %v, and jobs:submit by submit", pagesMayHave)
	}
	if err != nil {
		return nil, invalidAt("/scopes", err.Error())
	}
	scopes |= access.JobsRead & maker.Scopes
	p := &access.Principal{Kind: access.KindToken, ID: maker.ID + "." + access.DrawID(),
		Rate: maker.Rate, Expires: now.Add(ttl).UTC().Truncate(time.Second),
		Grant: &access.Grant{Maker: maker.MakerName(), Origin: body.Origin, Jobs: body.Jobs,
			All: body.Subject != ""}}
	p.Subject = cmp.Or(body.Subject, maker.Subject)
	if body.Submit != nil || body.Subject != "" {
		p.Tenant = a.Tenant() // a page doesn't choose
	} else {
		p.Tenant = a.View().Tenant
	}
	if !maker.Expires.IsZero() && maker.Expires.Before(p.Expires) {
		p.Expires = maker.Expires.UTC().Truncate(time.Second)
	}
	if body.Submit != nil {
		scopes |= access.JobsSubmit
		if p.Grant.Submit, err = submitOf(maker, body.Submit, now); err != nil {
			return nil, err
		}
	}
	if beyond := scopes &^ maker.Scopes.Full(); beyond != 0 {
		return nil, fmt.Errorf("%w: %s", access.ErrBeyond, beyond)
	}
	p.Scopes = scopes
	return p, nil
}

// submitOf is what a page may submit.
func submitOf(maker *access.Principal, body *answer.SubmitGrant, now time.Time) (*access.Submit, error) {
	if len(body.Types) == 0 || len(body.Types) > access.MaxGlobs {
		return nil, invalidAt("/submit/types", fmt.Sprintf("expected 1 to %d types, or patterns of them",
			access.MaxGlobs))
	}
	for _, glob := range body.Types {
		if why := access.CheckGlob(glob); why != "" {
			return nil, invalidAt("/submit/types", why)
		}
	}
	if !maker.Covers(body.Types) {
		return nil, fmt.Errorf("%w: its types", access.ErrBeyond)
	}
	if body.MaxBytes < 1 || body.MaxBytes > maxInputBytes {
		return nil, invalidAt("/submit/max_bytes", "expected the most bytes that the input may have")
	}
	if len(body.Payload) > maxTokenJSON || len(body.With) > maxTokenJSON {
		return nil, invalidAt("/submit", fmt.Sprintf("expected at most %d bytes of payload, and of with",
			maxTokenJSON))
	}
	s := &access.Submit{Job: string(job.NewID(now)), Types: body.Types, MaxBytes: body.MaxBytes}
	if len(body.Payload) > 0 && body.Payload[0] != 'n' {
		if body.Payload[0] != '{' {
			return nil, invalidAt("/submit/payload", "expected object")
		}
		s.Payload = body.Payload
	}
	if len(body.With) == 0 || body.With[0] == 'n' {
		return s, nil
	}
	s.With = map[string]string{}
	err := strictjson.Fields(body.With, func(name, value []byte) error {
		text := string(value)
		if value[0] == '"' && json.Unmarshal(value, &text) != nil {
			return httpapi.ErrText
		}
		s.With[string(name)] = text
		return nil
	})
	if err != nil {
		return nil, invalidAt("/submit/with", err.Error())
	}
	if err := submit.CheckWith(s.With); err != nil {
		wrong := httpapi.AsError(err).Errors[0]
		return nil, invalidAt("/submit"+wrong.Pointer, wrong.Detail)
	}
	return s, nil
}

func validOrigin(text string) bool {
	if text == "" {
		return true
	}
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.Scheme+"://"+
		u.Host == text &&
		strings.ToLower(text) == text
}
