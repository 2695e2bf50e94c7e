// SPDX-License-Identifier: Apache-2.0
#include "vmm/inflater.h"

#include <isa-l.h>

#include "base/fail.h"

namespace snap {

Inflater::Inflater() : state_(std::make_unique<inflate_state>()) {
  isal_inflate_init(state_.get());
  state_->crc_flag = ISAL_ZLIB;
}
Inflater::~Inflater() = default;

void Inflater::give(std::span<const std::byte> in) {
  state_->next_in = reinterpret_cast<std::uint8_t*>(const_cast<std::byte*>(in.data()));  // ISA-L only reads it
  state_->avail_in = static_cast<std::uint32_t>(in.size());
  given_ += in.size();
  starved_ = false;
}

Result<std::size_t> Inflater::run(std::span<std::byte> out) {
  state_->next_out = reinterpret_cast<std::uint8_t*>(out.data());
  state_->avail_out = static_cast<std::uint32_t>(out.size());
  const int status = isal_inflate(state_.get());
  if (status == ISAL_INCORRECT_CHECKSUM) return corrupt(0, "the checksum of the RAM section's zlib stream is wrong");
  if (status < 0 || status == ISAL_NEED_DICT) return corrupt(0, "the RAM section's zlib stream is damaged");
  finished_ = state_->block_state == ISAL_BLOCK_FINISH;
  // With `out` full there may be more to come of input that is used up.
  starved_ = !finished_ && state_->avail_out != 0;
  if (starved_ && state_->avail_in != 0) return corrupt(0, "the RAM section's zlib stream is damaged");
  return out.size() - state_->avail_out;
}

/// Bits read ahead stand for whole bytes not used.
std::uint64_t Inflater::consumed() const {
  return given_ - state_->avail_in - static_cast<std::uint64_t>(state_->read_in_length / 8);
}

}  // namespace snap
