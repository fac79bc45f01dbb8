// Package answer has the forms in which an installation answers, besides
// a job's Snapshot: the refusal of a request, what became of a line of a batch,
// what is known of types, queues and workers. HTTP's JSON is made of them, and the
// Go client and package direct return them, under names of their own.
package answer
