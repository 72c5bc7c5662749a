#include "pass.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <thread>

namespace tt::cpu::loss {
namespace {

// All operand elements are four bytes: a float or two bfloat16.
void* element(const void* base, int64_t index) {
  return const_cast<char*>(static_cast<const char*>(base)) + index * 4;
}

template <class T>
T* offset(T* p, int64_t count) {
  return p == nullptr ? nullptr : p + count;
}

}  // namespace

Pass::Pass(Pool& pool, ArenaScope& scope, const Problem& problem, const Plan& plan,
           const Kernels& kernels, bool round)
    : pool_(pool),
      scope_(scope),
      problem_(problem),
      plan_(plan),
      kernels_(kernels),
      round_(round),
      workers_(static_cast<int>(std::min<int64_t>(pool.threads(), plan.blocks))) {
  worker_ = scope.get<Worker>(static_cast<size_t>(workers_));
  for (int w = 0; w < workers_; ++w) worker_[w] = Worker{};
  turns_ = (plan.panels + plan.turn_panels - 1) / plan.turn_panels;
  const int64_t count = plan.strands * (turns_ + 1);
  turn_ = static_cast<Turn*>(
      static_cast<void*>(scope.get<char>(static_cast<size_t>(count) * sizeof(Turn))));
  for (int64_t t = 0; t < count; ++t) new (&turn_[t]) Turn();
  unclaimed_ = turn_ + plan.strands * turns_;
}

void Pass::start(const PassInput& input) {
  for (int w = 0; w < workers_; ++w) make_room(input, worker_[w]);
  for (int64_t s = 0; s < plan_.strands; ++s) {
    unclaimed_[s].next.store(s, std::memory_order_relaxed);
    for (int64_t t = 0; t < turns_; ++t) {
      turn_[s * turns_ + t].next.store(s, std::memory_order_relaxed);
    }
  }
}

// Threads keep to a strand while it lasts: then its V stays in their caches. There are as many claims as blocks.
int64_t Pass::claim(int thread) {
  const int64_t first = int64_t{thread} * plan_.strands / pool_.threads();
  for (int64_t k = 0;; ++k) {
    std::atomic<int64_t>& next = unclaimed_[(first + k) % plan_.strands].next;
    const int64_t block = next.fetch_add(plan_.strands, std::memory_order_relaxed);
    if (block < plan_.blocks) return block;
  }
}

// Takes what this pass needs and an earlier one has not taken.
void Pass::make_room(const PassInput& input, Worker& w) {
  const auto rows = static_cast<size_t>(plan_.most_rows);
  const auto columns = static_cast<size_t>(plan_.columns);
  const auto lanes = static_cast<size_t>(kernels_.lanes);
  const auto width = static_cast<size_t>(plan_.width);
  const auto take = [&](auto& pointer, size_t count) {
    using T = std::remove_reference_t<decltype(*pointer)>;
    if (pointer == nullptr) pointer = scope_.get<T>(count);
  };
  const auto take_elements = [&](void*& pointer, size_t count) {
    if (pointer == nullptr) pointer = scope_.get<float>(count);
  };
  const bool columns_wanted = input.v != nullptr;
  take_elements(w.queries, rows * static_cast<size_t>(plan_.stride));
  const size_t chunk =
      static_cast<size_t>(plan_.chunk_panels) * static_cast<size_t>(kernels_.panel_columns);
  if (kernels_.pairs) {
    if (input.row_products) take_elements(w.weights, rows * chunk / 2);
    if (columns_wanted) take_elements(w.pairs, rows * columns / 2);
  } else if (input.row_products || columns_wanted) {
    take_elements(w.weights, rows * (columns_wanted ? columns : std::min(columns, chunk)));
  }
  if (input.row_products) take(w.u, rows * width);
  if (columns_wanted) take_elements(w.scaled, rows * static_cast<size_t>(plan_.stride));
  take(w.sums, rows * lanes);
  if (input.epilogue == Epilogue::online) take(w.maxima, rows * lanes);
  take(w.scale, rows);
  if (input.column_sums != nullptr) take(w.column_sums, columns);
  take(w.dropped, static_cast<size_t>(plan_.panels) * rows);
  take(w.marked, static_cast<size_t>(plan_.panels) * static_cast<size_t>(plan_.most_tiles));
}

// By the thread that is about to multiply them, and into memory of its own: otherwise most of them would have to be
// fetched from another core's cache.
void Pass::pack(const View& queries, int64_t first_row, int tiles, Worker& w) {
  for (int t = 0; t < tiles; ++t) {
    const int64_t row = static_cast<int64_t>(t) * kernels_.tile_rows;
    PackArgs a{};
    a.source = queries.source + (first_row + row) * problem_.d;
    a.count = queries.count - first_row - row;
    a.d = problem_.d;
    a.width = plan_.width;
    a.stride = plan_.stride;
    a.scale = queries.scale;
    a.round = round_;
    a.inverse_norm = queries.inverse_norm + first_row + row;
    a.rows = element(w.queries, row * plan_.stride);
    kernels_.pack_queries(a);
  }
}

void Pass::mark(const PassInput& input, int64_t first_row, int count, int tiles, Worker& w) {
  const int rows = tiles * kernels_.tile_rows;
  Marks marks(w.dropped, w.marked, plan_.panels, rows, kernels_.tile_rows, kernels_.panel_columns);
  marks.clear();
  marks.drop_columns_from(problem_.m);
  marks.drop_rows_from(count);
  for (int r = 0; r < count; ++r) {
    const int64_t i = first_row + r;
    const int64_t positive = input.positives != nullptr ? input.positives[i] : i;
    marks.drop(r, positive);
    if (input.duplicates == nullptr) continue;
    for (int32_t j = input.duplicates->first(positive); j >= 0; j = input.duplicates->next(j)) {
      marks.drop(r, j);
    }
  }
}

Block Pass::score(const PassInput& input, int64_t block, Worker& w) {
  const int64_t first_tile = plan_.first_tile(block);
  const int tiles = static_cast<int>(plan_.first_tile(block + 1) - first_tile);
  const int rows = tiles * kernels_.tile_rows;
  const int64_t first_row = first_tile * kernels_.tile_rows;
  const int count = static_cast<int>(std::min<int64_t>(rows, problem_.n - first_row));
  const auto lane_floats = static_cast<size_t>(rows) * static_cast<size_t>(kernels_.lanes);

  pack(*input.queries, first_row, tiles, w);
  mark(input, first_row, count, tiles, w);
  std::memset(w.sums, 0, lane_floats * sizeof(float));
  if (w.maxima != nullptr) std::fill_n(w.maxima, lane_floats, -1e30f);
  if (input.column_sums != nullptr) std::fill_n(w.column_sums, plan_.columns, 0.0f);

  const int64_t panel_elements = static_cast<int64_t>(plan_.depth) * kernels_.panel_columns;
  const int64_t weight_elements =
      static_cast<int64_t>(rows) * kernels_.panel_columns / (kernels_.pairs ? 2 : 1);
  const bool keep = input.v != nullptr && !kernels_.pairs;  // weights of all chunks, not the last
  for (int64_t p = 0; p < plan_.panels; p += plan_.chunk_panels) {
    const int64_t column = p * kernels_.panel_columns;
    ScoreArgs a{};
    a.queries = w.queries;
    a.query_stride = plan_.stride;
    a.row_tiles = tiles;
    a.candidates = element(input.candidates->panels, p * panel_elements);
    a.panels = static_cast<int>(std::min<int64_t>(plan_.chunk_panels, plan_.panels - p));
    a.depth = plan_.depth;
    a.bias = input.bias + column;
    a.dropped = w.dropped + p * rows;
    a.marked = w.marked + p * tiles;
    a.sums = w.sums;
    a.maxima = w.maxima;
    a.column_sums = offset(w.column_sums, column);
    a.row_shift = offset(input.row_shift, first_row);
    a.row_factor = offset(input.row_factor, first_row);
    a.column_shift = offset(input.column_shift, column);
    a.column_factor = offset(input.column_factor, column);
    if (w.weights != nullptr) a.weights = element(w.weights, keep ? p * weight_elements : 0);
    if (input.v != nullptr && kernels_.pairs) {
      a.weight_pairs = element(w.pairs, p * weight_elements);
    }
    const void* candidate_rows =
        element(input.candidates->rows, column / (kernels_.pairs ? 2 : 1) * plan_.stride);
    if (input.row_products) a.upcoming = candidate_rows;
    a.upcoming_stride = plan_.stride;
    kernels_.scores[static_cast<int>(input.epilogue)](a);
    if (!input.row_products) continue;

    ProductArgs u{};
    u.weights = a.weights;
    u.row_tiles = tiles;
    u.panels = a.panels;
    u.operand = candidate_rows;
    u.stride = plan_.stride;
    u.width = plan_.width;
    u.out = w.u;
    u.out_stride = plan_.width;
    u.fresh = p == 0;
    kernels_.row_products(u);
  }
  return Block{first_row, count, w.sums, w.maxima, w.u, w.scale};
}

// The blocks of a strand add to its V in ascending order, whichever threads own them: each follows its
// predecessor through the columns at a distance of one turn, so they rarely wait. They are claimed in ascending order,
// hence the lowest unfinished one never waits.
void Pass::wait_for_turn(const Turn& turn, int64_t block) {
  for (int spin = 0; turn.next.load(std::memory_order_acquire) != block; ++spin) {
    if (spin < 256) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else {
      std::this_thread::yield();
    }
  }
}

void Pass::add_columns(const PassInput& input, int64_t block, Worker& w) {
  if (input.v == nullptr && input.column_sums == nullptr) return;
  const int64_t first_tile = plan_.first_tile(block);
  const int tiles = static_cast<int>(plan_.first_tile(block + 1) - first_tile);
  const int rows = tiles * kernels_.tile_rows;
  const int64_t first_row = first_tile * kernels_.tile_rows;
  if (input.v != nullptr) {
    ScaleArgs s{};
    s.source = input.queries->source + first_row * problem_.d;
    s.count = std::min<int64_t>(rows, problem_.n - first_row);
    s.rows = rows;
    s.d = problem_.d;
    s.width = plan_.width;
    s.stride = plan_.stride;
    s.round = round_;
    s.inverse_norm = input.queries->inverse_norm + first_row;
    s.factor = w.scale;
    s.out = w.scaled;
    kernels_.scale_queries(s);
  }

  ProductArgs v{};
  v.row_tiles = tiles;
  v.panels = 1;
  v.operand = w.scaled;
  v.stride = plan_.stride;
  v.width = plan_.width;
  v.out_stride = plan_.width;
  v.fresh = block < plan_.strands;
  const int64_t strand = block % plan_.strands;
  float* all_v = offset(input.v, strand * plan_.columns * plan_.width);
  double* column_sums = offset(input.column_sums, strand * plan_.columns);
  Turn* turns = turn_ + strand * turns_;
  const void* weights = kernels_.pairs ? w.pairs : w.weights;
  const int64_t weight_elements =
      static_cast<int64_t>(rows) * kernels_.panel_columns / (kernels_.pairs ? 2 : 1);
  for (int64_t first = 0, turn = 0; first < plan_.panels; first += plan_.turn_panels, ++turn) {
    const int64_t last = std::min<int64_t>(first + plan_.turn_panels, plan_.panels);
    wait_for_turn(turns[turn], block);
    for (int64_t p = first; p < last; ++p) {
      const int64_t column = p * kernels_.panel_columns;
      if (input.v != nullptr) {
        v.weights = element(weights, p * weight_elements);
        v.out = all_v + column * plan_.width;
        kernels_.column_products(v);
      }
      if (input.column_sums != nullptr) {
        for (int64_t j = column; j < column + kernels_.panel_columns; ++j) {
          column_sums[j] += w.column_sums[j];
        }
      }
    }
    turns[turn].next.store(block + plan_.strands, std::memory_order_release);
  }
}

}  // namespace tt::cpu::loss
