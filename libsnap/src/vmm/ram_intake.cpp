// SPDX-License-Identifier: Apache-2.0
#include "vmm/ram_intake.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/fail.h"
#include "snap/xbzrle.h"

namespace snap {

void PageSet::add(std::uint64_t page) {
  const std::uint64_t at = page / (64 * kWords);
  if (at >= parts_.size()) parts_.resize(static_cast<std::size_t>(at + 1));
  if (!parts_[at]) parts_[at] = std::make_unique<Part>(Part{});
  (*parts_[at])[page / 64 % kWords] |= std::uint64_t{1} << page % 64;
}

void PageSet::remove(std::uint64_t page) {
  if (has(page)) (*parts_[page / (64 * kWords)])[page / 64 % kWords] &= ~(std::uint64_t{1} << page % 64);
}

std::uint64_t PageSet::next(std::uint64_t begin, std::uint64_t end) const {
  for (std::uint64_t page = begin; page < end;) {
    const Part* part = part_of(page);
    if (part == nullptr) {
      if (page / (64 * kWords) >= parts_.size()) return end;
      page = (page / (64 * kWords) + 1) * 64 * kWords;
    } else if (const std::uint64_t word = (*part)[page / 64 % kWords] >> page % 64; word == 0) {
      page = (page / 64 + 1) * 64;
    } else {
      return std::min(end, page + static_cast<std::uint64_t>(__builtin_ctzll(word)));
    }
  }
  return end;
}

Result<void> RamIntake::add_block(RegionInfo info) {
  const std::uint64_t room = kMaxRamBytes - total_bytes_;
  const std::uint64_t bytes = info.size == kUnknownSize ? room : info.size;
  if (bytes > room) return fail(Code::kLimit, "more memory than 8 TiB", 0, bytes);
  late_->add_block(total_bytes_);
  total_bytes_ += bytes;
  blocks_.push_back({std::move(info), ceil_div(bytes, kPageBytes), {}});
  return {};
}

Result<void> RamIntake::page(std::size_t block, std::uint64_t page, std::span<const std::byte> bytes) {
  blocks_[block].seen.add(page);
  if (is_late(block, page)) return late_->put(block, page, bytes);
  SNAP_TRY(advance_to(block));
  if (page > next_page_) SNAP_TRY(writer_.skip((page - next_page_) * kPageBytes));
  next_page_ = page + 1;
  return writer_.write(bytes);
}

// What no page comes for is zero anyway.
Result<void> RamIntake::zero_page(std::size_t block, std::uint64_t page) {
  static constexpr std::array<std::byte, kPageBytes> kZeros{};
  blocks_[block].seen.add(page);
  return is_late(block, page) ? late_->put(block, page, kZeros) : Result<void>();
}

Result<void> RamIntake::delta(std::size_t block, std::uint64_t page, std::span<const std::byte> bytes, std::uint64_t offset) {
  if (!seen(block, page)) return corrupt(offset, "a difference against a page that did not come yet", page);
  if (is_late(block, page)) {
    SNAP_TRY_ASSIGN(legal, late_->put_delta(block, page, bytes));
    return legal ? Result<void>() : Result<void>(corrupt(offset, "a difference that is no XBZRLE", page));
  }
  std::array<std::byte, kPageBytes> content{};  // it came as zero
  if (!xbzrle_decode(bytes, content)) return corrupt(offset, "a difference that is no XBZRLE", page);
  return this->page(block, page, content);
}

Result<void> RamIntake::end_current() {
  if (!open_) SNAP_TRY(writer_.begin_region(blocks_[current_].info));
  const RegionInfo& info = blocks_[current_].info;
  const std::uint64_t written = next_page_ * kPageBytes;
  if (info.size != kUnknownSize && info.size > written) SNAP_TRY(writer_.skip(info.size - written));
  open_ = false;
  next_page_ = 0;
  ++current_;
  return writer_.end_region();
}

Result<void> RamIntake::advance_to(std::size_t block) {
  while (current_ < block) SNAP_TRY(end_current());
  if (open_) return {};
  open_ = true;
  return writer_.begin_region(blocks_[block].info);
}

Result<void> RamIntake::finish() {
  while (current_ < blocks_.size()) SNAP_TRY(end_current());
  ended_ = true;
  return {};
}

std::unique_ptr<LatePages> RamIntake::take_late() { return late_->empty() ? nullptr : std::move(late_); }

}  // namespace snap
