#!/usr/bin/env bash
# Everything that has to be seen on a CUDA machine, in one command of less than ten minutes (16 cores):
#
#     benchmarks/gpu.sh                        builds llama.cpp for CUDA and the cards here, measures, writes
#                                              benchmarks/results/gpu-DEVICE.json
#     benchmarks/gpu.sh --device cpu --quick   a dry run without a card: the same steps, a tiny model, the CPU
#
# Without network: SOURCE=llama_cpp_python-….tar.gz names the source archive, PIP_FIND_LINKS=FOLDER the wheels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

backend=cuda
case " $* " in *' --device cpu '*) backend=cpu ;; esac

LLAMA=skip make --no-print-directory dev
.venv/bin/python -m planact_quantized.building.llama_wheel --backend "$backend" --constraint constraints.txt \
    ${SOURCE:+--source "$SOURCE"}
exec .venv/bin/python benchmarks/gpu.py "$@"
