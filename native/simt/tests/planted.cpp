#include "planted.h"

#include <regex>

namespace planted {

void check(const Bug& bug) {
  const Found expected = simt_test::kCheck  ? bug.check
                         : simt_test::kAsan ? bug.asan
                         : simt_test::kTsan ? bug.tsan
                                            : bug.plain;
  int caught = 0;
  std::string report;  // of the last catch
  for (std::uint64_t seed = 0; seed < 4; seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const auto run = [&](bool mistake) {
      return simt_test::run_in_child([&] {
        simt::options().seed = seed;
        simt::options().locate_code = false;
        return bug.run(mistake);
      });
    };
    const simt_test::Outcome right = run(false), wrong = run(true);
    EXPECT_TRUE(right.right) << "the correct twin: exit code " << right.exit_code << "\n"
                             << right.text;
    if (wrong.right) continue;
    caught++;
    report = wrong.text;
    if (expected == kAlways) {
      EXPECT_TRUE(std::regex_search(wrong.text, std::regex(bug.words))) << wrong.text;
    }
  }
  switch (expected) {
    case kAlways:
      EXPECT_EQ(caught, 4);
      break;
    case kSometimes:
      EXPECT_GE(caught, 1);
      break;
    case kNever:
      EXPECT_EQ(caught, 0) << "better than the table claims: change it\n" << report;
      break;
  }
}

}  // namespace planted
