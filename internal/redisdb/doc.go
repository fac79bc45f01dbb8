// Package redisdb opens the one Redis client of a process, from a URL and a
// number of connections that it never exceeds; checks that the server suits a
// queue; and tells errors that mean "Redis can't serve now" from all others.
//
// It keeps go-redis' options: nobody else sets any.
package redisdb
