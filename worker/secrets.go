package worker

import (
	"fmt"

	"longshore/handlers"
	"longshore/internal/sealing"
	"longshore/job"
)

// unseal opens the secrets of the payload, for this run alone. From then on what the run says is told
// without them.
func (a *attempt) unseal() error {
	spec := &a.started.Spec
	if len(spec.Sealed) == 0 {
		return nil
	}
	open, err := a.worker.sys.Sealer.OpenPayload(a.started.Type, spec.Payload, spec.Sealed)
	if err != nil {
		return handlers.FailWith(job.SecretUnreadable, fmt.Errorf("a secret of the payload can't be opened: "+
			"the worker's ACCESS_SECRET isn't what it was sealed by: %w", err))
	}
	spec.Payload = open
	a.secrets = sealing.Hider(open, spec.Sealed)
	a.log.hide = a.hide
	return nil
}

// hide returns a text without the payload's secrets.
func (a *attempt) hide(text string) string {
	if a.secrets == nil {
		return text
	}
	return a.secrets.Replace(text)
}

// told is an error as it may be told.
func (a *attempt) told(err error) any {
	if a.secrets == nil {
		return err
	}
	return a.hide(err.Error())
}
