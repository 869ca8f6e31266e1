# Toolchain file: clang of the Python package `ziglang`, which brings the C libraries of
# many systems in many versions along. R2B_ZIG is its program, R2B_TARGET what it builds
# for, such as
#
#   cmake -S runtime -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=cmake/zig.cmake \
#     -DR2B_ZIG=$(python -c 'import ziglang; print(ziglang.__path__[0])')/zig \
#     -DR2B_TARGET=aarch64-linux-gnu.2.17
#
# The last number is the oldest glibc that the library is to load with. zig keeps what it
# has built where ZIG_GLOBAL_CACHE_DIR and ZIG_LOCAL_CACHE_DIR say.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES R2B_ZIG R2B_TARGET)
foreach(name R2B_ZIG R2B_TARGET)
  if(NOT ${name})
    message(FATAL_ERROR "${name} is not set: see the head of ${CMAKE_CURRENT_LIST_FILE}.")
  endif()
endforeach()

string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${R2B_TARGET}")
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_CXX_COMPILER "${R2B_ZIG}" c++ -target ${R2B_TARGET})
# Symbols would be nine tenths of the library.
set(CMAKE_SHARED_LINKER_FLAGS_RELEASE_INIT -s)
