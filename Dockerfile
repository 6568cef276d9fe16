# PixyProxy in a container: docker build -t pixyproxy . (docs/operations.md)
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements requirements
RUN python -m venv /opt/pixyproxy
RUN /opt/pixyproxy/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement requirements/runtime.txt --requirement requirements/redis.txt --requirement requirements/otel.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/pixyproxy/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/pixyproxy pixyproxy \
    && install --directory --owner=pixyproxy --mode=0750 /var/lib/pixyproxy
COPY --from=build /opt/pixyproxy /opt/pixyproxy
# The settings of glibc's allocator are those of deploy/systemd/pixyproxy.service.
ENV PATH=/opt/pixyproxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PIXYPROXY_HOST=0.0.0.0 \
    MALLOC_ARENA_MAX=2 \
    MALLOC_TRIM_THRESHOLD_=67108864 \
    MALLOC_MMAP_THRESHOLD_=8388608
USER pixyproxy
# ./data and ./images are here unless settings say otherwise; everything else may be read-only but /tmp.
WORKDIR /var/lib/pixyproxy
VOLUME /var/lib/pixyproxy
EXPOSE 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=60s --interval=15s --timeout=5s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('PIXYPROXY_PORT', '8001')}/healthz\", timeout=4)"]
ENTRYPOINT ["pixyproxy"]
CMD ["serve"]
