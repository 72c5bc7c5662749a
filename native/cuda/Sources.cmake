# The sources of the CUDA backend, for nvcc here and for the plain C++ compiler in native/simt: whatever
# lies in this directory and one below, but tests; and the part of the core that a plugin has a copy of.
file(GLOB TWINTAIL_CUDA_SOURCES CONFIGURE_DEPENDS
     "${CMAKE_CURRENT_LIST_DIR}/*.cu" "${CMAKE_CURRENT_LIST_DIR}/*/*.cu"
     "${CMAKE_CURRENT_LIST_DIR}/*.cpp" "${CMAKE_CURRENT_LIST_DIR}/*/*.cpp")
list(FILTER TWINTAIL_CUDA_SOURCES EXCLUDE REGEX "/cuda/tests/")
list(APPEND TWINTAIL_CUDA_SOURCES "${CMAKE_CURRENT_LIST_DIR}/../core/error.cpp")
