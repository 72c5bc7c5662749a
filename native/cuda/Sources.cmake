# The sources of the CUDA backend, for nvcc here and for the plain C++ compiler in native/simt: whatever
# lies in this directory and one below, but tests.
file(GLOB TWINTAIL_CUDA_SOURCES CONFIGURE_DEPENDS
     "${CMAKE_CURRENT_LIST_DIR}/*.cu" "${CMAKE_CURRENT_LIST_DIR}/*/*.cu"
     "${CMAKE_CURRENT_LIST_DIR}/*.cpp" "${CMAKE_CURRENT_LIST_DIR}/*/*.cpp")
list(FILTER TWINTAIL_CUDA_SOURCES EXCLUDE REGEX "/cuda/tests/")
# Kernels alone are no plugin.
if(NOT EXISTS "${CMAKE_CURRENT_LIST_DIR}/backend.cpp" AND NOT EXISTS "${CMAKE_CURRENT_LIST_DIR}/backend.cu")
  set(TWINTAIL_CUDA_SOURCES)
endif()
