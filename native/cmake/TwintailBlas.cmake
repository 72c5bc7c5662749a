# Makes the target twintail_blas (cblas.h and its library) and sets TWINTAIL_BLAS_KIND.
#
# Preferred is Debian's static, single-threaded OpenBLAS: Twintail has its own threads, and a static
# copy with hidden symbols cannot clash with another BLAS in the host process. Any shared OpenBLAS or
# CBLAS is the fall-back.

set(_arch "${CMAKE_LIBRARY_ARCHITECTURE}")
find_library(TWINTAIL_OPENBLAS_STATIC NAMES libopenblas.a
             PATHS /usr/lib/${_arch}/openblas-serial /usr/lib/openblas-serial NO_DEFAULT_PATH)
find_path(TWINTAIL_CBLAS_INCLUDE NAMES cblas.h
          PATHS /usr/include/${_arch}/openblas-serial /usr/include/${_arch} /usr/include/openblas
          NO_DEFAULT_PATH)
find_path(TWINTAIL_CBLAS_INCLUDE NAMES cblas.h PATH_SUFFIXES openblas)

add_library(twintail_blas INTERFACE)
if(NOT TWINTAIL_CBLAS_INCLUDE)
  message(FATAL_ERROR "Twintail needs cblas.h: install libopenblas-serial-dev (Debian, Ubuntu) or set "
                      "TWINTAIL_CBLAS_INCLUDE")
endif()
target_include_directories(twintail_blas SYSTEM INTERFACE "${TWINTAIL_CBLAS_INCLUDE}")

if(TWINTAIL_OPENBLAS_STATIC)
  set(TWINTAIL_BLAS_KIND "static ${TWINTAIL_OPENBLAS_STATIC}")
  target_link_libraries(twintail_blas INTERFACE "${TWINTAIL_OPENBLAS_STATIC}" m)
else()
  find_library(TWINTAIL_OPENBLAS_SHARED NAMES openblas cblas REQUIRED)
  set(TWINTAIL_BLAS_KIND "shared ${TWINTAIL_OPENBLAS_SHARED}")
  target_link_libraries(twintail_blas INTERFACE "${TWINTAIL_OPENBLAS_SHARED}")
  message(NOTICE "Twintail: libopenblas-serial-dev is not installed; linking ${TWINTAIL_OPENBLAS_SHARED}, "
                 "which users of the library will need too")
endif()
message(STATUS "Twintail: BLAS is ${TWINTAIL_BLAS_KIND}")
