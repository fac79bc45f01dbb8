// Package web is the HTTP side of the system: a table of routes over small
// interfaces, and one edge around them that speaks for errors, access, limits
// and the log.
//
// Routes with JSON in and out are huma operations, so that their parameters are
// checked and described in one place. Those that stream (a job's input, its
// outputs) are plain handlers whose description stands in openapi.go.
package web
