// wgmma: the bookkeeping of products under way. (hopper.h multiplies, in the kernel's own code.) A product is done as
// late as PTX allows, when its warpgroup waits for its group: until then its accumulators hold a NaN of our own, its
// operands are read where they are, and what touched registers meanwhile is found out. PTX ISA 8.4, 9.7.14.
#include "machine.h"
#include "shadow.h"

#include <cstring>

namespace simt {
namespace {

constexpr std::uint32_t kUnderWay =
    0x7fa5a5a5u;  // signalling: arithmetic with it leaves another one

void poison(float* d, int count) {
  for (int i = 0; i < count; i++) std::memcpy(&d[i], &kUnderWay, sizeof kUnderWay);
}

bool is_poisoned(const float* d, int count) {
  for (int i = 0; i < count; i++)
    if (std::memcmp(&d[i], &kUnderWay, sizeof kUnderWay) != 0) return false;
  return true;
}

// The accumulators as they are, then a NaN of ours.
void take_over(ProductUnderWay& p) {
  p.first = true;
  if (p.product.add) p.d_before.assign(p.product.d, p.product.d + p.product.count);
  poison(p.product.d, p.product.count);
}

// Whether one of the first n products under way has these accumulators.
bool has(const Thread& self, std::size_t n, const float* d) {
  for (std::size_t i = 0; i < n; i++)
    if (self.products[i].product.d == d) return true;
  return false;
}

}  // namespace

void fence_async_proxy() {
  shadow::proxy_fenced();
}

AsyncProxy::AsyncProxy() {
  machine.current->async_proxy = true;
}
AsyncProxy::~AsyncProxy() {
  machine.current->async_proxy = false;
}

void products_fence() {
  machine.current->products_fenced = true;
}

void product_start(const Product& product, Where where) {
  Thread& self = *machine.current;
  if (!self.products_fenced)
    fail("%s:%d wgmma without a wgmma.fence since the last wait: its registers may be in use",
         where.file, where.line);
  const bool first = !has(self, self.products.size(), product.d);
  self.products.push_back(ProductUnderWay{product, first});
  ProductUnderWay& own = self.products.back();
  if (product.rows != nullptr) std::memcpy(own.rows_before, product.rows, sizeof own.rows_before);
  if (first) take_over(own);
}

void products_commit() {
  Thread& self = *machine.current;
  self.product_group_ends.push_back(self.products.size());
}

std::size_t products_ready(int left) {
  Thread& self = *machine.current;
  self.products_fenced = false;
  const std::size_t groups = self.product_group_ends.size(), keep = static_cast<std::size_t>(left);
  return groups <= keep ? 0 : self.product_group_ends[groups - keep - 1];
}

Product product_begin(std::size_t i, Where where) {
  const ProductUnderWay& own = machine.current->products[i];
  const Product& product = own.product;
  if (product.rows != nullptr &&
      std::memcmp(own.rows_before, product.rows, sizeof own.rows_before) != 0)
    fail("%s:%d wgmma: registers of A changed before the wait for the product", where.file,
         where.line);
  if (!own.first) return product;
  if (!is_poisoned(product.d, product.count))
    fail("%s:%d wgmma: accumulators changed before the wait for the product", where.file,
         where.line);
  if (product.add)
    std::memcpy(product.d, own.d_before.data(),
                sizeof(float) * static_cast<std::size_t>(product.count));
  return product;
}

void products_done(std::size_t count) {
  Thread& self = *machine.current;
  self.products.erase(self.products.begin(),
                      self.products.begin() + static_cast<std::ptrdiff_t>(count));
  std::size_t finished = 0;
  while (finished < self.product_group_ends.size() && self.product_group_ends[finished] <= count)
    finished++;
  self.product_group_ends.erase(
      self.product_group_ends.begin(),
      self.product_group_ends.begin() + static_cast<std::ptrdiff_t>(finished));
  for (std::size_t& end : self.product_group_ends) end -= count;
  // Of those that are left the first that has some accumulators takes over what the done ones left there.
  for (std::size_t i = 0; i < self.products.size(); i++) {
    ProductUnderWay& own = self.products[i];
    if (!own.first && !has(self, i, own.product.d)) take_over(own);
  }
}

}  // namespace simt
