// SPDX-License-Identifier: Apache-2.0
// The ways to write down what changed in a page: ours, those of the papers of 2011, and codecs over the XOR.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace bench {

/// The page size of all, but for those that take more at once.
inline constexpr std::size_t kDeltaPage = 4096;

class DeltaCodec {
 public:
  DeltaCodec(std::string codec_name, std::size_t bytes_at_once) : name(std::move(codec_name)), block(bytes_at_once) {}
  virtual ~DeltaCodec() = default;
  /// `out` has room for kMostDelta * block bytes. Answers how many were written.
  virtual std::size_t encode(const std::byte* before, const std::byte* after, std::byte* out) = 0;
  /// Makes the old page in `page` into the new one.
  virtual void decode(const std::byte* delta, std::size_t bytes, std::byte* page) = 0;

  const std::string name;
  const std::size_t block;
};
inline constexpr std::size_t kMostDelta = 3;

/// snap/xbzrle.h: each version that this processor has; the last is what the library takes.
std::vector<std::unique_ptr<DeltaCodec>> our_xbzrle();
/// Everything else; `missing` are the names of those whose library this was built without.
std::vector<std::unique_ptr<DeltaCodec>> other_deltas(std::vector<std::string>& missing);

/// Another XBZRLE, as a shared library given as NAME=FILE. It exports, with C linkage:
///
///     int xbzrle_encode_buffer(uint8_t *old_page, uint8_t *new_page, int page_bytes, uint8_t *out, int out_bytes);
///     int xbzrle_decode_buffer(uint8_t *delta, int delta_bytes, uint8_t *page, int page_bytes);
///
/// The first answers the delta's size, the second how much of the page it spoke of; both -1 where they refuse. QEMU's
/// migration/xbzrle.c has functions of this form: it can be built into such a library, together with what it calls.
std::unique_ptr<DeltaCodec> peer_xbzrle(const std::string& name_and_file);

}  // namespace bench
