// Package lambda keeps processes warm that speak the runtime API of AWS Lambda, version
// 2018-06-01: a process asks for the next event, posts what came of it, and asks again.
// Functions written for that platform's custom runtimes run unchanged.
//
// The format's source is "Using the Lambda runtime API" and "Building a custom runtime"
// in AWS's developer guide, and the clients that AWS publishes.
//
// Each process has a server of its own on a loopback port (Node's and Python's clients
// drop a path), and connections that are not its family's are closed at accept. The
// server is a state machine (server.go) that knows nothing of processes; a Pool
// (pool.go) starts them, hands jobs to them, and replaces those that are worn or broken.
package lambda
