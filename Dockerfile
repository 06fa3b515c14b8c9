# Two stages: built with the Rust toolchain and a C compiler, run as nobody with nothing but the binary and the
# certificates that agents behind wss:// are checked against. docs/deploy.md says how to run it, and why on the host's network.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# "libopus" converts Opus with less CPU time than ropus, and needs cmake: docker build --build-arg FEATURES=libopus
ARG FEATURES=""
# hadolint ignore=DL3008
RUN case ",$FEATURES," in *,libopus,*) \
      apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/* ;; esac
RUN cargo build --release --locked --package trunkgate --bin trunkgate --features "$FEATURES"

FROM debian:bookworm-slim
COPY --from=build /src/target/release/trunkgate /usr/bin/trunkgate
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY deploy/trunkgate.toml /etc/trunkgate/trunkgate.toml
# Call records: a volume takes its owner from here.
RUN install -d -o 65534 -g 65534 -m 0750 /var/lib/trunkgate
USER 65534:65534
# Asks the signalling loop over HTTP, by [http] of the file.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s CMD ["trunkgate", "status"]
ENTRYPOINT ["trunkgate"]
CMD ["run"]
