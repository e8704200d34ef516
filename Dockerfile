# castle-studio in a container: one port, one folder for everything that is kept.
#
#   docker build -t castle-studio .
#   docker run -p 127.0.0.1:8501:8501 -v castle:/data -v /path/to/recordings:/recordings:ro castle-studio \
#       --allow recordings=/recordings
#
# The first lines that it prints hold a link with a token that works once; or add users:
#   docker exec -it <container> castle users add ada
FROM python:3.11-slim-bookworm

# What opencv-python loads at import: OpenGL, GLib and X11's client library.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 libxcb1 \
 && rm -rf /var/lib/apt/lists/*

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    CASTLE_HOME=/data/projects \
    CASTLE_STATE=/data/state

# Which extras to install, for example: --build-arg EXTRAS=sleap,umap
ARG EXTRAS=sleap

WORKDIR /app

# The dependencies first: they change seldom, so that later builds start from here.
COPY pyproject.toml README.md LICENSE ./
COPY castle_core/__init__.py castle_core/__init__.py
RUN python -m pip install ".[${EXTRAS}]" && python -m pip uninstall --yes castle-studio

COPY . .
RUN python -m pip install --no-deps --editable .

RUN useradd --create-home --uid 1000 castle \
 && mkdir -p /data/projects /data/state \
 && chown -R castle:castle /data \
 && chmod 0700 /data/state
USER castle
VOLUME /data
EXPOSE 8501

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"

ENTRYPOINT ["castle", "serve", "--host", "0.0.0.0", "--port", "8501"]
