package httpapi

// Paths of work that programs claim over HTTP.
const (
	PathClaims       = "/v1/claims"
	PathClaimsRenew  = PathClaims + "/renew"
	PathClaimsFinish = PathClaims + "/finish"
	PathClaimsStop   = PathClaims + "/stop"
	PathClaim        = PathJobs + "/{id}/claim"
)

// HeaderClaim has the claim of a job whose files are read or written.
const HeaderClaim = "Longshore-Claim"

// MaxClaims is how many jobs one request is about at most.
const MaxClaims = 100
