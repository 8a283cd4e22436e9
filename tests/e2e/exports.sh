#!/bin/bash
# exports.sh LIBRARY HEADER... - the shared library exports the functions that its headers declare, and nothing else.
set -euo pipefail
library=$1
shift
exported=$(nm -D --defined-only "$library" | awk '{ print $3 }' | sort)
declared=$(sed -n 's/^SATCHEL_API [^(]*[ *]\(satchel_[a-z0-9_]*\)(.*/\1/p' "$@" | sort)
if [ -z "$declared" ] || [ "$exported" != "$declared" ]; then
  echo "exported and declared differ (<: only exported, >: only declared):"
  diff <(echo "$exported") <(echo "$declared") || true
  exit 1
fi
if grep -v '^satchel_' <<<"$exported"; then
  echo "these have another prefix"
  exit 1
fi
echo "$(wc -l <<<"$exported") functions, all of them satchel_ and declared"
