// Shared memory, loads and stores with cache hints.
#pragma once

#include "simt/engine.h"

// A variable in shared memory: TT_SHARED(float, tile, [64][72]) declares `float tile[64][72]`.
#define SIMT_SHARED(type, name, ...)                                                 \
  using tt_type_of_##name = type __VA_ARGS__;                                        \
  static ::simt::SharedVariable tt_shared_##name{#name, sizeof(tt_type_of_##name),   \
                                                 ::simt::Where{__FILE__, __LINE__}}; \
  tt_type_of_##name& name = *static_cast<tt_type_of_##name*>(tt_shared_##name.get())

// The block's dynamic shared memory: TT_DYN_SHARED(float, buffer) declares `float* buffer`.
#define SIMT_DYN_SHARED(type, name) type* name = static_cast<type*>(::simt::dynamic_shared())

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldlu(const T* p) {
  return *p;
}
template <class T>
T __ldcv(const T* p) {
  return *p;
}
template <class T>
void __stcg(T* p, T value) {
  *p = value;
}
template <class T>
void __stcs(T* p, T value) {
  *p = value;
}
template <class T>
void __stwb(T* p, T value) {
  *p = value;
}
template <class T>
void __stwt(T* p, T value) {
  *p = value;
}
