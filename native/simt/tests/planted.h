// Every kind of mistake that native/simt promises to catch is made once, beside a twin that is right.
//
// Each runs in a process of its own, under four schedules. The twin must pass all of them; the mistake
// must be found as its table says for this build:
//   kAlways     by every schedule, and the report contains the given words
//   kSometimes  by at least one of the four (the result is wrong, or NaN, or something was diagnosed)
//   kNever      this build cannot see it: said so, rather than left out
#pragma once

#include "simt_test.h"

namespace planted {

using simt_test::DeviceArray;

enum class Found { kAlways, kSometimes, kNever };
constexpr Found kAlways = Found::kAlways, kSometimes = Found::kSometimes, kNever = Found::kNever;

struct Bug {
  const char* name;
  bool (*run)(bool wrong);  // true: the result was right and nothing was diagnosed
  Found plain, check, asan, tsan;
  const char* words;  // a regular expression, for kAlways
};

// One test for each: a suite of its own with TEST_P(suite, IsCaughtAndItsTwinPasses).
void check(const Bug& bug);
#define PLANTED_BUGS(suite, bugs)                                   \
  class suite : public testing::TestWithParam<planted::Bug> {};     \
  TEST_P(suite, IsCaughtAndItsTwinPasses) {                         \
    planted::check(GetParam());                                     \
  }                                                                 \
  INSTANTIATE_TEST_SUITE_P(Planted, suite, testing::ValuesIn(bugs), \
                           [](const auto& bug) { return std::string(bug.param.name); })

// `threads` floats a block from kernel(out, wrong), each of which should be its index.
template <class Kernel>
bool gives_indices(Kernel kernel, bool wrong, int threads, std::size_t shared = 0, int blocks = 1) {
  const DeviceArray<float> out(static_cast<std::size_t>(threads) * blocks);
  if (TT_LAUNCH(kernel, blocks, threads, shared, nullptr, out.get(), wrong) != cudaSuccess)
    return false;
  const std::vector<float> found = out.values();
  for (std::size_t i = 0; i < found.size(); i++)
    if (!(found[i] == static_cast<float>(i))) return false;
  return true;
}

}  // namespace planted
