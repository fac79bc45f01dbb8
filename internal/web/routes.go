package web

import (
	"context"
	"slices"

	"longshore/internal/access"
	"longshore/internal/access/people"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/web/api"
	"longshore/internal/web/dashboard"
	"longshore/internal/web/edge"
	"longshore/internal/web/login"
	"longshore/internal/web/push"
	"longshore/internal/web/release"
	"longshore/internal/web/upload"
	"longshore/internal/web/work"
	"longshore/job"
)

// routes joins the tables of all wings.
func routes(c Config, d Deps, waiters *push.Waiters, stopping context.Context) []edge.Route {
	show := shower(d.WaitingFor)
	uploads := edge.NewUploads(edge.UploadLimits{Max: c.MaxUpload, MinRate: c.MinUploadRate, Grace: c.Idle,
		PerAddress: c.MaxUploadsPerAddress, MinFree: c.MinFreeSpace, Space: space(d.Blobs), Log: c.Log})
	outputs := edge.NewUploads(edge.UploadLimits{MinRate: c.MinUploadRate, Grace: c.Idle,
		MinFree: c.MinFreeSpace, Space: space(d.Blobs), Log: c.Log})
	return slices.Concat(
		api.Submissions{Submitter: d.Submitter, Records: d.Records, Catalog: d.Catalog, Uploads: uploads,
			Waiter: waiters, Show: show}.Routes(),
		api.NewBatches(d.Submitter, d.Records, show, uploads, stopping).Routes(),
		api.NewJobs(d.Records, waiters, show).Routes(),
		api.Results{Records: d.Records, Blobs: d.Blobs}.Routes(),
		api.Info{Catalog: d.Catalog, Queues: d.Queues, Workers: d.Workers, Reach: d.Ready, Whole: d.Whole,
			Stopping: stopping}.Routes(),
		api.NewOperate(d.Operate, show, waiters, stopping).Routes(),
		api.Schedules{Desk: d.Schedules, Show: show}.Routes(),
		api.Limits{Desk: d.Limits, Log: c.Log}.Routes(),
		api.Alerts{Desk: d.Alerts}.Routes(),
		api.Keys{Store: d.Access, Log: c.Log}.Routes(),
		api.Functions{Store: d.Functions, Uploads: uploads, Log: c.Log}.Routes(),
		api.ClaimedTypes{Types: d.ClaimTypes, Catalog: d.Catalog}.Routes(),
		api.Scaling{Scale: d.Scale, Token: c.HireFire, Latency: c.HireFireLatency}.Routes(),
		api.Numbers{Process: d.Metrics, Installation: d.Installation}.Routes(),
		api.Sessions{People: persons(c.People)}.Routes(),
		api.Tokens{Minter: d.Minter, Store: d.Access, Records: d.Records, Log: c.Log}.Routes(),
		push.New(push.Config{Heartbeat: c.Heartbeat, Idle: c.Idle, Identify: identifier(c.Gate)},
			d.Records, d.Hub, waiters, show, stopping).Routes(),
		(&login.Pages{People: c.People, Open: c.Gate == nil && c.Token == "" || c.Gate != nil &&
			c.Gate.Open()}).
			Routes(),
		upload.Handler{Protocol: d.Uploads, Uploads: d.Direct, Admit: uploads, Show: show,
			Stopping: stopping}.Routes(),
		release.Page{Records: d.Records}.Routes(),
		work.Handler{Desk: d.Claims, Catalog: d.Catalog, Waiter: waiters,
			Uploads: outputs, Stopping: stopping}.Routes(),
		dashboard.Routes(),
	)
}

// identifier says who has a token.
func identifier(gate edge.Gate) func(context.Context, string) (*access.Principal, error) {
	if gate == nil {
		return func(context.Context, string) (*access.Principal, error) { return nil, access.ErrUnknown }
	}
	return gate.Identify
}

// persons is p, and nil where nobody logs in.
func persons(p *people.People) api.Persons {
	if p == nil {
		return nil
	}
	return p
}

// shower completes snapshots with what their records don't know: paths, and what a
// job waits for.
func shower(waitingFor func(*job.Snapshot) job.Waiting) func(job.Snapshot) job.Snapshot {
	return func(snap job.Snapshot) job.Snapshot {
		if !snap.Done && waitingFor != nil {
			snap.WaitingFor = waitingFor(&snap)
		}
		return httpapi.Show(snap)
	}
}

// space is how much a blob store has; nil: it doesn't know, which is enough.
func space(store api.Blobs) func(context.Context) (free, total int64, err error) {
	if s, ok := store.(blob.Spacer); ok {
		return s.Space
	}
	return nil
}
