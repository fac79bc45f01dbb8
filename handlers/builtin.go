package handlers

// BuiltIn returns a registry with the types that Longshore brings along.
func BuiltIn() *Registry {
	r := &Registry{}
	return r
}
