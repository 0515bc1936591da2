# The server and the dispatcher in one container, on SQLite in the volume /data; or one node of many on
# PostgreSQL (docker-compose.yml).
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
# JOBLEDGER_HOST: inside a container the loopback reaches nobody, so it listens on every address.
# There is no access without a token: the first start makes the admin's and says in its log where
# it is (in /data), unless JOBLEDGER_TOKEN(_FILE) gives one. Put TLS in front before it leaves the machine.
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
