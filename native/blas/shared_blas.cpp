// Nothing to add to a shared BLAS, which has its own locks (concurrency_test.cpp sees whether that
// is so).
