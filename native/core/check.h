// Argument checks shared by all ops. Names are put together only when a check fails, so that a call
// that succeeds allocates nothing.
#ifndef TWINTAIL_CORE_CHECK_H
#define TWINTAIL_CORE_CHECK_H

#include <cstdint>
#include <string>

#include "error.h"
#include "twintail.h"

namespace tt {

/// The name of an argument, with up to two numbers to fill in: {"views[%lld].rows", 2}.
struct Name {
  Name(const char* p, int64_t first = 0, int64_t second = 0) : pattern(p), a(first), b(second) {}
  std::string str() const;

  const char* pattern;
  int64_t a, b;
};

namespace check {

void pointer(const Name& name, const void* pointer);
void at_least(const Name& name, int64_t value, int64_t least);
/// low <= value <= high
void between(const Name& name, int64_t value, int64_t low, int64_t high);
void finite(const Name& name, double value);
void positive(const Name& name, double value);      // finite and > 0
void not_negative(const Name& name, double value);  // finite and >= 0
void rate(const Name& name, double value);          // in [0, 1]
void below_one(const Name& name, double value);     // in [0, 1)
/// rows * columns elements of `size` bytes must be addressable.
void addressable(const Name& name, int64_t rows, int64_t columns, int64_t size);

/// The caller's struct may be longer than ours (a newer header) if what we do not know is zero, and shorter (an older one)
/// down to `first_size`, which it had when it was published; 0: it has not grown since.
void struct_size(const Name& name, const void* given, int32_t given_size, size_t known_size,
                 size_t first_size = 0);

void optimizer(const tt_optimizer* optimizer);
/// The state pointers that an optimiser needs. prefix: e.g. "embeddings[2]." or "".
void optimizer_state(const tt_optimizer& optimizer, const char* prefix, int64_t index,
                     const void* state1, const void* state2);

}  // namespace check
}  // namespace tt
#endif
