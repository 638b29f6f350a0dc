# The dashboard, built with pinned versions and served by a user without rights; it writes to /tmp alone.
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /source
COPY constraints.txt pyproject.toml setup.py settings.ini README.md LICENSE ./
COPY studperf studperf
RUN python -m venv /opt/studperf \
 && /opt/studperf/bin/pip install --no-cache-dir --constraint constraints.txt ".[dashboard]" \
 && /opt/studperf/bin/studperf dashboard --prepare /opt/studperf/facts.json

FROM python:3.11.13-slim-bookworm
COPY --from=build /opt/studperf /opt/studperf
ENV PATH=/opt/studperf/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PORT=8866 STUDPERF_BASE_URL=/ STUDPERF_LOG_LEVEL=info
USER 10001:10001
EXPOSE 8866
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://localhost:{PORT}{STUDPERF_BASE_URL}health'.format(**os.environ), timeout=4)"]
ENTRYPOINT ["studperf", "dashboard", "--host", "0.0.0.0"]
CMD ["--prepared", "/opt/studperf/facts.json"]
