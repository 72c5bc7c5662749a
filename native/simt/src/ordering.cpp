#include "ordering.h"

#include <algorithm>

namespace simt {

void Ordering::start(unsigned threads) {
  threads_ = threads;
  wide_ = false;
  epoch_ = 1;
  clock_.assign(threads, 1);
  floor_.assign(threads, 0);
  epoch_of_.assign(threads, 0);
  learnt_.resize(static_cast<std::size_t>(threads) * 32);
  for (std::vector<std::uint32_t>& c : collected_) c.clear();
  points_.clear();
}

std::uint32_t* Ordering::row(unsigned thread) {
  std::uint32_t* r = &learnt_[static_cast<std::size_t>(thread) * width()];
  if (epoch_of_[thread] != epoch_) {
    std::fill(r, r + width(), 0u);
    epoch_of_[thread] = epoch_;
  }
  return r;
}

void Ordering::sync_all() {
  for (unsigned t = 0; t < threads_; t++) floor_[t] = clock_[t]++;
  epoch_++;
}

void Ordering::sync_warp(unsigned warp, unsigned mask) {
  const unsigned first = warp * 32;
  std::vector<std::uint32_t> together(width(), 0u);
  for (unsigned lane = 0; lane < 32; lane++) {
    if ((mask >> lane & 1u) == 0) continue;
    const unsigned t = first + lane;
    const std::uint32_t* r = row(t);
    for (unsigned i = 0; i < width(); i++) together[i] = std::max(together[i], r[i]);
    std::uint32_t& own = together[t - base(t)];
    own = std::max(own, clock_[t]++);
  }
  for (unsigned lane = 0; lane < 32; lane++)
    if ((mask >> lane & 1u) != 0) std::copy(together.begin(), together.end(), row(first + lane));
}

void Ordering::arrive(unsigned barrier, unsigned thread) {
  widen();
  std::vector<std::uint32_t>& collected = collected_[barrier];
  collected.resize(threads_, 0u);
  const std::uint32_t* r = row(thread);
  for (unsigned i = 0; i < threads_; i++) collected[i] = std::max(collected[i], r[i]);
  collected[thread] = std::max(collected[thread], clock_[thread]++);
}

void Ordering::leave(unsigned barrier, const std::vector<unsigned>& threads) {
  const std::vector<std::uint32_t>& collected = collected_[barrier];
  for (unsigned thread : threads) {
    std::uint32_t* r = row(thread);
    for (unsigned i = 0; i < threads_; i++) r[i] = std::max(r[i], collected[i]);
  }
  collected_[barrier].clear();
}

void Ordering::release(const void* point, unsigned thread) {
  widen();
  std::vector<std::uint32_t>& known = points_[point];
  known.resize(threads_, 0u);
  const std::uint32_t* r = row(thread);
  for (unsigned i = 0; i < threads_; i++) known[i] = std::max(known[i], r[i]);
  known[thread] = std::max(known[thread], clock_[thread]++);
}

void Ordering::acquire(const void* point, unsigned thread) {
  widen();
  const auto known = points_.find(point);
  if (known == points_.end()) return;
  std::uint32_t* r = row(thread);
  for (unsigned i = 0; i < threads_; i++) r[i] = std::max(r[i], known->second[i]);
}

void Ordering::widen() {
  if (wide_) return;
  std::vector<std::uint32_t> wide(static_cast<std::size_t>(threads_) * threads_, 0u);
  for (unsigned t = 0; t < threads_; t++)
    for (unsigned other = base(t); other < std::min(threads_, base(t) + 32); other++)
      wide[static_cast<std::size_t>(t) * threads_ + other] = learnt(t, other);
  std::fill(epoch_of_.begin(), epoch_of_.end(), epoch_);
  learnt_ = std::move(wide);
  wide_ = true;
}

}  // namespace simt
