// SPDX-License-Identifier: Apache-2.0
// The spool of pages that came late: each has a place of its own in a sparse file, and a map of its bytes for deltas without a base.
#include <unistd.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/fail.h"
#include "snap/xbzrle.h"
#include "vmm/ram_intake.h"
#include "vmm/spool.h"

namespace snap {
namespace {

constexpr std::size_t kMaskBytes = kPageBytes / 8;
using Page = std::array<std::byte, kPageBytes>;
using Mask = std::array<std::byte, kMaskBytes>;

bool is_set(const Mask& mask, std::size_t at) { return (mask[at / 8] >> at % 8 & std::byte{1}) != std::byte{0}; }
void set(Mask& mask, std::size_t at) { mask[at / 8] |= std::byte{1} << at % 8; }

}  // namespace

LatePages::~LatePages() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> LatePages::write(std::span<const std::byte> bytes, std::uint64_t offset) {
  return write_spool(fd_, spool_dir_fd_, bytes, offset);
}

std::uint64_t LatePages::page_at(const Block& block, std::uint64_t page) const { return block.first + page * kPageBytes; }
std::uint64_t LatePages::mask_at(const Block& block, std::uint64_t page) const {
  return kMaxRamBytes + page_at(block, page) / kPageBytes * kMaskBytes;
}

Result<void> LatePages::put(std::size_t block, std::uint64_t page, std::span<const std::byte> bytes) {
  Block& at = blocks_[block];
  empty_ = false;
  at.late.add(page);
  at.partly.remove(page);
  if (is_zero(bytes)) return at.zero.add(page), Result<void>();
  at.zero.remove(page);
  return write(bytes, page_at(at, page));
}

Result<bool> LatePages::put_delta(std::size_t block, std::uint64_t page, std::span<const std::byte> delta) {
  Block& at = blocks_[block];
  Page known{};
  Mask mask{};
  PosixSource spool(fd_);
  if (at.late.has(page) && !at.zero.has(page)) SNAP_TRY(read_exact(spool, page_at(at, page), known, "the spool file became shorter"));
  const bool partly = !at.late.has(page) || at.partly.has(page);
  if (at.partly.has(page)) SNAP_TRY(read_exact(spool, mask_at(at, page), mask, "the spool file became shorter"));
  if (!partly) {
    if (!xbzrle_decode(delta, known)) return false;
    at.zero.remove(page);
    SNAP_TRY(write(known, page_at(at, page)));
    return true;
  }
  // A delta holds the changed bytes as they are now: they are those that come out alike over two different pages.
  Page zeros{};
  Page ones;
  ones.fill(std::byte{0xff});
  if (!xbzrle_decode(delta, zeros) || !xbzrle_decode(delta, ones)) return false;
  for (std::size_t i = 0; i < kPageBytes; ++i) {
    if (zeros[i] != ones[i]) continue;
    known[i] = zeros[i];
    set(mask, i);
  }
  empty_ = false;
  at.late.add(page);
  at.partly.add(page);
  SNAP_TRY(write(known, page_at(at, page)));
  SNAP_TRY(write(mask, mask_at(at, page)));
  return true;
}

Result<void> LatePages::patch(std::size_t block, std::uint64_t page, std::span<std::byte> bytes) const {
  const Block& at = blocks_[block];
  if (at.zero.has(page)) {
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    return {};
  }
  PosixSource spool(fd_);
  Page known;
  SNAP_TRY(read_exact(spool, page_at(at, page), known, "the spool file became shorter"));
  if (!at.partly.has(page)) {
    std::copy_n(known.begin(), bytes.size(), bytes.begin());
    return {};
  }
  Mask mask;
  SNAP_TRY(read_exact(spool, mask_at(at, page), mask, "the spool file became shorter"));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (is_set(mask, i)) bytes[i] = known[i];
  }
  return {};
}

}  // namespace snap
