#!/usr/bin/env bash
# Installs the Label Studio that the tests talk to into an environment of its own outside the project, and keeps a
# migrated, empty data folder beside it. Run again, it does nothing. Where it cannot install it says so, and those tests skip.
set -u
VERSION=1.23.2
CACHE="${CASTLE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/castle-studio}"
HOME_OF_LS="$CACHE/label-studio-$VERSION"
DATA="$CACHE/label-studio-$VERSION-data"
give_up() { echo "$1: the tests against a real Label Studio will be skipped." >&2; exit 0; }

if [ ! -x "$HOME_OF_LS/bin/label-studio" ]; then
  python="$(command -v python3.11 || command -v python3.12 || command -v python3)" || give_up "No Python for Label Studio here"
  mkdir -p "$CACHE" || give_up "Cannot write $CACHE"
  free_kb=$(df -Pk "$CACHE" | awk 'NR==2 {print $4}')
  [ "$free_kb" -gt 2500000 ] || give_up "Less than 2.5 GB free in $CACHE for Label Studio"
  new="$(mktemp -d "$CACHE/.label-studio.XXXXXX")" || give_up "Cannot write $CACHE"
  trap 'rm -rf "$new"' EXIT
  # scripts in the environment name its folder, so it is built where it stays
  rm -rf "$HOME_OF_LS"
  if ! { "$python" -m venv "$HOME_OF_LS" && "$HOME_OF_LS/bin/pip" install --quiet "label-studio==$VERSION"; } >"$new/log" 2>&1; then
    tail -n 3 "$new/log" >&2
    rm -rf "$HOME_OF_LS"
    give_up "Label Studio $VERSION could not be installed"
  fi
fi

if [ ! -f "$DATA/label_studio.sqlite3" ]; then
  work="$(mktemp -d "$CACHE/.label-studio-data.XXXXXX")" || give_up "Cannot write $CACHE"
  "$HOME_OF_LS/bin/python" "$(dirname "$0")/migrate_label_studio.py" "$HOME_OF_LS/bin/label-studio" "$work" || {
    rm -rf "$work"
    give_up "Label Studio $VERSION did not start"
  }
  rm -rf "$DATA"
  mv "$work" "$DATA"
fi
