#!/bin/sh
# Builds the kernels for 64-bit ARM twice, with NEON and without vector instructions, and compares their results bit for
# bit under an emulator. Arguments: where to build. CXX and EMULATOR may name others than a cross compiler and qemu.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sources=$here/../../../packages/swift-native/cpp
compiler=${CXX:-aarch64-linux-gnu-g++}
emulator=${EMULATOR-qemu-aarch64}
mkdir -p "$1"
flags="-std=c++17 -Wall -Wextra -Wconversion -Wshadow -Werror -I$sources"
kernels="-O3 -fno-math-errno -fno-trapping-math -ffp-contract=off"
for name in adafactor adamw adamw16 adamw8 block8 convert lion norm sgd table traffic; do
    $compiler $flags $kernels -DSWIFT_NATIVE_KERNELS=kernels_baseline -c "$sources/kernels/$name.cpp" -o "$1/$name.neon.o"
    $compiler $flags $kernels -O1 -fno-tree-vectorize -fno-tree-slp-vectorize -DSWIFT_NATIVE_KERNELS=kernels_plain \
        -c "$sources/kernels/$name.cpp" -o "$1/$name.plain.o"
done
$compiler $flags -O1 -static "$here/compare.cpp" "$1"/*.neon.o "$1"/*.plain.o -o "$1/compare"
$emulator "$1/compare"
