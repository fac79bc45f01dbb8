// Package submit is the one way in: every job, from HTTP or the command
// line, passes Submitter.Submit. The order is record, input, queued, ticket; after
// an unknown outcome nothing is undone, and the sweeper mends what is missing.
package submit
