// Package client is the Go client of Longshore's HTTP interface: submit a job,
// follow it to its end, fetch what it made.
//
//	c, err := client.New(client.Config{URL: "http://127.0.0.1:8080"})
//	snap, err := c.SubmitFile(ctx, client.Submission{Type: "log.analyze"}, file, -1)
//	snap, err = c.Wait(ctx, snap.ID)
//	if snap.State == job.Succeeded { … snap.Result … }
//
// Upload sends a large file in pieces, so that a connection that breaks costs
// only what was on the way.
//
// Every method takes as long as its context lets it. Requests that are safe to
// repeat are repeated while the server restarts or is overloaded, with growing,
// jittered pauses: all reads, and submissions too, because each carries an
// idempotency key. A refused request is an *[Error]; a job that failed is no
// error of the client's, its snapshot says so.
package client
