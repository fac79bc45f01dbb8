// Package lib holds the helpers with which functions in Python and Node speak mode
// lambda, for whoever copies them into a function's folder.
package lib

import "embed"

// Files are the helpers: longshore.py and longshore.mjs.
//
//go:embed longshore.py longshore.mjs
var Files embed.FS
