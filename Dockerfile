# syntax=docker/dockerfile:1
# The broker in an image: docker build -t millstream . && docker run -p 9092:9092 -v millstream:/data millstream
#
# Clients are told `localhost:9092`. For others, say where they find the broker:
#   docker run -p 9092:9092 -v millstream:/data millstream up --data /data --host 0.0.0.0 --port broker=9092 \
#     --set advertised.listeners=PLAINTEXT://kafka.example.org:9092
FROM rust:1-bookworm AS build
WORKDIR /millstream
COPY . .
# The caches are the builder's; what is wanted is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/millstream/target \
    cargo build --release --locked -p millstream-cli \
 && cp target/release/millstream /usr/local/bin/millstream \
 && strip /usr/local/bin/millstream

FROM debian:bookworm-slim
RUN useradd --system --uid 9092 --no-create-home millstream && install -d -o millstream -g millstream /data
COPY --from=build /usr/local/bin/millstream /usr/local/bin/millstream
USER millstream
VOLUME /data
EXPOSE 9092 9404
# Ready once logs are recovered and groups and transactions are served.
HEALTHCHECK --start-period=60s --interval=10s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/9404 && printf 'GET /health/ready HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["/usr/local/bin/millstream"]
CMD ["up", "--data", "/data", "--host", "0.0.0.0", "--port", "broker=9092", "--set", "advertised.listeners=PLAINTEXT://localhost:9092"]
