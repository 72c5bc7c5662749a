// Makes the single-threaded OpenBLAS safe for callers with threads of their own.
//
// Every OpenBLAS call takes its packing buffer from a table. Debian builds the serial flavour
// without USE_LOCKING, so two threads can be handed the same buffer, and both get wrong results
// (without this file concurrency_test.cpp fails nearly every time). The linker sends the two
// functions that touch the table here (--wrap), where a mutex does what USE_LOCKING would have
// done. A call holds it for nanoseconds.
#include <mutex>

extern "C" {

void* __real_blas_memory_alloc(int position);
void __real_blas_memory_free(void* buffer);
void* __wrap_blas_memory_alloc(int position);
void __wrap_blas_memory_free(void* buffer);

}  // extern "C"

namespace {

std::mutex& table_mutex() {
  // OpenBLAS may run before our constructors and after our destructors: made on first use, kept for
  // ever.
  static auto* mutex = new std::mutex;
  return *mutex;
}

}  // namespace

void* __wrap_blas_memory_alloc(int position) {
  std::lock_guard<std::mutex> lock(table_mutex());
  return __real_blas_memory_alloc(position);
}

void __wrap_blas_memory_free(void* buffer) {
  std::lock_guard<std::mutex> lock(table_mutex());
  __real_blas_memory_free(buffer);
}
