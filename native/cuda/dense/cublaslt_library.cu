// Finding cuBLASLt.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "dense/cublaslt.h"
#include "error.h"

namespace tt::cuda::cublaslt {
namespace {

constexpr const char* kVariable = "TWINTAIL_CUBLASLT";

bool find_function(void* file, const char* name, void* function) {
  void* found = dlsym(file, name);
  std::memcpy(function, &found, sizeof found);
  return found != nullptr;
}

/// Fills library, or returns why not.
std::string load(const std::string& name, Library& library) {
  void* file = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (file == nullptr) {
    const char* why = dlerror();
    const std::string text = why != nullptr ? why : "the loader gave no reason";
    return text.compare(0, name.size(), name) == 0 ? text : name + ": " + text;
  }
  const char* missing = nullptr;
  Functions& f = library.functions;
#define TT_CUBLASLT_FIND(member, name, parameters) \
  if (missing == nullptr && !find_function(file, #name, &f.member)) missing = #name;
  TT_CUBLASLT_STATUS_FUNCTIONS(TT_CUBLASLT_FIND)
#undef TT_CUBLASLT_FIND
  if (missing != nullptr) {
    dlclose(file);
    return name + ": no function " + missing;
  }
  int major = 0, minor = 0, patch = 0;
  f.property(kMajorVersion, &major);
  f.property(kMinorVersion, &minor);
  f.property(kPatchLevel, &patch);
  if (major < 11 || major > 13) {
    dlclose(file);
    return format("%s: version %d, not 11, 12 or 13", name.c_str(), major);
  }
  library.loaded = true;  // and never closed: the device may still work with it at the end
  library.description =
      format("linear by cuBLASLt %d.%d.%d (%s)", major, minor, patch, name.c_str());
  return "";
}

std::string wanted() {
  const char* text = std::getenv(kVariable);
  return text != nullptr ? text : "";
}

}  // namespace

std::vector<std::string> candidates(int cuda_major) {
  std::vector<std::string> names = {format("libcublasLt.so.%d", cuda_major)};
  for (const int major : {13, 12, 11}) {
    if (major != cuda_major) names.push_back(format("libcublasLt.so.%d", major));
  }
  return names;
}

Library search(const std::vector<std::string>& names) {
  std::string failures;
  for (const std::string& name : names) {
    Library library;
    const std::string why = load(name, library);
    if (library.loaded) return library;
    failures += (failures.empty() ? "" : "; ") + why;
  }
  Library none;
  none.description = "linear by own kernels, no cuBLASLt: " + failures;
  return none;
}

const Library& Library::get() {
  static std::mutex mutex;
  static auto* found =
      new std::map<std::string, Library>;  // by what was wanted; outlives static destructors
  const std::lock_guard<std::mutex> lock(mutex);
  const std::string name = wanted();
  const auto known = found->find(name);
  if (known != found->end() && known->second.loaded) return known->second;

  Library library;
  if (name == "off") {
    library.description = format("linear by own kernels (%s=off)", kVariable);
  } else if (!name.empty()) {
    const std::string why = load(name, library);
    if (!library.loaded) {
      bad_argument(kVariable, "off, or a cuBLASLt that can be loaded (" + why + ")", name);
    }
  } else if (TT_SIMT != 0) {
    library.description =
        format("linear by own kernels: without a GPU %s has to name a cuBLASLt", kVariable);
  } else {
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);  // a number of this build, which fails for no reason
    library = search(candidates(runtime / 1000));
  }
  return (*found)[name] = library;
}

SharedHandle* handle_of(const Library& library, int device) {
  static std::mutex mutex;
  static auto* handles = new std::map<std::pair<const Library*, int>, SharedHandle>;
  const std::lock_guard<std::mutex> lock(mutex);
  SharedHandle& shared = (*handles)[{&library, device}];
  if (shared.handle != nullptr) return &shared;
  const Status status = library.functions.create(&shared.handle);
  if (status == kSuccess) return &shared;
  shared.handle = nullptr;
  cudaGetLastError();
  return status == kNotSupported || status == kArchitectureMismatch ? nullptr : &shared;
}

}  // namespace tt::cuda::cublaslt
