// Package asynqtask makes jobs of asynq's tasks, and tasks of jobs again. It knows the form of asynq's
// messages and what of a task can be taken over; it knows neither Redis nor how a job is submitted.
//
// Who takes a task over decodes its message (Decode), says where its queue's jobs wait (TargetOf) and asks
// for the job that it becomes (Task.Job). Who runs it asks for the task again (Unwrap).
//
// # What becomes of a payload
//
// A handler of asynq's gets the very bytes that were enqueued. A payload of ours is a JSON object, which is
// kept in compact form. So one that is a JSON object, and that no reader or writer of JSON on its way would
// write in another way, is the job's payload as it is. All else goes in an envelope, an object with the one
// member asynq:
//
//	{"asynq": {"json": {…}}}                     an object, where the envelope is for what stands beside it
//	{"asynq": {"base64": "…"}}                   any other bytes; {"asynq": {}} is the empty payload
//	{"asynq": {…, "headers": {"name": "text"}}}  the task's headers
//	{"asynq": {…, "id": "order 7"}}              its TaskID, if somebody chose it
//	{"asynq": {…, "deadline": 1767225600}}       until when it must have ended, in Unix seconds
//	{"asynq": {…, "retried": 3}}                 how often it had been retried before it became a job
//
// A payload that has a member asynq goes in one itself, so none is taken for an envelope that isn't.
package asynqtask
