#!/usr/bin/env bash
# Follows the Dockerfile's steps without a Docker engine: in a fresh, minimal Debian of the base image's release (made
# by debootstrap), as the Dockerfile's user, until the health check answers. Needs root and the network; takes minutes.
#
#   scripts/check_dockerfile.sh
#   CHECK_BIND="/opt/wheels /etc/pip.conf" scripts/check_dockerfile.sh   # paths of this machine that pip needs inside
#   KEEP_ROOT=/somewhere scripts/check_dockerfile.sh                     # keep the tree, for a quicker second try
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { echo "check_dockerfile: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "run it as root: it makes a Debian tree and changes into it."
if ! command -v debootstrap >/dev/null; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap >/dev/null
fi

root=${KEEP_ROOT:-$(mktemp -d /tmp/castle-image.XXXXXX)}
mounted=()
server=""
clean_up() {
  [ -z "$server" ] || { kill -- "-$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount "${mounted[i]}" 2>/dev/null || umount -l "${mounted[i]}" || true; done
  [ -n "${KEEP_ROOT:-}" ] || rm -rf --one-file-system "$root"
}
trap clean_up EXIT

release=$(sed -n 's/^FROM python:[0-9.]*-slim-\([a-z]*\).*/\1/p' Dockerfile)
python=$(sed -n 's/^FROM python:\([0-9.]*\)-slim-.*/\1/p' Dockerfile)
[ -n "$release" ] && [ -n "$python" ] || fail "the Dockerfile's base image is not python:<version>-slim-<Debian release>."

if [ ! -e "$root/.ready" ]; then
  say "Debian $release, with the Python that the base image brings"
  debootstrap --variant=minbase --include=ca-certificates "$release" "$root" >"$root.log" 2>&1 || { tail -20 "$root.log"; exit 1; }
  rm -f "$root.log"
  chroot "$root" apt-get -qq update
  chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
    "python$python" python3-pip python3-venv >/dev/null
  # As in the image, Python is a plain one that pip may install into.
  chroot "$root" sh -c "rm -f /usr/lib/python3*/EXTERNALLY-MANAGED; ln -sf /usr/bin/python$python /usr/local/bin/python"
  touch "$root/.ready"
fi
chroot "$root" userdel --remove castle 2>/dev/null || true  # of an earlier try
rm -rf --one-file-system "$root/app" "$root/data"
for path in /proc /dev ${CHECK_BIND:-}; do
  [ -e "$path" ] || fail "CHECK_BIND: there is no $path."
  if [ -d "$path" ]; then mkdir -p "$root$path"; else mkdir -p "$(dirname "$root$path")"; touch "$root$path"; fi
  mount --rbind "$path" "$root$path" && mount --make-rslave "$root$path"
  mounted+=("$root$path")
done
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true

# What COPY may see: the committed files less those that .dockerignore names.
context=$(mktemp -d /tmp/castle-context.XXXXXX)
chmod 0755 "$context"
git archive HEAD | tar -x -C "$context"
while read -r pattern; do
  [ -z "$pattern" ] || (cd "$context" && shopt -s globstar nullglob dotglob && rm -rf -- $pattern)
done < .dockerignore

environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8)
while read -r pair; do environment+=("$pair"); done < <(env | grep -E '^(PIP_|http_proxy|https_proxy|no_proxy)' || true)
user=0:0
folder=/
health=""
entry=()
inside() { chroot --userspec="$user" "$root" env -i "${environment[@]}" sh -c "cd $folder && $1"; }
field() { python3 -c 'import json,sys; v=json.loads(sys.argv[1])[sys.argv[2]]; print(v if isinstance(v,str) else "\n".join(v))' "$1" "$2"; }

while read -r line <&3; do
  step=$(field "$line" step)
  value=$(field "$line" value)
  case $step in
    FROM | EXPOSE | VOLUME) ;;
    ARG) environment+=("$value") ;;
    ENV) while read -r pair; do environment+=("$pair"); done < <(xargs -n1 <<<"$value") ;;
    WORKDIR) folder=$value; mkdir -p "$root$folder" ;;
    COPY)
      say "COPY $value"
      read -r -a words <<<"$value"
      target=${words[-1]}
      case $target in /*) target=$root$target ;; *) target=$root$folder/$target ;; esac
      for source in "${words[@]:0:${#words[@]}-1}"; do
        [ -e "$context/$source" ] || fail "COPY: $source is not among the committed files (or .dockerignore leaves it out)."
        if [ -d "$context/$source" ]; then mkdir -p "$target" && cp -a "$context/$source/." "$target"
        else mkdir -p "$(dirname "$target")" && cp -a "$context/$source" "$target"; fi
      done ;;
    RUN) say "RUN $value"; inside "$value" ;;
    USER)
      user=$(chroot "$root" id -u "$value"):$(chroot "$root" id -g "$value")
      environment+=("HOME=$(chroot "$root" sh -c "getent passwd $value" | cut -d: -f6)") ;;
    HEALTHCHECK) health=$value ;;
    ENTRYPOINT | CMD) mapfile -t entry <<<"$value" ;;
    *) fail "the step $step is not known to this script." ;;
  esac
done 3< <(python3 scripts/dockerfile_steps.py Dockerfile)
rm -rf "$context"

[ "${user%%:*}" != 0 ] || fail "the image would run as root."
[ -n "$health" ] || fail "the image has no health check."

# The port of the image may be taken on this machine, so the same command is tried on a free one.
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
image_port=8501
say "${entry[*]} (on port $port, as user ${user%%:*})"
setsid chroot --userspec="$user" "$root" env -i "${environment[@]}" sh -c "cd $folder && exec ${entry[*]/$image_port/$port}" \
  >"$root/tmp/server.log" 2>&1 &
server=$!
for _ in $(seq 120); do
  kill -0 "$server" 2>/dev/null || { cat "$root/tmp/server.log"; fail "the app ended by itself."; }
  if inside "${health//$image_port/$port}" >/dev/null 2>&1; then
    say "healthy after $SECONDS s in all; it said:"
    sed 's/token=[^ ]*/token=…/' "$root/tmp/server.log"
    inside "castle --version && castle --help >/dev/null && python -c 'import cv2, av, torch'"
    say "The Dockerfile's steps work."
    exit 0
  fi
  sleep 0.5
done
cat "$root/tmp/server.log"
fail "the health check did not answer within a minute."
