// Package web is the HTTP side of the system. It joins: an edge, which is what holds
// for every request, and wings over it, whose handlers return routes. Wings never
// import each other, and the edge knows no jobs; floors_test.go of the whole holds both.
//
//	edge    routes, access, bodies, answers, limits, errors, the log
//	api     submissions, batches, jobs, lists, results, what the installation has
//	push    long-polls, event streams, sockets
//	upload  uploads in pieces
//	login   the pages by which people log in
//	dashboard  the pages under /ui/, which ask the API as any client does
//
// A new route is one line in Routes of the handler that serves it; a new handler is
// one line in routes.go here.
package web
