// Finding backends: the CPU's is linked in, others are plugins beside this library.
#include <dlfcn.h>
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

#include "handles.h"

namespace tt {
namespace {

constexpr const char* kCudaFile = "libtwintail_cuda.so";
constexpr const char* kCudaVariable = "TWINTAIL_CUDA_PLUGIN";

const Host kHost = {&count_bytes};

struct Plugin {
  const Backend* backend = nullptr;
  std::string path;      // tried last
  std::string attempts;  // "path: why not; path: why not"
};

std::mutex plugin_mutex;
Plugin cuda_plugin;

// Held during a fork: the child would otherwise find it locked for ever by a thread that it does not have.
[[maybe_unused]] const int forks_watched = pthread_atfork(
    [] { plugin_mutex.lock(); }, [] { plugin_mutex.unlock(); }, [] { plugin_mutex.unlock(); });

void note(Plugin& plugin, const std::string& path, const std::string& why) {
  if (!plugin.attempts.empty()) plugin.attempts += "; ";
  // The loader's own message mostly starts with the file's name.
  plugin.attempts += why.compare(0, path.size(), path) == 0 ? why : path + ": " + why;
}

void try_load(Plugin& plugin, const std::string& path) {
  plugin.path = path;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    note(plugin, path, why != nullptr ? why : "the loader gave no reason");
    return;
  }
  const auto open =
      reinterpret_cast<tt_backend_open_function>(dlsym(library, TT_BACKEND_OPEN_SYMBOL));
  const Backend* backend = open != nullptr ? open(kBackendVersion, &kHost) : nullptr;
  if (backend == nullptr || backend->version != kBackendVersion ||
      backend->device != TT_DEVICE_CUDA) {
    note(plugin, path,
         open == nullptr ? "not a backend of Twintail (no symbol " TT_BACKEND_OPEN_SYMBOL ")"
                         : "built for another version of Twintail than " TT_VERSION);
    dlclose(library);
    return;
  }
  plugin.backend = backend;  // stays loaded for the life of the process
}

/// The folder of this library with a slash at its end, or "".
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || info.dli_fname == nullptr) {
    return "";
  }
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "" : file.substr(0, slash + 1);
}

/// Under plugin_mutex. A failure is tried again at the next call; a success is final.
Plugin& load_cuda() {
  Plugin& plugin = cuda_plugin;
  if (plugin.backend != nullptr) return plugin;
  plugin = Plugin{};
  const char* chosen = std::getenv(kCudaVariable);
  if (chosen != nullptr && chosen[0] != '\0') {
    // An explicit choice that fails must not be papered over by another file.
    try_load(plugin, chosen);
    if (plugin.backend == nullptr)
      plugin.attempts += std::string(" (set by ") + kCudaVariable + ")";
    return plugin;
  }
  const std::string folder = own_folder();
  if (!folder.empty()) try_load(plugin, folder + kCudaFile);
  if (plugin.backend == nullptr) try_load(plugin, kCudaFile);  // the loader's search path
  return plugin;
}

struct Search {
  const Backend* backend = nullptr;
  int32_t device_count = 0;
  std::string path, reason;
};

Search search(int32_t device) {
  Search found;
  if (device == TT_DEVICE_CPU) {
    found.backend = cpu_backend(&kHost);
  } else {
    const std::lock_guard<std::mutex> lock(plugin_mutex);
    const Plugin& plugin = load_cuda();
    found.backend = plugin.backend;
    found.path = plugin.path;
    if (plugin.backend == nullptr)
      found.reason = "no CUDA backend could be loaded: " + plugin.attempts;
  }
  if (found.backend != nullptr) {
    char reason[1024] = "";
    found.device_count = found.backend->probe(reason, sizeof reason);
    found.reason = reason;
  }
  return found;
}

}  // namespace

const Backend* find_backend(int32_t device, int32_t device_index) {
  // What the probe would find wrong with it may not matter to these options, or is an error of its own kind.
  if (device == TT_DEVICE_CPU) return cpu_backend(&kHost);
  const Search found = search(device);
  if (found.device_count <= 0) {
    no_device(format("No CUDA device: %s", found.reason.c_str()));
  }
  if (device_index >= found.device_count) {
    no_device(format("No CUDA device %d: there are %d (%s)", device_index, found.device_count,
                     found.reason.c_str()));
  }
  return found.backend;
}

void report_backend(int32_t device, tt_backend_report& report) {
  const Search found = search(device);
  report.device = device;
  report.available = found.device_count > 0 ? 1 : 0;
  report.device_count = found.device_count;
  report.confirmed = found.backend != nullptr ? found.backend->confirmed : 0;
  std::snprintf(report.path, sizeof report.path, "%s", found.path.c_str());
  std::snprintf(report.reason, sizeof report.reason, "%s", found.reason.c_str());
}

}  // namespace tt
