// Package e2e drives the built programs as users and operators do: over HTTP,
// by command line, by signals. It holds tests only.
package e2e
