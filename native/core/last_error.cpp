#include "error.h"

namespace tt {

tt_error& last_error() noexcept {
  thread_local tt_error error{};
  return error;
}

}  // namespace tt

void tt_last_error(tt_error* error) {
  if (error != nullptr) *error = tt::last_error();
}
