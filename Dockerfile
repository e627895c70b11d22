# The image: one static program on an empty file system. Nothing in it can be updated, so nothing in it can be stale:
# a new version is a new image.
FROM swift:6.3-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN swift build --configuration release --product hdproxy \
        -Xswiftc -static-executable -Xlinker --gc-sections -Xlinker -s \
    && install -D .build/release/hdproxy /root-of-image/hdproxy \
    && install -D --mode 0644 /etc/ssl/certs/ca-certificates.crt /root-of-image/etc/ssl/certs/ca-certificates.crt \
    && install -d --mode 0755 /root-of-image/etc/hdproxy \
    && install -d --mode 0700 --owner 65532 --group 65532 \
        /root-of-image/run/hdproxy /root-of-image/var/lib/hdproxy

FROM scratch
COPY --from=build /root-of-image/ /
# Swift's runtime looks for itself below /proc; this tells it where it is when /proc is not mounted. OpenSSL looks below
# /usr/lib/ssl, where nothing is: the bundle serves API servers and collectors whose authority is a public one.
ENV SWIFT_ROOT=/ SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# A number, because there is no /etc/passwd. Ports below 1024 need net.ipv4.ip_unprivileged_port_start=0, which Docker
# sets, or the capability NET_BIND_SERVICE.
USER 65532:65532
ENTRYPOINT ["/hdproxy"]
CMD ["run"]
