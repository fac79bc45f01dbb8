// Package tasks defines the kinds of work: a Definition ties a type's name to
// its payload, the checks on it, and the policy by which it runs. Producers and
// handlers share the definition, so they can't drift apart.
//
// A Definition is generic over its payload; an Info is the same without the Go
// type, as workers publish it so that other programs accept the type too.
//
// To add a type: one file here, one in package handlers, one line in BuiltIn
// and one in handlers.BuiltIn.
package tasks
