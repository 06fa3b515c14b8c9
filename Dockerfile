# Two stages: a build stage with the Rust toolchain and a C compiler, and a run stage with the binary, the CA certificates
# that verify agents over wss://, and the voice of <Say>, as an unprivileged user. docs/operate/deploy.md explains how to run it, and
# why on the host's network.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# "libopus" converts Opus with less CPU than ropus and needs cmake: docker build --build-arg FEATURES=libopus
ARG FEATURES=""
# hadolint ignore=DL3008
RUN case ",$FEATURES," in *,libopus,*) \
      apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/* ;; esac
RUN cargo build --profile dist --locked --package trunkgate --bin trunkgate --features "$FEATURES"

FROM debian:bookworm-slim
# The program that speaks the <Say> of applications (GPL-3.0-or-later); an image without it: docker build --build-arg VOICE=
ARG VOICE="espeak-ng"
# hadolint ignore=DL3008
RUN if [ -n "$VOICE" ]; then \
      apt-get update && apt-get install -y --no-install-recommends "$VOICE" && rm -rf /var/lib/apt/lists/*; fi
COPY --from=build /src/target/dist/trunkgate /usr/bin/trunkgate
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY deploy/trunkgate.toml /etc/trunkgate/trunkgate.toml
# Tests in CI jobs (docs/operate/ci.md).
COPY deploy/ci/trunkgate-ci.sh /usr/bin/trunkgate-ci
# Directory of call records and of the store: a volume inherits its owner. In /run/trunkgate is the state of calls, from which
# they continue after a crash.
RUN install -d -o 65534 -g 65534 -m 0750 /var/lib/trunkgate && install -d -o 65534 -g 65534 -m 0700 /run/trunkgate
ENV STATE_DIRECTORY=/var/lib/trunkgate RUNTIME_DIRECTORY=/run/trunkgate
USER 65534:65534
# Queries the signalling loop over HTTP at [http] address of the configuration.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s CMD ["trunkgate", "status"]
ENTRYPOINT ["trunkgate"]
# The keeper starts the edge again after a crash. An edge without it: docker run … trunkgate run
CMD ["keeper", "--", "run"]
