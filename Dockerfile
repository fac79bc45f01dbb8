# All programs of Longshore, static, in an image that has nothing else:
#   docker build -t longshore .
#   docker run longshore /bin/worker
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
	-ldflags="-s -w -X longshore/internal/version.version=${VERSION}" -o /out/bin/ ./cmd/... \
	&& mkdir -m 1777 /out/tmp && mkdir /out/data && chown 65532:65532 /out/data && cp Procfile /out/

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /
USER 65532:65532
ENV PATH=/bin TMPDIR=/tmp BLOB_URL=file:///data LONGSHORE_URL=http://127.0.0.1:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
# For web; a worker has no port: docker run --no-healthcheck, or as compose.yaml does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/bin/enqueue", "types"]
CMD ["/bin/web"]
