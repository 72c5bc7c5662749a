// tt_philox, tt_fill_uniform, tt_sample_rows, tt_sample_clicks.
#include "philox.h"

#include <cmath>
#include <limits>

#include "handles.h"

namespace tt {
namespace {

constexpr int64_t kMostSteps = int64_t{1} << 48;

}  // namespace
}  // namespace tt

tt_status tt_philox(const uint32_t* key, const uint32_t* counter, uint32_t* output) {
  return tt::guard([&] {
    tt::check::pointer("key", key);
    tt::check::pointer("counter", counter);
    tt::check::pointer("output", output);
    const tt::PhiloxBlock block =
        tt::philox({{counter[0], counter[1], counter[2], counter[3]}}, {{key[0], key[1]}});
    for (int i = 0; i < 4; ++i) output[i] = block.v[i];
  });
}

tt_status tt_fill_uniform(tt_context* context, uint64_t seed, uint32_t purpose, int64_t step,
                          float lo, float hi, int64_t count, float* out) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::between("step", step, 0, tt::kMostSteps - 1);
    tt::check::finite("lo", lo);
    tt::check::finite("hi", hi);
    if (!std::isfinite(hi - lo))
      tt::bad_argument("hi", "a number that lo can be subtracted from in float32", hi);
    tt::check::at_least("count", count, 0);
    tt::check::addressable("count", count, 1, 4);
    if (count == 0) return;
    tt::check::pointer("out", out);
    session.call(session.backend().fill_uniform, seed, purpose, step, lo, hi, count, out);
  });
}

tt_status tt_sample_rows(tt_context* context, uint64_t seed, uint32_t purpose, int64_t step,
                         int64_t bound, int64_t n, int32_t* out) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::between("step", step, 0, tt::kMostSteps - 1);
    tt::check::between("bound", bound, 1, int64_t{std::numeric_limits<int32_t>::max()} + 1);
    tt::check::between("n", n, 0, int64_t{1} << 32);
    if (n == 0) return;
    tt::check::pointer("out", out);
    session.call(session.backend().sample_rows, seed, purpose, step, bound, n, out);
  });
}

tt_status tt_sample_clicks(tt_context* context, uint64_t seed, uint32_t purpose, int64_t epoch,
                           const int32_t* users, const int32_t* items, int64_t count, int64_t start,
                           int64_t n, int32_t* out_users, int32_t* out_items) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::between("epoch", epoch, 0, tt::kMostSteps - 1);
    tt::check::between("count", count, 1, int64_t{1} << 60);
    tt::check::addressable("count", count, 1, 4);
    tt::check::between("start", start, 0, count);
    tt::check::between("n", n, 0, count - start);
    if (n == 0) return;
    tt::check::pointer("users", users);
    tt::check::pointer("items", items);
    tt::check::pointer("out_users", out_users);
    tt::check::pointer("out_items", out_items);
    session.call(session.backend().sample_clicks, seed, purpose, epoch, users, items, count, start,
                 n, out_users, out_items);
  });
}
