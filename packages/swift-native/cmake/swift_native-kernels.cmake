# How kernels are compiled: once for each instruction set, each time in a namespace of its own. Only these sources get
# the flags of an instruction set; they share no inline code with the rest, so that the linker cannot put a function
# with AVX-512 instructions where a plain processor runs it.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT CMAKE_OSX_ARCHITECTURES MATCHES "arm64")
  set(SWIFT_NATIVE_X86_64 ON)
else()
  set(SWIFT_NATIVE_X86_64 OFF)
endif()

# Without contraction and with IEEE square roots and divisions every instruction set gives the same bits.
if(MSVC)
  set(SWIFT_NATIVE_FLAGS /fp:precise)
  set(SWIFT_NATIVE_FLAGS_v3 /arch:AVX2)
  set(SWIFT_NATIVE_FLAGS_v4 /arch:AVX512)
else()
  set(SWIFT_NATIVE_FLAGS -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off)
  set(SWIFT_NATIVE_FLAGS_v3 -march=x86-64-v3)
  set(SWIFT_NATIVE_FLAGS_v4 -march=x86-64-v4 -mprefer-vector-width=512)
endif()

# swift_native_add_kernels(TARGET SOURCES source... [LIBRARIES library...])
#
# Compiles the sources for each instruction set and links them into TARGET, an extension module. SWIFT_NATIVE_KERNELS is
# the namespace that a source defines its kernels in. The sources see swift_native::headers, and LIBRARIES are linked to
# them: include folders and warnings.
function(swift_native_add_kernels target)
  cmake_parse_arguments(PARSE_ARGV 1 kernels "" "" "SOURCES;LIBRARIES")
  set(isas baseline)
  if(SWIFT_NATIVE_X86_64)
    list(APPEND isas v3 v4)
  endif()
  foreach(isa IN LISTS isas)
    set(objects ${target}_${isa})
    add_library(${objects} OBJECT ${kernels_SOURCES})
    # Link-time optimisation would mix the flags of the instruction sets.
    set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                                VISIBILITY_INLINES_HIDDEN ON INTERPROCEDURAL_OPTIMIZATION OFF)
    target_compile_features(${objects} PRIVATE cxx_std_17)
    target_compile_definitions(${objects} PRIVATE SWIFT_NATIVE_KERNELS=kernels_${isa}
                                                  $<$<BOOL:${SWIFT_NATIVE_X86_64}>:SWIFT_NATIVE_X86_64>)
    target_compile_options(${objects} PRIVATE ${SWIFT_NATIVE_FLAGS} ${SWIFT_NATIVE_FLAGS_${isa}})
    target_link_libraries(${objects} PRIVATE $<TARGET_NAME_IF_EXISTS:swift_native::headers> ${kernels_LIBRARIES})
    target_link_libraries(${target} PRIVATE ${objects})
  endforeach()
endfunction()
