// Package metrics is the numbers of one process, and of the installation, in the forms
// that Prometheus reads (text format 0.0.4 and OpenMetrics 1.0).
//
// What is counted for each job is a number that is added to, in memory that was there
// before: no labels are looked up and nothing is allocated. The shapes that Prometheus
// knows are made of it when it asks. Labels are words of ours: lanes, priorities, states,
// codes of job, and types, of which the first hundred have a name and all others are
// "other". No id, tenant, host or text of an error is one.
package metrics
