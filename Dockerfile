# A server with its dispatcher in one container, on SQLite in the volume /data; or one of several nodes
# on PostgreSQL (docker-compose.yml).
FROM python:3.13-slim AS build

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ledger ledger
COPY projections projections
COPY api api
RUN python -m venv /opt/jobledger \
    && /opt/jobledger/bin/pip install --no-cache-dir --constraint constraints.txt .


FROM python:3.13-slim

RUN useradd --system --uid 10001 --no-create-home jobledger \
    && install --directory --owner=jobledger --mode=0700 /data \
    && install --directory --owner=jobledger --mode=0755 /run/jobledger-metrics
COPY --from=build /opt/jobledger /opt/jobledger

# PYTHONTZPATH="": time zones come from the pinned tzdata wheel, never from the image's own files.
# JOBLEDGER_HOST: the loopback of a container is unreachable from outside, so it listens on every address.
# Every access needs a token: the first start creates the admin's in /data and logs its path, unless
# JOBLEDGER_TOKEN(_FILE) sets one. Put TLS in front before exposing it.
ENV PATH="/opt/jobledger/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    PYTHONTZPATH="" \
    JOBLEDGER_DATA=/data \
    JOBLEDGER_HOST=0.0.0.0 \
    JOBLEDGER_PORT=8321

USER jobledger
WORKDIR /data
VOLUME /data
EXPOSE 8321
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, httpx; httpx.get('http://127.0.0.1:' + os.environ['JOBLEDGER_PORT'] + '/healthz', timeout=4, trust_env=False).raise_for_status()"]

CMD ["jobledger", "serve"]
