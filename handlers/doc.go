// Package handlers runs jobs: a Registry maps each type to the function that
// does its work, and the built-in handlers stand here, one file each.
//
// A handler steers by what it returns: a result, or an error (the attempt
// failed, try again later), Fail(err) (failed for good), After(d) (not now; no
// attempt is consumed). A handler ends when its context does; the context's
// cause says why. It does not know whether it runs in the worker's process or
// in a child.
package handlers
