// Package httpapi is what both sides of HTTP agree on: paths, headers, the
// form of an error, how durations are written. It holds no behaviour.
package httpapi
