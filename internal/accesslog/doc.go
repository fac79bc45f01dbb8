// Package accesslog reads lines of web servers' access logs: the Common and
// Combined formats, those with a virtual host in front, JSON as nginx, Caddy and
// Traefik write it, and formats that are described as for goaccess.
package accesslog
