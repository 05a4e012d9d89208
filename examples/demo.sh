#!/usr/bin/env bash
# The study note's story on a real cluster: each step is the command that a person would type, and its real output.
# Run by `make demo`, which installs what is missing. It ends with the cluster running; run it again and it works again.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" # `pilothouse` speaks kubectl's verbs, so no kubectl is needed
unset PYTHONDONTWRITEBYTECODE # a cluster starts in a quarter of the time from compiled modules
CLUSTER=${CLUSTER:-demo}
export KUBECONFIG="${TMPDIR:-/tmp}/pilothouse-$CLUSTER.kubeconfig"
IMAGES="${XDG_CACHE_HOME:-$HOME/.cache}/pilothouse/images"
if [ "$(id -u)" != 0 ]; then exec sudo -E env "PATH=$PATH" bash "$0"; fi

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; else bold= dim= off=; fi
chapter() { printf '\n%s== %s ==%s\n' "$bold" "$*" "$off"; }
run() { printf '%s$ %s%s\n' "$bold" "$*" "$off"; eval "$@"; }
note() { printf '%s# %s%s\n' "$dim" "$*" "$off"; }
until_true() { # seconds, command: waits for a condition, never a fixed time
  local deadline=$((SECONDS + $1)); shift
  until eval "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then echo "timed out waiting for: $*" >&2; return 1; fi
    sleep 0.2
  done
}
kubectl() { pilothouse "$@"; }
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
started=$SECONDS

chapter "Images, built from Debian packages (no registry is asked)"
python examples/images/build.py --output "$IMAGES"
(cd "$IMAGES" && ls ./*.tar) | sed 's/^/  /'

chapter "A cluster of two nodes"
pilothouse list 2>/dev/null | grep -q "^$CLUSTER " && run pilothouse delete $CLUSTER
run pilothouse up $CLUSTER --nodes 2
run pilothouse image load "$IMAGES"/*.tar --cluster $CLUSTER
note "kubectl is \`pilothouse\` here, which has its verbs; the real one does the same"
run kubectl get nodes -o wide

chapter "The note's applications"
run kubectl apply -f examples/note/
run kubectl rollout status deployment/backend-app --timeout=60s
run kubectl wait --for=condition=Ready pod/nginx-pod --timeout=30s
run kubectl get all

chapter "One Pod in detail"
pod=$(kubectl get pods -l app=backend-app -o 'jsonpath={.items[0].metadata.name}')
run kubectl describe pod "$pod"

chapter "The Service answers: at its load balancer address, and at its NodePort on every node"
until_true 20 "kubectl get service backend-app-service -o 'jsonpath={.status.loadBalancer.ingress[0].ip}' | grep -q ."
lb=$(kubectl get service backend-app-service -o 'jsonpath={.status.loadBalancer.ingress[0].ip}')
port=$(kubectl get service backend-app-service -o 'jsonpath={.spec.ports[0].nodePort}')
nodes=$(kubectl get nodes -o 'jsonpath={.items[*].status.addresses[0].address}')
fetch() { python -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode().strip())' "$1"; }
until_true 10 "fetch http://$lb:8080/"
run fetch "http://$lb:8080/"
for node in $nodes; do run fetch "http://$node:$port/"; done
note "the DB_* variables come from the Secret db-config"

chapter "A Pod is killed: its ReplicaSet makes another"
run kubectl delete pod "$pod" --wait=false
run kubectl get pods -l app=backend-app
run kubectl rollout status deployment/backend-app --timeout=60s
run kubectl get pods -l app=backend-app

chapter "A rolling update that drops no request, and its undoing"
note "meanwhile a client asks http://$lb:8080/ again and again, and counts the answers"
counts=$(mktemp)
python examples/count_requests.py "http://$lb:8080/" > "$counts" &
counter=$!
run kubectl set image deployment/backend-app backend-app=backend-app:1.2.0
run kubectl rollout status deployment/backend-app --timeout=90s
run fetch "http://$lb:8080/"
run kubectl rollout history deployment/backend-app
run kubectl rollout undo deployment/backend-app
run kubectl rollout status deployment/backend-app --timeout=90s
run fetch "http://$lb:8080/"
kill -TERM $counter; wait $counter || true
note "$(cat "$counts")"
grep -q ' requests, 0 failed;' "$counts"; rm "$counts"

chapter "The CronJob: a Job now, so that nobody waits five minutes"
run kubectl create job batch-now --from=cronjob/batch-app
run kubectl wait --for=condition=complete job/batch-now --timeout=60s
run kubectl logs job/batch-now
run kubectl get cronjob,job

chapter "A Pod that crashes again and again"
until_true 60 "kubectl get pod crashing-app | grep -q 'CrashLoopBackOff.*ago'"
run kubectl get pod crashing-app

chapter "A DaemonSet: one Pod on each node"
run kubectl get pods -l app=log-agent -o wide

chapter "A StatefulSet: the data outlives its Pod"
run kubectl wait --for=condition=Ready pod/database-0 --timeout=30s
run kubectl exec database-0 -- cat /data/log
run kubectl delete pod database-0
until_true 30 "kubectl exec database-0 -- wc -l /data/log | grep -q '^2'"
run kubectl exec database-0 -- cat /data/log

chapter "Done in $((SECONDS - started)) s; the cluster runs on"
pilothouse="$PWD/.venv/bin/pilothouse"
if [ -n "${SUDO_UID:-}" ]; then chown "$SUDO_UID" "$KUBECONFIG"; pilothouse="sudo -E $pilothouse"; fi
cat <<END
Look around:   export KUBECONFIG=$KUBECONFIG
               $PWD/.venv/bin/pilothouse get all -A      (or kubectl, if you have it)
               $pilothouse status $CLUSTER
Remove it:     $pilothouse delete $CLUSTER
END
