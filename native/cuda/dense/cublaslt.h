// Products by cuBLASLt, where a library is found at run time. It is an engine that may be absent and may refuse; whoever
// calls it has a kernel of their own for that.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "dense/cublaslt_api.h"

namespace tt::cuda {

struct Context;
class Scope;

namespace cublaslt {

/// The library, as TWINTAIL_CUBLASLT says: a path, "off", or nothing: the names of `candidates`.
struct Library {
  bool loaded = false;
  Functions functions{};
  std::string description;  // one line: which, or what was looked for and why it failed

  /// Loads it unless it is loaded; it stays for the life of the process. Throws TT_BAD_ARGUMENT where the variable
  /// names a library that cannot be used.
  static const Library& get();
};

/// A device's use of the library by all contexts, which take turns.
struct SharedHandle {
  std::mutex mutex;
  Handle handle = nullptr;
};

/// That of the current device, of this index. Without a handle where none can be made now; NULL where none ever can. It stays for
/// the life of the process: its end would wait for the whole device, and so spoil whatever is being captured there.
SharedHandle* handle_of(const Library& library, int device);

/// File names in the order in which they are tried: CUDA's major version that this was built for first.
std::vector<std::string> candidates(int cuda_major);

/// The first of the names that can be used, else not loaded.
Library search(const std::vector<std::string>& names);

}  // namespace cublaslt

/// d = op(a) op(b) + bias: column-major and packed, d [m, n], op(a) [m, k], op(b) [k, n], bias [m].
struct ColumnProduct {
  int64_t m, n, k;
  bool transpose_a, transpose_b;
  const float *a, *b;
  const float* bias;  // aligned to kBiasAlignment, or NULL
  float* d;
};

/// A context's use of the library. The algorithm of a shape is chosen once: the same bits in every call with pointers
/// of the same alignment. That there is none is remembered; what else fails may succeed in the next call, but is left alone
/// after some attempts, each of which cuts a recorded step. Other shapes stay with the library: their bits are those of the
/// first call, also in a training that was stopped and goes on.
class CublasLt {
 public:
  explicit CublasLt(const cublaslt::Library& library);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  bool available() const { return library_.loaded && !unusable_; }

  /// Puts the product on the context's stream. False: nothing was done, for whatever reason. The first of a shape
  /// interrupts a recording: the library loads what it needs for it. So it throws TT_UNSUPPORTED while the stream's owner
  /// captures it.
  bool multiply(Context& context, Scope& scope, const ColumnProduct& product);

 private:
  struct Plan;
  using Key =
      std::tuple<int64_t, int64_t, int64_t, uint32_t, uint32_t>;  // m, n, k, kind, alignments

  Plan* plan_of(Context& context, const ColumnProduct& product);

  const cublaslt::Library& library_;
  cublaslt::SharedHandle* shared_ = nullptr;
  bool unusable_ = false;
  int handle_failures_ = 0;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace tt::cuda
