package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/job"
)

// Work that a program takes over HTTP, and what it says of it: docs/claims.md.
type (
	// A ClaimRequest asks for jobs.
	ClaimRequest = answer.ClaimRequest
	// Claimed are jobs that the caller is to run.
	Claimed = answer.Claimed
	// A ClaimedJob is one of them.
	ClaimedJob = answer.ClaimedJob
	// A RenewRequest says that claimed jobs go on.
	RenewRequest = answer.RenewRequest
	// A RenewedJob has a lease, or is to stop.
	RenewedJob = answer.RenewedJob
	// A FinishJob says how a claimed job has ended.
	FinishJob = answer.FinishJob
	// A FinishedJob is how it is now, or why what was said doesn't count.
	FinishedJob = answer.FinishedJob
	// A ClaimedOutput is an output that was sent.
	ClaimedOutput = answer.ClaimedOutput
)

// Claim takes jobs to run; none = there were none for r.Wait. It draws the request's key and counts its
// tries, so a request whose answer is lost is repeated and gets the same jobs. What durations of the jobs
// count from is Sent.
func (c *Client) Claim(ctx context.Context, r ClaimRequest) (Claimed, error) {
	wait, err := claimWait(r.Wait)
	if err != nil {
		return Claimed{}, err
	}
	r.Key, r.Try = rand.Text(), 0
	for p := c.newPatience(); ; {
		r.Try++
		call, err := posted(httpapi.PathClaims, r)
		if err != nil {
			return Claimed{}, err
		}
		call.limit = wait + answerTimeout
		got := Claimed{Sent: time.Now()}
		if _, err = c.exchangeOnce(ctx, call, &got); err == nil {
			return got, nil
		}
		if err = p.pause(ctx, call, err); err != nil {
			return Claimed{}, fmt.Errorf("claim jobs: %w", err)
		}
	}
}

func claimWait(text string) (wait time.Duration, err error) {
	if text != "" {
		wait, err = httpapi.ParseDuration(text)
	}
	return wait, err
}

// posted is the call of a request in JSON which may be repeated.
func posted(path string, body any) (call, error) {
	return call{method: http.MethodPost, path: path, safe: true}.withJSON(body)
}

// RenewClaims says that claimed jobs go on, and returns which of them are to stop: at once, or within
// r.Wait. It isn't repeated, as the next one says what there is then; so it may be cut short by ctx.
func (c *Client) RenewClaims(ctx context.Context, r RenewRequest) ([]RenewedJob, error) {
	wait, err := claimWait(r.Wait)
	if err != nil {
		return nil, err
	}
	call, err := posted(httpapi.PathClaimsRenew, r)
	if err != nil {
		return nil, err
	}
	call.limit = wait + answerTimeout/2 // of a lease
	var got answer.Renewed
	if _, err := c.exchangeOnce(ctx, call, &got); err != nil {
		return nil, fmt.Errorf("renew claims: %w", err)
	}
	return got.Jobs, nil
}

// FinishClaims says how claimed jobs have ended. Each is judged alone: a FinishedJob has a Problem where
// what was said of it doesn't count. It is repeated as a whole while one of them can't be judged.
func (c *Client) FinishClaims(ctx context.Context, jobs []FinishJob) ([]FinishedJob, error) {
	for p := c.newPatience(); ; {
		call, err := posted(httpapi.PathClaimsFinish, answer.FinishRequest{Jobs: jobs})
		if err != nil {
			return nil, err
		}
		var got answer.Finished
		if _, err = c.exchangeOnce(ctx, call, &got); err == nil {
			if err = unjudged(got.Jobs); err == nil {
				return got.Jobs, nil
			}
		}
		if err = p.pause(ctx, call, err); err != nil {
			return nil, fmt.Errorf("finish claims: %w", err)
		}
	}
}

// unjudged is the problem of a job that may pass by itself.
func unjudged(jobs []FinishedJob) error {
	for _, one := range jobs {
		if p := one.Problem; p != nil && transient(p.Status) {
			return p.Refused()
		}
	}
	return nil
}

// StopClaims has a process, by the name that its claims have, handed no more jobs for a minute: a Claim that
// waits returns none.
func (c *Client) StopClaims(ctx context.Context, worker string) error {
	call, err := posted(httpapi.PathClaimsStop, answer.StopRequest{Worker: worker})
	if err != nil {
		return err
	}
	if _, err := c.exchange(ctx, call, nil); err != nil { // 204
		return fmt.Errorf("stop claims: %w", err)
	}
	return nil
}

// ClaimedInput opens the input of a claimed job.
func (c *Client) ClaimedInput(ctx context.Context, id job.ID, claim string) (*File, error) {
	f, err := c.open(ctx, httpapi.ClaimInputPath(id), http.Header{httpapi.HeaderClaim: {claim}})
	if err != nil {
		return nil, fmt.Errorf("input of job %s: %w", id, err)
	}
	return f, nil
}

// PutClaimed sends an output of a claimed job, which counts once FinishClaims names it. Its size is in
// bytes, -1 = not known; what can be rewound is sent again if need be. One of the same name takes the place
// of that before.
func (c *Client) PutClaimed(ctx context.Context, id job.ID, claim, name, contentType string, in io.Reader,
	size int64) (made ClaimedOutput, err error) {
	call := call{method: http.MethodPut, path: httpapi.ClaimOutputPath(id, name), body: newBody(in, size),
		header: http.Header{httpapi.HeaderClaim: {claim}}}
	if contentType != "" {
		call.header.Set("Content-Type", contentType)
	}
	call.safe = call.body.seek != nil
	if _, err = c.exchange(ctx, call, &made); err != nil {
		return made, fmt.Errorf("output %q of job %s: %w", name, id, err)
	}
	return made, nil
}
