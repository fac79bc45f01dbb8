// Package deployed is what becomes of functions that come over the API: what may be
// deployed, how it is packed, and where a worker keeps what it has fetched. Which versions
// there are the registry knows.
package deployed

import (
	"errors"
	"fmt"
	"slices"

	"longshore/internal/bytesize"
	"longshore/internal/functions"
)

// Rules are what deployed functions may ask for. Who serves HTTP and who runs the functions
// both hold them, for these may be different machines with different settings.
type Rules struct {
	// Programs allows functions that run programs, of modes exec and lambda; else only
	// modules may be deployed.
	Programs bool
	Env      []string // names of variables that they may get
	Network  bool     // they may connect
	Memory   int64    // bytes, the most; 0 = no limit
}

// Check says what about a manifest is not allowed; nil = nothing.
func (r Rules) Check(m *functions.Manifest) error {
	wrong := func(field, why string, args ...any) error {
		return &functions.FieldError{Field: field, Err: fmt.Errorf(why, args...)}
	}
	var errs []error
	if m.Mode != functions.WASM && !r.Programs {
		errs = append(errs, wrong("mode",
			"%q runs a program: only modules may be deployed here (FUNCTIONS_DEPLOY=all)", m.Mode))
	}
	for _, name := range m.Env {
		if !slices.Contains(r.Env, name) {
			errs = append(errs, wrong("env", "%s is not handed on to deployed functions (FUNCTIONS_ENV)",
				name))
		}
	}
	if (m.Network.All || len(m.Network.Ports) > 0) && !r.Network {
		errs = append(errs, wrong("network", "deployed functions have none here (FUNCTIONS_NETWORK)"))
	}
	if r.Memory > 0 && m.Memory > r.Memory {
		errs = append(errs, wrong("memory", "expected at most %s (CHILD_MEMORY)", bytesize.Format(r.Memory)))
	}
	if len(m.Read) > 0 {
		errs = append(errs, wrong("read", "a deployed function reads its own folder only"))
	}
	if m.Sandbox == functions.SandboxOff {
		errs = append(errs, wrong("sandbox", "a deployed function runs in it"))
	}
	return errors.Join(errs...)
}
