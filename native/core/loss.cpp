// tt_sampled_softmax, tt_contrastive.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

#include "handles.h"

namespace tt {
namespace {

constexpr int64_t kMostColumns = std::numeric_limits<int32_t>::max();  // positives are int32
constexpr float kMostInverseTemperature = 1e30f;  // that, times log2(e), is still one of float32

void check_inverse_temperature(float value) {
  check::positive("inverse_temperature", value);
  if (value > kMostInverseTemperature)
    bad_argument("inverse_temperature", "at most 1e30", static_cast<double>(value));
}

// As this version knows it: later fields are zero where the caller's struct lacks them.
tt_sampled_softmax_args known_args(const tt_sampled_softmax_args* args) {
  check::pointer("args", args);
  tt_sampled_softmax_args known{};
  check::struct_size("struct_size", args, args->struct_size, sizeof known,
                     offsetof(tt_sampled_softmax_args, log_inverse_temperature));
  std::memcpy(&known, args, std::min(sizeof known, static_cast<size_t>(args->struct_size)));
  return known;
}

void check_args(const tt_sampled_softmax_args* args) {
  check::at_least("d", args->d, 1);
  check::at_least("n", args->n, 1);
  check::between("m", args->m, 1, kMostColumns);
  check::addressable("n", args->n, args->d, 4);
  check::addressable("m", args->m, args->d, 4);
  check::pointer("queries", args->queries);
  check::pointer("candidates", args->candidates);
  if (args->positives == nullptr && args->n > args->m) {
    bad_argument("n", format("at most m = %lld where positives is NULL", (long long)args->m),
                 args->n);
  }
  if (args->log_inverse_temperature == nullptr) {
    check_inverse_temperature(args->inverse_temperature);
    if (args->grad_log_inverse_temperature != nullptr)
      check::pointer("log_inverse_temperature", args->log_inverse_temperature);
  }
  check::finite("scale", args->scale);
  check::between("precision", args->precision, TT_FLOAT32, TT_BFLOAT16);
}

void check_args(const tt_contrastive_args* args) {
  check::pointer("args", args);
  check::struct_size("struct_size", args, args->struct_size, sizeof *args);
  check::at_least("d", args->d, 1);
  check::between("m", args->m, 1, kMostColumns);
  check::addressable("m", args->m, args->d, 4);
  check::pointer("view1", args->view1);
  check::pointer("view2", args->view2);
  check_inverse_temperature(args->inverse_temperature);
  check::finite("scale", args->scale);
  check::between("symmetric", args->symmetric, 0, 1);
  check::between("precision", args->precision, TT_FLOAT32, TT_BFLOAT16);
}

}  // namespace
}  // namespace tt

tt_status tt_sampled_softmax(tt_context* context, const tt_sampled_softmax_args* args) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    const tt_sampled_softmax_args known = tt::known_args(args);
    tt::check_args(&known);
    session.call(session.backend().sampled_softmax, &known);
  });
}

tt_status tt_contrastive(tt_context* context, const tt_contrastive_args* args) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check_args(args);
    session.call(session.backend().contrastive, args);
  });
}
