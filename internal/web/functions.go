package web

import "longshore/internal/web/api"

// A Deployment is what is to become a type's current version.
type Deployment = api.Deployment
