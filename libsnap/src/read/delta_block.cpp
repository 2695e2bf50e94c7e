// SPDX-License-Identifier: Apache-2.0
#include "read/delta_block.h"

#include "base/fail.h"

namespace snap {

DeltaBlock::DeltaBlock(const Record& record, const BlockView& view, BlockMemory& memory)
    : named_(named_pages(view)),
      record_offset_(record.offset),
      number_(record.number),
      codec_(view.codec()),
      over_parent_(view.over_parent()),
      stored_bytes_(view.payload_bytes()),
      memory_(memory),
      payload_(view.payload().begin(), view.payload().end()) {
  places_.resize(view.pages());
  std::uint32_t stored = 0;
  for (std::uint32_t page = 0; page < view.pages(); ++page) {
    Place& place = places_[page];
    place.kind = view.kind(page);
    if (BlockView::is_stored(place.kind)) place.index = stored++;
    if (place.kind != wire::kCopy) continue;
    place.index = static_cast<std::uint32_t>(copies_.size());
    copies_.push_back(view.copy(place.index));
  }
}

std::size_t DeltaBlock::memory_bytes() const {
  return sizeof *this + places_.size() * sizeof(Place) + copies_.size() * sizeof(CopyRef) + named_.size() * sizeof(std::uint64_t) + stored_bytes_;
}

Result<const std::byte*> DeltaBlock::stored(std::uint32_t page, Scratch& scratch, const Dictionary& dictionary) {
  const std::lock_guard lock(mutex_);
  if (decoded_ == nullptr) {
    Bytes base;
    if (over_parent_) {
      base.resize((named_.size() + places_.size()) * kPageBytes);
      SNAP_TRY(dictionary(named_, base));
    }
    BlockBytes decoded = take_bytes(stored_bytes_, memory_);
    if (!scratch.decompressor.decompress(codec_, payload_, {decoded.get(), stored_bytes_}, base)) {
      return corrupt(record_offset_, "a block does not decode to its pages", number_);
    }
    decoded_ = std::move(decoded);
    payload_ = {};
  }
  return decoded_.get() + std::size_t{places_[page].index} * kPageBytes;
}

}  // namespace snap
