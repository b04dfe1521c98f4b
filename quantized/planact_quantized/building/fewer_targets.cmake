# Included by CMake behind llama.cpp's own project(): leaves out its helpers for command-line programs, which the
# Python package never loads. That and LLAVA_BUILD=OFF make 83 steps of 193.
set(LLAMA_BUILD_COMMON OFF CACHE BOOL "" FORCE)
