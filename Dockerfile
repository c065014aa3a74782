# syntax=docker/dockerfile:1
#
# countersign as an image: docker build -t countersign .
# It holds the program and nothing to run it on: Postgres, the settings and the catalog come from outside. See
# docker-compose.yml, and "Docker" in docs/operating.md.

# Both stages are of the same Debian, so that the program finds the C library that it was built with.
ARG DEBIAN=trixie

FROM rust:1.95-slim-${DEBIAN} AS build
WORKDIR /build
# Statements are checked against what is in .sqlx/: building needs no database.
ENV SQLX_OFFLINE=true
COPY Cargo.toml Cargo.lock ./
COPY .sqlx .sqlx
COPY migrations migrations
COPY src src
# The caches are not part of the image, so the program is taken out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --bin countersign \
    && install -D -m 0755 target/release/countersign /out/countersign

FROM debian:${DEBIAN}-slim
# Certificates for what the bot itself asks by HTTPS. What a catalog's steps run belongs in an image made from this one.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 countersign \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/countersign \
        --shell /usr/sbin/nologin countersign \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/countersign \
    && install -d /etc/countersign/runbooks
COPY --from=build /out/countersign /usr/local/bin/countersign
# The shipped runbooks, for a first look; a catalog of one's own is mounted in their place.
COPY runbooks /etc/countersign/runbooks
ENV COUNTERSIGN_DATA=/var/lib/countersign
# By number, so that a platform that wants an unprivileged user can see that it is one.
USER 10001:10001
WORKDIR /var/lib/countersign
VOLUME /var/lib/countersign
EXPOSE 7373
# SIGTERM ends the bot in good order, within 25 s.
STOPSIGNAL SIGTERM
# Whether it lives, not whether its database does: starting it again would not bring that back.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["countersign", "healthcheck"]
ENTRYPOINT ["countersign"]
CMD ["up", "--catalog", "/etc/countersign/runbooks", "--log-format", "json"]
