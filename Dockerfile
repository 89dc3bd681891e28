# The lean daemon: no embedded chain, no OpenSSL, not root.

FROM rust:1.95-slim-bookworm AS build
# The allocator is built with make, which the image lacks.
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY idls idls
COPY config config
COPY migrations migrations
COPY src src
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --no-default-features \
    && cp target/release/swapd /usr/local/bin/swapd

FROM debian:bookworm-slim
RUN groupadd --gid 10001 swapd \
    && useradd --uid 10001 --gid swapd --no-create-home --home-dir /srv/swapd --shell /usr/sbin/nologin swapd \
    && install -d -o swapd -g swapd /srv/swapd /srv/swapd/data /srv/swapd/keys
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/swapd /usr/local/bin/swapd
COPY scripts/probe /usr/local/bin/probe
USER swapd
WORKDIR /srv/swapd
EXPOSE 3000
# For roles that serve; a worker has no port, and ends by itself when one of its tasks does.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["probe"]
ENTRYPOINT ["swapd"]
CMD ["serve"]
