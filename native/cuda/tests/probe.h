// The functions of probe.cu, from a library loaded at run time.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

class ProbeTest : public testing::Test {
 protected:
  void SetUp() override {
    library_ = dlopen(TOOLCHAIN_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library_, nullptr) << dlerror();
  }
  // F: the function's type. Fails the test and crashes it, on purpose, if there is no such function.
  template <class F>
  F* find(const char* name) {
    void* found = dlsym(library_, name);
    EXPECT_NE(found, nullptr) << name;
    return reinterpret_cast<F*>(found);
  }

 private:
  void* library_ = nullptr;
};
