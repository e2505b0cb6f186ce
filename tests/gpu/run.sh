#!/usr/bin/env bash
# Everything that one GPU can show, in one command of at most 8 minutes: numerics of every family at TP
# 1 to 8 by virtual ranks, one-rank compute of real models predicted and measured, races, and torch on
# the same shapes where it is installed. Needs a CUDA driver and what `./dev build release` and
# `./dev build cuda` made; downloads and installs nothing.
#   tests/gpu/run.sh [OUT]     writes OUT/gpu.json and OUT/gpu.txt (default build/gpu)
# What was skipped, and why, is in both. Exit 0: nothing failed; 1: something did; 2: no GPU.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:-build/gpu}
build=${TPLAN_BUILD:-build/release}
tplan=$build/tplan
export TPLAN_PLUGIN_PATH=$PWD/$build
mkdir -p "$out"
: > "$out/rows.tsv"
end=$((SECONDS + 460))  # what does not fit is skipped, and says so

row() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" | tee -a "$out/rows.tsv"; }
left() { local s=$((end - SECONDS)); [ "$s" -gt "$1" ] && echo "$s"; }
step() {  # NAME SECONDS COMMAND..: passed, failed, or skipped for lack of time
    local name=$1 limit=$2 log
    shift 2
    log=$out/${name//[^a-zA-Z0-9._-]/_}.log
    if ! left "$limit" > /dev/null; then row "$name" skipped "no time left"; return 0; fi
    if timeout "$limit" "$@" > "$log" 2>&1; then
        row "$name" passed "$(tail -n 1 "$log" | tr '\t' ' ')"
    else
        row "$name" failed "exit $?: $(tail -n 1 "$log" | tr '\t' ' ')"
    fi
}

command -v nvidia-smi > /dev/null && nvidia-smi -L > /dev/null 2>&1 || { echo "no GPU: nvidia-smi finds none" >&2; exit 2; }
[ -x "$tplan" ] && [ -e "$build/libtplan_cuda.so" ] || { echo "$build has no tplan with its CUDA plugin: ./dev build release" >&2; exit 2; }
gpu=$(nvidia-smi --query-gpu=name,uuid,driver_version,clocks.sm,clocks.mem --format=csv,noheader | head -n 1)
row gpu info "$gpu"
case $gpu in
    *H200*) hardware=h200-sxm ;; *H100*) hardware=h100-sxm ;; *B200*) hardware=b200-sxm ;; *A100*) hardware=a100-sxm ;;
    *L40S*) hardware=l40s ;; *"L4,"*) hardware=l4 ;; *4090*) hardware=rtx-4090 ;; *V100*) hardware=v100-sxm ;;
    *A10*) hardware=a10 ;; *"RTX PRO 6000"*) hardware=rtx-pro-6000-server ;; *) hardware= ;;
esac
row profile info "${hardware:-none for this GPU: nothing is predicted}"

if [ -x "$build/tests/tplan_cuda_tests" ]; then
    step numerics 150 "$build/tests/tplan_cuda_tests"
    # The kernel that ranks with GPUs of their own run; of ranks that share one it says what is computed, not how fast.
    step own-all-reduce-emulated 40 "$build/tests/tplan_cuda_tests" "cuda: the own all-reduce of virtual ranks*"
else
    row numerics skipped "no $build/tests/tplan_cuda_tests"
fi
if command -v compute-sanitizer > /dev/null && [ -x "$build/tests/tplan_cuda_tests" ]; then
    for tool in memcheck racecheck; do
        step "$tool" 90 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$build/tests/tplan_cuda_tests" "cuda: whole numbers are exact at every degree"
    done
    step own-all-reduce-memcheck 60 compute-sanitizer --tool memcheck --error-exitcode 9 \
        "$build/tests/tplan_cuda_tests" "cuda: a message longer than the area*,cuda: the own all-reduce of virtual ranks*"
else
    row memcheck skipped "no compute-sanitizer"
fi

# Predictions are those of the profile as measured here, or as it ships where that fails.
predicted_and_measured() {
    step calibrate 120 "$tplan" calibrate --backend cuda --hw "$hardware" --quick -o "$out/calibrated.json"
    if [ -s "$out/calibrated.json" ]; then hardware=$out/calibrated.json; fi

    # Layers of real models: one rank's compute is measured, collectives of virtual ranks are emulated. A
    # run whose numbers are right ends with 0, or with 1 where the time lies outside the prediction.
    measured() {
        local model=$1 tp=$2 phase=$3 layers=$4
        local name="$model.tp$tp.$phase"
        "$tplan" plan "$model" --hw "$hardware" --tp "$tp" --phase "$phase" --batch 8 --input 1024 --context 4096 \
            --dtype bf16 -o "$out/$name.plan.json" || return 1
        "$tplan" run "$out/$name.plan.json" --backend cuda --layers "$layers" --reps 20 -o "$out/$name.json"
        local code=$?
        grep -o '"verdict": "[a-z-]*"' "$out/$name.json"
        [ $code -le 1 ] && ! grep -q '"verdict": "numerics-failed"' "$out/$name.json"
    }
    export -f measured
    export tplan hardware out
    for phase in prefill decode; do
        for tp in 1 2 4 8; do step "llama-3.1-8b.tp$tp.$phase" 60 bash -c "measured llama-3.1-8b $tp $phase 2"; done
        step "qwen3-0.6b.tp1.$phase" 40 bash -c "measured qwen3-0.6b 1 $phase 28"
    done
}
if [ -n "$hardware" ]; then predicted_and_measured; else row predictions skipped "no profile"; fi

if python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
    step torch 90 python3 tests/gpu/torch_layer.py "$out/torch.json"
else
    row torch skipped "python3 has no torch with CUDA"
fi
row nccl-two-ranks skipped "two NCCL ranks on one GPU need NCCL 2.30.3 and processes; not tried here"

if command -v python3 > /dev/null; then
    python3 - "$out" << 'PY'
import glob, json, os, sys
out = sys.argv[1]
rows = [line.rstrip("\n").split("\t") for line in open(out + "/rows.tsv")]
document = {"schema": "tplan.gpu/1",
            "rows": [dict(zip(("name", "result", "note"), row)) for row in rows], "runs": {}}
for path in sorted(glob.glob(out + "/*.tp*.json")):
    if path.endswith((".plan.json", ".partial.json")):
        continue
    run = json.load(open(path))
    document["runs"][os.path.basename(path)[:-5]] = {
        key: run[key] for key in ("measured", "numerics", "comparison", "verdict")}
if os.path.exists(out + "/torch.json"):
    document["torch"] = json.load(open(out + "/torch.json"))
json.dump(document, open(out + "/gpu.json", "w"), indent=1)
with open(out + "/gpu.txt", "w") as table:
    for name, result, note in rows:
        table.write(f"{name:32} {result:8} {note}\n")
PY
else
    column -t -s "$(printf '\t')" "$out/rows.tsv" > "$out/gpu.txt"
fi
cat "$out/gpu.txt"
! grep -q "$(printf '\tfailed\t')" "$out/rows.tsv"
