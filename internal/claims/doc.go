// Package claims hands jobs out to programs that ask for them over HTTP, hears how they go on, and takes in
// what they have made. Such a program is a worker in all but two things: it reaches no Redis, and nobody
// can kill it. So its run has a lease of half a minute, and a sweep ends an attempt that is over its time;
// both are in jobstore's claims.go, with what makes a request that is sent again harmless.
//
// Which types are claimed Types says. Their jobs wait in lists of their own, one a priority, queue, tenant
// and type, which come and go with them: job.Place. Who asks and finds none is parked (parking.go):
// thousands may be, in each of several web processes, and a job that comes wakes one of each.
package claims
