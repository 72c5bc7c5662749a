# How every native source of Twintail is compiled.

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
string(REPLACE "-O2" "-O3" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(TWINTAIL_X86 ON)
else()
  set(TWINTAIL_X86 OFF)
endif()

# The instruction sets, weakest first. A source named <anything>_<isa>.cpp is compiled with that set's
# flags and may only be entered after the processor was asked; all other sources keep the baseline.
set(TWINTAIL_ISAS avx2 avx512 avx512bf16)
set(TWINTAIL_FLAGS_avx2 -mavx2 -mfma -mf16c)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC's own header of intrinsics makes undefined vectors by `y = y` (GCC bug 105593).
  list(APPEND TWINTAIL_FLAGS_avx2 -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
set(TWINTAIL_FLAGS_avx512 ${TWINTAIL_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq
                          -mprefer-vector-width=512)
set(TWINTAIL_FLAGS_avx512bf16 ${TWINTAIL_FLAGS_avx512} -mavx512bf16)

# Contraction stays off everywhere: a*b+c must give the same bits in every build and on every path;
# kernels that want a fused multiply-add say so with an intrinsic.
set(TWINTAIL_COMPILE_OPTIONS -ffp-contract=off -fno-math-errno -fvisibility=hidden)
set(TWINTAIL_WARNINGS -Wall -Wextra -Wshadow)
if(TWINTAIL_WERROR)
  list(APPEND TWINTAIL_WARNINGS -Werror)
endif()

set(TWINTAIL_SANITIZE_OPTIONS "")
if(TWINTAIL_SANITIZE)
  set(TWINTAIL_SANITIZE_OPTIONS "-fsanitize=${TWINTAIL_SANITIZE}" -fno-omit-frame-pointer)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC documents false alarms with -fsanitize: its own <regex> and <functional> raise one.
    list(APPEND TWINTAIL_SANITIZE_OPTIONS -Wno-error=maybe-uninitialized)
    if(TWINTAIL_SANITIZE MATCHES "undefined")
      # With both bounds and shift checked, GCC 12 computes `x |= (a[i] < b ? 1u : 0u) << i` from a wrong i.
      list(APPEND TWINTAIL_SANITIZE_OPTIONS -fno-sanitize=shift)
    endif()
  endif()
endif()

# Warnings and sanitizers, for every target that we compile.
function(twintail_compile target)
  target_compile_options(${target} PRIVATE ${TWINTAIL_WARNINGS} ${TWINTAIL_SANITIZE_OPTIONS}
                                           -ffp-contract=off)
  target_link_options(${target} PRIVATE ${TWINTAIL_SANITIZE_OPTIONS})
endfunction()

# What only tests contain takes long to optimise and to watch for undefined behaviour, which is looked for in what they
# test: neither helps them. (Not for kernels with planted errors, some of which that has to find.)
function(twintail_compile_test target)
  target_compile_options(${target} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O1>)
  if(TWINTAIL_SANITIZE MATCHES "undefined")
    target_compile_options(${target} PRIVATE -fno-sanitize=undefined)
  endif()
endfunction()

# What goes into a library that we ship: also hidden symbols, and no silent narrowing.
function(twintail_compile_library target)
  twintail_compile(${target})
  target_compile_options(${target} PRIVATE ${TWINTAIL_COMPILE_OPTIONS} -Wconversion)
  target_compile_definitions(${target} PRIVATE TT_BUILDING_LIBRARY)
  set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden
                                             VISIBILITY_INLINES_HIDDEN ON)
endfunction()

# Orders sources from the baseline to the strongest instruction set, drops what this processor family
# cannot compile, and gives each file its flags. The order is what keeps inline functions safe: where
# several objects carry the same one, the linker keeps the first, hence the one that runs everywhere.
# (Flags are source properties: call it from the directory that makes the target.)
function(twintail_sort_by_isa sources_variable)
  set(rest ${${sources_variable}})
  set(strong "")
  foreach(isa IN LISTS TWINTAIL_ISAS)
    set(files ${rest})
    list(FILTER files INCLUDE REGEX "_${isa}\\.cpp$")
    if(files)
      list(REMOVE_ITEM rest ${files})
      if(TWINTAIL_X86)
        set_source_files_properties(${files} PROPERTIES COMPILE_OPTIONS "${TWINTAIL_FLAGS_${isa}}")
        list(APPEND strong ${files})
      endif()
    endif()
  endforeach()
  set(${sources_variable} ${rest} ${strong} PARENT_SCOPE)
endfunction()

# A shared library that carries its own C++ runtime, exports what its version script names, and has
# nothing left undefined.
function(twintail_shared_library target version_script)
  target_link_options(${target} PRIVATE "-Wl,--version-script=${version_script}"
                                        "-Wl,--exclude-libs,ALL" "-Wl,--gc-sections")
  set_target_properties(${target} PROPERTIES LINK_DEPENDS "${version_script}" LINKER_LANGUAGE CXX)
  if(TWINTAIL_SANITIZE)
    target_link_options(${target} PRIVATE ${TWINTAIL_SANITIZE_OPTIONS})
  else()
    target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc "-Wl,--no-undefined")
  endif()
endfunction()
