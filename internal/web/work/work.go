// Package work is the wing of programs that run jobs and reach no Redis: they claim them, say how they go
// on, read inputs, send outputs, and say how they have ended. What all that does is package claims'; here
// it is read and answered. docs/claims.md tells of the protocol.
package work

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/claims"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
	"longshore/tasks"
)

// Waiter grants waits. push.Waiters implements it.
type Waiter interface {
	Enter(a *edge.Answer, wish time.Duration) time.Duration
	Leave(a *edge.Answer)
}

// A Handler serves claims.
type Handler struct {
	Desk     *claims.Desk
	Catalog  *tasks.Catalog
	Waiter   Waiter
	Uploads  *edge.Uploads
	Stopping context.Context // ends when the server is to
}

// Routes are what it serves.
func (h Handler) Routes() []edge.Route {
	if h.Desk == nil {
		return nil
	}
	claim := jsonRoute[answer.ClaimRequest](httpapi.PathClaims, "claim-jobs", "Take jobs to run them", h.claim)
	claim.Body = answer.Claimed{}
	renew := jsonRoute[answer.RenewRequest](httpapi.PathClaimsRenew, "renew-claims",
		"Say that claimed jobs go on, and hear which are to stop", h.renew)
	renew.Body = answer.Renewed{}
	finish := jsonRoute[answer.FinishRequest](httpapi.PathClaimsFinish, "finish-claims",
		"Say how claimed jobs have ended", h.finish)
	finish.Body = answer.Finished{}
	stop := jsonRoute[answer.StopRequest](httpapi.PathClaimsStop, "stop-claims",
		"Have a process handed no more jobs, for a minute", h.stop)
	stop.Op.DefaultStatus = http.StatusNoContent
	routes := []edge.Route{claim, renew, finish, stop, h.inputRoute(), h.outputRoute()}
	for i := range routes {
		routes[i].Access, routes[i].Scope, routes[i].Whole = edge.Bearer, access.JobsWork, true
	}
	return routes
}

func jsonRoute[T any](path, name, summary string, handle func(*edge.Answer, *http.Request) error) edge.Route {
	op := edge.At("POST", path, name, summary)
	op.RequestBody = edge.JSONBody[T]()
	return edge.Route{Op: op, JSON: true, Handle: handle}
}

var none edge.NoParams

// read reads a request's body, and nothing else, and who asks.
func read[T any](a *edge.Answer, r *http.Request, to *T) (claims.Who, error) {
	if err := none.Read(r, nil); err != nil {
		return claims.Who{}, err
	}
	if err := edge.DecodeJSON(a.JSON, to); err != nil {
		return claims.Who{}, err
	}
	return who(a)
}

// who is who asks: all of a tenant's jobs are for it, or none.
func who(a *edge.Answer) (claims.Who, error) {
	view := a.View()
	if view.Subject != "" {
		return claims.Who{}, httpapi.NewError(httpapi.Forbidden, "jobs are claimed by a key of a whole tenant")
	}
	return claims.Who{View: view, May: a.Who.Types}, nil
}

// A wrong collects what is wrong with a request.
type wrong []httpapi.Pointer

func (w *wrong) if_(is bool, pointer, detail string) {
	if is {
		*w = append(*w, httpapi.Pointer{Pointer: pointer, Detail: detail})
	}
}

func (w *wrong) duration(text, pointer string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := httpapi.ParseDuration(text)
	w.if_(err != nil || d < 0, pointer, httpapi.ErrDuration.Error())
	return max(d, 0)
}

func (w *wrong) worker(name string) {
	bad := strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0
	w.if_(name == "" || len(name) > 128 || bad, "/worker",
		"expected up to 128 visible ASCII characters, as host:pid:random")
}

func (w wrong) err() error {
	if len(w) > 0 {
		return httpapi.NotValid(w...)
	}
	return nil
}

const keyLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// claim hands out jobs, or nothing: 204.
func (h Handler) claim(a *edge.Answer, r *http.Request) error {
	var body answer.ClaimRequest
	asker, err := read(a, r, &body)
	if err != nil {
		return err
	}
	ask, err := h.request(a, asker, body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	var held access.Held
	a.Who.Hold(&held, cancel)
	defer held.Let()
	jobs, err := h.Desk.Claim(ctx, ask)
	switch {
	case errors.Is(err, claims.ErrLaterTry):
		return httpapi.NewError(httpapi.Lost, "a later try of this request was answered")
	case err != nil:
		if ended := a.Ended(); ended != nil {
			return ended
		}
		return err
	case len(jobs) == 0:
		a.WriteHeader(http.StatusNoContent)
		return nil
	}
	a.Header().Set("Cache-Control", "no-store") // secrets are open in it
	edge.WriteJSON(a, http.StatusOK, answer.Claimed{Jobs: jobs})
	return nil
}

// request checks what is asked for.
func (h Handler) request(a *edge.Answer, asker claims.Who,
	body answer.ClaimRequest) (claims.Request, error) {
	var w wrong
	ask := claims.Request{Who: asker, Types: body.Types, Wait: w.duration(body.Wait, "/wait"),
		Gone: h.Stopping.Done()}
	w.if_(len(body.Types) == 0 || len(body.Types) > 100, "/types", "expected 1 to 100 types, or globs of them")
	for _, glob := range body.Types {
		if why := access.CheckGlob(glob); why != "" {
			w.if_(true, "/types", why)
			break
		}
		info, known := h.Catalog.Lookup(glob)
		if strings.Contains(glob, "*") || known && info.Lane == job.LaneClaim {
			continue
		}
		w.if_(known, "/types", glob+" is not claimed: workers serve it")
		w.if_(!known, "/types", "there is no type "+glob+": PUT "+httpapi.PathTypes+"/"+glob+" makes it one that is claimed")
	}
	w.if_(len(body.Queues) > 100, "/queues", "expected up to 100 queues")
	for _, name := range body.Queues {
		w.if_(!job.IsQueue(name), "/queues", "expected "+job.QueueNames)
		ask.Queues = append(ask.Queues, job.InQueue(name))
	}
	n, try := max(body.N, 0), max(body.Try, 0)
	if body.N == 0 {
		n = 1
	}
	if body.Try == 0 {
		try = 1
	}
	w.if_(body.N < 0 || n > httpapi.MaxClaims, "/n", "expected 1 to 100")
	w.if_(body.Try < 0 || try > 1_000_000, "/try", "expected 1 to 1000000")
	w.if_(len(body.Key) < 16 || len(body.Key) > 64 || strings.Trim(body.Key, keyLetters) != "", "/key",
		"expected 16 to 64 letters, digits, - and _: 128 random bits, drawn for this request")
	w.worker(body.Worker)
	ask.Hand, ask.Name = claims.Hand{Key: body.Key, Try: try, N: n}, body.Worker
	ask.Parked = func(wish time.Duration) (time.Duration, func()) {
		return h.Waiter.Enter(a, wish), func() { h.Waiter.Leave(a) }
	}
	return ask, w.err()
}

// checkJobs checks what is common to requests about jobs.
func checkJobs[T any](w *wrong, jobs []T, of func(*T) (job.ID, string)) {
	w.if_(len(jobs) == 0 || len(jobs) > httpapi.MaxClaims, "/jobs", "expected 1 to 100 jobs")
	seen := map[job.ID]bool{}
	for i := range jobs {
		id, claim := of(&jobs[i])
		_, err := job.ParseID(string(id))
		w.if_(err != nil, "/jobs", "expected the id of each job")
		w.if_(!claims.IsClaim(claim), "/jobs", "expected the claim of each job, as it was handed out")
		w.if_(seen[id], "/jobs", "a job stands there twice")
		seen[id] = true
	}
}

func (h Handler) renew(a *edge.Answer, r *http.Request) error {
	var body answer.RenewRequest
	asker, err := read(a, r, &body)
	if err != nil {
		return err
	}
	var w wrong
	checkJobs(&w, body.Jobs, func(one *answer.RenewJob) (job.ID, string) { return one.ID, one.Claim })
	w.worker(body.Worker)
	for _, one := range body.Jobs {
		if p := one.Progress; p != nil {
			w.if_(p.Done < 0 || p.Total < 0, "/jobs", "progress: expected numbers from 0")
			w.if_(len(p.Note) > 200, "/jobs", "progress: a note may have 200 bytes")
		}
		checkLog(&w, one.Log)
	}
	ask := claims.Renewing{Who: asker, Worker: body.Worker, Jobs: body.Jobs, Gone: h.Stopping.Done(),
		Wait: w.duration(body.Wait, "/wait")}
	if err := w.err(); err != nil {
		return err
	}
	if ask.Wait > 0 {
		if ask.Wait = h.Waiter.Enter(a, min(ask.Wait, claims.MaxRenewWait)); ask.Wait > 0 {
			defer h.Waiter.Leave(a)
		}
	}
	jobs, err := h.Desk.Renew(r.Context(), ask)
	if err != nil {
		return err
	}
	if ended := a.Ended(); ended != nil {
		return ended
	}
	edge.WriteJSON(a, http.StatusOK, answer.Renewed{Jobs: jobs})
	return nil
}

func checkLog(w *wrong, log *answer.ClaimLog) {
	if log != nil {
		w.if_(log.From < 1 || log.From > 1<<31, "/jobs", "log: expected the number of the first line, from 1")
		w.if_(len(log.Lines) > 1000, "/jobs", "log: expected up to 1000 lines")
	}
}

func (h Handler) finish(a *edge.Answer, r *http.Request) error {
	var body answer.FinishRequest
	asker, err := read(a, r, &body)
	if err != nil {
		return err
	}
	var w wrong
	checkJobs(&w, body.Jobs, func(one *answer.FinishJob) (job.ID, string) { return one.ID, one.Claim })
	for _, one := range body.Jobs {
		checkLog(&w, one.Log)
	}
	if err := w.err(); err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, answer.Finished{Jobs: h.Desk.Finish(r.Context(), asker, body.Jobs)})
	return nil
}

func (h Handler) stop(a *edge.Answer, r *http.Request) error {
	var body answer.StopRequest
	asker, err := read(a, r, &body)
	if err != nil {
		return err
	}
	var w wrong
	if w.worker(body.Worker); w != nil {
		return w.err()
	}
	if err := h.Desk.Stop(r.Context(), asker.View.Tenant, body.Worker); err != nil {
		return err
	}
	a.WriteHeader(http.StatusNoContent)
	return nil
}

func textParam(name string, in edge.Place, doc string) *huma.Param {
	return &huma.Param{Name: name, In: string(in), Required: true, Description: doc,
		Schema: &huma.Schema{Type: huma.TypeString}}
}
