package submit

import (
	"slices"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/job"
)

// claimAfter is how long an id that was drawn for a page is known beyond its time.
const claimAfter = time.Minute

// Permit refuses what who asks may not submit, and for a page's token fills in what the
// token says. It comes before all else that is checked, so that nobody learns by the
// answer what types there are. The job is to be a tenant's. The error is an *httpapi.Error.
func (r *Request) Permit(who *access.Principal, tenant string) error {
	if who != nil {
		if err := r.permit(who, tenant); err != nil {
			return err
		}
	}
	if r.ID == "" || !r.IDUntil.IsZero() { // what was drawn for a page may be as old as its token
		return nil
	}
	if why := checkID(r.ID, time.Now()); why != "" {
		return httpapi.InvalidAt("/headers/"+httpapi.HeaderJob, why)
	}
	return nil
}

func (r *Request) permit(who *access.Principal, tenant string) error {
	r.Owner = access.Owner{Tenant: tenant, Subject: who.Subject}
	r.fromSubject = who.View().Subject
	if UploaderOf(who, access.View{}, true).Maker != "" || UploaderOf(who, access.View{}, false).Maker != "" {
		r.maker = who.ID
	}
	if !who.Submits(r.Type) {
		return forbidden("jobs of this type may not be submitted by this key or token")
	}
	if r.From != nil && !who.May(access.JobsRead, false) { // what it makes of the file would show it
		return forbidden("another job's output needs scope jobs:read")
	}
	if r.From != nil && !who.Sees(string(r.From.Job)) {
		return httpapi.NoSuchJob()
	}
	if i := slices.IndexFunc(r.After, func(id job.ID) bool { return !who.Sees(string(id)) }); i >= 0 {
		return noSuchBefore(i)
	}
	if who.Grant == nil {
		return nil
	}
	if who.Grant.Submit == nil {
		return forbidden("the token is for looking only")
	}
	return r.grant(who.Grant.Submit)
}

// Inherit makes the job one of the owner of another job, which asks for it. It may refer to that owner's
// jobs alone.
func (r *Request) Inherit(from *job.Snapshot) {
	r.Owner = access.Owner{Tenant: from.Tenant, Subject: from.Subject}
	r.fromSubject = from.Subject
}

// pagesOwn are the controls that a page sets itself.
var pagesOwn = []string{"filename", "id", "idempotency_key"}

func (r *Request) grant(s *access.Submit) error {
	for i, c := range httpapi.Controls {
		if _, given := controls.Text(r, i); given && !slices.Contains(pagesOwn, c.Name) {
			return forbidden(c.Name + " is for who made the token to say")
		}
	}
	if r.ID != "" && string(r.ID) != s.Job {
		return forbidden("the token is for another job")
	}
	if s.Payload != nil {
		if len(r.Payload) > 0 {
			return forbidden("the payload is for who made the token to say")
		}
		r.Payload = slices.Clone(s.Payload)
	}
	if problem := r.with(s.With); problem != nil {
		return problem
	}
	// The drawn id is the key: a repeat is the same job, whatever key the page sends.
	r.ID, r.IdempotencyKey, r.IDUntil, r.MaxBytes = job.ID(s.Job), "", s.Until, s.MaxBytes
	return nil
}

// with sets controls by their names in JSON.
func (r *Request) with(values map[string]string) error {
	for name, text := range values {
		i, ok := httpapi.FindControl(name, httpapi.InBody)
		if !ok {
			return httpapi.InvalidAt("/with/"+httpapi.EscapePointer(shortName([]byte(name))), "unknown field")
		}
		if err := controls.Set(r, i, text); err != nil {
			return httpapi.InvalidAt("/with/"+name, err.Error())
		}
	}
	return nil
}

// CheckWith says what is wrong with controls that a token is to have.
func CheckWith(values map[string]string) error { return new(Request).with(values) }

func forbidden(detail string) *httpapi.Error {
	return httpapi.NewError(httpapi.Forbidden, detail)
}

// most is how many bytes the input of a request may have; 0 = any number.
func (d *Submitter) most(r *Request) int64 {
	if r.MaxBytes > 0 && (d.MaxInput <= 0 || r.MaxBytes < d.MaxInput) {
		return r.MaxBytes
	}
	return d.MaxInput
}
