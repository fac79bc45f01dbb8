// Package cluster runs the processes of a Procfile: it starts them, knows from their own
// word when they are ready and that they live, starts them anew when they end, replaces
// them one by one without a request lost, and leaves none behind, however it ends.
//
// One goroutine, the loop of Run, owns all that is known of processes. What happens
// elsewhere (a word of a child, its end, a command) comes to it as an event, and time
// as ticks of its own clock, which never jumps by more than a second: a cluster that was
// frozen, with its machine or by SIGSTOP, takes nobody for silent because of it.
//
// docs/cluster.md tells how it is used.
package cluster
