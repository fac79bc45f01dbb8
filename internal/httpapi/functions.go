package httpapi

import (
	"net/url"

	"longshore/answer"
)

// PathFunctions lists the deployed functions.
const PathFunctions = "/v1/functions"

// FunctionPath is one deployed function.
func FunctionPath(typ string) string { return PathFunctions + "/" + url.PathEscape(typ) }

// A FunctionList lists the deployed functions: the current version of each.
type FunctionList struct {
	Functions []answer.FunctionVersion `json:"functions"`
}
