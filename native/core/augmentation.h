// What the four transformations decide about one row of a batch, from Philox counters alone.
// The specification is in twintail.h ("Randomness", tt_draw, tt_augmentation); this is the one
// implementation of it, for host and device: backends differ only in how they go over the rows.
#ifndef TWINTAIL_CORE_AUGMENTATION_H
#define TWINTAIL_CORE_AUGMENTATION_H

#include <stdint.h>

#include "philox.h"
#include "twintail.h"

namespace tt {

/// What decides about single values and about rows of lists; plain data that may be a kernel's argument.
struct DropoutPlan {
  uint32_t transforms;  // those that can have an effect
  uint32_t view;
  PhiloxKey key;
  int64_t step;
  uint64_t maskable;
  uint64_t value_below;  // an event happens iff u < this
  uint64_t list_below;
};

/// One view's augmentation, ready to be evaluated: whole features as well.
struct AugmentationPlan : DropoutPlan {
  uint64_t mask_below;
  uint64_t seeds;  // bit f: feature f may be the seed
  uint64_t sets[TT_MAX_FEATURES];
  int32_t maskable_count;
  int32_t seed_count;
  int32_t second_view;
  int32_t per_batch;
};

/// round(rate * 2^32): a float times a power of two is exact in double.
inline uint64_t event_bound(float rate) {
  return static_cast<uint64_t>(static_cast<double>(rate) * 4294967296.0 + 0.5);
}

/// The plan of a checked augmentation (NULL: nothing is changed).
inline AugmentationPlan make_plan(const tt_augmentation* a, int32_t view, int32_t feature_count) {
  AugmentationPlan plan = {};
  plan.view = static_cast<uint32_t>(view);
  if (a == nullptr) return plan;
  plan.key = philox_key(a->seed, a->purpose);
  plan.step = a->step;
  plan.maskable = a->maskable;
  plan.maskable_count = __builtin_popcountll(a->maskable);
  plan.mask_below = event_bound(a->mask_rate);
  plan.value_below = event_bound(a->value_rate);
  plan.list_below = event_bound(a->list_rate);
  plan.second_view = a->second_view;
  plan.per_batch = a->seed_scope == TT_SEED_PER_BATCH;
  uint32_t transforms = a->transforms;
  if ((transforms & TT_CORRELATED) != 0) {
    for (int32_t f = 0; f < feature_count; ++f) {
      plan.sets[f] = a->correlated[f];
      if (plan.sets[f] != 0) plan.seeds |= uint64_t{1} << f;
    }
    plan.seed_count = __builtin_popcountll(plan.seeds);
  }
  if (plan.maskable == 0) transforms &= static_cast<uint32_t>(TT_LIST_DROPOUT);
  if (plan.mask_below == 0) transforms &= ~static_cast<uint32_t>(TT_RANDOM_MASK);
  if (plan.value_below == 0) transforms &= ~static_cast<uint32_t>(TT_VALUE_DROPOUT);
  if (plan.list_below == 0) transforms &= ~static_cast<uint32_t>(TT_LIST_DROPOUT);
  plan.transforms = transforms;
  return plan;
}

TT_HD int32_t lowest_bit(uint64_t bits) {
#if defined(__CUDA_ARCH__)
  return __ffsll(static_cast<long long>(bits)) - 1;
#else
  return __builtin_ctzll(bits);
#endif
}

/// The features drawn by TT_RANDOM_MASK: position f / 4, output f % 4.
TT_HD uint64_t random_mask(const AugmentationPlan& plan, uint32_t row) {
  uint64_t mask = 0;
  for (uint32_t group = 0; group < TT_MAX_FEATURES / 4; ++group) {
    const uint32_t wanted = static_cast<uint32_t>(plan.maskable >> (4 * group)) & 0xFu;
    if (wanted == 0) continue;
    const PhiloxBlock u =
        philox(philox_counter(group, row, plan.step, 0, plan.view, TT_DRAW_MASK), plan.key);
    uint32_t hit = 0;
    for (uint32_t i = 0; i < 4; ++i) hit |= (u.v[i] < plan.mask_below ? 1u : 0u) << i;
    mask |= static_cast<uint64_t>(hit & wanted) << (4 * group);
  }
  return mask;
}

/// Outputs 0 and 1 of a block.
struct DrawPair {
  uint32_t low, high;
};

/// The half that TT_COMPLEMENTARY masks in view 1: the first floor(k / 2) entries of the ascending list
/// of maskable features after that many Fisher-Yates steps; step t swaps entry t with t + [0, k - t).
/// draw(t): the pair of TT_DRAW_SPLIT at position t.
template <class Draw>
TT_HD uint64_t half_of(const AugmentationPlan& plan, Draw&& draw) {
  uint8_t order[TT_MAX_FEATURES];
  int32_t k = 0;
  for (uint64_t rest = plan.maskable; rest != 0; rest &= rest - 1) {
    order[k++] = static_cast<uint8_t>(lowest_bit(rest));
  }
  uint64_t half = 0;
  for (int32_t t = 0; t < k / 2; ++t) {
    const DrawPair u = draw(t);
    const int32_t other =
        t + static_cast<int32_t>(philox_below(u.low, u.high, static_cast<uint64_t>(k - t)));
    const uint8_t chosen = order[other];
    order[other] = order[t];
    half |= uint64_t{1} << chosen;
  }
  return half;
}

TT_HD uint64_t random_half(const AugmentationPlan& plan, uint32_t row) {
  return half_of(plan, [&](int32_t t) {
    const PhiloxBlock u = philox(
        philox_counter(static_cast<uint32_t>(t), row, plan.step, 0, 0, TT_DRAW_SPLIT), plan.key);
    return DrawPair{u.v[0], u.v[1]};
  });
}

/// An independent second view draws its seed with view 2 in the counter, everything else with view 0.
TT_HD uint32_t seed_view(const AugmentationPlan& plan) {
  return plan.view == 2 && plan.second_view == TT_VIEW_INDEPENDENT ? 2u : 0u;
}

/// The set that TT_CORRELATED masks, from the pair of TT_DRAW_SEED.
TT_HD uint64_t correlated_set_of(const AugmentationPlan& plan, DrawPair u) {
  uint64_t candidates = plan.seeds;
  for (uint64_t skip = philox_below(u.low, u.high, static_cast<uint64_t>(plan.seed_count));
       skip > 0; --skip) {
    candidates &= candidates - 1;
  }
  const uint64_t set = plan.sets[lowest_bit(candidates)];
  const bool complement = plan.view == 2 && plan.second_view == TT_VIEW_COMPLEMENT;
  return complement ? plan.maskable & ~set : set;
}

TT_HD uint64_t correlated_set(const AugmentationPlan& plan, uint32_t row) {
  const PhiloxBlock u =
      philox(philox_counter(0, row, plan.step, 0, seed_view(plan), TT_DRAW_SEED), plan.key);
  return correlated_set_of(plan, DrawPair{u.v[0], u.v[1]});
}

constexpr uint32_t kWholeFeatureTransforms = TT_RANDOM_MASK | TT_COMPLEMENTARY | TT_CORRELATED;

/// The features masked as a whole in batch row `row`.
TT_HD uint64_t feature_mask(const AugmentationPlan& plan, uint32_t row) {
  if (plan.per_batch != 0) row = 0;
  uint64_t mask = 0;
  if ((plan.transforms & TT_RANDOM_MASK) != 0) mask |= random_mask(plan, row);
  if ((plan.transforms & TT_COMPLEMENTARY) != 0) {
    const uint64_t half = random_half(plan, row);
    mask |= plan.view == 2 ? plan.maskable & ~half : half;
  }
  if ((plan.transforms & TT_CORRELATED) != 0) mask |= correlated_set(plan, row);
  return mask;
}

/// Bit i: value 4 * group + i of the feature is dropped. Positions count all values of the row,
/// before anything is removed; through a list, those of all its catalogue rows one after the other.
TT_HD uint32_t dropped_values(const DropoutPlan& plan, uint32_t row, int32_t feature,
                              uint32_t group) {
  const PhiloxBlock u = philox(philox_counter(group, row, plan.step, static_cast<uint32_t>(feature),
                                              plan.view, TT_DRAW_VALUE),
                               plan.key);
  uint32_t dropped = 0;
  for (uint32_t i = 0; i < 4; ++i) dropped |= (u.v[i] < plan.value_below ? 1u : 0u) << i;
  return dropped;
}

/// Bit i: position 4 * group + i of the row's list is dropped, for all features.
TT_HD uint32_t dropped_list_rows(const DropoutPlan& plan, uint32_t row, uint32_t group) {
  const PhiloxBlock u =
      philox(philox_counter(group, row, plan.step, 0, plan.view, TT_DRAW_LIST), plan.key);
  uint32_t dropped = 0;
  for (uint32_t i = 0; i < 4; ++i) dropped |= (u.v[i] < plan.list_below ? 1u : 0u) << i;
  return dropped;
}

/// Whether single values of `feature` may be dropped: it must be maskable and multi-valued.
TT_HD bool drops_values(const DropoutPlan& plan, int32_t feature, bool multi_valued) {
  return multi_valued && (plan.transforms & TT_VALUE_DROPOUT) != 0 &&
         (plan.maskable >> feature & 1) != 0;
}

}  // namespace tt
#endif
