// Package job holds the words that every other package speaks: the id of a
// job, its states and the moves between them, the snapshot a client sees, its
// progress, and the codes that say why it failed. It knows nobody.
package job
