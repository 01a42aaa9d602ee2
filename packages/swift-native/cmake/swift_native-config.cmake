# find_package(swift_native CONFIG): what a wheel with kernels of its own is built on.
#
#   swift_native::headers     the headers, for kernels
#   swift_native::driver      the multi-tensor driver, the thread pool and the choice of the instruction set, as sources
#                             that are compiled into the module that links it: nothing is shared at run time, so that
#                             compilers, standard libraries and versions need not fit
#   swift_native_add_kernels  compiles kernels once for each instruction set

include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/swift_native-kernels.cmake)

if(NOT TARGET swift_native::headers)
  get_filename_component(_include ${CMAKE_CURRENT_LIST_DIR}/../include ABSOLUTE)
  set(_sources ${_include}/swift_native)

  add_library(swift_native::headers INTERFACE IMPORTED)
  target_include_directories(swift_native::headers INTERFACE ${_include})
  target_compile_features(swift_native::headers INTERFACE cxx_std_17)
  target_compile_definitions(swift_native::headers INTERFACE $<$<BOOL:${SWIFT_NATIVE_X86_64}>:SWIFT_NATIVE_X86_64>)

  add_library(swift_native::driver INTERFACE IMPORTED)
  target_link_libraries(swift_native::driver INTERFACE swift_native::headers Threads::Threads)
  target_sources(swift_native::driver INTERFACE ${_sources}/dispatch/isa.cpp ${_sources}/driver/chunks.cpp
                                                ${_sources}/threads/float_mode.cpp ${_sources}/threads/pool.cpp)
  unset(_include)
  unset(_sources)
endif()
