#include "check.h"

#include <cmath>
#include <cstdio>
#include <limits>

namespace tt {

std::string Name::str() const {
  char text[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  std::snprintf(text, sizeof text, pattern, static_cast<long long>(a), static_cast<long long>(b));
#pragma GCC diagnostic pop
  return text;
}

namespace check {

void pointer(const Name& name, const void* pointer) {
  if (pointer == nullptr) bad_argument(name.str(), "a pointer", std::string("NULL"));
}

void at_least(const Name& name, int64_t value, int64_t least) {
  if (value < least) {
    bad_argument(name.str(), "at least " + std::to_string(least), value);
  }
}

void between(const Name& name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    const std::string expected =
        low == high ? std::to_string(low)
                    : "a value in [" + std::to_string(low) + ", " + std::to_string(high) + "]";
    bad_argument(name.str(), expected, value);
  }
}

void finite(const Name& name, double value) {
  if (!std::isfinite(value)) bad_argument(name.str(), "a finite number", value);
}

void positive(const Name& name, double value) {
  if (!std::isfinite(value) || value <= 0) {
    bad_argument(name.str(), "a finite number above 0", value);
  }
}

void not_negative(const Name& name, double value) {
  if (!std::isfinite(value) || value < 0) {
    bad_argument(name.str(), "a finite number of at least 0", value);
  }
}

void rate(const Name& name, double value) {
  if (!(value >= 0 && value <= 1)) bad_argument(name.str(), "a rate in [0, 1]", value);
}

void below_one(const Name& name, double value) {
  if (!(value >= 0 && value < 1)) bad_argument(name.str(), "a number in [0, 1)", value);
}

void addressable(const Name& name, int64_t rows, int64_t columns, int64_t size) {
  int64_t bytes = 0;
  if (__builtin_mul_overflow(rows, columns, &bytes) ||
      __builtin_mul_overflow(bytes, size, &bytes)) {
    bad_argument(name.str(), "a matrix of fewer than 2^63 bytes",
                 format("%lld x %lld", (long long)rows, (long long)columns));
  }
}

void struct_size(const Name& name, const void* given, int32_t given_size, size_t known_size,
                 size_t first_size) {
  const auto known = static_cast<int32_t>(known_size);
  const auto first = static_cast<int32_t>(first_size != 0 ? first_size : known_size);
  if (given_size < first) {
    bad_argument(name.str(), "at least " + std::to_string(first) + " (sizeof the struct)",
                 static_cast<int64_t>(given_size));
  }
  const auto* bytes = static_cast<const unsigned char*>(given);
  for (int32_t i = known; i < given_size; ++i) {
    if (bytes[i] != 0) {
      bad_argument(name.str(),
                   std::to_string(known) + ", or zeros in the fields that this version lacks",
                   static_cast<int64_t>(given_size));
    }
  }
}

void optimizer(const tt_optimizer* optimizer) {
  pointer("optimizer", optimizer);
  struct_size("optimizer.struct_size", optimizer, optimizer->struct_size, sizeof *optimizer);
  between("optimizer.kind", optimizer->kind, TT_SGD, TT_ADAM);
  not_negative("optimizer.learning_rate", optimizer->learning_rate);
  not_negative("optimizer.weight_decay", optimizer->weight_decay);
  if (optimizer->kind != TT_SGD) positive("optimizer.epsilon", optimizer->epsilon);
  if (optimizer->kind == TT_ADAM) {
    below_one("optimizer.beta1", optimizer->beta1);
    below_one("optimizer.beta2", optimizer->beta2);
    at_least("optimizer.step", optimizer->step, 1);
  } else {
    at_least("optimizer.step", optimizer->step, 0);
  }
}

void optimizer_state(const tt_optimizer& optimizer, const char* prefix, int64_t index,
                     const void* state1, const void* state2) {
  const bool needs1 = optimizer.kind != TT_SGD;
  const bool needs2 = optimizer.kind == TT_ADAM;
  if (needs1 && state1 == nullptr) pointer((Name(prefix, index).str() + "state1").c_str(), state1);
  if (needs2 && state2 == nullptr) pointer((Name(prefix, index).str() + "state2").c_str(), state2);
}

}  // namespace check
}  // namespace tt
