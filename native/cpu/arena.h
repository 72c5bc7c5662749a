// The workspace of a context: temporary memory that every op takes from and
// gives back.
#ifndef TWINTAIL_CPU_ARENA_H
#define TWINTAIL_CPU_ARENA_H

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace tt::cpu {

/// Grows to the high-water mark of the ops run so far and is then reused, so
/// that a training step allocates nothing. Large memory comes from the system
/// in 2 MiB pages where it offers them. Taken through ArenaScope only, by the
/// thread that runs the op (workers get their share from it).
class Arena {
 public:
  /// count_bytes is told of every change of reserved(); may be NULL.
  explicit Arena(void (*count_bytes)(int64_t delta) = nullptr) : count_bytes_(count_bytes) {}
  ~Arena() { trim(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Bytes taken from the system.
  int64_t reserved() const { return reserved_; }

  /// Gives everything back to the system. Only while no scope is open.
  void trim();
  /// Where bytes are counted; may be NULL.
  void (*counter() const)(int64_t) { return count_bytes_; }

 private:
  friend class ArenaScope;
  struct Chunk {
    char* memory;
    size_t size;
    size_t used;
  };

  void* take(size_t bytes);
  void add_chunk(size_t bytes);
  void release_from(size_t chunk);
  void merge();

  std::vector<Chunk> chunks_;
  size_t current_ = 0;  // index of the chunk being filled
  int open_scopes_ = 0;
  int64_t reserved_ = 0;
  void (*count_bytes_)(int64_t);
};

/// Memory that lives until the scope ends. Scopes nest.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena);
  ~ArenaScope();
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

  /// count elements, 64-byte aligned, not zeroed, never NULL. Throws
  /// TT_OUT_OF_MEMORY.
  template <class T>
  T* get(size_t count) {
    static_assert(std::is_trivially_copyable_v<T>,
                  "arena memory is neither constructed nor destroyed");
    return static_cast<T*>(take(count, sizeof(T)));
  }

 private:
  void* take(size_t count, size_t size);

  Arena& arena_;
  size_t chunk_;
  size_t used_;
};

}  // namespace tt::cpu
#endif
