/* The public header is C, and may be included twice. */
#include "twintail.h"

tt_status tt_header_test(void);

tt_status tt_header_test(void) {
  tt_context_options options = {0};
  options.struct_size = (int32_t)sizeof options;
  options.device = TT_DEVICE_CPU;
  return options.device_index == 0 ? TT_OK : TT_INTERNAL;
}
