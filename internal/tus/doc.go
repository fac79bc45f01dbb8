// Package tus speaks the resumable upload protocol tus 1.0 (tus.io/protocols)
// with the extensions creation, creation-with-upload, termination and
// expiration. tusd's handler does the protocol; what an upload is, where its
// bytes go and when it becomes a job, package submit knows. The state of an
// upload is its job's record and the partial blob: nothing else is kept, so
// that any process goes on with it.
package tus
