#!/bin/sh
# The note's batch: one idempotent unit of work. Its result depends on its input alone and is put in place in one step,
# so a second run changes nothing. BATCH_FAIL=1 makes it fail, to show what the cluster does then.
set -eu
: "${SAMPLE_APP_BATCH_RUN:=true}" "${SAMPLE_APP_BATCH_FOLDER_NAME:=incoming}" "${BATCH_OUTPUT:=/tmp/batch-app.result}"
echo "batch-app ${APP_VERSION} starts in pod $(hostname)"
if [ "${BATCH_FAIL:-0}" = 1 ]; then
  echo "failing, because BATCH_FAIL=1" >&2
  exit 1
fi
if [ "$SAMPLE_APP_BATCH_RUN" != true ]; then
  echo "SAMPLE_APP_BATCH_RUN is not true: nothing to do"
  exit 0
fi
for name in DB_URL DB_USERNAME DB_PASSWORD CLOUD_AWS_CREDENTIALS_ACCESSKEY CLOUD_AWS_CREDENTIALS_SECRETKEY; do
  if eval "[ -n \"\${$name:-}\" ]"; then echo "  $name is set"; else echo "  $name is missing"; fi
done
result=$(printf '%s/%s' "${SAMPLE_APP_BATCH_BUCKET_NAME:-none}" "$SAMPLE_APP_BATCH_FOLDER_NAME" | sha256sum | cut -c1-16)
if [ "$(cat "$BATCH_OUTPUT" 2>/dev/null)" = "$result" ]; then
  echo "already done: $result"
else
  echo "$result" > "$BATCH_OUTPUT.new"
  mv "$BATCH_OUTPUT.new" "$BATCH_OUTPUT"
  echo "done: $result"
fi
