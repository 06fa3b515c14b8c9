# Two stages: built with the Rust toolchain and a C compiler, run as nobody with nothing but the binary and the
# certificates that agents behind wss:// are checked against.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# "libopus" converts Opus with less CPU time than ropus, and needs cmake: docker build --build-arg FEATURES=libopus
ARG FEATURES=""
RUN case ",$FEATURES," in *,libopus,*) apt-get update && apt-get install -y --no-install-recommends cmake ;; esac
RUN cargo build --release --locked --package trunkgate --bin trunkgate --features "$FEATURES"

FROM debian:bookworm-slim
COPY --from=build /src/target/release/trunkgate /usr/bin/trunkgate
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY config/compose.toml /etc/trunkgate/trunkgate.toml
USER nobody
ENTRYPOINT ["trunkgate"]
CMD ["run"]
