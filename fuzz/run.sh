#!/usr/bin/env bash
# Runs the fuzz targets for a while on the stored corpus:
#
#   fuzz/run.sh [SECONDS [TARGET …]]
#
# Needs Rust (the stable one will do) and g++, which compiles libFuzzer.
# Coverage comes from LLVM's own pass, so neither nightly Rust nor cargo-fuzz
# is needed; `cargo fuzz run TARGET` works as well where they are there.
# What is found is left in fuzz/artifacts, and the run fails. New inputs go to a
# scratch copy of the corpus, fuzz/target/corpus.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    targets=()
    for file in targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
if ! command -v g++ >/dev/null; then
    if [ "$(id -u)" != 0 ]; then
        echo "fuzz/run.sh needs g++: sudo apt-get install g++" >&2
        exit 1
    fi
    apt-get install -y --no-install-recommends g++ >&2
fi

triple=$(rustc -vV | sed -n 's/^host: //p')
# The flags of cargo-fuzz 0.13 (src/project.rs), without a sanitizer: the only
# unsafe code here is the call that maps a file.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags+=" -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
flags+=" --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"
RUSTFLAGS="$flags" cargo build --locked --release --target "$triple" --bins

for target in "${targets[@]}"; do
    scratch=target/corpus/$target
    mkdir -p "$scratch" "artifacts/$target"
    echo "== $target, $seconds s"
    log=target/$target.log
    if ! "target/$triple/release/$target" "$scratch" "corpus/$target" \
        -artifact_prefix="artifacts/$target/" -max_total_time="$seconds" \
        -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "$target failed: see fuzz/artifacts/$target" >&2
        exit 1
    fi
    grep -E 'INITED|stat::(number_of_executed_units|average|peak)' "$log"
done
