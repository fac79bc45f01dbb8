package httpapi

import (
	"net/url"

	"longshore/job"
)

// The paths. All links that the server hands out are such paths, without host.
const (
	PathJobs    = "/v1/jobs"
	PathEvents  = "/v1/events"
	PathSocket  = "/v1/socket"
	PathUploads = "/v1/uploads"
	PathTypes   = "/v1/types"
	PathQueues  = "/v1/queues"
	PathPauses  = "/v1/pauses"
	PathWorkers = "/v1/workers"
	// PathProfiles has what processes held when their memory went short.
	PathProfiles = "/v1/profiles"
	PathBulk     = "/v1/bulk"
	PathAlerts   = "/v1/alerts"

	PathSchedules = "/v1/schedules"
	PathLimits    = "/v1/limits"

	PathCount      = PathJobs + "/count"
	PathFailures   = "/v1/failures"
	PathOperations = "/v1/operations"
	PathStats      = "/v1/stats"

	PathKeys     = "/v1/keys"
	PathTokens   = "/v1/tokens"
	PathSessions = "/v1/sessions"
	PathAudit    = "/v1/audit"
	PathHealth   = "/healthz"
	PathReady    = "/readyz"

	PathScale        = "/v1/scale"
	PathHireFire     = "/hirefire"             // by header; PathHireFire/{token}/info by path
	PathMetrics      = "/metrics"              // of one process
	PathInstallation = "/metrics/installation" // of all together
	PathOpenAPI      = "/openapi.json"
)

// JobPath is the path of one job.
func JobPath(id job.ID) string { return ofJob(id, "") }

// ofJob is a path below a job's.
func ofJob(id job.ID, rest string) string { return PathJobs + "/" + url.PathEscape(string(id)) + rest }

// CancelPath asks for a job's end, by POST.
func CancelPath(id job.ID) string { return ofJob(id, "/cancel") }

// ReleasePath lets a held job go, by POST.
func ReleasePath(id job.ID) string { return ofJob(id, "/release") }

// CallbackPath tells how the delivery of a job's webhook goes.
func CallbackPath(id job.ID) string { return ofJob(id, "/callback") }

// ResendPath has a job's callback sent once more, by POST.
func ResendPath(id job.ID) string { return ofJob(id, "/callback/resend") }

// EventsPath is the stream of a job's changes, as Server-Sent Events.
func EventsPath(id job.ID) string { return ofJob(id, "/events") }

// RetryPath makes a new job like an ended one, by POST.
func RetryPath(id job.ID) string { return ofJob(id, "/retry") }

// ResultPath is a job's only output, or else its result as JSON.
func ResultPath(id job.ID) string { return ofJob(id, "/result") }

// OutputPath is one output of a job.
func OutputPath(id job.ID, name string) string {
	return ofJob(id, "/outputs/"+url.PathEscape(name))
}

// ClaimInputPath is the input of a job, for the program that has claimed it.
func ClaimInputPath(id job.ID) string { return ofJob(id, "/claim/input") }

// ClaimOutputPath is an output that the program sends which has claimed a job.
func ClaimOutputPath(id job.ID, name string) string {
	return ofJob(id, "/claim/outputs/"+url.PathEscape(name))
}

// SchedulePath is one schedule.
func SchedulePath(name string) string { return PathSchedules + "/" + url.PathEscape(name) }

// LimitPath is one limit.
func LimitPath(name string) string { return PathLimits + "/" + url.PathEscape(name) }

// SubmitPath takes a job's input as the body of a POST.
func SubmitPath(typ string) string { return PathJobs + "/" + url.PathEscape(typ) }

// UploadPath is one upload in pieces; it has its job's id.
func UploadPath(id job.ID) string { return PathUploads + "/" + url.PathEscape(string(id)) }

// PartsPath is where a direct upload tells which parts are missing, and where they are to be sent.
func PartsPath(id job.ID) string { return UploadPath(id) + "/parts" }

// CompletePath ends a direct upload, by POST: its job begins.
func CompletePath(id job.ID) string { return UploadPath(id) + "/complete" }

// The headers that are ours, and standard ones that net/http has no name for.
const (
	// HeaderJob carries a job's id: on a submission the one that the client
	// chose, on its answer the job's.
	HeaderJob = "Longshore-Job"
	// HeaderWait says on the answer to a long-poll how long the server was
	// ready to wait at most, as a duration.
	HeaderWait = "Longshore-Wait"
	// HeaderExisting says "true" on the answer to a submission that made no job: its key or id names one that
	// was there.
	HeaderExisting = "Longshore-Existing"
	// HeaderTenant says for which tenant one acts who has the whole installation.
	HeaderTenant = "Longshore-Tenant"

	// HeaderIdempotencyKey makes a repeated submission return the first job.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderPrefer with "wait=20" (RFC 7240) waits for the job's end, in seconds.
	HeaderPrefer = "Prefer"
	// HeaderPreferenceApplied says how much of Prefer was granted.
	HeaderPreferenceApplied = "Preference-Applied"
	// HeaderLastEventID is the cursor from which a stream of events goes on.
	HeaderLastEventID = "Last-Event-ID"
	// HeaderContentDigest is the digest of the bytes sent (RFC 9530).
	HeaderContentDigest = "Content-Digest"
	// HeaderReprDigest is the digest of the whole output, whatever range was sent (RFC 9530).
	HeaderReprDigest = "Repr-Digest"
)

// The media types.
const (
	TypeJSON    = "application/json"
	TypeProblem = "application/problem+json" // RFC 9457
	TypeEvents  = "text/event-stream"        // Server-Sent Events, in the HTML standard
)

// The values of the query parameter "until" of a long-poll.
const (
	UntilDone   = "done"   // the job has ended
	UntilChange = "change" // its revision is another than "after"
)

// MaxKey is the most bytes that an idempotency key may have.
const MaxKey = 255

// MaxIDs is the most jobs that one long-poll may name.
const MaxIDs = 100

// WholeQueue is what the name of a whole queue begins with where a lane and a priority of the default one, or
// a type, may stand too: queue:mailers is paused in all lanes and of all priorities.
const WholeQueue = "queue:"

// PausedQueue and PausedType name what is paused: a whole queue, or a type.
func PausedQueue(name string) string { return "queue:" + WholeQueue + job.QueueOf(name) }

// PausedType is a type's.
func PausedType(kind string) string { return "type:" + kind }
