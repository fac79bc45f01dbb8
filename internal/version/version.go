// Package version knows which build this is.
package version

import "runtime/debug"

// version is set by the linker: make build and make release say it.
var version string

// Build is the version that the build was given, or else the module's as the build
// knows it.
func Build() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
