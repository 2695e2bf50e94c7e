// SPDX-License-Identifier: Apache-2.0
#include "faults/counting_new.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace snap::test {
namespace {

std::atomic<std::uint64_t> count{0};
std::atomic<std::uint64_t> fail_at{kNeverFail};
std::atomic<bool> fail_on{false};
std::atomic<bool> failed{false};
std::atomic<std::size_t> live{0};
std::atomic<std::size_t> peak{0};

bool fails() {
  const std::uint64_t at = fail_at.load(std::memory_order_relaxed);
  if (at == kNeverFail) return false;
  const std::uint64_t number = count.fetch_add(1);
  if (number != at && !(fail_on && number > at)) return false;
  failed = true;
  return true;
}

void* allocate(std::size_t bytes) {
  if (fails()) return nullptr;
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory != nullptr) {
    const std::size_t now = live += ::malloc_usable_size(memory);
    std::size_t most = peak;
    while (now > most && !peak.compare_exchange_weak(most, now)) {
    }
  }
  return memory;
}

void release(void* memory) {
  if (memory != nullptr) live -= ::malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void fail_allocation(std::uint64_t n, bool sticky) {
  count = 0;
  failed = false;
  fail_on = sticky;
  fail_at = n;
}
void allocate_again() { fail_at = kNeverFail; }
bool allocation_failed() { return failed; }
std::size_t live_bytes() { return live; }
std::size_t peak_bytes() { return peak; }
void reset_peak() { peak = live.load(); }

}  // namespace snap::test

void* operator new(std::size_t bytes) {
  if (void* const memory = snap::test::allocate(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new[](std::size_t bytes) { return ::operator new(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return snap::test::allocate(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return snap::test::allocate(bytes); }
void operator delete(void* memory) noexcept { snap::test::release(memory); }
void operator delete[](void* memory) noexcept { snap::test::release(memory); }
void operator delete(void* memory, std::size_t) noexcept { snap::test::release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { snap::test::release(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { snap::test::release(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { snap::test::release(memory); }
