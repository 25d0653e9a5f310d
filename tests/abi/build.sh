#!/bin/sh
# Builds the plugin that is kept as a binary, strips it, and puts it beside this script.
#
# Run it while 1.0.0 is not released; afterwards the binary stays as it is, for ever: every later host must load it.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
cargo_home=${CARGO_HOME:-$HOME/.cargo}

# The crates of the workspace, and no path of the machine that builds it.
cp "$root/Cargo.lock" Cargo.lock
remap="--remap-path-prefix=$root=."
for registry in "$cargo_home"/registry/src/*; do
    remap="$remap --remap-path-prefix=$registry=registry"
done
RUSTFLAGS="$remap" CARGO_TARGET_DIR="$root/target/abi" cargo build --release
rm Cargo.lock

cp "$root/target/abi/release/libaudit_abi.so" libaudit_abi_1_0_0.so
chmod 644 libaudit_abi_1_0_0.so
ls -l libaudit_abi_1_0_0.so
