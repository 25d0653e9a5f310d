#!/bin/sh
# Compiles librdkafka's rdkafka_performance from the source of the crate, with the librdkafka that cargo has built for
# the benchmark: build-performance.sh PROGRAM, where PROGRAM lies in target/PROFILE/deps.
set -eu
program=$1
build=$(dirname "$(dirname "$program")")/build
newest() { ls -td $1 2>/dev/null | head -n 1; }
librdkafka=$(newest "$build/rdkafka-sys-*/out/src/librdkafka.a")
tree=$(dirname "$(dirname "$librdkafka")")
libraries=$librdkafka
for pattern in "zstd-sys-*/out/libzstd.a" "openssl-sys-*/out/openssl-build/install/lib*/libssl.a" \
    "openssl-sys-*/out/openssl-build/install/lib*/libcrypto.a" "libz-sys-*/out/lib/libz.a" "libz-sys-*/out/libz.a"; do
    libraries="$libraries $(newest "$build/$pattern")"
done
# shellcheck disable=SC2086
${CC:-cc} -O2 -w -I"$tree/src" -o "$program" "$tree/examples/rdkafka_performance.c" $libraries -lpthread -lm -ldl -lrt
