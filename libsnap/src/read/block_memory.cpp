// SPDX-License-Identifier: Apache-2.0
#include "read/block_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <new>

namespace snap {

namespace {

constexpr std::size_t kHugePage = 2u << 20;

// Huge pages where the system gives them to whom asks: decoding into small ones costs a page walk each.
std::byte* map_slab(std::size_t bytes) {
  const std::size_t slack = bytes % kHugePage == 0 ? kHugePage : 0;
  void* const memory = ::mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  std::byte* begin = static_cast<std::byte*>(memory);
  if (slack != 0) {
    const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
    if (before != 0) ::munmap(begin, before);
    begin += before;
    ::munmap(begin + bytes, slack - before);
    ::madvise(begin, bytes, MADV_HUGEPAGE);
  }
  ::madvise(begin, bytes, MADV_POPULATE_WRITE);  // where the kernel is too old for it, pages come one by one
  return begin;
}

}  // namespace

BlockMemory::~BlockMemory() {
  for (const Slab& slab : slabs_) ::munmap(slab.memory, slab.bytes);
}

// The kernel makes all of a slab's pages at once: one by one, when first written, they would cost a read half as much as a
// block's decoding. Slabs double, so that who reads little takes little.
void BlockMemory::add_slab() {
  const std::size_t blocks = std::clamp<std::size_t>(count_, 1, std::max<std::size_t>(1, kSlabBytes / block_bytes_));
  slabs_.reserve(slabs_.size() + 1);
  free_.reserve(count_ + blocks);
  const std::size_t bytes = blocks * block_bytes_;
  std::byte* const memory = map_slab(bytes);
  slabs_.push_back({memory, bytes});
  for (std::size_t i = blocks; i-- > 0;) free_.push_back(memory + i * block_bytes_);
  count_ += blocks;
}

std::byte* BlockMemory::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) add_slab();
  std::byte* const block = free_.back();
  free_.pop_back();
  return block;
}

void BlockMemory::give_back(std::byte* block) {
  const std::lock_guard lock(mutex_);
  free_.push_back(block);  // add_slab() made room for all
  if (block_bytes_ >= kSlabBytes) drop_free_slabs();
}

void BlockMemory::trim() {
  const std::lock_guard lock(mutex_);
  drop_free_slabs();
  // One block in use keeps its slab, but no more than its own memory.
  for (std::size_t first = 0, i = 1; i <= free_.size(); ++i) {
    if (i < free_.size() && free_[i] == free_[i - 1] + block_bytes_) continue;
    ::madvise(free_[first], (i - first) * block_bytes_, MADV_DONTNEED);
    first = i;
  }
}

void BlockMemory::drop_free_slabs() {
  std::sort(free_.begin(), free_.end());
  std::erase_if(slabs_, [&](const Slab& slab) {
    const auto first = std::lower_bound(free_.begin(), free_.end(), slab.memory);
    const auto last = std::lower_bound(first, free_.end(), slab.memory + slab.bytes);
    const std::size_t blocks = slab.bytes / block_bytes_;
    if (static_cast<std::size_t>(last - first) != blocks) return false;
    free_.erase(first, last);
    count_ -= blocks;
    ::munmap(slab.memory, slab.bytes);
    return true;
  });
}

}  // namespace snap
