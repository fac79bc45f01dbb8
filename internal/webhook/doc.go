// Package webhook tells servers of the ends of their jobs: it signs a snapshot
// by Standard Webhooks (https://www.standardwebhooks.com, version 1), posts it
// to the callback URL, and tries again over hours until it is taken.
//
// What is due stands in the records of package jobstore, entered by the script
// that ended the job. Any worker claims it for a while, so none is lost with a
// worker; one may arrive twice, and then has the same webhook-id.
//
// The URLs come from clients, so a Guard looks at each address that is about to
// be connected to, after names were resolved: nobody reaches the network behind
// us unless the settings name the place.
package webhook
