# The CUDA backend: sets CCDL_CUDA_SOURCES and CCDL_CUDA_OBJECTS, and defines ccdl_link_cuda(target).
#   ON        nvcc compiles cuda/kernels: *_sm90.cu for sm_90a alone, the rest for CCDL_CUDA_ARCHITECTURES
#   EMULATED  the same files as C++ against cuda/emulator. -fsanitize=thread only instruments memory accesses here:
#             its run-time library is not linked, the emulator answers the calls
set(CCDL_CUDA_SOURCES)
set(CCDL_CUDA_OBJECTS)
set(CCDL_NEEDS_CUDART OFF)
if(CCDL_CUDA_MODE STREQUAL "OFF")
  function(ccdl_link_cuda target)
  endfunction()
  return()
endif()

file(GLOB CCDL_CUDA_SOURCES CONFIGURE_DEPENDS cuda/runtime/*.cpp)
file(GLOB_RECURSE CCDL_CUDA_KERNELS CONFIGURE_DEPENDS cuda/kernels/*.cu)
set(CCDL_CUDA_KERNELS_SM90 ${CCDL_CUDA_KERNELS})
list(FILTER CCDL_CUDA_KERNELS_SM90 INCLUDE REGEX "_sm90\\.cu$")
list(FILTER CCDL_CUDA_KERNELS EXCLUDE REGEX "_sm90\\.cu$")
set(CCDL_CUDA_INCLUDES ${PROJECT_SOURCE_DIR}/cuda ${PROJECT_SOURCE_DIR}/csrc)

if(CCDL_CUDA_MODE STREQUAL "EMULATED")
  file(GLOB emulator CONFIGURE_DEPENDS cuda/emulator/*.cpp)
  list(APPEND CCDL_CUDA_SOURCES ${emulator})
  # What every source that plays device code needs; tests of the emulator use it too.
  add_library(ccdl_emulated_flags INTERFACE)
  target_compile_features(ccdl_emulated_flags INTERFACE cxx_std_20)
  target_compile_definitions(ccdl_emulated_flags INTERFACE CCDL_CUDA_EMULATED)
  target_include_directories(ccdl_emulated_flags INTERFACE ${PROJECT_SOURCE_DIR}/cuda/emulator/include
                                                           ${CCDL_CUDA_INCLUDES})
  set(CCDL_EMULATED_KERNEL_OPTIONS -O1 -g1 -fsanitize=thread -ffp-contract=off -fno-gnu-unique -fno-tree-sra
      -Wall -Wextra -Wno-tsan -Wno-unknown-pragmas "SHELL:--param tsan-instrument-func-entry-exit=0"
      "SHELL:--param tsan-distinguish-volatile=1" -Wno-strict-aliasing)
  list(APPEND CCDL_CUDA_KERNELS ${CCDL_CUDA_KERNELS_SM90})
  set_source_files_properties(${CCDL_CUDA_KERNELS} PROPERTIES LANGUAGE CXX)
  add_library(ccdl_cuda_kernels OBJECT ${CCDL_CUDA_KERNELS})
  set_source_files_properties(${CCDL_CUDA_KERNELS_SM90} PROPERTIES COMPILE_OPTIONS -Wno-psabi)  # CUtensorMap by value
  set_target_properties(ccdl_cuda_kernels PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(ccdl_cuda_kernels PRIVATE ccdl_emulated_flags)
  target_compile_options(ccdl_cuda_kernels PRIVATE ${CCDL_EMULATED_KERNEL_OPTIONS})
  list(APPEND CCDL_CUDA_OBJECTS $<TARGET_OBJECTS:ccdl_cuda_kernels>)
  function(ccdl_link_cuda target)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:ccdl_emulated_flags> ${CMAKE_DL_LIBS})
    target_compile_definitions(${target} PUBLIC CCDL_WITH_CUDA)
  endfunction()
  return()
endif()

set(CCDL_CUDA_ARCHITECTURES "" CACHE STRING "Architectures of the portable kernels; empty: those of the GPUs present, else 80")
if(NOT CCDL_CUDA_ARCHITECTURES)
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE found
                  RESULT_VARIABLE no_gpu ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(architectures)
  if(no_gpu EQUAL 0)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]+" found "${found}")
    foreach(capability IN LISTS found)
      string(REPLACE "." "" capability ${capability})
      list(APPEND architectures ${capability}-real)
    endforeach()
    list(REMOVE_DUPLICATES architectures)
  endif()
  if(NOT architectures)
    set(architectures 80)  # SASS for sm_80 and PTX for everything newer
  endif()
else()
  set(architectures ${CCDL_CUDA_ARCHITECTURES})
endif()
set(CMAKE_CUDA_ARCHITECTURES ${architectures})
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
if(NOT BUILD_SHARED_LIBS)
  set(CCDL_NEEDS_CUDART ON)
endif()
message(STATUS "ccdl: CUDA kernels for ${architectures}, *_sm90.cu for 90a")

function(ccdl_cuda_library name architectures)
  add_library(${name} OBJECT ${ARGN})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON CUDA_ARCHITECTURES "${architectures}"
                                           CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON)
  target_include_directories(${name} PRIVATE ${CCDL_CUDA_INCLUDES})
  # NDEBUG: device asserts serialise wgmma. Contraction only where a kernel says fmaf.
  target_compile_definitions(${name} PRIVATE NDEBUG)
  target_compile_options(${name} PRIVATE --fmad=false -Xfatbin=-compress-all -Xcompiler=-Wall,-Wextra,-fno-gnu-unique)
endfunction()
ccdl_cuda_library(ccdl_cuda_kernels "${architectures}" ${CCDL_CUDA_KERNELS})
list(APPEND CCDL_CUDA_OBJECTS $<TARGET_OBJECTS:ccdl_cuda_kernels>)
ccdl_cuda_library(ccdl_cuda_kernels_sm90 90a-real ${CCDL_CUDA_KERNELS_SM90})
list(APPEND CCDL_CUDA_OBJECTS $<TARGET_OBJECTS:ccdl_cuda_kernels_sm90>)
function(ccdl_link_cuda target)
  set_source_files_properties(${CCDL_CUDA_SOURCES} TARGET_DIRECTORY ${target} PROPERTIES
                              INCLUDE_DIRECTORIES "${CCDL_CUDA_INCLUDES}")
  if(BUILD_SHARED_LIBS)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:CUDA::cudart_static>)
  else()  # whoever links the static library links the CUDA runtime too: ccdlConfig.cmake finds it
    target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  endif()
  target_compile_definitions(${target} PUBLIC CCDL_WITH_CUDA)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
endfunction()
