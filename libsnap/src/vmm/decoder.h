// SPDX-License-Identifier: Apache-2.0
// What the decoders of all compressors have in common.
#pragma once

#include "vmm/forward.h"

namespace snap {

/// One compressed stream ("member") after another, up to the input's end.
class Decoder : public ByteSource {
 public:
  explicit Decoder(ForwardStream& in) : in_(in) {}
  Result<std::size_t> read(std::span<std::byte> out) final;

 protected:
  /// At a member's first byte.
  virtual Result<void> begin() = 0;
  /// Decodes some bytes, or none, calling end_member() where a member ends.
  virtual Result<std::size_t> decode(std::span<std::byte> out) = 0;

  void end_member() { inside_ = false; }
  ForwardStream& in() { return in_; }

 private:
  Result<bool> next_member();

  ForwardStream& in_;
  bool first_ = true;
  bool inside_ = false;
};

}  // namespace snap
