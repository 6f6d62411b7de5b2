#!/bin/sh
# Runs the fuzz targets: ./run.sh SECONDS [TARGET…]
#
# Works with stable Rust: the fuzzer's counters come from a compiler pass that is switched on by hand. Each target
# runs on a copy of its stored corpus, so the tree stays as it is. What made a target fail is left in `failures/`.
set -eu
cd "$(dirname "$0")"
seconds=${1:?usage: run.sh SECONDS [TARGET…]}
shift
[ $# -gt 0 ] || set -- pickle wire filter

host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export RUSTFLAGS
CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR
# The target is named so that the flags do not reach build scripts.
cargo build --quiet --release --locked --target "$host" $(printf -- '--bin %s ' "$@")

mkdir -p failures
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for target; do
    cp -r "corpus/$target" "$scratch/$target"
    log="$scratch/$target.log"
    if ! "$CARGO_TARGET_DIR/$host/release/$target" "$scratch/$target" -max_total_time="$seconds" -max_len=4096 \
        -rss_limit_mb=1024 -timeout=5 -artifact_prefix="failures/$target-" -print_final_stats=1 >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "fuzz: $target failed; its input is in fuzz/failures/" >&2
        exit 1
    fi
    echo "fuzz: $target held, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s"
done
